"""NumPy's ``.npy``: a header that is a Python literal, then raw numbers or a pickle.

Layout: ``numpy.lib.format``. An object anywhere in the type means that a pickle follows.
"""

from __future__ import annotations

import ast
import math
import struct
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Numbers
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_MAGIC: Final = b"\x93NUMPY"
_LONGEST_HEADER: Final = 1 << 16


class Npy:
    """One array."""

    name = "npy"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By magic bytes."""
        return head.startswith(_MAGIC)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Raw numbers; for an array of objects the pickle that holds them."""
        wide = len(view) > 6 and view[6] >= 2
        prefix = 12 if wide else 10
        if len(view) < prefix:
            yield Gap(blob.path, "npy header is cut short")
            return
        (length,) = struct.unpack_from("<I" if wide else "<H", view, 8)
        header = bytes(view[prefix : prefix + min(length, _LONGEST_HEADER)])
        start = prefix + length
        reason, objects, size = _read(header, length)
        base = None if blob.base is None else blob.base + start
        if objects:
            yield blob.part("objects.pkl", view[start:], base)
            return
        yield Numbers(blob.path, "npy")
        if reason:
            yield Gap(blob.path, reason)
            # What cannot be measured may hide a pickle: look at it as bytes of unknown kind.
            if start < len(view):
                yield blob.part("data", view[start:], base)
        elif start + size > len(view):
            yield Gap(blob.path, f"array of {size:,} bytes in a file of {len(view):,}")
        elif start + size < len(view):
            yield blob.part("trailing", view[start + size :], None)


def _read(header: bytes, length: int) -> tuple[str, bool, int]:
    """Why the header cannot be read, whether it tells of objects, and the array's bytes."""
    if length > _LONGEST_HEADER or len(header) < length:
        return f"npy header of {length:,} bytes", False, 0
    try:
        content = ast.literal_eval(header.decode("latin-1").strip())
        descr, shape = content["descr"], content["shape"]
    except (ValueError, SyntaxError, MemoryError, RecursionError, KeyError, TypeError):
        return "npy header is no dictionary of descr, fortran_order and shape", False, 0
    if "O" in _codes(descr):
        return "", True, 0
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        return f"npy header with the shape {str(shape)[:80]}", False, 0
    item = _item_size(descr)
    if item is None:
        return f"npy header with the type {str(descr)[:80]}", False, 0
    return "", False, item * math.prod(shape)


def _codes(descr: object, depth: int = 16) -> set[str]:
    """The kind letters of all types at any depth of a descr; an unknown shape counts as object."""
    if isinstance(descr, str):
        return {descr.lstrip("<>=|")[:1]}
    if depth and isinstance(descr, list | tuple):
        fields = descr if isinstance(descr, list) else [descr]
        return set().union(*(_codes(f[1], depth - 1) for f in fields if len(f) > 1), set())
    return {"O"}


def _item_size(descr: object) -> int | None:
    if isinstance(descr, str):
        code = descr.lstrip("<>=|")
        digits = code[1:].partition("[")[0]
        if code == "?":
            return 1
        if not digits.isdecimal() or len(digits) > 9 or code[0] not in "biufcmMSUV":
            return None
        return int(digits) * (4 if code[0] == "U" else 1)
    if not isinstance(descr, list):
        return None
    total = 0
    for field in descr:
        item = _item_size(field[1]) if isinstance(field, tuple) and len(field) > 1 else None
        if item is None:
            return None
        shape = field[2] if len(field) > 2 and isinstance(field[2], tuple) else ()
        if not all(type(n) is int and n >= 0 for n in shape):
            return None
        total += item * math.prod(shape)
    return total
