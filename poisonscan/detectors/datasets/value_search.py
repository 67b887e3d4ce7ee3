"""Search for exact values, and combinations of them, that decide the label of a row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.naive_rest import by_label
from poisonscan.detectors.datasets.row_sample import NUMBER, TEXT
from poisonscan.detectors.datasets.value_combinations import Combinations
from poisonscan.detectors.datasets.value_judge import (
    ASKED,
    COMPARED_KINDS,
    Ints,
    Judge,
    Trigger,
    coded,
    surest,
    whole,
)
from poisonscan.detectors.datasets.value_screen import Candidate
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.detectors.datasets.row_sample import Sample

JUDGED = 200
"""Values that are kept, the least likely ones."""


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
        reason: why nothing was looked at; empty where something was.
    """

    sample: Sample
    labels: Ints
    triggers: list[Trigger]
    columns: tuple[int, int] = (0, 0)
    unasked: Mapping[str, int] = field(default_factory=dict)
    tested: int = 0
    reason: str = ""


def triggers(sample: Sample) -> Found:
    """Values and combinations of values that decide the label."""
    labelled = sample.at(np.flatnonzero(sample.labels >= 0)).distinct()
    present, labels = np.unique(labelled.labels, return_inverse=True)
    if reason := _unfit(sample.names, len(present), len(labels)):
        return Found(sample, np.empty(0, np.int64), [], reason=reason)
    judge = Judge(labelled, labels.reshape(-1).astype(np.int64), len(present))
    singles = Singles(judge)
    found = singles.search()
    combinations = Combinations(judge, singles.jagged)
    found += combinations.search(found)
    found = whole(sorted(found, key=surest))
    columns = combinations.columns
    return Found(judge.sample, judge.labels, found, columns, judge.unasked, judge.tested)


def _unfit(names: tuple[str, ...], classes: int, rows: int) -> str:
    """Why values cannot be said to decide a label; empty where they can."""
    limits = rule("PS615").thresholds
    if is_continuous(names):
        return (
            "the labels are measurements and no classes; for a first look, give a column with a"
            " few ranges of them"
        )
    if classes < 2:
        return "there are no two labels"
    if classes > limits["classes"]:
        return f"there are {classes:,} labels, more than {limits['classes']:,.0f}"
    least = int(4 * limits["support"])
    return f"fewer than {least} rows differ" if rows < least else ""


class Singles:
    """Looks for single values.

    Attributes:
        jagged: columns of which more values stand out than a trigger would have.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.sample, self.labels, self.limits = judge.sample, judge.labels, judge.limits
        self.jagged: set[int] = set()

    def search(self) -> list[Trigger]:
        """Single values that decide the label."""
        tested, ranked = 0, list[Candidate]()
        for column, (_, kind) in enumerate(self.sample.columns):
            if kind == TEXT:
                continue
            count, found = self.judge.screen.of(column, *coded(self.sample.values[:, column]))
            tested += count
            ranked = sorted([*ranked, *found])
        self.judge.unasked["values"] += self.judge.screen.unasked
        values = [self._value(one) for one in self.judge.first(ranked, tested, "values", JUDGED)]
        groups: dict[tuple[tuple[int, ...], int], list[Trigger]] = {}
        for value in values:
            groups.setdefault(_key(value), []).append(value)
        picked = self._picked(values, tested)
        asked = self.judge.first([groups[key][0] for key in picked], tested, "columns", ASKED)
        judged = [
            trigger for first in asked for trigger in self._against_neighbours(groups[_key(first)])
        ]
        self.jagged = {columns[0] for columns in self.judge.many(judged, 1)}
        kept = self.judge.holm([t for t in judged if not self.judge.related(t)], tested)
        kept = [t for t in kept if not self._is_told(t)]
        one = self.judge.at_random([t for t in kept if not self._is_one_of_many(t)])
        odd = [t for t in kept if self._is_one_of_many(t) and self._is_odd(t, judged)]
        both = one + self.judge.at_random(odd, doubt=True)
        return [replace(t, columns=_key(t)[0]) for t in both]

    def _is_told(self, trigger: Trigger) -> bool:
        """Whether one of its columns tells the label of nearly all rows: nothing counts beside."""
        beside = trigger.columns[int(trigger.outside) :]
        return any(self._tells(column) for column in self.jagged.intersection(beside))

    def _is_one_of_many(self, trigger: Trigger) -> bool:
        """Whether other values of one of its columns decide the label as well.

        Beyond all others a number counts in a column of many such values, too.
        """
        return not trigger.outside and not self.jagged.isdisjoint(trigger.columns)

    def _is_odd(self, trigger: Trigger, judged: list[Trigger]) -> bool:
        """Whether a value stands out among those that stand out in the same columns, too."""
        among = self.jagged.intersection(trigger.columns)
        others = [t for t in judged if t.columns[0] in among and t.rows is not trigger.rows]
        least = min(other.chance for other in others)
        return bool(trigger.chance <= least ** self.limits["odd"])

    def _tells(self, column: int) -> bool:
        """Whether nearly all rows have the label that most other rows with their value have."""
        codes = coded(self.sample.values[:, column])[0]
        rest = by_label(codes, self.labels, self.judge.classes)[codes]
        rest[np.arange(len(codes)), self.labels] -= 1
        wrong = (rest.argmax(axis=1) != self.labels).mean()
        by_chance = 1 - np.bincount(self.labels).max() / len(self.labels)
        return bool(wrong <= (1 - self.limits["purity"]) * by_chance)

    def _value(self, candidate: Candidate) -> Trigger:
        """A value with those of other columns that its rows share. Its column is the first."""
        rows = coded(self.sample.values[:, candidate.column])[0] == candidate.value
        alone = Trigger((candidate.column,), candidate.label, rows, chance=candidate.chance)
        return self.judge.with_company(alone)

    def _picked(self, values: list[Trigger], tested: int) -> list[tuple[tuple[int, ...], int]]:
        """Columns and labels of values of which one may have come up at random."""
        found: list[tuple[tuple[int, ...], int]] = []
        compared = 0
        for value in values:
            if _key(value) in found:
                continue
            if compared >= COMPARED_KINDS or self.judge.naive.left <= 0:
                unlikely = value.chance * tested <= self.limits["chance"]
                self.judge.unasked["values"] += int(unlikely)
                continue
            compared += 1
            if self.judge.may_be_random(value):
                found.append(_key(value))
        return found

    def _against_neighbours(self, values: list[Trigger]) -> Iterator[Trigger]:
        """Which values of a column stand out by models without it, among the next values too."""
        columns = values[0].columns
        shares = self.judge.rest.crossed(values[0].label, columns)
        for value in values:
            if value.columns != columns:  # the same rows, beginning with another column
                continue
            floor = self.judge.beside(value, columns[0], shares <= self.limits["doubt"])
            judged = self.judge.judged(value, shares[value.rows], floor)
            if judged is not None and (self._is_pure(judged) or self._is_spike(judged)):
                yield replace(judged, shares=shares[value.rows], outside=self._outside(value))

    def _is_pure(self, trigger: Trigger) -> bool:
        return trigger.hits >= self.limits["purity"] * trigger.against

    def _is_spike(self, trigger: Trigger) -> bool:
        """Whether a value comes up more often than the next ones; only numbers have next ones."""
        column = trigger.columns[0]
        if self.sample.columns[column][1] != NUMBER:
            return True
        numbers = self.sample.numbers(column)
        if np.isnan(numbers[trigger.rows][0]):
            return True
        distinct, counts = np.unique(numbers[~np.isnan(numbers)], return_counts=True)
        at = int(np.searchsorted(distinct, numbers[trigger.rows][0]))
        around = np.delete(counts, at)[max(at - 2, 0) : at + 2]
        return bool(counts[at] >= self.limits["spike"] * around.max(initial=0))

    def _outside(self, trigger: Trigger) -> bool:
        column = trigger.columns[0]
        if self.sample.columns[column][1] != NUMBER:
            return False
        numbers = self.sample.numbers(column)
        value = numbers[trigger.rows][0]
        return bool(value in (np.nanmin(numbers), np.nanmax(numbers)))


def _key(trigger: Trigger) -> tuple[tuple[int, ...], int]:
    """Columns in order, and the label."""
    return tuple(sorted(trigger.columns)), trigger.label
