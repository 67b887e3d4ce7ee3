"""Rows projected on a few directions per class: what tests of single rows read.

A sample of rows, drawn by a hash of their place, so shards are worked on apart and put together in
any order.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Role
from poisonscan.detectors.datasets.contrast import Contrast
from poisonscan.detectors.datasets.moments import fold_to, usable_rows

MAX_ROWS = 4_000_000
"""Rows that are kept on their own class's directions; of more, a sample."""
REFERENCE_ROWS = 4_096
"""About as many rows of other classes are kept for each class, to compare with."""


def mix(rows: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A hash of row identifiers, of shape (rows, 2): SplitMix64 (Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        state = rows.astype(np.uint64) @ np.array(
            [0x9E3779B97F4A7C15, 0xD1342543DE82EF95], np.uint64
        )
        state = state + np.uint64(seed)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))


@dataclass(frozen=True, slots=True)
class Projected:
    """Rows as coordinates on the directions of one class each, in order of class, then of place.

    Attributes:
        classes: ``int32`` of shape (rows,): whose directions.
        coordinates: ``float32`` of shape (rows, k), about that class's mean.
        rows: ``int64`` of shape (rows, 2): shard and position.
    """

    classes: NDArray[np.int32]
    coordinates: NDArray[np.float32]
    rows: NDArray[np.int64]

    def of(self, code: int) -> Projected:
        """The rows on the directions of one class."""
        first, last = np.searchsorted(self.classes, [code, code + 1])
        part = slice(int(first), int(last))
        return Projected(self.classes[part], self.coordinates[part], self.rows[part])


@dataclass(slots=True, unsafe_hash=True)
class ClassProjections:
    """Every row on its own class's directions, and a sample of rows on those of another class.

    Takes about ``(k + 5) · 4`` bytes a row, for at most about ``MAX_ROWS`` rows: of a larger
    dataset those rows whose hashed place falls below ``share_kept`` are kept.

    Attributes:
        contrast: the classes' directions.
        source_dimension: length of row vectors before folding.
    """

    contrast: Contrast
    source_dimension: int
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL, Role.FEATURES}), init=False)
    _own: list[Projected] = field(default_factory=list, init=False, compare=False)
    _others: list[Projected] = field(default_factory=list, init=False, compare=False)

    @property
    def share_kept(self) -> float:
        """Share of rows that are kept, 1.0 for all."""
        return min(1.0, MAX_ROWS / max(int(self.contrast.counts.sum()), 1))

    @property
    def own(self) -> Projected:
        """Rows on the directions of their own class."""
        return self._gather(self._own)

    @property
    def others(self) -> Projected:
        """Rows on the directions of one other class, drawn by a hash of their place."""
        return self._gather(self._others)

    def update(self, batch: Batch) -> None:
        """Project the rows of a batch."""
        codes = {name: code for code, name in enumerate(self.contrast.names)}
        usable = usable_rows(batch.features) & (batch.labels.codes >= 0)
        lookup = np.array([codes.get(name, -1) for name in batch.labels.names] or [-1], np.int32)
        positions = np.flatnonzero(usable)
        own = lookup[batch.labels.codes[positions]]
        positions, own = positions[own >= 0], own[own >= 0]
        ids = batch.rows[positions]
        kept = _drawn(ids, 1, self.share_kept)
        self._take(self._own, batch, positions[kept], own[kept])
        classes = len(self.contrast.names)
        if classes < 2:
            return
        rate = REFERENCE_ROWS * classes / max(int(self.contrast.counts.sum()), 1)
        drawn = _drawn(ids, 2, rate)
        steps = 1 + (mix(ids[drawn], 3) % np.uint64(classes - 1)).astype(np.int64)
        other = ((own[drawn] + steps) % classes).astype(np.int32)
        self._take(self._others, batch, positions[drawn], other)

    def merge(self, other: ClassProjections) -> None:
        """Take in what ``other`` has seen."""
        self._own += other._own
        self._others += other._others

    def _take(
        self,
        into: list[Projected],
        batch: Batch,
        positions: NDArray[np.int64],
        classes: NDArray[np.int32],
    ) -> None:
        coordinates = np.empty((len(positions), self.contrast.directions.shape[2]), np.float32)
        for code in np.unique(classes):
            chosen = classes == code
            rows = batch.features[positions[chosen]].astype(np.float64)
            folded = fold_to(rows, self.contrast.means.shape[1]) - self.contrast.means[code]
            coordinates[chosen] = folded @ self.contrast.directions[code]
        into.append(Projected(classes, coordinates, batch.rows[positions]))

    def _gather(self, parts: list[Projected]) -> Projected:
        if not parts:
            width = self.contrast.directions.shape[2]
            empty = np.empty((0, width), np.float32)
            return Projected(np.empty(0, np.int32), empty, np.empty((0, 2), np.int64))
        rows = np.concatenate([part.rows for part in parts])
        classes = np.concatenate([part.classes for part in parts])
        order = np.lexsort((rows[:, 1], rows[:, 0], classes))
        return Projected(
            classes[order],
            np.concatenate([part.coordinates for part in parts])[order],
            rows[order],
        )


def _drawn(rows: NDArray[np.int64], seed: int, share: float) -> NDArray[np.bool_]:
    if share >= 1:
        return np.ones(len(rows), bool)
    return np.asarray(mix(rows, seed) < np.uint64(share * 2.0**64))
