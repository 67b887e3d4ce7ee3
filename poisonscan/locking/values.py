"""Rows as bytes that are the same whatever file format they were read from.

A value is encoded by what it says, not by how a format stores it:

* nothing: null, NaN and empty text, which delimited text cannot tell apart, and so a column that
  a row lacks;
* numbers as the nearest double (``1`` is ``1.0``), also when they are written as text in the way
  of JSON, since delimited text has no other; beyond 2**53 all their digits;
* truth values, also the texts ``true``, ``True``, ``false`` and ``False``;
* other text as UTF-8, dates, times and decimals as Arrow writes them;
* bytes, lists, and structs without the fields that say nothing.

A row is a struct of its columns. Every part stands behind its length, so that no two rows that say
different things have the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Encoded = Bytes | list[bytes]
"""A value each: a matrix where all have the same length; an empty one says nothing."""

_NUMBER: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?$"
_ZEROS: Final = r"(?:\.0+|(\.[0-9]*[1-9])0+)(Z?)$"
"""Zeros at the end of a fraction of a second."""
_LONGEST: Final = 40
"""Characters of a text that is taken for a number."""
_TRUTH: Final = {b"true": b"B\1", b"True": b"B\1", b"false": b"B\0", b"False": b"B\0"}
_NANOSECONDS: Final = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_EXACT: Final = 1 << 53
"""Whole numbers from here on share a double with their neighbours."""


def rows(columns: Mapping[str, pa.Array]) -> list[bytes]:
    """Each row as bytes; the order of the columns does not matter.

    Args:
        columns: Arrow arrays of equal length, by name.
    """
    fields = sorted((name.encode("utf-8", "surrogatepass"), name) for name in columns)
    return _joined([(raw, encode(columns[name])) for raw, name in fields])


def encode(column: pa.Array) -> Encoded:
    """Each value as bytes."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return encode(column.storage)
    if pa.types.is_dictionary(kind):
        return encode(column.dictionary_decode())
    if pa.types.is_null(kind):
        return [b""] * len(column)
    if pa.types.is_boolean(kind):
        return [b"" if value is None else b"B%c" % value for value in column.to_pylist()]
    if pa.types.is_integer(kind):
        return _integers(column)
    if pa.types.is_floating(kind):
        return _floats(pc.cast(column, pa.float64()))
    if pa.types.is_struct(kind):
        return _structs(column)
    if pa.types.is_map(kind):
        return _lists(pa.ListArray.from_arrays(column.offsets, _pairs(column)))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _lists(column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [b"" if value is None else b"Y" + value for value in column.to_pylist()]
    if pa.types.is_fixed_size_binary(kind) or pa.types.is_binary_view(kind):
        return encode(pc.cast(column, pa.binary()))
    return _texts(column)


def _pairs(column: pa.MapArray) -> pa.Array:
    return pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"])


def _joined(fields: Sequence[tuple[bytes, Encoded]]) -> list[bytes]:
    """Structs of fields in order; matrices side by side are taken together."""
    parts: list[list[bytes]] = []
    blocks: list[Bytes] = []
    for name, values in fields:
        head = _length(name) + name
        if isinstance(values, np.ndarray):
            front = head + values.shape[1].to_bytes(8, "little")
            tiled = np.broadcast_to(np.frombuffer(front, np.uint8), (len(values), len(front)))
            blocks += [tiled, values]
            continue
        parts += [_cut(np.hstack(blocks))] if blocks else []
        blocks = []
        parts.append([head + _length(value) + value if value else b"" for value in values])
    parts += [_cut(np.hstack(blocks))] if blocks else []
    return [b"".join(pieces) for pieces in zip(*parts, strict=True)]


def _length(value: bytes) -> bytes:
    return len(value).to_bytes(8, "little")


def _cut(matrix: Bytes) -> list[bytes]:
    size, width = matrix.shape
    raw = matrix.tobytes()
    return [raw[i * width : (i + 1) * width] for i in range(size)]


def _doubles(values: NDArray[np.float64]) -> Bytes:
    out = np.empty((len(values), 9), np.uint8)
    out[:, 0] = ord("N")
    # -0.0 + 0.0 is 0.0
    out[:, 1:] = (values + 0.0).astype("<f8").view(np.uint8).reshape(len(values), 8)
    return out


def _floats(column: pa.Array) -> Encoded:
    values = np.asarray(pc.fill_null(column, np.nan), np.float64)
    missing = np.isnan(values)
    large = np.isfinite(values) & (np.abs(values) > _EXACT)
    return _patched(values, missing, large, values)


def _integers(column: pa.Array) -> Encoded:
    exact = np.asarray(pc.fill_null(column, 0))
    missing = np.asarray(column.is_null(), bool)
    large = (exact > _EXACT) | (exact < -_EXACT)
    return _patched(exact.astype(np.float64), missing, large, exact)


def _patched(
    values: NDArray[np.float64],
    missing: NDArray[np.bool_],
    large: NDArray[np.bool_],
    exact: NDArray[np.number[Any]],
) -> Encoded:
    """Numbers, of which some say nothing and some are written as digits."""
    encoded = _doubles(values)
    if not (missing.any() or large.any()):
        return encoded
    cells = _cut(encoded)
    for place in np.flatnonzero(large).tolist():
        cells[place] = b"T%d" % int(exact[place])
    for place in np.flatnonzero(missing).tolist():
        cells[place] = b""
    return cells


def _durations(column: pa.Array) -> list[bytes]:
    unit = _NANOSECONDS[column.type.unit]
    counts = pc.cast(column, pa.int64()).to_pylist()
    return [b"" if count is None else b"T%d ns" % (count * unit) for count in counts]


def _texts(column: pa.Array) -> list[bytes]:
    if pa.types.is_duration(column.type):  # Arrow writes them without their unit
        return _durations(column)
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        temporal = pa.types.is_temporal(column.type)
        column = pc.cast(column, pa.string())
        if temporal:  # the unit of a time must not show
            column = pc.replace_substring_regex(column, _ZEROS, r"\1\2")
    wide = pa.types.is_large_string(column.type)
    raw = column.cast(pa.large_binary() if wide else pa.binary())
    cells = [b"T" + value if value else b"" for value in raw.to_pylist()]
    short = pc.less_equal(pc.binary_length(raw), _LONGEST)
    truth = pc.is_in(raw, pa.array(list(_TRUTH), raw.type))
    special = pc.and_(short, pc.or_(pc.match_substring_regex(raw, _NUMBER), truth))
    for place in np.flatnonzero(np.asarray(pc.fill_null(special, False), bool)).tolist():  # noqa: FBT003
        text = cells[place][1:]
        cells[place] = _TRUTH[text] if text in _TRUTH else _number(text)
    return cells


def _number(text: bytes) -> bytes:
    """A text that is a number, as that number."""
    if text.lstrip(b"-").isdigit():
        exact = int(text)
        return (
            b"T%d" % exact if abs(exact) > _EXACT else _doubles(np.array([exact], float)).tobytes()
        )
    value = float(text)
    if not math.isfinite(value):
        return b"T" + text
    if abs(value) > _EXACT:
        return b"T%d" % int(value)
    return _doubles(np.array([value])).tobytes()


def _structs(column: pa.StructArray) -> list[bytes]:
    kind = column.type
    names = [
        (kind.field(i).name.encode("utf-8", "surrogatepass"), i) for i in range(kind.num_fields)
    ]
    inside = column.flatten()
    whole = _joined([(name, encode(inside[i])) for name, i in sorted(names)])
    whole = whole or [b""] * len(column)  # without any fields
    missing = np.asarray(column.is_null(), bool).tolist()
    return [b"" if gone else b"S" + cell for gone, cell in zip(missing, whole, strict=True)]


def _lists(column: pa.Array) -> list[bytes]:
    missing = np.asarray(column.is_null(), bool)
    items = encode(column.flatten())  # leaves out what missing lists may stand over
    if pa.types.is_fixed_size_list(column.type):
        counts = np.where(missing, 0, column.type.list_size)
    else:
        counts = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    ends = np.concatenate([[0], np.cumsum(counts)]).tolist()
    if isinstance(items, np.ndarray):
        front = np.frombuffer(items.shape[1].to_bytes(8, "little"), np.uint8)
        raw = np.hstack([np.broadcast_to(front, (len(items), 8)), items]).tobytes()
        width = 8 + items.shape[1]
        made = [b"L" + raw[a * width : b * width] for a, b in pairwise(ends)]
    else:
        whole = [_length(item) + item for item in items]
        made = [b"L" + b"".join(whole[a:b]) for a, b in pairwise(ends)]
    return [b"" if gone else cell for gone, cell in zip(missing.tolist(), made, strict=True)]
