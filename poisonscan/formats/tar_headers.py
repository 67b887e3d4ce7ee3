"""Headers of tar archives, read as liberally as Python's ``tarfile`` reads them.

Layout: POSIX.1-2001 ustar and pax, and GNU's extensions (the manual's "Basic Tar Format" and
"Storing Sparse Files").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

BLOCK: Final = 512
_PAX: Final = re.compile(rb"(\d{1,20}) ([^=]+)=")
_OCTAL: Final = re.compile(rb"[0-7]*")
_FOLDER, _OLD_FILE = b"5", b"\0"
_NUMBERS: Final = ((100, 108), (108, 116), (116, 124), (136, 148))
"""Mode, owner, group and time: readers that check them skip a header where one is no number."""
_SPARSE_MORE, _SPARSE_NEXT = 482, 504
"""Where an old GNU header, and each block behind it, says that another block of it follows."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header as it stands; extended headers before it may say otherwise.

    Attributes:
        name: of the member.
        kind: one byte.
        size: bytes of content.
        target: of a link.
        clean: whether its numbers are octal, as every reader takes them.
        more: whether blocks with the map of a sparse file follow.
    """

    name: str
    kind: bytes
    size: int
    target: str
    clean: bool
    more: bool


@dataclass(frozen=True, slots=True)
class Extended:
    """What extended headers say about the next member; empty where they say nothing."""

    name: str = ""
    target: str = ""
    size: int | None = None
    sparse: bool = False


def header_of(block: bytes) -> Header | None:
    """The header in a block of 512 bytes; None if it is none."""
    size, clean = _number(block[124:136])
    if size is None or size < 0 or not checksum_holds(block):
        return None
    clean = clean and all(_number(block[begin:end])[1] for begin, end in _NUMBERS)
    kind = block[156:157]
    name = _text(block[:100])
    if kind == _OLD_FILE and name.endswith("/"):
        kind = _FOLDER
    if block[257:263] == b"ustar\0":
        prefix = _text(block[345:500])
        name = f"{prefix}/{name}" if prefix else name
    more = kind == b"S" and block[_SPARSE_MORE] != 0
    return Header(name, kind, size, _text(block[157:257]), clean, more)


def sparse_goes_on(block: bytes) -> bool:
    """Whether another block with the map of a sparse file follows this one."""
    return len(block) == BLOCK and block[_SPARSE_NEXT] != 0


def checksum_holds(block: bytes) -> bool:
    """Whether the checksum fits; some old writers added signed bytes, and readers take that."""
    stated, _ = _number(block[148:156])
    unsigned = sum(block) - sum(block[148:156]) + 8 * 0x20
    if stated == unsigned:
        return True
    high = sum(byte > 0x7F for byte in block) - sum(byte > 0x7F for byte in block[148:156])
    return stated == unsigned - 256 * high


def pax_records(data: bytes) -> tuple[dict[bytes, bytes], int]:
    """The records of a pax header, a later one of the same name counts; and where they end."""
    records: dict[bytes, bytes] = {}
    position = 0
    while (match := _PAX.match(data, position)) is not None:
        length = int(match[1])
        if length <= match.end() - position:
            break
        records[match[2]] = data[match.end() : position + length - 1]
        position += length
    return records, min(position, len(data))


def extended_by(kind: bytes, data: bytes, pax: dict[bytes, bytes], before: Extended) -> Extended:
    """What a header of kind ``L`` or ``K``, or the pax records in force, add to ``before``."""
    if kind == b"L":
        return Extended(_text(data), before.target, before.size, before.sparse)
    if kind == b"K":
        return Extended(before.name, _text(data), before.size, before.sparse)
    name = pax.get(b"GNU.sparse.name") or pax.get(b"path")
    size = pax.get(b"size", b"")
    return Extended(
        _text(name) if name else before.name,
        _text(pax[b"linkpath"]) if b"linkpath" in pax else before.target,
        int(size) if size.isdigit() and len(size) < 19 else before.size,
        before.sparse or any(key.startswith(b"GNU.sparse.") for key in pax),
    )


def _number(field: bytes) -> tuple[int | None, bool]:
    """A number, and whether it is written as the standards say."""
    if field[0] in (0x80, 0xFF):  # GNU's base 256
        value = int.from_bytes(field[1:], "big")
        return value - (256 ** (len(field) - 1) if field[0] == 0xFF else 0), True
    text = field.split(b"\0")[0].strip()
    try:
        return int(text or b"0", 8), _OCTAL.fullmatch(text) is not None
    except ValueError:
        return None, False


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "backslashreplace")
