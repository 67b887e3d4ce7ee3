"""A bounded sample of different labelled rows, as vectors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xxhash
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Role
from poisonscan.detectors.datasets.documents import mix
from poisonscan.detectors.datasets.moments import usable_rows

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32] | NDArray[np.uint8]

MAX_ROWS = 40_000
"""Rows that are kept, and as many again before they are thinned out."""
MAX_NUMBERS = 32 << 20
"""Numbers that they may have together, 4 bytes each, and as many again before that."""


_FEATURES = frozenset({Role.LABEL, Role.CONTENT, Role.FEATURES})
_PICTURES = frozenset({Role.LABEL, Role.CONTENT, Role.PICTURES})


@dataclass(frozen=True, slots=True)
class LabelledRows:
    """Rows with different contents or labels, in an order that chance might have given.

    Attributes:
        vectors: ``float32`` of shape (n, d); of pictures ``uint8``.
        labels: codes into ``names``, ``int64`` of shape (n,).
        names: labels in order.
        rows: first row with each content and label: shard and position, ``int64`` of shape (n, 2).
        contents: hash of what a row says, ``uint64`` of shape (n,).
    """

    vectors: Vectors
    labels: Ints
    names: tuple[str, ...]
    rows: Ints
    contents: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Chunk:
    keys: NDArray[np.uint64]
    contents: NDArray[np.uint64]
    labels: NDArray[np.uint64]
    rows: Ints
    vectors: Vectors

    def take(self, order: NDArray[np.intp]) -> _Chunk:
        return _Chunk(*(getattr(self, name)[order] for name in _Chunk.__slots__))


@dataclass(slots=True, unsafe_hash=True)
class LabelledSample:
    """Keeps the rows with the smallest hashes of content and label (bottom-k sampling).

    Rows that are equal count once. A row without a usable vector is left out.

    Attributes:
        names: the labels that are classes, in order.
        pictures: vectors are the 1,024 pixels of a picture's luminance, not ``FEATURES``.
        most: rows to keep.
        seen: rows that could have been kept, copies included.
        memo: what was computed of the sample, for all detectors that ask.
    """

    names: tuple[str, ...]
    pictures: bool = False
    most: int = MAX_ROWS
    needs: frozenset[Role] = field(default=frozenset(), init=False, compare=False)
    seen: int = field(default=0, init=False, compare=False)
    memo: dict[str, NDArray[np.float64]] = field(default_factory=dict, init=False, compare=False)
    _chunks: list[_Chunk] = field(default_factory=list, init=False, compare=False)
    _pending: int = field(default=0, init=False, compare=False)
    _largest: int | None = field(default=None, init=False, compare=False)
    _left_out: bool = field(default=False, init=False, compare=False)

    def __post_init__(self) -> None:
        self.needs = _PICTURES if self.pictures else _FEATURES

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        codes = {name: code for code, name in enumerate(self.names)}
        lookup = np.array([codes.get(name, -1) for name in batch.labels.names] + [-1], np.int64)
        own = lookup[batch.labels.codes]
        vectors = self._vectors(batch)
        kept = np.flatnonzero((own >= 0) & usable_rows(vectors))
        self.seen += len(kept)
        if not len(kept):
            return
        hashed = np.array([_hash(name) for name in self.names], np.uint64)[own[kept]]
        contents = mix(batch.content[kept, 0] ^ batch.content[kept, 1])
        keys = mix(contents + hashed)
        mine: Vectors = vectors[kept]
        if self.pictures:
            mine = np.rint(mine).astype(np.uint8)
        chunk = _Chunk(keys, contents, own[kept].astype(np.uint64), batch.rows[kept], mine)
        if self._largest is not None:  # there are enough rows with smaller hashes than others have
            fits = keys <= np.uint64(self._largest)
            self._left_out |= not fits.all()
            chunk = chunk.take(np.flatnonzero(fits))
        self._take(chunk)

    def merge(self, other: LabelledSample) -> None:
        """Take in what ``other`` has seen."""
        self.seen += other.seen
        self._left_out |= other._left_out
        for chunk in other._chunks:
            self._take(chunk)

    def sample(self) -> LabelledRows:
        """The rows kept."""
        self._thin()
        if not self._chunks:
            empty, nothing = np.zeros((0, 1), np.float32), np.zeros(0, np.int64)
            return LabelledRows(
                empty, nothing, self.names, np.zeros((0, 2), np.int64), nothing.astype(np.uint64)
            )
        chunk = self._chunks[0]
        labels = chunk.labels.astype(np.int64)
        return LabelledRows(chunk.vectors, labels, self.names, chunk.rows, chunk.contents)

    @property
    def whole(self) -> bool:
        """Whether no different row was left out."""
        self._thin()
        return not self._left_out

    def _vectors(self, batch: Batch) -> NDArray[np.float32]:
        if self.pictures:
            return batch.pictures.planes.reshape(batch.size, 32 * 32)
        return batch.features

    def _limit(self, dimension: int) -> int:
        return max(1, min(self.most, MAX_NUMBERS // max(dimension, 1)))

    def _take(self, chunk: _Chunk) -> None:
        self._chunks.append(chunk)
        self._pending += len(chunk.keys)
        if self._pending > 2 * self._limit(chunk.vectors.shape[1]):
            self._thin()

    def _thin(self) -> None:
        if not self._chunks:
            return
        keys, contents, labels, rows, vectors = (
            np.concatenate([getattr(chunk, name) for chunk in self._chunks])
            for name in _Chunk.__slots__
        )
        order = np.lexsort((rows[:, 1], rows[:, 0], keys))
        new = np.ones(len(order), bool)
        new[1:] = keys[order][1:] != keys[order][:-1]
        order, limit = order[new], self._limit(vectors.shape[1])
        self._left_out |= len(order) > limit
        order = order[:limit]
        self._chunks = [_Chunk(keys, contents, labels, rows, vectors).take(order)]
        self._pending = len(order)
        if len(order) == limit:
            self._largest = int(self._chunks[0].keys[-1])


def _hash(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))
