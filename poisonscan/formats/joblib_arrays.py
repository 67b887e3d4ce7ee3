"""How many bytes an array takes that joblib stores in the middle of a pickle.

Layout: joblib ``numpy_pickle.NumpyArrayWrapper``.
"""

from __future__ import annotations

import math
import re
from typing import Final

from poisonscan.pickles.values import Collection, Global, Result

_DTYPE_PARTS: Final = 10_000
_DTYPE: Final = Global("numpy", "dtype")
_RECORD: Final = Global("numpy", "record")
_ELSIZE: Final = 5


def array_bytes(state: object) -> tuple[int | None, bool]:
    """Size in bytes of the array behind a wrapper, and whether it is a pickle instead."""
    if not isinstance(state, Collection) or state.kind != "dict":
        return None, False
    if state.count > len(state.items):
        return None, False
    dtype, shape = state.get("dtype"), state.get("shape")
    if not isinstance(dtype, Result) or dtype.callee != _DTYPE:
        return None, False
    arguments = dtype.arguments.items if isinstance(dtype.arguments, Collection) else ()
    code = arguments[0] if arguments else None
    code = "V0" if code == _RECORD else code  # how numpy pickles the type of records
    if not isinstance(code, str) or not isinstance(shape, Collection):
        return None, False
    if _has_objects(dtype):
        return None, True
    item = _item_size(code, dtype.state)
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


def _item_size(code: str, state: object) -> int | None:
    match = re.fullmatch(r"[|<>=]?([biufcmMSVU])(\d{1,9})", code)
    if match is None:
        return 1 if code in ("?", "b1", "|b1") else None
    if match.group(1) in "SVU" and isinstance(state, Collection) and state.count > _ELSIZE:
        # Types without a size of their own take it from their state (arraydescr_setstate).
        size = state.items[_ELSIZE]
        return size if isinstance(size, int) and size >= 0 else None
    return int(match.group(2)) * (4 if match.group(1) == "U" else 1)
