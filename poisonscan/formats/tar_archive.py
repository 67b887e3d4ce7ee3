"""Tar archives, walked in 512-byte steps; nothing is ever written to disk."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Archive, Artifact, Reference, References
from poisonscan.formats.member_names import leaves_folder, link_leaves_folder
from poisonscan.formats.tar_headers import (
    BLOCK,
    Extended,
    Header,
    checksum_holds,
    extended_by,
    header_of,
    pax_records,
    sparse_goes_on,
)
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob, Step

_LONGEST_RECORD: Final = 1 << 20
_NO_ZERO: Final = re.compile(rb"[^\0]")
_MAGIC: Final = re.compile(rb"ustar")
_MAGIC_OFFSET: Final = 257
_EXTENDING: Final = (b"L", b"K", b"x", b"g", b"X")
"""Headers that say something about the next member, or all that follow."""
_HARD_LINK, _LINK, _DEVICES = b"1", b"2", (b"3", b"4", b"6")
_WITHOUT_DATA: Final = (_HARD_LINK, _LINK, *_DEVICES, b"5")
"""Links, devices, pipes and folders. Every other type is unpacked as a file."""
_ANOMALIES_KEPT: Final = 20
"""Of each kind."""
_HEADER_LIMIT: Final = 8 << 30
"""From this size on a ustar header cannot state it, and the pax record alone counts."""


class Tar:
    """Tar archives, also the oldest torch checkpoints and NeMo models."""

    name = "tar"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By the magic of the first header, or by its checksum where there is no magic."""
        if len(head) < BLOCK:
            return False
        return head[257:262] == b"ustar" or (head[0] != 0 and checksum_holds(head[:BLOCK]))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Every regular file in it."""
        walk = _Walk(view, budget)
        walk.through()
        yield Archive(blob.path, self.name, len(walk.members), tuple(walk.anomalies), blob.base)
        for reason in walk.gaps:
            yield Gap(blob.path, reason)
        if walk.links:
            yield References(blob.path, self.name, tuple(walk.links))
        for name, start, size in walk.members:
            base = None if blob.base is None else blob.base + start
            yield blob.part(name, view[start : start + size], base, Step(start, size))


class _Walk:
    """One pass over the headers."""

    def __init__(self, view: memoryview, budget: Budget) -> None:
        self.view = view
        self.budget = budget
        self.members: list[tuple[str, int, int]] = []
        self.anomalies: list[Anomaly] = []
        self.links: list[Reference] = []
        self.gaps: list[str] = []
        self._next = Extended()
        self._global: dict[bytes, bytes] = {}
        self._leaving: set[str] = set()

    def through(self) -> None:
        """From the first header to the end of the file: some loaders do not stop before it."""
        position, ended = 0, False
        try:
            while position + BLOCK <= len(self.view):
                block = bytes(self.view[position : position + BLOCK])
                if block.count(0) == BLOCK:
                    ended = True
                    position = self._behind_end(position)
                else:
                    position = self._one(block, position)
        except LimitReached as error:
            self.gaps.append(f"limit reached: {error}")
            return
        if position < len(self.view) and _NO_ZERO.search(self.view, position):
            self.members.append((f"@{position}", position, len(self.view) - position))
            self.gaps.append(f"the {len(self.view) - position:,} bytes at the end are no tar block")
        if not ended and not self.gaps:
            self.gaps.append("tar archive without an end")

    def _behind_end(self, position: int) -> int:
        """Loaders stop at the first block of zeros, unless they are told to go on."""
        match = _NO_ZERO.search(self.view, position)
        if match is None:
            return len(self.view)
        if not any(anomaly.kind == "data-behind-end" for anomaly in self.anomalies):
            what = "stands behind the end of the archive"
            self._note("data-behind-end", what, match.start(), f"@{match.start()}")
        self._next = Extended()
        return match.start() // BLOCK * BLOCK

    def _one(self, block: bytes, position: int) -> int:
        """Read a header; returns where the next one is."""
        header = header_of(block)
        if header is None:
            return self._damaged(position)
        self.budget.take_member()
        start = position + BLOCK
        if not header.clean:
            what = "has a header whose numbers only some loaders can read"
            self._note("odd-number", what, position, header.name)
        if header.kind in _EXTENDING:
            return self._extend(header, start)
        said, self._next = self._next, Extended()
        if self._global and not said.name and said.size is None:
            said = extended_by(b"g", b"", self._global, said)
        name = said.name or header.name
        if leaves_folder(name):
            what = "leaves the folder that the archive is unpacked in"
            self._note("path-leaves-folder", what, position, name)
        self._through_link(name, position)
        if header.kind in _WITHOUT_DATA:
            return self._without_data(header, name, said.target or header.target, position)
        if header.more:
            start = self._sparse_map(start)
        if header.kind == b"S" or said.sparse:
            self.gaps.append(f"member {name!a} has holes: only what is between them is looked at")
        size = header.size if said.size is None else said.size
        return self._file(header, name, size, start)

    def _file(self, header: Header, name: str, size: int, start: int) -> int:
        left = len(self.view) - start
        if size != header.size and size < _HEADER_LIMIT:
            # Some readers step on by the header's size, others by the record's: TARmageddon.
            what = f"has {header.size:,} bytes by its header and {size:,} by the record before it"
            self._note("two-sizes", what, start - BLOCK, name)
            other = start + -(-header.size // BLOCK) * BLOCK
            if header.size < size and header_of(bytes(self.view[other : other + BLOCK]).ljust(512)):
                self.members.append((f"{name}@{other}", other, min(size, left) - (other - start)))
            elif header.size > size:
                self.members.append((f"{name}@header", start, min(header.size, left)))
        if size:
            self.members.append((name, start, min(size, left)))
        if size > left:
            self.gaps.append(f"the member at byte {start - BLOCK:,} reaches over the end")
            return len(self.view)
        return start + -(-size // BLOCK) * BLOCK

    def _without_data(self, header: Header, name: str, target: str, position: int) -> int:
        """Links, folders and devices. Python steps over no content here, others do."""
        start = position + BLOCK
        if header.kind == _LINK and link_leaves_folder(name, target):
            self.links.append(Reference(target, f"symbolic link {name!a}", position))
            self._leaving.add(posixpath.normpath(name))
        elif header.kind == _HARD_LINK and leaves_folder(target):
            self.links.append(Reference(target, f"hard link {name!a}", position))
            self._leaving.add(posixpath.normpath(name))
        elif header.kind in _DEVICES:
            self._note("device", "is a device or a pipe, not a file", position, name)
        # Folders and hard links of honest writers may repeat the size of what they stand for.
        if header.size and header.kind != _HARD_LINK and self._content_follows(start):
            what = f"is no file and has {header.size:,} bytes of content that some loaders skip"
            self._note("content-of-no-file", what, position, name)
            self.members.append((name, start, min(header.size, len(self.view) - start)))
        return start

    def _content_follows(self, start: int) -> bool:
        """Whether the stated content is there, rather than the next header or the end."""
        return start < len(self.view) and bytes(self.view[start : start + BLOCK]).count(0) < BLOCK

    def _extend(self, header: Header, start: int) -> int:
        """Read an extended header: like Python its whole blocks, whatever length it states."""
        size = -(-header.size // BLOCK) * BLOCK
        data = bytes(self.view[start : start + min(size, _LONGEST_RECORD)])
        records: dict[bytes, bytes] = {}
        if size > len(data):
            what = "is cut short or too long"
            self.gaps.append(f"the extended header at byte {start - BLOCK:,} {what}")
        elif header.kind not in (b"L", b"K"):
            records, end = pax_records(data)
            if data[end:].strip(b"\0"):
                what = "holds something else than records"
                self.gaps.append(f"the extended header at byte {start - BLOCK:,} {what}")
                self.members.append((f"@{start + end}", start + end, size - end))
        if header.kind == b"g":
            self._global |= records
        else:
            self._next = extended_by(header.kind, data, self._global | records, self._next)
        return start + size

    def _through_link(self, name: str, position: int) -> None:
        """Whether a member would be written where a link before it leads."""
        if not self._leaving:
            return
        parts = posixpath.normpath(name).split("/")
        if any("/".join(parts[:count]) in self._leaving for count in range(1, len(parts) + 1)):
            what = "is written through a link that leaves the folder"
            self._note("through-link", what, position, name)

    def _sparse_map(self, start: int) -> int:
        """Where the content begins, behind the blocks of an old GNU sparse map."""
        while start + BLOCK <= len(self.view):
            block = bytes(self.view[start : start + BLOCK])
            start += BLOCK
            if not sparse_goes_on(block):
                break
        return start

    def _damaged(self, position: int) -> int:
        """Keep what is no header, and go on at the next one, as tar does."""
        self.gaps.append(f"damaged tar header at byte {position:,}")
        self._next = Extended()
        search = position + BLOCK + _MAGIC_OFFSET
        end = len(self.view)
        for match in _MAGIC.finditer(self.view, search):
            start = match.start() - _MAGIC_OFFSET
            if (start - position) % BLOCK == 0:
                end = start
                break
        self.members.append((f"@{position}", position, end - position))
        return end

    def _note(self, kind: str, what: str, offset: int, name: str) -> None:
        if sum(one.kind == kind for one in self.anomalies) < _ANOMALIES_KEPT:
            self.anomalies.append(Anomaly(kind, what, offset, name))
