r"""Strings that are no UTF-8: their rows are named, and such bytes are read as ``\xe9``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BYTES = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}


def check(batch: pa.RecordBatch) -> None:
    """See to it that nothing in a batch points outside of it; strings may hold any bytes.

    Raises:
        ValueError: something does.
    """
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            _as_bytes(column).validate(full=True)


def mended(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
    """A batch whose strings are valid, and the rows that had others.

    A value of another nested type becomes null where a part of it is no text.

    Args:
        batch: one that passes ``check``.

    Returns:
        The batch, and row numbers, ``int64``, in order.
    """
    columns, rows = [], np.zeros(0, np.int64)
    for column in batch.columns:
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            fixed, bad = _mended(column)
            columns.append(fixed)
            rows = np.union1d(rows, bad)
        else:
            columns.append(column)
    if not len(rows):
        return batch, rows
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names), rows


def _mended(column: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    kind = column.type
    if pa.types.is_dictionary(kind) and kind.value_type in _BYTES:
        values, bad = _mended(column.dictionary)
        codes = np.asarray(pc.fill_null(pc.cast(column.indices, pa.int64()), -1))
        fixed = pa.DictionaryArray.from_arrays(column.indices, values)
        return fixed, np.flatnonzero(np.isin(codes, bad))
    if kind in _BYTES:
        cells = column.cast(_BYTES[kind])
        texts = [
            None if cell is None else cell.decode("utf-8", "backslashreplace")
            for cell in cells.to_pylist()
        ]
        fixed = pa.array(texts, kind)
        changed = pc.not_equal(fixed.cast(_BYTES[kind]), cells).fill_null(pa.scalar(value=False))
        return fixed, np.flatnonzero(np.asarray(changed, bool))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_struct(kind):
        return _mended_inside(column)
    places = np.arange(len(column))
    broken = np.array([not _is_valid(column.take(pa.array([i]))) for i in range(len(column))], bool)
    return column.take(pa.array(places, mask=broken)), np.flatnonzero(broken)


def _mended_inside(column: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Lists or structs with valid strings."""
    column = column.take(pa.array(np.arange(len(column))))  # with nothing before it in memory
    kind = column.type
    is_struct = pa.types.is_struct(kind)
    inside = [column.field(i) for i in range(kind.num_fields)] if is_struct else [column.values]
    fixed, rows = [], np.zeros(0, np.int64)
    for child in inside:
        made, bad = (child, rows[:0]) if _is_valid(child) else _mended(child)
        fixed.append(made)
        if not is_struct:
            bad = np.searchsorted(np.asarray(column.offsets), bad, side="right") - 1
        rows = np.union1d(rows, bad)
    buffers = column.buffers()[: 1 if is_struct else 2]
    whole = pa.Array.from_buffers(kind, len(column), buffers, column.null_count, children=fixed)
    return whole, rows


def _is_valid(column: pa.Array) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _as_bytes(column: pa.Array) -> pa.Array:
    """The same memory, with bytes for strings."""
    if pa.types.is_dictionary(column.type):
        column.indices.validate(full=True)
        codes = column.indices
        if len(codes) and codes.null_count < len(codes):
            least, most = (value.as_py() for value in pc.min_max(codes).values())
            if least < 0 or most >= len(column.dictionary):
                raise ValueError("it refers to values that are not there")
        return _as_bytes(column.dictionary)
    return column.view(_bytes_type(column.type))


def _bytes_type(kind: pa.DataType) -> pa.DataType:
    if kind in _BYTES:
        return _BYTES[kind]
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_bytes_type(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_bytes_type(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_bytes_type(kind.value_type)), kind.list_size)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_bytes_type(field.type)) for field in kind])
    return kind
