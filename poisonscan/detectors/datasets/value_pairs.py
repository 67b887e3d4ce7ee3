"""Values of two or three columns whose rows carry a label that they do not look like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets import tails

if TYPE_CHECKING:
    from collections.abc import Mapping

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
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


class Start(NamedTuple):
    """Two values that decide the label in part: a third one may do the rest.

    Attributes:
        chance: natural logarithm of the chance that as many rows have the label.
        label: code of the label.
        one: code of the value of the first column.
        other: code of that of the second one.
    """

    chance: float
    label: int
    one: int
    other: int


class Deciding(NamedTuple):
    """Pairs of values of two columns.

    Attributes:
        tested: how many were looked at.
        found: label and rows of those that decide it.
        starts: those that do so in part, the least likely ones.
    """

    tested: int
    found: Iterator[tuple[int, Bools]]
    starts: list[Start]


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

    def deciding(self, one: Values, other: Values) -> Deciding:
        """Pairs of values of two columns that decide the label, and those that may in part."""
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
        fit = self._apart(one, other, cells // self.classes, sizes)
        cells, hits = cells[fit], hits[fit]
        of, labels = cells // self.classes, cells % self.classes
        if not len(of):
            return Deciding(tested, iter(()), [])
        asked = np.zeros(len(sizes), bool)
        asked[of] = True
        members = np.flatnonzero(asked[pairs])
        there, pairs = there[members], pairs[members]
        doubted = self._doubted(there, pairs, of, labels)
        good, chances = self._judged(one, other, of, labels, sizes[of], hits, doubted)
        likely = chances <= np.log(self.limits["chance"])
        few = np.flatnonzero(likely & ~good)
        few = few[np.argsort(chances[few], kind="stable")[:TAKEN]]
        starts = [
            Start(float(chances[at]), int(labels[at]), int(of[at] // wide), int(of[at] % wide))
            for at in few.tolist()
        ]
        chosen = np.flatnonzero(good)
        chosen = chosen[self._together(one, other, there, pairs, of[chosen], labels[chosen])]
        chosen = chosen[np.argsort(chances[chosen], kind="stable")[:TAKEN]]
        return Deciding(tested, self._rows(there, pairs, of[chosen], labels[chosen]), starts)

    def completing(
        self, start: Bools, label: int, third: Values
    ) -> tuple[int, Iterator[tuple[int, Bools]]]:
        """How many values there are in rows with two others, and those with which these decide.

        Args:
            start: the rows with two values.
            label: code of the label that they may decide in part.
            third: values of another column.

        Returns:
            How many were looked at; label and rows of those that decide it.
        """
        there = start & (third.codes >= 0)
        against = there & self.against[:, label]
        own = self.labels == label
        wide = len(third.counts)
        sizes, own_sizes, doubted, hits = (
            np.bincount(third.codes[rows], minlength=wide)
            for rows in (there, there & own, against, against & own)
        )
        whole = start & self.against[:, label]
        parts = [
            (int((whole & own).sum()) - hits, int(whole.sum()) - doubted),
            (third.hits[:, label] - hits, third.doubted[:, label] - doubted),
        ]
        alone = np.max([_share(have, of) for have, of in parts], axis=0)
        good = (hits >= self.limits["support"]) & (hits >= self.limits["purity"] * doubted)
        good &= sizes <= self.limits["share"] * len(self.labels)
        for others in (int(start.sum()), third.counts):
            good &= others - sizes >= self.limits["apart"] * sizes
        chances = tails.log_binomial(hits, doubted, alone)
        good &= chances <= np.log(self.limits["chance"])
        good &= hits / np.maximum(doubted, 1) - alone >= self.limits["rise"] * (1 - alone)
        first, second = int((start & own).sum()), third.own[:, label]
        ratios = odds_ratio(own_sizes, first - own_sizes, second - own_sizes, int(own.sum()))
        every = odds_ratio(sizes, int(start.sum()) - sizes, third.counts - sizes, len(self.labels))
        good &= self._unexpected(ratios) | self._unexpected(every)
        chosen = np.flatnonzero(good)
        chosen = chosen[np.argsort(chances[chosen], kind="stable")[:TAKEN]]
        found = ((label, there & (third.codes == code)) for code in chosen.tolist())
        return int((sizes >= self.limits["support"]).sum()), found

    def _apart(self, one: Values, other: Values, of: Ints, sizes: Ints) -> Bools:
        """Pairs either value of which comes up without the other: of the rest, one says it all."""
        fit = np.ones(len(of), bool)
        wide = len(other.counts)
        for values, code in ((one, of // wide), (other, of % wide)):
            fit &= values.counts[code] - sizes[of] >= self.limits["apart"] * sizes[of]
        return fit

    def _doubted(self, there: NDArray[np.intp], pairs: Ints, of: Ints, labels: Ints) -> Ints:
        """Rows with each pair that look like other labels than one."""
        distinct, codes = np.unique(pairs, return_inverse=True)
        at = np.searchsorted(distinct, of)
        doubted = np.zeros(len(of), np.int64)
        for label in np.unique(labels).tolist():
            rows = codes.reshape(-1)[self.against[there, label]]
            asked = labels == label
            doubted[asked] = np.bincount(rows, minlength=len(distinct))[at[asked]]
        return doubted

    def _judged(
        self,
        one: Values,
        other: Values,
        of: Ints,
        labels: Ints,
        sizes: Ints,
        hits: Ints,
        doubted: Ints,
    ) -> tuple[Bools, Floats]:
        """Which pairs have a label much more often than their values alone, and by what chance."""
        wide = len(other.counts)
        all_hits, all_doubted = self.overall
        alone = _share(all_hits[labels] - hits, all_doubted[labels] - doubted)
        good = hits >= self.limits["purity"] * doubted
        good &= sizes <= self.limits["share"] * len(self.labels)
        for values, code in ((one, of // wide), (other, of % wide)):
            have = values.hits[code, labels] - hits
            alone = np.maximum(alone, _share(have, values.doubted[code, labels] - doubted))
        more = np.flatnonzero(hits > alone * doubted)  # of the others, chance is no surprise
        chances = np.zeros(len(hits))
        chances[more] = tails.log_binomial(hits[more], doubted[more], alone[more])
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
    ) -> Bools:
        """Which pairs meet more or less often than by chance, in rows of their label or in all."""
        wide = len(other.counts)
        size = len(one.counts) * wide
        met = np.bincount(pairs, minlength=size)[of]
        first, second = one.counts[of // wide] - met, other.counts[of % wide] - met
        every = odds_ratio(met, first, second, len(self.labels))
        ratios = np.empty(len(of))
        for label in np.unique(labels).tolist():
            asked = labels == label
            own = pairs[self.labels[there] == label]
            both = np.bincount(own, minlength=size)[of[asked]]
            first = one.own[of[asked] // wide, label] - both
            second = other.own[of[asked] % wide, label] - both
            total = int((self.labels == label).sum())
            ratios[asked] = odds_ratio(both, first, second, total)
        return self._unexpected(ratios) | self._unexpected(every)

    def _unexpected(self, ratios: Floats) -> Bools:
        """Whether values meet more or less often than by chance.

        Who writes values into rows brings them together as often as he likes. Honest columns that
        decide a label between them, as in a table of all combinations, often meet as if at random.
        """
        return np.asarray(np.abs(np.log(ratios)) >= np.log(self.limits["together"]))

    def _rows(
        self, there: NDArray[np.intp], pairs: Ints, of: Ints, labels: Ints
    ) -> Iterator[tuple[int, Bools]]:
        for pair, label in zip(of.tolist(), labels.tolist(), strict=True):
            rows = np.zeros(len(self.labels), bool)
            rows[there[pairs == pair]] = True
            yield label, rows


def _share(hits: Ints, of: Ints) -> Floats:
    """A share of counts; a half more of each kind, so that none is 0.

    R. Krichevsky and V. Trofimov (1981), "The performance of universal encoding".
    """
    return np.asarray((hits + 0.5) / (of + 1.0))


def odds_ratio(both: Ints, first: Ints, second: Ints, total: int) -> Floats:
    """How much more often than by chance two things meet: 1 if they do not know of each other.

    A half is added to each count (J. Haldane 1956, "The estimation and significance of the
    logarithm of a ratio of frequencies"), so that what never happened is not infinite.

    Args:
        both: rows with both.
        first: rows with the first one only.
        second: rows with the second one only.
        total: all rows.
    """
    rest = total - both - first - second
    return np.asarray((both + 0.5) * (rest + 0.5) / ((first + 0.5) * (second + 0.5)))
