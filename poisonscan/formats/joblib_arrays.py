"""How many bytes an array takes that joblib stores in the middle of a pickle.

Layout: joblib ``numpy_pickle.NumpyArrayWrapper``.
"""

from __future__ import annotations

import math
import re
from typing import Final

from poisonscan.pickles.values import Collection, Result

_DTYPE_PARTS: Final = 10_000


def array_bytes(state: object) -> tuple[int | None, bool]:
    """Size in bytes of the array behind a wrapper, and whether it is a pickle instead."""
    if not isinstance(state, Collection):
        return None, False
    dtype, shape = state.get("dtype"), state.get("shape")
    if not isinstance(dtype, Result) or not isinstance(dtype.arguments, Collection):
        return None, False
    code = dtype.arguments.items[0] if dtype.arguments.items else None
    if not isinstance(code, str) or not isinstance(shape, Collection):
        return None, False
    if _has_objects(dtype):
        return None, True
    item = _item_size(code)
    if item is None or len(shape.items) != shape.count:
        return None, False
    lengths = [length for length in shape.items if isinstance(length, int) and length >= 0]
    if len(lengths) != shape.count:
        return None, False
    return item * math.prod(lengths), False


def _has_objects(dtype: object) -> bool:
    """Whether a dtype, or a field of it at any depth, holds Python objects."""
    pending, seen = [dtype], set[int]()
    while pending:
        value = pending.pop()
        if id(value) in seen or not isinstance(value, Result | Collection):
            continue
        seen.add(id(value))
        if len(seen) > _DTYPE_PARTS:
            return True  # nobody writes such a type: let it be read as a pickle, and break
        if isinstance(value, Collection):
            pending += value.items
            continue
        arguments = value.arguments.items if isinstance(value.arguments, Collection) else []
        code = arguments[0] if arguments else None
        if isinstance(code, str) and code.lstrip("|<>=")[:1] == "O":
            return True
        pending.append(value.state)
    return False


def _item_size(code: str) -> int | None:
    match = re.fullmatch(r"[|<>=]?([biufcmMSVU])(\d{1,9})", code)
    if match is None:
        return 1 if code in ("?", "b1", "|b1") else None
    return int(match.group(2)) * (4 if match.group(1) == "U" else 1)
