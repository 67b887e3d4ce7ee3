"""Tensors that were added, removed or changed, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poisonscan.differences.found import Difference
from poisonscan.escape import escape, quote
from poisonscan.finding import Json
from poisonscan.limits import Limits
from poisonscan.locking.checkpoints import tensors_in
from poisonscan.locking.tensors import BITS, Tensor
from poisonscan.sources.disk import read

_PIECE: Final = 8 << 20
_NUMPY: Final = {
    "BOOL": "u1", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
"""Types whose values can be subtracted; BF16 is the upper half of F32."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What came of the comparison of two groups of checkpoints.

    Attributes:
        differences: one for each tensor.
        same: how many are the same.
        notes: what could not be told, by file.
        checkpoints: files that are checkpoints.
    """

    differences: tuple[Difference, ...]
    same: int
    notes: tuple[tuple[str, str], ...]
    checkpoints: int


def compare(old: Sequence[tuple[str, str]], new: Sequence[tuple[str, str]]) -> Compared:
    """Compare all tensors of some files with those of others, whatever file they are in.

    Args:
        old: files, as reports call them and on disk.
        new: the same of the new version.
    """
    notes: list[tuple[str, str]] = []
    before, first = _named(old, notes)
    now, second = _named(new, notes)
    found: list[Difference] = []
    same = 0
    for name in sorted({*before, *now}):
        was, is_now = before.get(name), now.get(name)
        if was is None and is_now is not None:
            found.append(_one(is_now, f"new tensor {quote(name)}, {_kind(is_now[1])}", "added"))
        elif is_now is None and was is not None:
            found.append(_one(was, f"tensor that is gone: {quote(name)}, {_kind(was[1])}", "gone"))
        elif was is not None and is_now is not None:
            changed = _changed(was, is_now)
            found += [changed] if changed else []
            same += changed is None
    return Compared(tuple(found), same, tuple(notes), first + second)


Placed = tuple[str, Tensor]


def _named(
    files: Iterable[tuple[str, str]], notes: list[tuple[str, str]]
) -> tuple[dict[str, Placed], int]:
    """Tensors by name; those of one name in several files are told apart by their file."""
    found: dict[str, Placed] = {}
    count = 0
    for path, file in files:
        try:
            answer = tensors_in(read(file), Limits())
        except (ValueError, OSError, RecursionError) as error:
            notes.append((path, f"its tensors are not told apart: {escape(str(error)[:200])}"))
            continue
        if answer is None:
            continue
        count += 1
        notes += [(path, note) for note in answer[1]]
        for tensor in answer[0]:
            key = tensor.name if tensor.name not in found else f"{path}: {tensor.name}"
            found[key] = (path, tensor)
    return found, count


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"


def _one(placed: Placed, what: str, became: str, **more: Json) -> Difference:
    path, tensor = placed
    about: dict[str, Json] = {
        "tensor": escape(tensor.name), "became": became, "dtype": tensor.dtype,
        "shape": list(tensor.shape), **more,
    }  # fmt: skip
    return Difference("tensor", path, what, about)


def _changed(was: Placed, now: Placed) -> Difference | None:
    old, new = was[1], now[1]
    name = quote(new.name)
    if (old.dtype, old.shape) != (new.dtype, new.shape):
        what = f"tensor {name} was {_kind(old)} and is {_kind(new)} now"
        return _one(now, what, "changed", old=_kind(old))
    changed, largest = _distance(old, new)
    if not changed:
        return None
    share = changed / new.size
    what = f"tensor {name}, {_kind(new)}: {changed:,} of {new.size:,} values changed ({share:.2%})"
    if largest is not None:
        what += f", by up to {largest:.3g}"
    return _one(now, what, "changed", values=changed, share=share, largest=largest)


def _distance(old: Tensor, new: Tensor) -> tuple[int, float | None]:
    """How many values differ in any bit, and by how much at most; None where that is not known."""
    width = BITS[old.dtype] // 8
    changed, largest = 0, 0.0
    for one, other in zip(_even(old.pieces()), _even(new.pieces()), strict=True):
        if one == other:
            continue
        if not width or old.dtype in ("C64", "C128"):
            pairs = np.frombuffer(one, "u1") != np.frombuffer(other, "u1")
            changed += int(pairs.reshape(-1, max(width, 1)).any(axis=1).sum())
            continue
        raw = np.dtype(f"<u{width}")
        places = np.flatnonzero(np.frombuffer(one, raw) != np.frombuffer(other, raw))
        changed += len(places)
        a, b = _values(one, old.dtype), _values(other, new.dtype)
        if a is None or b is None:
            largest = np.nan
            continue
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(a[places].astype(np.float64) - b[places].astype(np.float64))
        largest = max(largest, float(np.nanmax(apart, initial=0.0)))
    known = np.isfinite(largest) and (old.dtype in _NUMPY or old.dtype == "BF16")
    return changed, largest if known else None


def _values(raw: bytes, dtype: str) -> NDArray[Any] | None:
    if dtype == "BF16":
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(raw, _NUMPY[dtype]) if dtype in _NUMPY else None


def _even(pieces: Iterable[memoryview]) -> Iterator[bytes]:
    """The same bytes, ``_PIECE`` at a time."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        while len(waiting) >= _PIECE:
            yield bytes(waiting[:_PIECE])
            del waiting[:_PIECE]
    if waiting:
        yield bytes(waiting)


def by_folder(files: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Files by the folder that they are in."""
    folders: dict[str, list[tuple[str, str]]] = {}
    for path, file in sorted(files.items()):
        folders.setdefault(path.rpartition("/")[0], []).append((path, file))
    return folders
