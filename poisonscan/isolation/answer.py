"""What a worker has told so far, put in order: the items of each file, and who was at fault."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator

from poisonscan.files import Item
from poisonscan.finding import Finding, Gap
from poisonscan.formats.base import TableFile
from poisonscan.isolation import wire
from poisonscan.isolation.worker import END, seconds
from poisonscan.sources.base import Blob

_LONGEST = 256 << 20
_GRACE = 5.0
"""Seconds beyond the CPU limit before a worker that only waits is stopped."""


class Answer:
    """Reads the lines of one worker.

    Attributes:
        left: files that it has not finished; the first is the one it is at.
        layers: of isolation, as told in its first line; None before that.
    """

    def __init__(self, blobs: Iterable[Blob], limit: int) -> None:
        self.left = deque(blobs)
        self.layers: tuple[str, ...] | None = None
        self._limit = limit
        self._chunks: list[bytes] = []  # of a line that has not ended yet
        self._items: list[Item] = []
        self._told = 0
        self.deadline = 0.0
        self._restart_clock()

    def _restart_clock(self) -> None:
        if self.left:
            patience = 2 * seconds(self.left[0], self._limit) + _GRACE
            self.deadline = time.monotonic() + patience

    def feed(self, data: bytes) -> Iterator[tuple[Blob, list[Item]]]:
        """Take what was told; gives each file that is finished by it.

        Raises:
            poisonscan.isolation.wire.WireError: it is not what a worker tells.
        """
        self._told += len(data)
        if self._told > _LONGEST:
            raise wire.WireError("more than a worker may tell")
        self._chunks.append(data)
        if b"\n" not in data:
            return
        *lines, rest = b"".join(self._chunks).split(b"\n")
        self._chunks = [rest]
        for line in lines:
            if self.layers is None:
                self.layers = tuple(line.decode("ascii", "replace").split())
            elif line != END:
                item = wire.decode(line)
                if not self.left or not _is_of(item, self.left[0]):
                    raise wire.WireError("about another file than the one at hand")
                self._items.append(item)
            elif self.left:
                blob, items = self.left.popleft(), self._items
                self._items, self._told = [], 0
                self._restart_clock()
                yield blob, items

    def blame(self, reason: str) -> tuple[Blob, list[Item]]:
        """The file at hand, with what was found in it before the worker ended, and why it did."""
        blob, items = self.left.popleft(), self._items
        self._items = []
        return blob, [*items, Gap(blob.path, reason)]


def _is_of(item: Item, blob: Blob) -> bool:
    """Whether an item is about a file or something in it."""
    path = item.at.path if isinstance(item, Finding) else item.path
    if isinstance(item, TableFile) and item.file != blob.file:
        return False
    return path == blob.path or path.startswith(f"{blob.path}!")
