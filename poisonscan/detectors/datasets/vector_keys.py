"""What is kept of every vector to find those that are alike, and a few vectors whole."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import numbered
from poisonscan.detectors.datasets.distinct_rows import DistinctRows

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]

MAX_VECTORS = 2_000_000
"""Vectors whose projections are kept, 212 bytes each."""
PROJECTIONS = 48
"""Random directions that vectors are projected on."""
_BLOCK = 1024


@functools.lru_cache(4)
def _directions(dimension: int) -> NDArray[np.float32]:
    """Normal random directions, scaled so that projections keep lengths on average."""
    drawn = np.random.default_rng(0).standard_normal((dimension, PROJECTIONS))
    return np.asarray(drawn / np.sqrt(PROJECTIONS), np.float32)


@functools.lru_cache(4)
def _factors(dimension: int) -> NDArray[np.uint64]:
    return np.random.default_rng(1).integers(1 << 63, size=dimension, dtype=np.uint64) | np.uint64(
        1
    )


def _units(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Vectors of length 1, and which rows they are: those with a direction."""
    with np.errstate(over="ignore", invalid="ignore"):
        scale = np.abs(vectors).max(axis=1, initial=0)
        used = np.flatnonzero(np.isfinite(scale) & (scale > 0))
        scaled = vectors[used] / scale[used, None]
    return scaled / np.sqrt(np.einsum("ij,ij->i", scaled, scaled))[:, None], used


@dataclass(frozen=True, slots=True)
class Sketches:
    """Projections of different vectors, in order of place.

    Attributes:
        projections: ``float32`` of shape (vectors, 48), the mean taken away.
        mean: mean of the vectors of length 1, ``float32`` of shape (d,).
        places: shard and position in the shard as one number, ``int64`` of shape (vectors,).
        labels: codes into ``names``, ``int32`` of shape (vectors,); -1 where there is none.
        names: labels in order; None when there were too many to be classes.
        seen: vectors of each shard, exact copies too, ``int64``.
    """

    projections: NDArray[np.float32]
    mean: NDArray[np.float32]
    places: Ints
    labels: NDArray[np.int32]
    names: tuple[str, ...] | None
    seen: Ints


def _no_rows() -> DistinctRows:
    return DistinctRows(PROJECTIONS, np.float32, MAX_VECTORS, "vectors")


@dataclass(slots=True, unsafe_hash=True)
class VectorKeys:
    """Keeps every vector's projections, digest, label and place."""

    needs: frozenset[Role] = field(
        default=frozenset({Role.FEATURES, Role.LABEL}), init=False, compare=False
    )
    _size: int = field(default=0, init=False, compare=False)
    _sum: NDArray[np.float64] | None = field(default=None, init=False, compare=False)
    _rows: DistinctRows = field(default_factory=_no_rows, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch; vectors of zeros or with missing numbers are left out."""
        codes = self._rows.coded(batch.labels)
        for start in range(0, batch.size, _BLOCK):
            units, used = _units(batch.features[start : start + _BLOCK])
            if not len(used):
                continue
            total = units.sum(axis=0, dtype=np.float64)
            self._sum = total if self._sum is None else self._sum + total
            self._size += len(used)
            bits = np.ascontiguousarray(batch.features[start : start + _BLOCK][used] + 0)
            digests = bits.view(np.uint32) @ _factors(units.shape[1])
            places = numbered(batch.shard, batch.start + start + used)
            projected = units @ _directions(units.shape[1])
            self._rows.count(batch.shard, len(used))
            self._rows.add(projected, digests, places, codes[start + used])

    def merge(self, other: VectorKeys) -> None:
        """Take in what ``other`` has seen."""
        if other._sum is not None:
            self._sum = other._sum if self._sum is None else self._sum + other._sum
        self._size += other._size
        self._rows.merge(other._rows)

    def sketches(self) -> Sketches:
        """The first vector of each digest.

        Raises:
            LimitReached: there were more than ``MAX_VECTORS``.
        """
        kept = self._rows.first()
        projections = kept.numbers
        total = np.zeros(0) if self._sum is None else self._sum
        mean = (total / max(self._size, 1)).astype(np.float32)
        if len(mean):
            projections -= mean @ _directions(len(mean))
        return Sketches(projections, mean, kept.places, kept.labels, kept.names, kept.seen)


@dataclass(slots=True, unsafe_hash=True)
class VectorsAt:
    """Keeps some vectors, scaled to length 1.

    Attributes:
        wanted: their places in ascending order, ``int64`` as bytes.
    """

    wanted: bytes
    needs: frozenset[Role] = field(default=frozenset({Role.FEATURES}), init=False, compare=False)
    _vectors: dict[int, NDArray[np.float32]] = field(
        default_factory=dict, init=False, compare=False
    )

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        wanted = np.frombuffer(self.wanted, np.int64)
        first = numbered(batch.shard, batch.start)
        low, high = np.searchsorted(wanted, (first, first + batch.size)).tolist()
        positions = wanted[low:high] - first
        units, used = _units(batch.features[positions])
        for place, unit in zip(wanted[low:high][used].tolist(), units, strict=True):
            self._vectors[place] = unit.copy()

    def merge(self, other: VectorsAt) -> None:
        """Take in what ``other`` has seen."""
        self._vectors |= other._vectors

    def cosines(self, one: Ints, other: Ints, mean: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cosines of pairs of vectors around a mean; 0 where one is missing.

        Args:
            one: places, ``int64`` of shape (pairs,).
            other: places of the partners.
            mean: what is taken away from vectors of length 1.
        """
        out = np.zeros(len(one), np.float32)
        missing = np.zeros(len(mean), np.float32)
        for start in range(0, len(one), _BLOCK):
            left, right = (
                np.stack(
                    [self._vectors.get(p, missing) for p in places[start : start + _BLOCK].tolist()]
                )
                - mean
                for places in (one, other)
            )
            lengths = np.einsum("ij,ij->i", left, left) * np.einsum("ij,ij->i", right, right)
            products = np.einsum("ij,ij->i", left, right)
            out[start : start + _BLOCK] = products / np.sqrt(np.maximum(lengths, 1e-12))
        return out
