"""The views of a zip archive that loaders take, and where they differ."""

from __future__ import annotations

import bisect
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from poisonscan.formats.base import Anomaly
from poisonscan.formats.member_names import leaves_folder
from poisonscan.formats.zip_directory import (
    Directory,
    Entry,
    behind_end,
    find_ends,
    has_descriptor,
    is_behind_all,
    is_empty,
    local_entry,
    readings,
    several_disks,
)
from poisonscan.limits import Budget, LimitReached

_LOCAL_MAGIC: Final = re.compile(rb"PK\x03\x04")
_NEXT_RECORD: Final = re.compile(rb"PK(?:\x03\x04|\x01\x02|\x07\x08|\x05\x06)")
_SPLIT_MARKERS: Final = (b"PK00", b"PK\x07\x08")
"""What a split archive that fits in one file begins with (section 8.5.4)."""
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000
_REFUSED: Final = 0x20
"""Marks patch data; Python refuses such members, others do not look."""
_ANOMALIES_KEPT: Final = 20
"""Of each kind."""
_NO_ZERO: Final = re.compile(rb"[^\0]")


def _merged(spans: Iterable[tuple[int, int, Entry]]) -> list[tuple[int, int]]:
    """The same bytes as intervals that do not touch, in order."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted((begin, end) for begin, end, _ in spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


@dataclass(frozen=True, slots=True)
class Member:
    """A member: its entry with the place of its data, and what its local header says."""

    entry: Entry
    local: Entry
    encrypted: bool

    def readings(self, size: int) -> list[Entry]:
        """The entry, and the local header's if that would give another content.

        Of a stored member Python reads its packed size and miniz its unpacked size, so the larger
        is taken. ``size`` is that of the archive.
        """
        entry, local = self.entry, self.local
        _bound(entry, size)
        if has_descriptor(local):
            local = replace(local, packed=entry.packed, unpacked=entry.unpacked)
        if local is not entry:
            _bound(local, size)
        if (local.method, local.packed) == (entry.method, entry.packed):
            return [entry]
        return [entry, replace(local, name=f"{entry.name}@local", crc=entry.crc)]


def _bound(entry: Entry, size: int) -> None:
    """Correct the size of the data to what is read of it in an archive of ``size`` bytes."""
    packed = max(entry.packed, entry.unpacked) if entry.method == 0 else entry.packed
    entry.packed = max(min(packed, size - entry.data), 0)


class Views:
    """The members of an archive in every view, and the anomalies between these.

    Attributes:
        anomalies: what some loaders read differently.
        gaps: what could not be read.
        trailing: offset of the bytes behind the archive, None if there are none.
    """

    def __init__(self, view: memoryview, budget: Budget) -> None:
        self.view = view
        self.anomalies: list[Anomaly] = []
        self.gaps: list[str] = []
        self.trailing: int | None = None
        self._directory = Directory(view, budget)
        self._budget = budget
        self._members: list[Member] = []
        self._listed = True
        self._count = 0  # of the members that directories list

    def members(self) -> list[Member]:
        """All members: of the directories, then those that only local headers show."""
        ends = find_ends(self.view)
        if not ends:
            self.gaps.append("zip archive without an end record: read from its local headers")
            self._listed = False
        if ends:
            self._first(ends[0])
        taken = _merged(self._covered())
        for end in ends[1:]:
            # Nested archives have end records too: what a member's content is, is read with it.
            place = bisect.bisect(taken, (end, len(self.view))) - 1
            if place < 0 or end >= taken[place][1]:
                self._other(end)
        self._count = len(self._members)
        covered = sorted(self._covered(), key=lambda span: span[:2])
        self._overlaps(covered)
        if self._directory.complete:
            self._hidden(covered)
        self.gaps += self._directory.gaps
        return self._members

    def _first(self, end: int) -> None:
        """The last end record: the one that most loaders take."""
        found = readings(self.view, end)
        if not found and not is_empty(self.view, end):
            self.gaps.append("the directory of the zip archive is not where its end record says")
        for number, reading in enumerate(found):
            for entry in self._directory.entries(reading):
                self._add(entry, second=number > 0)
        behind = behind_end(self.view, end)
        if behind < 0:
            self._note_archive("comment-cut", end, "has a comment that reaches over the end")
        elif _NO_ZERO.search(self.view, len(self.view) - behind):
            self.trailing = len(self.view) - behind
        if several_disks(self.view, end):
            self.gaps.append("part of a zip archive whose other parts are in other files")

    def _other(self, end: int) -> None:
        """An end record that only some loaders take."""
        for reading in readings(self.view, end):
            for entry in self._directory.entries(reading):
                self._add(entry, second=True)

    def _add(self, entry: Entry, *, second: bool) -> None:
        if second:
            self.note("second-directory", entry, "is listed by a second directory")
        local = local_entry(self.view, entry.header)
        if local is None and entry.uncorrected is not None:
            local = local_entry(self.view, entry.uncorrected)
        if local is None:
            self.gaps.append(f"member {entry.name!a} has no local header")
            return
        self._compare(entry, local)
        encrypted = bool((entry.flags | local.flags) & _ENCRYPTED)
        entry.header, entry.data = local.header, local.data
        self._members.append(Member(entry, local, encrypted))

    def _compare(self, entry: Entry, local: Entry) -> None:
        if entry.name != local.name:
            what = f"is called {ascii(local.name)[:120]} in its local header"
            self.note("name-mismatch", entry, what)
        if entry.other_name:
            what = f"is called {ascii(entry.other_name)[:120]} in an extra field"
            self.note("name-mismatch", entry, what)
        if "\0" in entry.name:
            self.note("name-cut", entry, "has a NUL in its name, where some loaders cut it")
        if entry.method != local.method:
            self.note(
                "method-mismatch", entry, "has another compression method in its local header"
            )
        if (entry.flags | local.flags) & _REFUSED:
            self.note("odd-flags", entry, "has flags that some loaders refuse and others ignore")
        if entry.method == 0 and entry.packed != entry.unpacked and not entry.flags & _ENCRYPTED:
            self.note("size-mismatch", entry, "is not compressed and yet has two sizes")
        if has_descriptor(local):
            return
        if (local.packed, local.unpacked) != (entry.packed, entry.unpacked):
            self.note("size-mismatch", entry, "has another size in its local header")
        elif local.crc != entry.crc:
            self.note("checksum-mismatch", entry, "has another checksum in its local header")

    def compare_names(self, *, torch: bool) -> None:
        """Names that lead out, stand there twice, or are the same to torch, which ignores case."""
        seen: set[str] = set()
        folded: set[str] = set()
        roots: set[str] = set()
        for member in self._members[: self._count]:
            entry = member.entry
            # Up to 1.3, pandas calls the only member as the archive, with the path it was given.
            by_pandas = self._count == 1 and entry.name.endswith(".zip") and ".." not in entry.name
            if leaves_folder(entry.name) and not by_pandas:
                what = "leaves the folder that the archive is unpacked in"
                self.note("path-leaves-folder", entry, what)
            if entry.name in seen:
                self.note("duplicate-name", entry, "stands in the directory more than once")
            elif torch and entry.name.lower() in folded and entry.name.lower().endswith(".pkl"):
                self.note("duplicate-name", entry, "has the name of another but for its case")
            seen.add(entry.name)
            folded.add(entry.name.lower())
            root, _, rest = entry.name.partition("/")
            if torch and rest == "data.pkl":
                roots.add(root)
                if len(roots) > 1:
                    self.note("second-model", entry, "is a second model in the same archive")

    def compare_checksum(self, entry: Entry, content: memoryview) -> bool:
        """Whether the content has the stated checksum; where not, that is an anomaly."""
        fits = zlib.crc32(content) == entry.crc or entry.name.endswith("@local")
        if not fits and self._listed and not entry.flags & _ENCRYPTED:
            self.note("wrong-checksum", entry, "has a wrong checksum, which some loaders ignore")
        return fits

    def note_bytes_in_front(self) -> None:
        """Whether something stands in front of the first member."""
        head = bytes(self.view[:4])
        if not self._members or head == b"PK\x03\x04" or not self._listed:
            return
        if not is_behind_all(self.view, find_ends(self.view)[0]):
            return
        first = min(member.entry.header for member in self._members)
        if first > 4 or head not in _SPLIT_MARKERS:
            what = f"has {first:,} bytes in front of it: it is two files in one"
            self._note_archive("bytes-in-front", 0, what)

    def note(self, kind: str, entry: Entry, what: str) -> None:
        """Keep an anomaly of a member."""
        if sum(one.kind == kind for one in self.anomalies) < _ANOMALIES_KEPT:
            offset = min(max(entry.header, 0), len(self.view))
            self.anomalies.append(Anomaly(kind, what, offset, entry.name))

    def _note_archive(self, kind: str, offset: int, what: str) -> None:
        self.anomalies.append(Anomaly(kind, what, offset))

    def _covered(self) -> Iterator[tuple[int, int, Entry]]:
        """What the listed members take; where sizes differ, only what is sure to be theirs."""
        for member in self._members:
            packed = member.entry.packed
            if not has_descriptor(member.local):
                packed = min(packed, member.local.packed)
            yield member.entry.header, member.entry.data + packed, member.entry

    def _overlaps(self, covered: list[tuple[int, int, Entry]]) -> None:
        reach = 0
        for begin, end, entry in covered:
            if begin < reach:
                self.note("overlap", entry, "shares bytes with another member")
            reach = max(reach, end)

    def _hidden(self, covered: list[tuple[int, int, Entry]]) -> None:
        """Local headers outside of all members that the directory lists."""
        position = 0
        size = len(self.view)
        spans = [(begin, end) for begin, end, _ in covered]
        try:
            for begin, end in [*spans, (size, size)]:
                if position < begin:
                    for match in _LOCAL_MAGIC.finditer(self.view, position, begin):
                        self._budget.take_member()
                        self._add_hidden(match.start())
                position = max(position, end)
        except LimitReached as error:
            self.gaps.append(f"limit reached: {error}")

    def _add_hidden(self, header: int) -> None:
        local = local_entry(self.view, header)
        if local is None:
            return
        if has_descriptor(local) and not local.packed:  # it ends where something else begins
            match = _NEXT_RECORD.search(self.view, local.data)
            end = match.start() if match and local.method == 0 else len(self.view)
            local = replace(local, packed=end - local.data, unpacked=0)
        if self._listed:  # else the local headers are all there is
            self.note("hidden-member", local, "is not in the directory")
        self._members.append(Member(local, local, bool(local.flags & _ENCRYPTED)))
