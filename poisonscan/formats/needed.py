"""What of a file has to be there before it makes sense to look at any of it.

Without the directory of a zip archive, or the headers that it leads to, a reader takes the archive
for a damaged one and searches all of it. Other formats are read from their beginning.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from poisonscan.formats.zip_directory import Directory, find_ends, readings
from poisonscan.limits import Budget
from poisonscan.sources.base import Spans
from poisonscan.sources.partial import holes, lacking

_END64: Final = b"PK\x06\x06"
_HEADER: Final = 4096
"""Bytes of a member that are looked at: its header, and what it begins with."""
_ENDS: Final = 8
"""End records that are followed; what others lead to is asked for when it is looked at."""


def needed(view: memoryview, present: Spans, budget: Budget) -> Spans:
    """Parts of a file that are not there and certainly are needed; empty where none is known.

    Args:
        view: the file; what is not there reads as zeros.
        present: what is there.
        budget: of members that are looked up.
    """
    missing = holes(len(view), present)
    ends = find_ends(view)[:_ENDS]
    directories = [span for end in ends for span in _directories(view, end)]
    if found := lacking(directories, missing):
        return found
    directory = Directory(view, budget)
    headers = (
        (entry.header, min(entry.header + _HEADER, len(view)))
        for end in ends
        for reading in readings(view, end)
        for entry in directory.entries(reading)
        if 0 <= entry.header < len(view)
    )
    return lacking(headers, missing)


def _directories(view: memoryview, end: int) -> Iterator[tuple[int, int]]:
    """Where the directory may be that an end record belongs to."""
    stated = [(end, *struct.unpack_from("<II", view, end + 12))]
    record = end - 76  # with the locator between them
    if record >= 0 and bytes(view[record : record + 4]) == _END64:
        stated.append((record, *struct.unpack_from("<QQ", view, record + 40)))
    for limit, size, offset in stated:
        for start in (limit - size, offset):
            if size and 0 <= start < limit:
                yield start, min(start + size, limit)
