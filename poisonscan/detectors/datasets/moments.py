"""Count, mean and scatter matrix of the row vectors of every class, in bounded memory.

Sums over rows, so shards are worked on apart and put together in any order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Role
from poisonscan.detectors.datasets.contrast import Contrast, contrast

Floats = NDArray[np.float64]
Vectors = NDArray[np.float64] | NDArray[np.float32]

MAX_CLASSES = 10_000
"""More label values than this are not classes; nothing is kept of them."""
MAX_DIMENSION = 1024
"""Longer vectors are folded: the linear algebra costs the cube of their length."""
BUDGET = 256 << 20
"""Bytes that all scatter matrices of one aggregate may take."""
LARGEST = 1e6
"""Rows with a larger coordinate are left out: in double precision their squares would drown what
the others say."""
_PANELS = 16


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
        lower: the scatter matrix, which is symmetric, up to its diagonal: see ``_panels``.
    """

    rows: int
    mean: Floats
    lower: Floats

    @classmethod
    def of(cls, values: Floats) -> Moments:
        """Moments of rows of shape (n, d), n > 0."""
        mean = values.mean(axis=0)
        centred = values - mean
        lower = np.empty(sum((b - a) * b for a, b in _panels(len(mean))))
        for part, (start, stop) in zip(_parts(lower, len(mean)), _panels(len(mean)), strict=True):
            np.matmul(centred[:, start:stop].T, centred[:, :stop], out=part)
        return cls(len(values), mean, lower)

    @property
    def scatter(self) -> Floats:
        """The scatter matrix, of shape (d, d), exactly symmetric; it is made anew."""
        whole = np.zeros((len(self.mean),) * 2)
        panels = _panels(len(self.mean))
        for part, (start, stop) in zip(_parts(self.lower, len(self.mean)), panels, strict=True):
            whole[start:stop, :start] = part[:, :start]
            whole[:start, start:stop] = part[:, :start].T
            corner = np.tril(part[:, start:])
            whole[start:stop, start:stop] = corner + np.tril(corner, -1).T
        return whole

    def absorb(self, other: Moments) -> None:
        """Add other rows (Chan, Golub and LeVeque 1979)."""
        total = self.rows + other.rows
        shift = other.mean - self.mean
        self.lower += other.lower
        weighted = shift * (self.rows * other.rows / total)
        panels = _panels(len(self.mean))
        for part, (start, stop) in zip(_parts(self.lower, len(self.mean)), panels, strict=True):
            np.add(part, np.outer(weighted[start:stop], shift[:stop]), out=part)
        self.mean = self.mean + shift * (other.rows / total)
        self.rows = total

    def folded_to(self, dimension: int) -> Moments:
        """The moments of the folded rows."""
        if dimension >= len(self.mean):
            return self
        half = fold_to(self.scatter, dimension)
        folded = fold_to(np.ascontiguousarray(half.T), dimension)
        mean = fold_to(self.mean[None, :], dimension)[0]
        lower = [folded[start:stop, :stop].ravel() for start, stop in _panels(len(mean))]
        return Moments(self.rows, mean, np.concatenate(lower))


def _panels(length: int) -> Iterator[tuple[int, int]]:
    """Rows of a symmetric matrix, some at a time: up to the last column of each is half of it."""
    step = max(1, length // _PANELS)
    for start in range(0, length, step):
        yield start, min(start + step, length)


def _parts(lower: Floats, length: int) -> Iterator[Floats]:
    """Views of the panels of a matrix, which are stored one after the other."""
    place = 0
    for start, stop in _panels(length):
        size = (stop - start) * stop
        yield lower[place : place + size].reshape(stop - start, stop)
        place += size


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
        left_out: rows with a label whose vector is not finite or has a number beyond ``LARGEST``.
        too_large: those of them that are finite but beyond it.
    """

    budget: int = BUDGET
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL, Role.FEATURES}), init=False)
    overflow: bool = field(default=False, init=False, compare=False)
    source_dimension: int = field(default=0, init=False, compare=False)
    dimension: int = field(default=0, init=False, compare=False)
    left_out: int = field(default=0, init=False, compare=False)
    too_large: int = field(default=0, init=False, compare=False)
    _classes: dict[str, Moments | None] = field(default_factory=dict, init=False, compare=False)
    _pending: dict[str, list[Vectors]] = field(default_factory=dict, init=False, compare=False)
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
                self._wait(name, batch.features[positions])
        labelled = batch.labels.codes >= 0
        self.left_out += int(labelled.sum()) - taken
        largest = np.abs(batch.features).max(axis=1, initial=0.0)
        self.too_large += int((labelled & np.isfinite(largest) & (largest > LARGEST)).sum())

    def merge(self, other: ClassMoments) -> None:
        """Take in what ``other`` has seen."""
        self.left_out += other.left_out
        self.too_large += other.too_large
        self.overflow |= other.overflow
        if self.overflow:
            self._forget()
        if self.overflow or not other.source_dimension:
            return
        self._open(other.source_dimension, set(other._classes))
        for name, moments in other._classes.items():
            if moments is not None and not self.overflow:
                self._absorb(name, moments.folded_to(self.dimension))
        for name, chunks in other._pending.items():
            for rows in chunks if not self.overflow else ():
                self._wait(name, rows)

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

    def __getstate__(self) -> object:
        """Without rows that wait where they take more than what they come to."""
        for name in list(self._pending):
            if self._classes[name] is not None:
                self._settle(name, at_least=1)
        return object.__getstate__(self)

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
                chunks[:] = [fold_to(rows.astype(np.float64), target) for rows in chunks]

    def _wait(self, name: str, rows: Vectors) -> None:
        """Keep rows until they are so many that half of a scatter matrix is no more than they."""
        if rows.shape[1] > self.dimension:
            rows = fold_to(rows.astype(np.float64), self.dimension)
        self._pending.setdefault(name, []).append(rows)
        self._settle(name, at_least=max(64, self.dimension // 2))

    def _settle(self, name: str, at_least: int) -> None:
        """Turn waiting rows into moments, many at a time: a turn costs d² whatever their number."""
        if sum(map(len, self._pending.get(name, ()))) >= at_least:
            rows = np.concatenate(self._pending.pop(name), dtype=np.float64)
            self._absorb(name, Moments.of(rows))

    def _absorb(self, name: str, moments: Moments) -> None:
        known = self._classes[name]
        if known is None:
            self._classes[name] = moments
        else:
            known.absorb(moments)

    def _forget(self) -> None:
        self._classes.clear()
        self._pending.clear()
