"""Pairs of values of two columns whose rows carry a label that they do not look like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

VALUES = 1_000
"""Values of a column that pairs are made of, the most frequent ones."""
TAKEN = 5
"""Pairs of values of two columns that are looked at closely, the least likely ones."""


@dataclass(frozen=True, slots=True)
class Values:
    """The frequent values of a column.

    Attributes:
        codes: of each row's value, -1 where it is rare.
        counts: rows of each.
        own: those with each label, of shape (values, labels).
        doubted: those that look like other labels than each, of shape (values, labels).
        hits: those of them that have that label.
    """

    codes: Ints
    counts: Ints
    own: Ints
    doubted: Ints
    hits: Ints


class PairCounts:
    """Counts pairs of values among rows that do not look like a label.

    Args:
        labels: code of each row's label, ``int64`` of shape (n,).
        against: whether each row looks like other labels than each, of shape (n, labels).
        limits: thresholds of the rule.
    """

    def __init__(self, labels: Ints, against: Bools, limits: Mapping[str, float]) -> None:
        self.labels, self.against, self.limits = labels, against, limits
        self.classes = against.shape[1]
        self.own = against[np.arange(len(labels)), labels]
        hits = np.bincount(labels[self.own], minlength=self.classes)
        self.overall = hits, against.sum(axis=0)

    def values(self, codes: Ints, counts: Ints, left: Bools) -> Values:
        """Count the values of a column.

        Args:
            codes: of each row's value.
            counts: rows of each value.
            left: rows that pairs may be of.
        """
        frequent = np.argsort(-counts, kind="stable")[:VALUES]
        frequent = frequent[counts[frequent] >= self.limits["support"]]
        known = np.full(len(counts), -1)
        known[frequent] = np.arange(len(frequent))
        codes = known[codes]
        there = codes >= 0
        own = there & self.own
        size = len(frequent)
        cells = codes[own] * self.classes + self.labels[own]
        hits = np.bincount(cells, minlength=size * self.classes).reshape(size, self.classes)
        cells = codes[there] * self.classes + self.labels[there]
        every = np.bincount(cells, minlength=size * self.classes).reshape(size, self.classes)
        doubted = np.stack(
            [np.bincount(codes[there & rows], minlength=size) for rows in self.against.T], axis=1
        )
        kept = np.where(left, codes, -1)
        tables = (table.astype(np.int64) for table in (every, doubted, hits))
        return Values(kept, counts[frequent], *tables)

    def deciding(self, one: Values, other: Values) -> tuple[int, Iterator[tuple[int, Bools]]]:
        """How many pairs there are, and label and rows of those that decide it."""
        there = np.flatnonzero((one.codes >= 0) & (other.codes >= 0))
        wide = len(other.counts)
        pairs = one.codes[there] * wide + other.codes[there]
        sizes = np.bincount(pairs, minlength=len(one.counts) * wide)
        tested = int((sizes >= self.limits["support"]).sum())
        own = self.own[there]
        cells, hits = np.unique(
            pairs[own] * self.classes + self.labels[there][own], return_counts=True
        )
        enough = hits >= self.limits["support"]
        cells, hits = cells[enough], hits[enough].astype(np.int64)
        of, labels = cells // self.classes, cells % self.classes
        doubted = np.zeros(len(cells), np.int64)
        for label in np.unique(labels).tolist():
            count = np.bincount(pairs[self.against[there, label]], minlength=len(sizes))
            doubted[labels == label] = count[of[labels == label]]
        good, chances = self._judged(one, other, of, labels, sizes[of], hits, doubted)
        chosen = np.flatnonzero(good)
        together = self._together(one, other, there, pairs, of[chosen], labels[chosen])
        chosen = chosen[together >= self.limits["together"]]
        chosen = chosen[np.argsort(chances[chosen], kind="stable")[:TAKEN]]
        return tested, self._rows(there, pairs, of[chosen], labels[chosen])

    def _judged(
        self,
        one: Values,
        other: Values,
        of: Ints,
        labels: Ints,
        sizes: Ints,
        hits: Ints,
        doubted: Ints,
    ) -> tuple[Bools, NDArray[np.float64]]:
        """Which pairs have a label much more often than their values alone, and by what chance."""
        wide = len(other.counts)
        all_hits, all_doubted = self.overall
        alone = (all_hits[labels] - hits) / np.maximum(all_doubted[labels] - doubted, 1)
        good = hits >= self.limits["purity"] * doubted
        good &= sizes <= self.limits["share"] * len(self.labels)
        for values, code in ((one, of // wide), (other, of % wide)):
            good &= values.counts[code] - sizes >= self.limits["apart"] * sizes
            have = values.hits[code, labels] - hits
            alone = np.maximum(alone, have / np.maximum(values.doubted[code, labels] - doubted, 1))
        chances = np.asarray(stats.binom.logsf(hits - 1, doubted, np.clip(alone, 0, 1)))
        good &= chances <= np.log(self.limits["chance"])
        good &= hits / doubted - alone >= self.limits["rise"] * (1 - alone)
        return good, chances

    def _together(
        self,
        one: Values,
        other: Values,
        there: NDArray[np.intp],
        pairs: Ints,
        of: Ints,
        labels: Ints,
    ) -> NDArray[np.float64]:
        """How much more often than by chance two values meet in rows of a label: an odds ratio.

        Who writes two values into rows brings them together; honest columns that decide a label
        between them, such as those of a table of all combinations, need not.
        """
        ratios = np.empty(len(of))
        for label in np.unique(labels).tolist():
            asked = labels == label
            own = pairs[self.labels[there] == label]
            both = np.bincount(own, minlength=len(one.counts) * len(other.counts))[of[asked]]
            first = one.own[of[asked] // len(other.counts), label] - both
            second = other.own[of[asked] % len(other.counts), label] - both
            rest = int((self.labels == label).sum()) - first - second - both
            # A half more of each (J. Haldane 1956), or what never happened would be infinite.
            ratios[asked] = (both + 0.5) * (rest + 0.5) / ((first + 0.5) * (second + 0.5))
        return ratios

    def _rows(
        self, there: NDArray[np.intp], pairs: Ints, of: Ints, labels: Ints
    ) -> Iterator[tuple[int, Bools]]:
        for pair, label in zip(of.tolist(), labels.tolist(), strict=True):
            rows = np.zeros(len(self.labels), bool)
            rows[there[pairs == pair]] = True
            yield label, rows
