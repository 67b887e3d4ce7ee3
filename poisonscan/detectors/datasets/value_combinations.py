"""Combinations of values that decide the label while none of their parts does."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from poisonscan.detectors.datasets.row_sample import TEXT
from poisonscan.detectors.datasets.value_judge import (
    ASKED,
    COMPARED_KINDS,
    Bools,
    Judge,
    Trigger,
    apart,
    coded,
    surest,
)
from poisonscan.detectors.datasets.value_pairs import PairCounts, Start, Values

PAIR_CELLS = 40_000_000
"""Rows times pairs of columns that are looked at; of more columns the first ones."""
JUDGED = 200
"""Combinations that are kept, the least likely ones."""
STARTS = 40
"""Pairs that a third value is looked for to, the least likely ones."""

_Begun = tuple[float, tuple[int, int], Start]


class Combinations:
    """Looks for pairs of values, and for a third value that completes one.

    Args:
        judge: what models say of the rows.
        jagged: columns that are left out, as many of their values decide the label.

    Attributes:
        columns: columns that were looked at, and those that could have been.
    """

    def __init__(self, judge: Judge, jagged: set[int]) -> None:
        self.judge, self.jagged = judge, jagged
        self.sample, self.labels, self.limits = judge.sample, judge.labels, judge.limits
        self.columns = 0, 0

    def search(self, singles: Iterable[Trigger]) -> list[Trigger]:
        """Pairs of values that decide the label, and values that do so together with a pair.

        Args:
            singles: values that decide it alone, whose rows are left out.
        """
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
        naive, classes = self.judge.naive, range(self.judge.classes)
        shares = np.stack([naive.shares(label, ()) for label in classes], axis=1)
        counts = PairCounts(self.labels, shares <= self.limits["doubt"], self.limits)
        values = {
            column: counts.values(*coded(self.sample.values[:, column]), left)
            for column in columns[:most]
        }
        pairs, starts, tested = self._pairs(counts, values)
        for trigger in pairs:
            left &= ~trigger.rows
        return pairs + self._triples(counts, values, starts, left, tested)

    def _pairs(
        self, counts: PairCounts, values: dict[int, Values]
    ) -> tuple[list[Trigger], list[_Begun], int]:
        """Pairs that decide; the least likely ones that do in part; how many were looked at."""
        tested, ranked, starts = 0, _Ranked(), list[_Begun]()
        for pair in itertools.combinations(values, 2):
            deciding = counts.deciding(*(values[column] for column in pair))
            tested += deciding.tested
            ranked.add(self.judge.doubted(Trigger(pair, *one) for one in deciding.found))
            starts += [(start.chance, pair, start) for start in deciding.starts]
            starts = sorted(starts)[:STARTS]
        return self._surviving(ranked, tested, "pairs of values"), starts, tested

    def _triples(
        self,
        counts: PairCounts,
        values: dict[int, Values],
        starts: list[_Begun],
        left: Bools,
        pairs: int,
    ) -> list[Trigger]:
        """Values that decide the label together with two others.

        Which pairs are looked at was chosen by the same rows, so as many are taken to have been
        tested as if all had been.
        """
        tested, ranked = 0, _Ranked()
        for _, pair, start in starts:
            one, other = (values[column].codes for column in pair)
            rows = left & (one == start.one) & (other == start.other)
            for column in values.keys() - set(pair):
                count, found = counts.completing(rows, start.label, values[column])
                tested += count
                columns = tuple(sorted((*pair, column)))
                ranked.add(self.judge.doubted(Trigger(columns, *each) for each in found))
        tested = pairs * -(-tested // max(len(starts), 1))
        return self._surviving(ranked, tested, "triples of values")

    def _surviving(self, found: _Ranked, tested: int, kind: str) -> list[Trigger]:
        """Combinations that stand all other tests."""
        # Combinations in columns that say the same have the same rows: one of them is asked about.
        ranked = [self.judge.with_company(trigger) for trigger in apart(found.kept)]
        ranked = self.judge.first(ranked, tested, kind, COMPARED_KINDS)
        ranked = [trigger for trigger in ranked if self.judge.may_be_random(trigger)]
        ranked = self.judge.first(ranked, tested, kind, ASKED)
        unlikely = sum(chance * tested <= self.limits["chance"] for chance in found.dropped)
        self.judge.unasked[kind] += unlikely
        judged = [trigger for trigger in map(self._against_each, ranked) if trigger is not None]
        few = self.judge.holm([t for t in judged if not self.judge.related(t)], tested)
        kept = self.judge.at_random(few)
        many = self.judge.many(kept)
        return [trigger for trigger in kept if trigger.columns not in many]

    def _repeated(self, column: int) -> bool:
        """Whether a value of the column is in as many rows as a trigger needs."""
        counts = coded(self.sample.values[:, column])[1]
        return bool(counts.max(initial=0) >= self.limits["support"])

    def _against_each(self, trigger: Trigger) -> Trigger | None:
        """A combination, if models without its columns say otherwise, as do rows with a part."""
        shares = self.judge.rest.crossed(trigger.label, trigger.columns)
        against = (shares <= self.limits["doubt"]) & ~trigger.rows
        first = np.flatnonzero(trigger.rows)[0]
        same = {
            column: self.sample.values[:, column] == self.sample.values[first, column]
            for column in trigger.columns
        }
        floor = 0.0
        for column in trigger.columns:
            others = [rows for other, rows in same.items() if other != column]
            near = against & np.logical_and.reduce(others)
            if near.sum() >= self.limits["support"]:
                floor = max(floor, float((self.labels[near] == trigger.label).mean()))
            # Few rows have the next number as well: what they say by chance is no floor.
            beside = self.judge.beside(trigger, column, near)
            if beside >= self.limits["purity"]:
                floor = max(floor, beside)
        judged = self.judge.judged(trigger, shares[trigger.rows], floor)
        return judged and replace(judged, shares=shares[trigger.rows])


@dataclass(slots=True)
class _Ranked:
    """The least likely combinations, and the chances of those that were dropped."""

    kept: list[Trigger] = field(default_factory=list)
    dropped: list[float] = field(default_factory=list)

    def add(self, found: Iterable[Trigger]) -> None:
        ranked = sorted([*self.kept, *found], key=surest)
        self.dropped += [trigger.chance for trigger in ranked[JUDGED:]]
        self.kept = ranked[:JUDGED]
