"""Text as a vector: hashed words and word pairs, randomly projected.

Term counts are hashed (Weinberger et al. 2009, "Feature hashing for large scale multitask
learning"), damped by a square root and projected to a few hundred dimensions by a sparse random
sign matrix (Achlioptas 2003; Kane and Nelson 2014) that is never stored: each term's hash names
its non-zero entries. Equal texts give equal vectors on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from poisonscan.datasets.batch import Texts
from poisonscan.datasets.encoding import MAX_EXPANDED, encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DIMENSION = 256
NONZERO = 4
MAX_TEXT = 1 << 20
"""Bytes of a text that are looked at; what follows them is not, and nothing says so."""
_BLOCK = 4 << 20
_DOCS = 1_024
_PAIR = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_FOLD = np.arange(256, dtype=np.uint8)
_FOLD[ord("A") : ord("Z") + 1] += 32
_FOLD[[i for i in range(128) if not chr(i).isalnum()]] = ord(" ")
WORD = np.not_equal(_FOLD, ord(" "))
"""Whether a byte belongs to a word."""


@dataclass(frozen=True, slots=True)
class Words:
    """Vectors of one or more text columns, of the first ``MAX_TEXT`` bytes of each text."""

    columns: tuple[str, ...]

    @property
    def source(self) -> str:
        """What the vectors are made of, for people."""
        names = ", ".join(f"'{name}'" for name in self.columns)
        return f"hashed words and word pairs of {names}, {DIMENSION} numbers"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return DIMENSION

    def vectors(self, columns: Sequence[pa.Array]) -> NDArray[np.float32]:
        """Row vectors of length one, ``float32`` of shape (rows, ``DIMENSION``).

        Args:
            columns: strings, or lists and structs that hold strings.

        Returns:
            All NaN for a row without a word.
        """
        total = np.zeros((len(columns[0]), DIMENSION), np.float32)
        for column in columns:
            indices, values = encoded(texts(column))
            each = np.vstack([project(values), np.zeros((1, DIMENSION), np.float32)])
            total += each[indices]
        length = np.sqrt(np.einsum("ij,ij->i", total, total))[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(length > 0, total / length, np.float32(np.nan)).astype(np.float32)


def holds_text(kind: pa.DataType) -> bool:
    """Whether a type is strings, or lists or structs with strings in them."""
    if pa.types.is_dictionary(kind):
        return holds_text(kind.value_type)
    if pa.types.is_struct(kind):
        return any(holds_text(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return holds_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def texts(column: pa.Array) -> pa.Array:
    """Text of each row: strings as they are, the strings inside lists and structs joined."""
    kind = column.type
    if pa.types.is_dictionary(kind) and holds_text(kind):
        return column
    if pa.types.is_string(kind):
        return column
    if pa.types.is_struct(kind):
        return _joined([texts(field) for field in column.flatten()], len(column))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _list_texts(column)
    if pa.types.is_large_string(kind):
        return pc.cast(column, pa.string())
    return pa.nulls(len(column), pa.string())


def distinct_texts(columns: Sequence[pa.Array]) -> Texts:
    """Text of each row over all columns, a line for each column that says something.

    Raises:
        ValueError: rows that share long texts in several columns are too long once written out.
    """
    parts = [encoded(texts(column)) for column in columns]
    if len(parts) == 1:
        return Texts(*parts[0])
    together = np.stack([indices for indices, _ in parts], axis=1)
    rows, indices = np.unique(together, axis=0, return_inverse=True)
    coded = [
        pa.DictionaryArray.from_arrays(pa.array(row, mask=row < 0), values)
        for row, (_, values) in zip(rows.T, parts, strict=True)
    ]
    joined = pc.fill_null(_joined(coded, len(rows)), "")
    return Texts(indices.reshape(-1).astype(np.int64), joined)


def _list_texts(column: pa.Array) -> pa.Array:
    items = plain(texts(column.flatten()))
    counts = np.asarray(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(ends), pc.fill_null(items, ""))
    return pc.binary_join(lists, "\n")


def _joined(parts: Sequence[pa.Array], rows: int) -> pa.Array:
    kept = [plain(part) for part in parts if part.null_count < len(part)]
    if not kept:
        return pa.nulls(rows, pa.string())
    return pc.binary_join_element_wise(*kept, "\n", null_handling="skip")


def plain(column: pa.Array) -> pa.Array:
    """A column that is dictionary-encoded written out, others as they are.

    Raises:
        ValueError: it would be longer than ``MAX_EXPANDED`` bytes.
    """
    if not pa.types.is_dictionary(column.type):
        return column
    indices, values = encoded(column)
    lengths = np.append(np.asarray(pc.binary_length(values)), 0).astype(np.int64)
    if lengths[indices].sum() > MAX_EXPANDED:
        message = f"the text of {len(column)} rows is longer than {MAX_EXPANDED:,} bytes"
        raise ValueError(message)
    return values.take(pa.array(indices, mask=indices < 0))


def project(values: pa.Array) -> NDArray[np.float32]:
    """Projected term counts of each text, ``float32`` of shape (texts, ``DIMENSION``)."""
    out = np.zeros((len(values), DIMENSION), np.float32)
    data = pc.cast(values, pa.binary())
    if len(data) and pc.max(pc.binary_length(data)).as_py() > MAX_TEXT:
        data = pc.binary_slice(data, 0, MAX_TEXT)
    step = min(_DOCS, max(1, _BLOCK * max(len(data), 1) // max(data.nbytes, 1)))
    for start in range(0, len(data), step):
        block = data.slice(start, step)
        out[start : start + step] = _project(*_terms(block), len(block))
    return out


def _terms(block: pa.Array) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Document and hash of every word and of every pair of neighbouring words."""
    words = split(block)
    docs, hashes = words.docs.astype(np.uint64), words.hashes[words.codes]
    same = docs[1:] == docs[:-1]
    pairs = (hashes[:-1] * _PAIR + hashes[1:])[same]
    return np.concatenate([docs, docs[1:][same]]), np.concatenate([hashes, pairs])


@dataclass(frozen=True, slots=True)
class Split:
    """The words of some texts, in order.

    Attributes:
        docs: text of each word, ``int64`` of shape (words,), ascending.
        codes: which word it is, ``int64`` of shape (words,).
        hashes: 64-bit hash of each distinct word, ``uint64``.
        spellings: the distinct words in lower case, as bytes.
    """

    docs: NDArray[np.int64]
    codes: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    spellings: pa.Array


def split(block: pa.Array) -> Split:
    """Texts without nulls cut into words: what blanks and ASCII punctuation separate."""
    words = pc.ascii_split_whitespace(folded(block))
    counts = np.asarray(pc.list_value_length(words)).astype(np.int64)
    encoded_words = pc.dictionary_encode(words.flatten())
    spellings = encoded_words.dictionary.cast(pa.binary())
    hashes = np.array([xxhash.xxh3_64_intdigest(word) for word in spellings.to_pylist()], np.uint64)
    codes = np.asarray(encoded_words.indices).astype(np.int64)
    docs = np.repeat(np.arange(len(block)), counts)
    full = hashes[codes] != _EMPTY
    return Split(docs[full], codes[full], hashes, spellings)


_EMPTY = np.uint64(xxhash.xxh3_64_intdigest(b""))


def folded(block: pa.Array) -> pa.Array:
    """ASCII in lower case and its punctuation as blanks, byte by byte, whatever the encoding."""
    whole = pa.concat_arrays([block])  # so that offsets start at 0
    _, offsets, data = whole.buffers()
    folded = _FOLD[np.frombuffer(data or b"", np.uint8)]
    return pa.StringArray.from_buffers(
        len(whole), pa.py_buffer(offsets), pa.py_buffer(folded), None, 0, whole.offset
    )


def _project(
    docs: NDArray[np.uint64], hashes: NDArray[np.uint64], count: int
) -> NDArray[np.float32]:
    # Document and 54 bits of the term's hash in one number: sorting it counts the terms.
    keys = np.sort((docs << np.uint64(54)) | (hashes >> np.uint64(10)))
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else keys
    counts = np.diff(np.append(starts, len(keys)))
    keys = keys[starts.astype(np.intp)]
    weights = np.sqrt(counts)
    rows = (keys >> np.uint64(54)).astype(np.int64) * DIMENSION
    mixed = (keys << np.uint64(10)) * _MIX
    mixed ^= mixed >> np.uint64(29)
    mixed *= _PAIR
    out = np.zeros(count * DIMENSION)
    for entry in range(NONZERO):
        bits = mixed >> np.uint64(24 + 9 * entry)
        places = rows + (bits & np.uint64(DIMENSION - 1)).astype(np.int64)
        signs = np.where(bits & np.uint64(DIMENSION), weights, -weights)
        out += np.bincount(places, signs, count * DIMENSION)
    return out.reshape(count, DIMENSION).astype(np.float32)
