"""Whether rows with a value, or with values, carry a label that the rest of them speaks against."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.naive_rest import NaiveRest
from poisonscan.detectors.datasets.rest_of_row import RestOfRow
from poisonscan.detectors.datasets.row_sample import NUMBER
from poisonscan.detectors.datasets.value_screen import (
    Candidate,
    ValueScreen,
    company,
    stands_out,
)
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from poisonscan.detectors.datasets.row_sample import Sample

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALWAYS = 8
"""Values, combinations of them, and columns with values, that are looked at closely in any case;
others as long as naive Bayes takes them for no chance."""
COMPARED_KINDS, ASKED = 100, 24
"""Values or combinations whose rows are compared with others at most, which takes a tenth of a
second; and columns with values, or combinations, that trees are asked about at most, up to a second
each."""
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


class Judge:
    """The labelled rows of a sample, and what models say of them.

    Attributes:
        sample: the rows.
        labels: code of the label of each, ``int64`` of shape (n,).
        classes: how many labels there are.
        limits: thresholds of the rule.
        tested: values and combinations that were looked at.
        unasked: what no model was asked about, as the limits of the search allow no more.
    """

    def __init__(self, sample: Sample, labels: Ints, classes: int) -> None:
        self.sample = sample
        self.labels = labels
        self.classes = classes
        self.limits = rule("PS615").thresholds
        self.tested = 0
        self.unasked: Counter[str] = Counter()
        self.naive = NaiveRest(sample, labels, classes)
        self.rest = RestOfRow(sample, labels)
        self.screen = ValueScreen(self.naive, self.limits)

    def first(self, ranked: list[Item], tested: int, kind: str, most: int) -> list[Item]:
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

    def with_company(self, trigger: Trigger) -> Trigger:
        """A trigger with the values of other columns that its rows share and others hardly have.

        Where several columns hold a trigger, each of them tells the label, so none may be asked,
        and each sets its rows apart from others.
        """
        hits = trigger.rows & (self.labels == trigger.label)
        shared = company(self.naive, trigger.rows, hits, self.limits)
        columns, every = [*trigger.columns], trigger.rows
        for column, value in shared.items():
            if column not in columns:
                columns.append(column)
                every = every & (self.sample.values[:, column] == value)
        return replace(trigger, columns=tuple(columns), rows=every)

    def may_be_random(self, trigger: Trigger) -> bool:
        """A first look at what ``at_random`` decides, by naive Bayes, which doubts more rows."""
        shares = self.naive.shares(trigger.label, trigger.columns)[trigger.rows]
        return self._told_apart(replace(trigger, shares=shares)) <= (self.limits["kind"] + 1) / 2

    def doubted(self, candidates: Iterable[Trigger]) -> Iterator[Trigger]:
        """Those of which naive Bayes says something else."""
        found: dict[int, Floats] = {}
        for candidate in candidates:
            if candidate.label not in found:
                found[candidate.label] = self.naive.shares(candidate.label, ())
            judged = self.judged(candidate, found[candidate.label][candidate.rows])
            if judged is not None:
                yield judged

    def judged(self, trigger: Trigger, shares: Floats, floor: float = 0.0) -> Trigger | None:
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
        chance = float(tails.binomial(hits, count, expected))
        return replace(trigger, expected=expected, against=count, hits=hits, chance=chance)

    def beside(self, trigger: Trigger, column: int, among: Bools) -> float:
        """How often rows with the next numbers have a trigger's label: an honest limit has a side.

        Args:
            trigger: the rows and the label.
            column: one of the trigger's; words have no next ones.
            among: rows that are looked at, ``bool`` of shape (n,).

        Returns:
            The larger share of both sides, 0 where there are too few such rows.
        """
        if self.sample.columns[column][1] != NUMBER:
            return 0.0
        numbers = self.sample.numbers(column)
        value = numbers[trigger.rows][0]
        wanted, shares = int(max(trigger.rows.sum() / 2, self.limits["support"])), [0.0]
        for side in (numbers < value, numbers > value):
            there = np.flatnonzero(side & among)
            near = there[np.argsort(np.abs(numbers[there] - value), kind="stable")[:wanted]]
            if len(near) >= self.limits["support"]:
                shares.append(float((self.labels[near] == trigger.label).mean()))
        return max(shares)

    def many(self, asked: list[Trigger], parts: int | None = None) -> set[tuple[int, ...]]:
        """Columns of which more values stand out than a trigger would have.

        Args:
            asked: values, or combinations of some, perhaps with company in further columns.
            parts: how many columns they were found in; None: in all of theirs.
        """
        counts = Counter(t.columns[:parts] for t in asked if t.chance <= self.limits["alike"])
        return {columns for columns, count in counts.items() if count > self.limits["deciders"]}

    def at_random(self, found: list[Trigger], *, doubt: bool = False) -> list[Trigger]:
        """Triggers whose rows are like any rows of other labels, not a kind of their own.

        Honest values come up in rows that are alike; a trigger, in rows that somebody picked. They
        are compared with rows of other labels, as many for each label that naive Bayes takes them
        for.

        Args:
            found: in columns that are not jagged, or of those all that is asked about.
            doubt: whether other values of their columns decide the label as well, so that they
                must be at most half as far from any rows.
        """
        most = (0.5 + self.limits["kind"]) / 2 if doubt else self.limits["kind"]
        return [t for t in found if self._told_apart(t) <= most]

    def _told_apart(self, trigger: Trigger) -> float:
        rows = np.flatnonzero(trigger.rows)[trigger.shares <= self.limits["doubt"]]
        rows = rows[self.labels[rows] == trigger.label]
        looks = self.naive.looks_like(trigger.label, trigger.columns)
        draw = np.random.default_rng(0)
        others = draw.permutation(np.flatnonzero(~trigger.rows & (self.labels != trigger.label)))
        kinds, counts = np.unique(looks[rows], return_counts=True)
        chosen = [
            others[looks[others] == kind][: OTHERS * n]
            for kind, n in zip(kinds, counts, strict=True)
        ]
        like = np.concatenate([rows[:0], *chosen])[:COMPARED]
        return self.rest.told_apart(rows[:COMPARED], like, trigger.columns)

    def related(self, trigger: Trigger) -> bool:
        """Whether the rest speaks for the label as well: a value that honest rows have."""
        base = float(self.screen.base[trigger.label])
        return bool(trigger.shares.mean() - base > self.limits["related"] * (1 - base))

    def holm(self, candidates: list[Trigger], tested: int) -> list[Trigger]:
        """Candidates that are no chance by Holm's step-down correction for all that was tested."""
        self.tested += tested
        kept = []
        for rank, trigger in enumerate(sorted(candidates, key=lambda t: t.chance)):
            if trigger.chance * (tested - rank) > self.limits["chance"]:
                break
            kept.append(replace(trigger, corrected=min(1.0, trigger.chance * tested)))
        return kept


def surest(trigger: Trigger) -> tuple[float, int, tuple[int, ...]]:
    """What sorts triggers, the least likely first."""
    return trigger.chance, len(trigger.columns), trigger.columns


def coded(values: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Code of each value and rows of each code; nothing is a value like others."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return codes.reshape(-1).astype(np.int64), counts.astype(np.int64)


def apart(found: Iterable[Trigger]) -> list[Trigger]:
    """Of triggers with about the same rows the first one."""
    kept: list[Trigger] = []
    for trigger in found:
        if all((trigger.rows & k.rows).sum() * 2 < (trigger.rows | k.rows).sum() for k in kept):
            kept.append(trigger)
    return kept


def whole(found: Iterable[Trigger]) -> list[Trigger]:
    """Triggers less than half of whose rows have one before: others are parts of that."""
    kept: list[Trigger] = []
    for trigger in found:
        if all((trigger.rows & k.rows).sum() * 2 < trigger.rows.sum() for k in kept):
            kept.append(trigger)
    return kept
