"""Pictures of a finding's rows on the HTML page."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Row
from poisonscan.reporters.terminal import safe

_SIDE: Final = 64
_LARGEST: Final = 16_000
"""Characters of one picture."""
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">8s4x4sII")  # PNG (third edition), 5.2 and 11.2.1


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture.

    Attributes:
        source: its address, which holds all of it.
        width: pixels on the page; small pictures are enlarged.
        height: the same.
        row: which it is.
        label: what it is labelled as; may be empty.
    """

    source: str
    width: int
    height: int
    row: str
    label: str


def gallery(rows: Iterable[Row]) -> Iterator[Picture]:
    """Pictures of rows that have one.

    What does not look like one of our own thumbnails (a report may come from anywhere) is left out.
    """
    for row in rows:
        size = _size(row.thumbnail) if row.thumbnail else None
        if row.thumbnail is None or size is None:
            continue
        scale = max(1, _SIDE // max(size))
        yield Picture(
            source=f"data:image/png;base64,{row.thumbnail}",
            width=size[0] * scale,
            height=size[1] * scale,
            row=safe(row.path.rpartition("/")[2], 40) if row.whole else f"row {row.index:,}",
            label=row.label or "",
        )


def _size(thumbnail: str) -> tuple[int, int] | None:
    """Width and height of a PNG in base64; None if it is none or is not small."""
    if len(thumbnail) > _LARGEST:
        return None
    try:
        data = base64.b64decode(thumbnail, validate=True)
        signature, chunk, width, height = _HEADER.unpack_from(data)
    except (binascii.Error, ValueError, struct.error):
        return None
    if signature != _SIGNATURE or chunk != b"IHDR":
        return None
    return (width, height) if 0 < width <= _SIDE and 0 < height <= _SIDE else None
