"""Per-class moments, and rows projected on a few directions per class: what backdoor tests read.

Both are sums or samples over rows, so shards are worked on apart and put together in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Role
from poisonscan.detectors.datasets.contrast import Contrast, contrast

Floats = NDArray[np.float64]

MAX_CLASSES = 10_000
"""More label values than this are not classes; nothing is kept of them."""
MAX_DIMENSION = 1024
"""Longer vectors are folded: the linear algebra costs the cube of their length."""
BUDGET = 256 << 20
"""Bytes that all scatter matrices of one aggregate may take."""
LARGEST = 1e12
"""Rows with a larger coordinate are left out: their squares would drown all the others."""
MAX_ROWS = 4_000_000
"""Rows that ``ClassProjections`` keeps; of more, a sample by a hash of the row's place."""
REFERENCE_ROWS = 4_096
"""About as many rows of other classes are kept for each class, to compare with."""


def fold(values: Floats) -> Floats:
    """Halve the length of vectors by a fixed orthonormal projection.

    Each new coordinate is a sum of two randomly chosen old ones with random signs, divided by √2
    (a sparse random projection, Achlioptas 2003). It is linear, so moments can be folded as well
    as rows, and it depends on the length only, so all shards fold alike.

    Args:
        values: vectors, of shape (rows, d).

    Returns:
        Vectors of shape (rows, ⌈d/2⌉).
    """
    length = values.shape[1]
    generator = np.random.default_rng(length)
    order = generator.permutation(length)
    signs = generator.choice(np.array([-1.0, 1.0]), length) / np.sqrt(2)
    mixed = values[:, order] * signs
    if length % 2:
        mixed = np.concatenate([mixed, np.zeros((len(mixed), 1))], axis=1)
    return np.asarray(mixed[:, 0::2] + mixed[:, 1::2])


def fold_to(values: Floats, dimension: int) -> Floats:
    """Fold vectors until they are no longer than ``dimension``."""
    while values.shape[1] > dimension:
        values = fold(values)
    return values


def affordable_dimension(dimension: int, classes: int, budget: int) -> int:
    """How long folded vectors of ``dimension`` may stay with this many scatter matrices."""
    while dimension > 1 and (dimension > MAX_DIMENSION or classes * dimension**2 * 8 > budget):
        dimension = (dimension + 1) // 2
    return dimension


@dataclass(slots=True)
class Moments:
    """Count, mean and scatter (sum of outer products about the mean) of some rows.

    Attributes:
        rows: n.
        mean: of shape (d,).
        scatter: of shape (d, d).
    """

    rows: int
    mean: Floats
    scatter: Floats

    @classmethod
    def of(cls, values: Floats) -> Moments:
        """Moments of rows of shape (n, d), n > 0."""
        mean = values.mean(axis=0)
        centred = values - mean
        return cls(len(values), mean, centred.T @ centred)

    def absorb(self, other: Moments) -> None:
        """Add other rows (Chan, Golub and LeVeque 1979)."""
        total = self.rows + other.rows
        shift = other.mean - self.mean
        self.scatter += other.scatter
        self.scatter += np.outer(shift, shift * (self.rows * other.rows / total))
        self.mean = self.mean + shift * (other.rows / total)
        self.rows = total

    def folded_to(self, dimension: int) -> Moments:
        """The moments of the folded rows."""
        half = fold_to(self.scatter, dimension)
        return Moments(
            self.rows,
            fold_to(self.mean[None, :], dimension)[0],
            np.ascontiguousarray(fold_to(np.ascontiguousarray(half.T), dimension)),
        )


def usable_rows(features: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows are finite and of sane size, for vectors of shape (rows, d)."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(features) <= LARGEST).all(axis=1))


def rows_by_class(batch: Batch) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Label names of a batch, each with the positions of its usable rows."""
    labels = batch.labels
    positions = np.flatnonzero(usable_rows(batch.features) & (labels.codes >= 0))
    codes = labels.codes[positions]
    order = np.argsort(codes, kind="stable")
    present, starts = np.unique(codes[order], return_index=True)
    for code, group in zip(present, np.split(positions[order], starts[1:]), strict=False):
        yield labels.names[int(code)], group


@dataclass(slots=True, unsafe_hash=True)
class ClassMoments:
    """Count, mean and scatter matrix of the row vectors of every class.

    Memory is bounded: as more classes appear, vectors are folded so that all scatter matrices
    stay within ``budget`` bytes. Past ``MAX_CLASSES`` label values it keeps nothing and says so.

    Attributes:
        budget: bytes for all scatter matrices.
        overflow: there were too many label values.
        source_dimension: length of the row vectors as they came; 0 before any.
        dimension: length that they were folded to.
        left_out: rows without a label or with a vector that is not finite.
    """

    budget: int = BUDGET
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL, Role.FEATURES}), init=False)
    overflow: bool = field(default=False, init=False, compare=False)
    source_dimension: int = field(default=0, init=False, compare=False)
    dimension: int = field(default=0, init=False, compare=False)
    left_out: int = field(default=0, init=False, compare=False)
    _classes: dict[str, Moments | None] = field(default_factory=dict, init=False, compare=False)
    _pending: dict[str, list[Floats]] = field(default_factory=dict, init=False, compare=False)
    _contrast: Contrast | None = field(default=None, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in the labelled rows of a batch."""
        taken = 0
        for name, positions in rows_by_class(batch):
            taken += len(positions)
            if self.overflow:
                continue
            self._open(batch.features.shape[1], {name})
            if not self.overflow:
                rows = batch.features[positions].astype(np.float64)
                self._pending.setdefault(name, []).append(fold_to(rows, self.dimension))
                self._settle(name, at_least=max(64, self.dimension // 2))
        self.left_out += batch.size - taken

    def merge(self, other: ClassMoments) -> None:
        """Take in what ``other`` has seen."""
        self.left_out += other.left_out
        self.overflow |= other.overflow
        if self.overflow:
            self._forget()
        if self.overflow or not other.source_dimension:
            return
        theirs = other.classes
        self._open(other.source_dimension, set(theirs))
        for name, moments in theirs.items():
            if not self.overflow:
                self._absorb(name, moments.folded_to(self.dimension))

    @property
    def classes(self) -> dict[str, Moments]:
        """Moments by label name, in order of name."""
        for name in list(self._pending):
            self._settle(name, at_least=1)
        return {name: m for name, m in sorted(self._classes.items()) if m is not None}

    def contrast(self) -> Contrast:
        """The directions in which each class differs most from the others, computed once."""
        if self._contrast is None:
            classes = self.classes
            self._contrast = contrast(
                tuple(classes),
                np.array([m.rows for m in classes.values()], np.int64),
                np.stack([m.mean for m in classes.values()]),
                [m.scatter for m in classes.values()],
            )
        return self._contrast

    def _open(self, dimension: int, names: set[str]) -> None:
        """Make room for classes, folding what is there if that needs it."""
        if not self.source_dimension:
            self.source_dimension = self.dimension = dimension
        new = names.difference(self._classes)
        if len(self._classes) + len(new) > MAX_CLASSES:
            self.overflow = True
            self._forget()
            return
        self._classes.update(dict.fromkeys(new))
        self._contrast = None
        target = affordable_dimension(self.source_dimension, len(self._classes), self.budget)
        if target < self.dimension:
            self.dimension = target
            for name, moments in self._classes.items():
                self._classes[name] = moments and moments.folded_to(target)
            for chunks in self._pending.values():
                chunks[:] = [fold_to(rows, target) for rows in chunks]

    def _settle(self, name: str, at_least: int) -> None:
        """Turn waiting rows into moments, many at a time: each turn costs d² whatever their number."""
        if sum(map(len, self._pending.get(name, ()))) >= at_least:
            self._absorb(name, Moments.of(np.concatenate(self._pending.pop(name))))

    def _absorb(self, name: str, moments: Moments) -> None:
        known = self._classes[name]
        if known is None:
            self._classes[name] = moments
        else:
            known.absorb(moments)

    def _forget(self) -> None:
        self._classes.clear()
        self._pending.clear()


def mix(rows: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A hash of row identifiers, ``int64`` (rows, 2), by the finaliser of SplitMix64 (Steele 2014)."""
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
    """Rows as coordinates on the directions of one class each.

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
        chosen = self.classes == code
        return Projected(self.classes[chosen], self.coordinates[chosen], self.rows[chosen])


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
        """Rows on the directions of their own class, in order of place."""
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
        if classes < 2:  # noqa: PLR2004 - there is no other class
            return
        rate = REFERENCE_ROWS * classes / max(int(self.contrast.counts.sum()), 1)
        drawn = _drawn(ids, 2, rate)
        steps = 1 + (mix(ids[drawn], 3) % np.uint64(classes - 1)).astype(np.int64)
        other = ((own[drawn] + steps) % classes).astype(np.int32)
        self._take(self._others, batch, positions[drawn], other)

    def merge(self, other: ClassProjections) -> None:
        """Take in what ``other`` has seen."""
        self._own += other._own  # noqa: SLF001 - the same class
        self._others += other._others  # noqa: SLF001

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
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        return Projected(
            np.concatenate([part.classes for part in parts])[order],
            np.concatenate([part.coordinates for part in parts])[order],
            rows[order],
        )


def _drawn(rows: NDArray[np.int64], seed: int, share: float) -> NDArray[np.bool_]:
    if share >= 1:
        return np.ones(len(rows), bool)
    return np.asarray(mix(rows, seed) < np.uint64(share * 2.0**64))
