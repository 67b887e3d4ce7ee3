"""Where bytes come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from poisonscan.finding import Gap, Skipped

Spans = tuple[tuple[int, int], ...]
"""Bytes of a file: where each run of them begins and ends."""


@dataclass(frozen=True, slots=True)
class Step:
    """Where a member is in the bytes around it, so that it can be read without them in memory.

    Attributes:
        start: its first byte, packed.
        size: bytes, packed; -1: all from there on, one compressed stream after another.
        codec: how it is compressed, as ``formats.unpack`` calls it; empty when it is not.
    """

    start: int
    size: int
    codec: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes with a place.

    Attributes:
        path: as reports call it: relative, forward slashes, ``outer!/member`` inside archives.
        size: number of bytes.
        open: gives a read-only view of all of them without copying. Raises OSError.
        depth: number of containers around it.
        base: offset in the outermost file of the first byte, None if it is not stored as it is.
        file: where it is on disk, None for members.
        outermost: the file on disk that a member is in, empty for files themselves.
        steps: how a member is reached in that file, from the outermost archive inwards; empty where
            no such steps lead to it.
        present: the parts of the file on disk that are there; None: all of it.
    """

    path: str
    size: int
    open: Callable[[], memoryview]
    depth: int = 0
    base: int | None = 0
    file: str | None = None
    outermost: str = ""
    steps: tuple[Step, ...] = ()
    present: Spans | None = None

    @property
    def name(self) -> str:
        """The last part of the path, in lower case."""
        return self.path.replace("\\", "/").rpartition("/")[2].lower()

    @property
    def suffix(self) -> str:
        """The last suffix of the name in lower case, with its dot; empty if there is none."""
        stem, dot, suffix = self.name.rpartition(".")
        return dot + suffix if stem else ""

    def part(self, name: str, view: memoryview, base: int | None, step: Step | None = None) -> Blob:
        """A member of this container, whose bytes are ``view``.

        Args:
            name: of the member.
            view: its bytes.
            base: as of a blob.
            step: where it is in this container; None: it cannot be read by itself.
        """
        member = Blob(f"{self.path}!/{name}", len(view), lambda: view, self.depth + 1, base)
        if step is None or not (self.file or self.steps):
            return member
        return replace(member, outermost=self.file or self.outermost, steps=(*self.steps, step))


@dataclass(frozen=True, slots=True)
class Missing:
    """What was looked at of a file and is not there.

    If it is anything, nothing else counts that came of the file; and neither does it where this is
    not told, because a process died before.

    Attributes:
        path: as reports call the file.
        spans: in order; empty if there was all that was looked at.
    """

    path: str
    spans: Spans


class Source(Protocol):
    """A target's files."""

    def blobs(self) -> Iterator[Blob | Gap | Skipped]:
        """Every file; a gap for each that cannot be read."""
