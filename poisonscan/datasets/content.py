"""Digests of what rows say, apart from their label: equal exactly when the content is equal.

Every value becomes a fixed number of bytes that start with its kind; strings, bytes and lists
become their 128-bit xxh3 digest (Y. Collet, xxHash), so no two different rows share an encoding
except by a collision of that hash. A row's digest mixes its columns' encodings, all rows at once,
with the rounds of MurmurHash3 (A. Appleby): what they are made of is well spread already.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from poisonscan.datasets.encoding import encoded, stored_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Bytes = NDArray[np.uint8]
_SEEDS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
_FACTORS = np.array(
    [
        [[0x87C37B91114253D5], [0xBF58476D1CE4E5B9]],
        [[0x4CF5AD432745937F], [0x94D049BB133111EB]],
    ],
    np.uint64,
)
_ROUNDS = np.array([0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53], np.uint64)
"""Odd numbers of MurmurHash3 and SplitMix64."""


class Kind(IntEnum):
    """First byte of an encoded value."""

    NULL = 0
    BOOL = 1
    NUMBER = 2
    BIG = 3
    TEXT = 4
    BLOB = 5
    LIST = 6
    STRUCT = 7
    OTHER = 8


def digests(
    columns: Sequence[pa.Array], extra: Sequence[NDArray[np.uint64]] = (), *, rows: int
) -> NDArray[np.uint64]:
    """Digest of each row over its columns.

    Numbers count by value (``1`` equals ``1.0``, ``0.0`` equals ``-0.0``, NaN equals NaN), strings
    and bytes exactly.

    Args:
        columns: Arrow arrays of equal length.
        extra: digests of further columns, ``uint64`` of shape (rows, 2) each (pictures).
        rows: number of rows.

    Returns:
        ``uint64`` of shape (rows, 2); (0, 0) for a row that is null in every column.
    """
    parts = [encode(column) for column in columns]
    parts += [np.ascontiguousarray(digest).view(np.uint8) for digest in extra]
    lanes = np.repeat(_SEEDS[:, None], rows, axis=1)
    empty = np.ones(rows, bool)
    for part in parts:
        for word in _words(part):
            empty &= word == 0
            _mix(lanes, word)
    lanes ^= lanes >> np.uint64(33)
    lanes *= _ROUNDS[0]
    lanes ^= lanes >> np.uint64(33)
    lanes *= _ROUNDS[1]
    lanes ^= lanes >> np.uint64(33)
    lanes[:, empty] = 0
    return np.ascontiguousarray(lanes.T)


def _words(part: Bytes) -> Iterator[NDArray[np.uint64]]:
    """Encodings as numbers of eight bytes, the last one filled up with zeros."""
    width = part.shape[1]
    padded = np.zeros((len(part), -width % 8 + width), np.uint8)
    padded[:, :width] = part
    yield from np.ascontiguousarray(padded.view(np.uint64).T)


def _mix(lanes: NDArray[np.uint64], word: NDArray[np.uint64]) -> None:
    """Take a number of each row into both halves of its digest."""
    first, second = _FACTORS
    key = word * first
    key ^= key >> np.uint64(32)
    key *= second
    lanes ^= key
    lanes *= np.uint64(5)
    lanes += second
    lanes ^= lanes >> np.uint64(29)
    lanes *= first


def hash_rows(rows: Bytes) -> NDArray[np.uint64]:
    """128-bit digest of each row of a byte matrix: ``uint64`` of shape (rows, 2)."""
    size, width = rows.shape
    data = memoryview(rows.tobytes())
    return hash_all(data[i * width : (i + 1) * width] for i in range(size))


def hash_all(values: Iterable[bytes | memoryview]) -> NDArray[np.uint64]:
    """128-bit digest of each value: ``uint64`` of shape (values, 2)."""
    digest = xxhash.xxh3_128_digest
    joined = b"".join([digest(value) for value in values])
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def encode(column: pa.Array) -> Bytes:
    """Values as byte strings of equal length: ``uint8`` of shape (rows, width)."""
    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return encode(column.storage)
    if pa.types.is_dictionary(kind):
        indices, values = encoded(column)
        return _with_null(encode(values))[indices]
    if pa.types.is_map(kind):  # stored as a list of pairs
        pairs = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
        return encode(column.cast(pairs))
    if pa.types.is_struct(kind):
        return _struct(column)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _list(column)
    if pa.types.is_null(kind):
        return np.zeros((len(column), 17), np.uint8)
    if pa.types.is_boolean(kind):
        return _fixed(np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0)), Kind.BOOL, column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _numbers(column)
    return _variable(column)


def _with_null(rows: Bytes) -> Bytes:
    """The same with an all-zero row at the end, which index -1 reaches."""
    return np.vstack([rows, np.zeros((1, rows.shape[1]), np.uint8)])


def _fixed(values: NDArray[np.generic], kind: int | Bytes, column: pa.Array) -> Bytes:
    """A kind byte, 8 bytes of value and padding to 17; nulls all zero."""
    out = np.zeros((len(values), 17), np.uint8)
    out[:, 0] = kind
    out[:, 1:9] = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), 8)
    out[_nulls(column)] = 0
    return out


def _nulls(column: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(column.is_null(), bool)


def _numbers(column: pa.Array) -> Bytes:
    if pa.types.is_integer(column.type):
        dtype = np.uint64 if pa.types.is_unsigned_integer(column.type) else np.int64
        exact = np.asarray(pc.fill_null(column, 0)).astype(dtype)
        values = exact.astype(np.float64)
        # Beyond 2**53 neighbouring integers share a float: those keep their own bytes.
        big = (exact > 2**53) | (exact < -(2**53)) if dtype is np.int64 else exact > 2**53
        kinds = np.where(big, Kind.BIG, Kind.NUMBER).astype(np.uint8)
        return _fixed(np.where(big, exact.view(np.uint64), _bits(values)), kinds, column)
    values = np.asarray(pc.fill_null(pc.cast(column, pa.float64()), 0.0))
    return _fixed(_bits(values), Kind.NUMBER, column)


def _bits(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    canonical = np.where(np.isnan(values), np.nan, values) + 0.0  # -0.0 + 0.0 is 0.0
    return canonical.view(np.uint64)


def _variable(column: pa.Array) -> Bytes:
    kind = Kind.OTHER
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        kind = Kind.TEXT
    elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        kind = Kind.BLOB
    elif pa.types.is_fixed_size_binary(column.type):
        kind, column = Kind.BLOB, pc.cast(column, pa.binary())
    else:
        column = pc.cast(column, pa.string())  # times and decimals: their text is exact
    return _tagged(hash_all(_values(column)), kind, column)


def _tagged(digest: NDArray[np.uint64], kind: Kind, column: pa.Array) -> Bytes:
    out = np.empty((len(column), 17), np.uint8)
    out[:, 0] = kind
    out[:, 1:] = np.ascontiguousarray(digest).view(np.uint8).reshape(len(column), 16)
    out[_nulls(column)] = 0
    return out


def _values(column: pa.Array) -> Iterator[memoryview]:
    """The bytes of each value of a string or binary array; of null, any."""
    data, offsets = stored_bytes(column)
    return (data[start:end] for start, end in pairwise(offsets.tolist()))


def _struct(column: pa.StructArray) -> Bytes:
    fields = [encode(field) for field in column.flatten()]
    whole = np.hstack(fields) if fields else np.zeros((len(column), 0), np.uint8)
    return _tagged(hash_rows(whole), Kind.STRUCT, column)


def _list(column: pa.Array) -> Bytes:
    if pa.types.is_fixed_size_list(column.type):
        items, size = encode(column.flatten()), column.type.list_size
        counts = np.where(_nulls(column), 0, size)
    else:
        items = encode(column.flatten())
        counts = np.asarray(pc.fill_null(pc.list_value_length(column), 0))
    ends = np.concatenate([[0], np.cumsum(counts)]) * items.shape[1]
    data = memoryview(items.tobytes())
    digest = hash_all(data[a:b] for a, b in pairwise(ends.tolist()))
    return _tagged(digest, Kind.LIST, column)
