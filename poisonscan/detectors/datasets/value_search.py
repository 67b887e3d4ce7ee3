"""Search for exact values, and pairs of them, that decide the label of a row."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.naive_rest import NaiveRest
from poisonscan.detectors.datasets.rest_of_row import RestOfRow
from poisonscan.detectors.datasets.row_sample import MISSING, NUMBER, TEXT
from poisonscan.detectors.datasets.value_pairs import PairCounts
from poisonscan.detectors.datasets.value_screen import Candidate, ValueScreen, stands_out
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from poisonscan.detectors.datasets.row_sample import Sample

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


PAIR_CELLS = 40_000_000
"""Rows times pairs of columns that are looked at; of more columns the first ones."""
JUDGED = 200
"""Values, and pairs of values, that are kept, the least likely ones."""
ALWAYS = 8
"""Values, pairs of values, and columns with values, that are looked at closely in any case; others
as long as naive Bayes takes them for no chance."""
COMPARED_KINDS, ASKED = 100, 24
"""Values or pairs whose rows are compared with others at most, which takes a tenth of a second; and
columns with values, or pairs, that trees are asked about at most, up to a second each."""
OTHERS, COMPARED = 10, 4_000
"""Rows that a trigger's are compared with, for each of them, and in all."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """Rows with the same value in some columns.

    Attributes:
        columns: numbers of the columns.
        label: code of the label that they carry.
        rows: which rows, ``bool``.
        expected: share of the label among rows that look like these, where that is not the label.
        against: rows that look like other labels.
        hits: those of them that have the label nevertheless.
        chance: that as many would.
        corrected: this times the values, or pairs of values, that were looked at.
        outside: whether the value is beyond all others of its column.
        shares: how often rows like each of them have the label.
    """

    columns: tuple[int, ...]
    label: int
    rows: Bools
    expected: float = 0.0
    against: int = 0
    hits: int = 0
    chance: float = 1.0
    corrected: float = 1.0
    outside: bool = False
    shares: Floats = field(default_factory=lambda: np.empty(0))


Item = TypeVar("Item", Candidate, Trigger)


@dataclass(frozen=True, slots=True)
class Found:
    """Triggers, the least likely first, and the sample that their rows are positions in.

    Attributes:
        sample: the labelled rows.
        labels: code of the label of each.
        triggers: what was found.
        columns: columns that pairs of values were looked for in, and those that could hold some.
        unasked: what no model was asked about, as the limits of the search allow no more.
        tested: values and pairs of values that were looked at; 0 where there are no classes.
    """

    sample: Sample
    labels: Ints
    triggers: list[Trigger]
    columns: tuple[int, int] = (0, 0)
    unasked: Mapping[str, int] = field(default_factory=dict)
    tested: int = 0


def triggers(sample: Sample) -> Found:
    """Values and pairs of values that decide the label."""
    search = ValueSearch.of(sample)
    if search is None:
        return Found(sample, np.empty(0, np.int64), [])
    singles = search.singles()
    found = [*singles, *search.pairs(singles)]
    found = _apart(sorted(found, key=_surest))
    return Found(search.sample, search.labels, found, search.columns, search.unasked, search.tested)


class ValueSearch:
    """The labelled rows of a sample and what follows from them."""

    def __init__(self, sample: Sample, labels: Ints, classes: int) -> None:
        self.sample = sample
        self.labels = labels
        self.classes = classes
        self.limits = rule("PS615").thresholds
        self.jagged: set[int] = set()
        self.columns = 0, 0
        self.tested = 0
        self.unasked: Counter[str] = Counter()
        self.naive = NaiveRest(sample, labels, classes)
        self.rest = RestOfRow(sample, labels)
        self.screen = ValueScreen(self.naive, self.limits)

    @classmethod
    def of(cls, sample: Sample) -> ValueSearch | None:
        """None where there are no classes."""
        limits = rule("PS615").thresholds
        labelled = sample.at(np.flatnonzero(sample.labels >= 0)).distinct()
        present, labels = np.unique(labelled.labels, return_inverse=True)
        if not 1 < len(present) <= limits["classes"] or is_continuous(sample.names):
            return None
        if len(labels) < 4 * limits["support"]:
            return None
        return cls(labelled, labels.reshape(-1).astype(np.int64), len(present))

    def singles(self) -> list[Trigger]:
        """Single values that decide the label."""
        tested, ranked = 0, list[Candidate]()
        for column, (_, kind) in enumerate(self.sample.columns):
            if kind == TEXT:
                continue
            count, found = self.screen.of(column, *_coded(self.sample.values[:, column]))
            tested += count
            ranked = sorted([*ranked, *found])
        unlikely = self._first(ranked, tested, "values", JUDGED)
        groups: dict[tuple[int, int], list[Candidate]] = {}
        for candidate in unlikely:
            groups.setdefault((candidate.column, candidate.label), []).append(candidate)
        picked = self._picked(unlikely, tested)
        asked = self._first([groups[key][0] for key in picked], tested, "columns", ASKED)
        judged = [
            trigger
            for first in asked
            for trigger in self._against_neighbours(groups[first.column, first.label])
        ]
        many = self._many(judged)
        self.jagged = {columns[0] for columns in many}
        few = [t for t in judged if t.outside or t.columns not in many]
        return self._at_random(self._holm([t for t in few if not self._related(t)], tested))

    def _first(self, ranked: list[Item], tested: int, kind: str, most: int) -> list[Item]:
        """The first of candidates in order; how many more are no chance either is kept.

        Args:
            ranked: the least likely first.
            tested: how many were looked at in all.
            kind: what they are, for people.
            most: how many are taken.
        """
        unlikely = sum(one.chance * tested <= self.limits["chance"] for one in ranked)
        taken = min(max(ALWAYS, unlikely), most)
        self.unasked[kind] += max(unlikely - taken, 0)
        return ranked[:taken]

    def _picked(self, ranked: list[Candidate], tested: int) -> list[tuple[int, int]]:
        """Columns and labels of values of which one may have come up at random."""
        found: list[tuple[int, int]] = []
        compared = 0
        for candidate in ranked:
            key = candidate.column, candidate.label
            if key in found:
                continue
            if compared >= COMPARED_KINDS:
                unlikely = candidate.chance * tested <= self.limits["chance"]
                self.unasked["values"] += int(unlikely)
                continue
            compared += 1
            codes = _coded(self.sample.values[:, candidate.column])[0]
            value = Trigger((candidate.column,), candidate.label, codes == candidate.value)
            if self._may_be_random(value):
                found.append(key)
        return found

    def _may_be_random(self, trigger: Trigger) -> bool:
        """A first look at what ``_at_random`` decides, by naive Bayes, which doubts more rows."""
        without = trigger.columns[0] if len(trigger.columns) == 1 else None
        shares = self.naive.shares(trigger.label, without)[trigger.rows]
        return self._told_apart(replace(trigger, shares=shares)) <= (self.limits["kind"] + 1) / 2

    def _doubted(self, candidates: Iterable[Trigger]) -> Iterator[Trigger]:
        """Those of which naive Bayes says something else."""
        found: dict[int, Floats] = {}
        for candidate in candidates:
            if candidate.label not in found:
                found[candidate.label] = self.naive.shares(candidate.label, None)
            judged = self._judge(candidate, found[candidate.label][candidate.rows])
            if judged is not None:
                yield judged

    def _against_neighbours(self, values: list[Candidate]) -> Iterator[Trigger]:
        """Which values of a column stand out by models without it, among the next values too."""
        column, label = values[0].column, values[0].label
        shares = self.rest.crossed(label, (column,))
        codes = _coded(self.sample.values[:, column])[0]
        for candidate in values:
            value = Trigger((column,), label, codes == candidate.value)
            floor = self._neighbours(value, shares <= self.limits["doubt"])
            judged = self._judge(value, shares[value.rows], floor)
            if judged is not None and (self._is_pure(judged) or self._is_spike(judged)):
                yield replace(judged, shares=shares[value.rows], outside=self._outside(value))

    def _is_pure(self, trigger: Trigger) -> bool:
        return trigger.hits >= self.limits["purity"] * trigger.against

    def _is_spike(self, trigger: Trigger) -> bool:
        """Whether a value comes up more often than the next ones; words have no next ones."""
        column = trigger.columns[0]
        if self.sample.columns[column][1] != NUMBER:
            return True
        numbers = self.sample.numbers(column)
        distinct, counts = np.unique(numbers[np.isfinite(numbers)], return_counts=True)
        at = int(np.searchsorted(distinct, numbers[trigger.rows][0]))
        around = np.delete(counts, at)[max(at - 2, 0) : at + 2]
        return bool(counts[at] >= self.limits["spike"] * around.max(initial=0))

    def _many(self, asked: list[Trigger]) -> set[tuple[int, ...]]:
        """Columns of which more values stand out than a trigger would have."""
        counts = Counter(t.columns for t in asked if t.chance <= self.limits["alike"])
        return {columns for columns, count in counts.items() if count > self.limits["deciders"]}

    def _at_random(self, found: list[Trigger]) -> list[Trigger]:
        """Triggers whose rows are like any rows of other labels, not a kind of their own.

        Honest values come up in rows that are alike; a trigger, in rows that somebody picked. They
        are compared with rows of other labels, as many for each label that naive Bayes takes them
        for.
        """
        return [t for t in found if self._told_apart(t) <= self.limits["kind"]]

    def _told_apart(self, trigger: Trigger) -> float:
        rows = np.flatnonzero(trigger.rows)[trigger.shares <= self.limits["doubt"]]
        rows = rows[self.labels[rows] == trigger.label]
        without = trigger.columns[0] if len(trigger.columns) == 1 else None
        looks = self.naive.looks_like(trigger.label, without)
        draw = np.random.default_rng(0)
        others = draw.permutation(np.flatnonzero(~trigger.rows & (self.labels != trigger.label)))
        kinds, counts = np.unique(looks[rows], return_counts=True)
        chosen = [
            others[looks[others] == kind][: OTHERS * n]
            for kind, n in zip(kinds, counts, strict=True)
        ]
        like = np.concatenate([rows[:0], *chosen])[:COMPARED]
        return self.rest.told_apart(rows[:COMPARED], like, trigger.columns)

    def _related(self, trigger: Trigger) -> bool:
        """Whether the rest speaks for the label as well: a value that honest rows have."""
        base = float(self.screen.base[trigger.label])
        return bool(trigger.shares.mean() - base > self.limits["related"] * (1 - base))

    def _neighbours(self, trigger: Trigger, against: Bools) -> float:
        """Share of a label among rows with the next numbers that look like other labels too."""
        column = trigger.columns[0]
        if self.sample.columns[column][1] != NUMBER:
            return 0.0
        numbers = self.sample.numbers(column)
        value = numbers[trigger.rows][0]
        wanted, shares = int(max(trigger.rows.sum() / 2, self.limits["support"])), [0.0]
        for side in (numbers < value, numbers > value):
            there = np.flatnonzero(side & against)
            near = there[np.argsort(np.abs(numbers[there] - value), kind="stable")[:wanted]]
            if len(near) >= self.limits["support"]:
                shares.append(float((self.labels[near] == trigger.label).mean()))
        return max(shares)

    def _judge(self, trigger: Trigger, shares: Floats, floor: float = 0.0) -> Trigger | None:
        """A trigger, if rows that look like other labels have this one; None if not.

        Args:
            trigger: the rows and the label.
            shares: how often rows like each of them have the label.
            floor: how often they are expected to have it at least.
        """
        against = shares <= self.limits["doubt"]
        count = int(against.sum())
        hits = int((against & (self.labels[trigger.rows] == trigger.label)).sum())
        expected = max(float(shares[against].mean()) if count else 0.0, floor)
        numbers = np.array([count]), np.array([hits]), np.array([expected])
        if not stands_out(*numbers, self.limits)[0]:
            return None
        chance = float(stats.binom.sf(hits - 1, count, expected))
        return replace(trigger, expected=expected, against=count, hits=hits, chance=chance)

    def _outside(self, trigger: Trigger) -> bool:
        column = trigger.columns[0]
        if len(trigger.columns) > 1 or self.sample.columns[column][1] != NUMBER:
            return False
        numbers = self.sample.numbers(column)
        value = numbers[trigger.rows][0]
        return bool(value in (np.nanmin(numbers), np.nanmax(numbers)))

    def pairs(self, singles: list[Trigger]) -> list[Trigger]:
        """Pairs of values that decide the label while neither does alone."""
        left = np.ones(len(self.labels), bool)
        for trigger in singles:
            left &= ~trigger.rows
        columns = [
            column
            for column, (_, kind) in enumerate(self.sample.columns)
            if kind != TEXT and column not in self.jagged and self._repeated(column)
        ]
        most = int(np.sqrt(2 * PAIR_CELLS / max(len(self.labels), 1)))
        self.columns = min(most, len(columns)), len(columns)
        shares = np.stack([self.naive.shares(label, None) for label in range(self.classes)], axis=1)
        against = shares <= self.limits["doubt"]
        counts = PairCounts(self.labels, against, self.limits)
        values = {
            column: counts.values(*_coded(self.sample.values[:, column]), left)
            for column in columns[:most]
        }
        tested, ranked, dropped = 0, list[Trigger](), list[float]()
        for pair in itertools.combinations(values, 2):
            count, found = counts.deciding(*(values[column] for column in pair))
            tested += count
            ranked += self._doubted(Trigger(pair, label, rows) for label, rows in found)
            ranked = sorted(ranked, key=_surest)
            dropped += [trigger.chance for trigger in ranked[JUDGED:]]
            ranked = ranked[:JUDGED]
        # Pairs of columns that say the same have the same rows: one of them is asked about.
        ranked = self._first(_apart(ranked), tested, "pairs of values", COMPARED_KINDS)
        ranked = [trigger for trigger in ranked if self._may_be_random(trigger)]
        ranked = self._first(ranked, tested, "pairs of values", ASKED)
        unlikely = sum(chance * tested <= self.limits["chance"] for chance in dropped)
        self.unasked["pairs of values"] += unlikely
        judged = [t for t in map(self._against_each, ranked) if t is not None]
        few = self._holm([t for t in judged if not self._related(t)], tested)
        kept = self._at_random(few)
        many = self._many(kept)
        return [t for t in kept if t.columns not in many]

    def _repeated(self, column: int) -> bool:
        """Whether a value of the column is in as many rows as a trigger needs."""
        counts = _coded(self.sample.values[:, column])[1]
        return bool(counts.max(initial=0) >= self.limits["support"])

    def _against_each(self, pair: Trigger) -> Trigger | None:
        """A pair, if models without its columns say otherwise, as do rows with one value."""
        shares = self.rest.crossed(pair.label, pair.columns)
        against = (shares <= self.limits["doubt"]) & ~pair.rows
        floor = 0.0
        for column in pair.columns:
            values = self.sample.values[:, column]
            near = against & (values == values[pair.rows][0])
            if near.sum() >= self.limits["support"]:
                floor = max(floor, float((self.labels[near] == pair.label).mean()))
        judged = self._judge(pair, shares[pair.rows], floor)
        return judged and replace(judged, shares=shares[pair.rows])

    def _holm(self, candidates: list[Trigger], tested: int) -> list[Trigger]:
        """Candidates that are no chance by Holm's step-down correction for all that was tested."""
        self.tested += tested
        kept = []
        for rank, trigger in enumerate(sorted(candidates, key=lambda t: t.chance)):
            if trigger.chance * (tested - rank) > self.limits["chance"]:
                break
            kept.append(replace(trigger, corrected=min(1.0, trigger.chance * tested)))
        return kept


def _surest(trigger: Trigger) -> tuple[float, int, tuple[int, ...]]:
    return trigger.chance, len(trigger.columns), trigger.columns


def _coded(values: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Code of each value and rows of each code; what is missing has a code of no rows."""
    distinct, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    counts[distinct == MISSING] = 0
    return codes.reshape(-1).astype(np.int64), counts.astype(np.int64)


def _apart(found: Iterable[Trigger]) -> list[Trigger]:
    """Of triggers with about the same rows the first one."""
    kept: list[Trigger] = []
    for trigger in found:
        if all((trigger.rows & k.rows).sum() * 2 < (trigger.rows | k.rows).sum() for k in kept):
            kept.append(trigger)
    return kept
