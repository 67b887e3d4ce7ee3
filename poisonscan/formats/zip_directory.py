"""Where the members of a zip archive are: every reading that some loader takes.

An archive is read from its end, and what stands there can lie. Python looks for the directory just
before the last end record, miniz (torch) where that record says, other readers take the last record
whose comment fits. So every end record and every place that it may mean is followed.
Layout: APPNOTE.TXT 6.3.10 by PKWARE, sections 4.3 and 4.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.limits import Budget, LimitReached

_END: Final = b"PK\x05\x06"
_END64: Final = b"PK\x06\x06"
_LOCATOR64: Final = b"PK\x06\x07"
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_ENTRY: Final = b"PK\x01\x02"
_TAIL: Final = 65_557
"""An end record with the longest comment."""
SUFFIXES: Final = (
    ".zip", ".npz", ".pt", ".pth", ".ckpt", ".keras", ".skops", ".mar", ".pt2", ".ptl",
)  # fmt: skip
"""Of files whose loaders open any zip archive, whatever stands around it."""
_UNIX: Final = 3
_DESCRIPTOR: Final = 8
_WIDE: Final = 0xFFFFFFFF
_UNICODE_PATH: Final = 0x7075


@dataclass(slots=True)
class Entry:
    """A member as one of the two views describes it.

    Attributes:
        name: decoded leniently.
        header: offset of its local header.
        method: compression, as numbered in section 4.4.5.
        flags: general purpose bits.
        crc: checksum of the content.
        packed: bytes of it in the file.
        unpacked: bytes of the content.
        data: offset of the content; 0 in the directory's view.
        link: whether it is a symbolic link.
        other_name: what an extra field calls it instead; empty if nothing does.
        uncorrected: ``header`` as stated, if it was corrected for bytes in front of the archive.
    """

    name: str
    header: int
    method: int
    flags: int
    crc: int
    packed: int
    unpacked: int
    data: int = 0
    link: bool = False
    other_name: str = ""
    uncorrected: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One place where a directory begins.

    Attributes:
        start: offset of its first entry.
        shift: to be added to the offsets in it.
        count: entries that are stated.
        wide: whether the count has more than 16 bits.
    """

    start: int
    shift: int
    count: int
    wide: bool


def find_ends(view: memoryview) -> list[int]:
    """Offsets of all end records, the last first."""
    start = max(0, len(view) - _TAIL)
    tail = bytes(view[start:])
    found, end = [], len(tail) - 18  # the record is 22 bytes long
    while (end := tail.rfind(_END, 0, end)) >= 0:
        found.append(start + end)
        end += 3
    return found


def ends_as_zip(view: memoryview, suffix: str = "") -> bool:
    """Whether a zip archive that some loader would open stands at the end of the bytes.

    Padding may follow it; anything else only where the file's suffix says that it is an archive,
    for what is packed may hold one that is not. A tar archive may well end with one in its last
    member, which is scanned by itself.
    """
    if bytes(view[257:262]) == b"ustar":
        return False
    named = suffix in SUFFIXES
    ends = (end for end in find_ends(view) if named or is_behind_all(view, end))
    return any(readings(view, end) for end in ends)


def is_behind_all(view: memoryview, end: int) -> bool:
    """Whether nothing but padding follows an end record, so that the archive is no mere content."""
    behind = behind_end(view, end)
    return behind <= 0 or not bytes(view[len(view) - behind :]).strip(b"\0\r\n ")


def behind_end(view: memoryview, end: int) -> int:
    """How many bytes follow an end record and its comment; negative if the comment is cut."""
    return len(view) - end - 22 - _comment(view, end)


def several_disks(view: memoryview, end: int) -> bool:
    """Whether the archive says that parts of it are in other files."""
    disks = struct.unpack_from("<HH", view, end + 4)
    return any(disk not in (0, 0xFFFF) for disk in disks)


def is_empty(view: memoryview, end: int) -> bool:
    """Whether an end record states no entries at all."""
    return bytes(view[end + 8 : end + 16]) == bytes(8)


def readings(view: memoryview, end: int) -> list[Reading]:
    """The directories that an end record may mean: at most one for each place."""
    count, size, offset = struct.unpack_from("<HII", view, end + 10)
    stated = [(count, size, offset, end, False)]
    if bytes(view[max(end - 20, 0) : max(end - 16, 0)]) == _LOCATOR64:
        (named,) = struct.unpack_from("<Q", view, end - 12)
        for record in (named, end - 76):  # Python ignores where the locator says it is
            if 0 <= record <= end - 56 and bytes(view[record : record + 4]) == _END64:
                wide = struct.unpack_from("<QQQ", view, record + 32)
                stated.insert(0, (*wide, record, True))
    found: dict[int, Reading] = {}
    for count, size, offset, limit, wide_count in stated:
        for start in (limit - size, offset):
            if 0 <= start <= len(view) - _CENTRAL.size and bytes(view[start : start + 4]) == _ENTRY:
                found.setdefault(start, Reading(start, start - offset, count, wide_count))
    return list(found.values())


class Directory:
    """Reads directories, each entry once however many readings lead to it."""

    def __init__(self, view: memoryview, budget: Budget) -> None:
        self.view = view
        self.budget = budget
        self.gaps: list[str] = []
        self.complete = True
        self._seen: set[int] = set()

    def entries(self, reading: Reading) -> Iterator[Entry]:
        """The entries from where a reading begins to the last in a row, whatever is stated."""
        position, number = reading.start, 0
        while bytes(self.view[position : position + 4]) == _ENTRY:
            if (
                position in self._seen
            ):  # another reading has been here, and what follows is the same
                return
            self._seen.add(position)
            if position + _CENTRAL.size > len(self.view):
                self.gaps.append("the directory of the zip archive is cut short")
                return
            number += 1
            fields = _CENTRAL.unpack_from(self.view, position)
            try:
                self.budget.take_member()
            except LimitReached as error:
                self.complete = False
                self.gaps.append(f"limit reached: {error}")
                return
            yield self._entry(position, fields, reading.shift)
            position += _CENTRAL.size + fields[10] + fields[11] + fields[12]
        stated = reading.count if reading.wide else reading.count & 0xFFFF
        if stated > (number if reading.wide else number & 0xFFFF):
            self.gaps.append(
                f"the zip archive states {stated:,} members, and its directory has {number:,}"
            )

    def _entry(self, position: int, fields: tuple[int, ...], shift: int) -> Entry:
        begin = position + _CENTRAL.size
        names, extras = fields[10], fields[11]
        name = bytes(self.view[begin : begin + names])
        extra = bytes(self.view[begin + names : begin + names + extras])
        packed, unpacked, header = _zip64(extra, fields[8], fields[9], fields[16])
        return Entry(
            text_of(name), header + shift, fields[4], fields[3], fields[7], packed, unpacked,
            link=fields[1] >> 8 == _UNIX and fields[15] >> 28 == 0xA,
            other_name=_other_name(extra, name),
            uncorrected=header if shift else None,
        )  # fmt: skip


def local_entry(view: memoryview, header: int) -> Entry | None:
    """What a local header says; None if there is none."""
    if not 0 <= header <= len(view) - _LOCAL.size:
        return None
    fields = _LOCAL.unpack_from(view, header)
    if fields[0] != b"PK\x03\x04":
        return None
    _, _, flags, method, _, _, crc, packed, unpacked, names, extras = fields
    data = header + _LOCAL.size + names + extras
    if data > len(view):
        return None
    extra = bytes(view[data - extras : data])
    packed, unpacked, _ = _zip64(extra, packed, unpacked, 0)
    name = text_of(bytes(view[header + 30 : header + 30 + names]))
    return Entry(name, header, method, flags, crc, packed, unpacked, data)


def has_descriptor(entry: Entry) -> bool:
    """Whether sizes and checksum follow the content instead of standing in the local header."""
    return bool(entry.flags & _DESCRIPTOR)


def text_of(name: bytes) -> str:
    """A name as text, losing nothing."""
    return name.decode("utf-8", "backslashreplace")


def _comment(view: memoryview, end: int) -> int:
    return int.from_bytes(view[end + 20 : end + 22], "little")


def _zip64(extra: bytes, packed: int, unpacked: int, header: int) -> tuple[int, int, int]:
    """Sizes and offset, taken from the zip64 field where they are too large (section 4.5.3)."""
    if _WIDE not in (packed, unpacked, header):
        return packed, unpacked, header
    body = _extra(extra, 1)
    values = [int.from_bytes(body[at : at + 8], "little") for at in range(0, len(body) - 7, 8)]
    wide = [unpacked, packed, header]
    for index, value in enumerate(wide):
        if value == _WIDE and values:
            wide[index] = values.pop(0)
    return wide[1], wide[0], wide[2]


def _other_name(extra: bytes, name: bytes) -> str:
    """The name in a Unicode path field (section 4.6.9), if a plain name has a different one there.

    Honest writers put it where the name has letters that its own encoding lacks.
    """
    if not extra:
        return ""
    other = _extra(extra, _UNICODE_PATH)[5:]
    return text_of(other) if other.isascii() and name.isascii() and other != name else ""


def _extra(extra: bytes, wanted: int) -> bytes:
    position = 0
    while position + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, position)
        if tag == wanted:
            return extra[position + 4 : position + 4 + size]
        position += 4 + size
    return b""
