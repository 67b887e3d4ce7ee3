"""The distinct values of a column and which row holds which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

PLAIN = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
"""What string and binary views become."""
MAX_EXPANDED = 256 << 20
"""Bytes of the text of a batch, where its rows share what they hold."""


def encoded(column: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Dictionary-encode a column, keeping only values that occur.

    A batch of a parquet file carries the dictionary of its whole row group, so what does not occur
    in the batch is dropped.

    Args:
        column: any type that Arrow can dictionary-encode, or already encoded.

    Returns:
        For each row its index into the values, ``int64`` of shape (rows,), -1 for null; and the
        values, without nulls.
    """
    if pa.types.is_null(column.type):  # its dictionary would hold a null
        return np.full(len(column), -1, np.int64), column.slice(0, 0)
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
        codes = np.asarray(pc.fill_null(column.indices, -1)).astype(np.int64)
        return codes, column.dictionary  # all of it occurs
    codes = np.asarray(pc.fill_null(pc.cast(column.indices, pa.int64()), -1))
    used, indices = np.unique(codes, return_inverse=True)
    missing = int(len(used) > 0 and used[0] < 0)
    values = column.dictionary.take(pa.array(used[missing:]))
    indices = indices.astype(np.int64) - missing
    if values.null_count:  # a dictionary may itself hold nulls
        kept = np.flatnonzero(np.asarray(values.is_valid()))
        renumber = np.full(len(values) + 1, -1, np.int64)  # the last entry serves index -1
        renumber[kept] = np.arange(len(kept))
        indices, values = renumber[indices], values.take(pa.array(kept))
    return indices, values


def stored_bytes(values: pa.Array) -> tuple[memoryview, NDArray[np.int64]]:
    """The memory of strings or bytes: a buffer, and where in it each begins and the last ends.

    Args:
        values: of a type whose values lie one after the other; what is at nulls means nothing.
    """
    wide = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
    kind = np.dtype(np.int64 if wide else np.int32)
    raw = np.frombuffer(values.buffers()[1] or bytes(kind.itemsize), kind)
    offsets = raw[values.offset : values.offset + len(values) + 1].astype(np.int64)
    return memoryview(values.buffers()[2] or b"\0"), offsets


def unviewed(column: pa.Array) -> pa.Array:
    """String and binary views as plain strings and bytes, other columns as they are.

    Raises:
        ValueError: the values, which may all view one long text, are longer than ``MAX_EXPANDED``.
    """
    plain = PLAIN.get(column.type)
    if plain is None:
        return column
    # A view is 16 bytes, of which the first four are the length of the value.
    views = np.frombuffer(column.buffers()[1] or b"", np.int32)[::4]
    lengths = views[column.offset : column.offset + len(column)].astype(np.int64)
    if lengths[np.asarray(column.is_valid(), bool)].sum() > MAX_EXPANDED:
        message = f"the text of {len(column)} rows is longer than {MAX_EXPANDED:,} bytes"
        raise ValueError(message)
    return pc.cast(column, plain)
