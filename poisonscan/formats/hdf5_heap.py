"""Global heaps of HDF5, where values of variable length are: checked before the library reads them.

The library loops for ever, or crashes, over a heap whose objects do not add up. Layout: HDF5 File
Format Specification 3.0, section III.E.
"""

from __future__ import annotations

import re
import struct
from typing import Final

_COLLECTION: Final = re.compile(rb"GCOL\x01\0\0\0")
"""Signature, version and reserved bytes; the library refuses any other version by itself."""
_HEADER: Final = 16
_OBJECT: Final = struct.Struct("<HH4xQ")
"""Index, count of references and size; objects are padded to a multiple of 8 bytes."""
_SMALLEST: Final = 4096
_LENGTH_SIZES: Final = {0: 14, 1: 14, 2: 10, 3: 10}
"""Where the superblock has the size of lengths, by its version."""


def broken_heap(view: memoryview, superblock: int) -> str:
    """What is wrong with the first damaged heap; empty if all of them are sound.

    Args:
        view: the whole file.
        superblock: offset of the superblock.
    """
    position = _LENGTH_SIZES.get(view[superblock + 8], 14)
    if view[superblock + position] != 8:
        return f"lengths of {view[superblock + position]} bytes, which hardly any file has"
    for match in _COLLECTION.finditer(view):
        if not _sound(view, match.start()):
            return f"the global heap at byte {match.start():,} does not add up"
    return ""


def _sound(view: memoryview, start: int) -> bool:
    if start + _HEADER > len(view):
        return False
    size = int.from_bytes(view[start + 8 : start + 16], "little")
    end = start + size
    if size < _SMALLEST or end > len(view):
        return False
    position = start + _HEADER
    seen: set[int] = set()
    while position + _OBJECT.size <= end:
        index, _, length = _OBJECT.unpack_from(view, position)
        if index == 0:  # the free space behind the last object, counted with its header
            return int(length) == end - position
        if index in seen or length > end - position - _OBJECT.size:
            return False
        seen.add(index)
        position += _OBJECT.size + (length + 7) // 8 * 8
    return bool(position <= end)
