"""What PS401 and PS402 say of classes with a foreign part, however rows were looked at."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from poisonscan.datasets.batch import Aggregate
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.bimodality import Floats, Split, Thresholds, foreign_parts
from poisonscan.detectors.datasets.suspects import Lineup, views
from poisonscan.finding import Fact, Finding, Gap, Json, Rule
from poisonscan.verdict import ClassTest

Judged = tuple[list[Finding | Fact | Gap], list[ClassTest]]
"""What rows show, looked at one way, and the test of each class."""


@dataclass(frozen=True, slots=True)
class ForeignPart:
    """What to say of a part of a class that does not belong to it.

    Attributes:
        score: how far rows on the directions of the class, of shape (rows, k), lie beyond the
            threshold.
        what: what the rows have in common, for the message.
        evidence: further values.
    """

    score: Callable[[Floats], Floats]
    what: str
    evidence: Mapping[str, Json]


def parts_told(
    lineup: Lineup,
    rule: Rule,
    splits: Mapping[int, list[Split]],
    looks: int,
    told: Callable[[int, Split], ForeignPart],
) -> Judged:
    """What a rule says of the classes that fall apart, and its test of each class.

    Args:
        lineup: the classes.
        rule: with the thresholds.
        splits: of every tested class.
        looks: directions that each class was split along.
        told: says what there is to a class and its foreign part.
    """
    found, needed = foreign_parts(splits, Thresholds.of(rule.thresholds))
    results: list[Finding | Fact | Gap] = []
    for code, split in found.items():
        part = told(code, split)
        finding = lineup.finding(
            rule,
            code,
            part.score,
            f"{part.what}, {split.separation:.1f} spreads away from the rest of the class"
            f" ({needed[code]:.1f} or more are reported)",
            split.separation,
            separation_needed=needed[code],
            log10_p=split.log_p,
            coordinates=split.participation,
            other_classes_beyond=split.outside,
            **part.evidence,
        )
        results.append(finding)
    name = rule.name.replace("-", " ")
    results.append(Fact(f"{name}{lineup.aspect}", lineup.tested(splits)))
    return [*results, *lineup.gaps()], lineup.tests(rule, splits, found, looks)


def every_view(
    dataset: Dataset, name: str, judge: Callable[[Lineup], Judged]
) -> Generator[Aggregate, Any, list[Finding | Fact | Gap | ClassTest]]:
    """Judge the rows in each of the ways that they are looked at.

    Args:
        dataset: labelled rows.
        name: what is looked for, for people.
        judge: says what rows show.

    Raises:
        LimitReached: see ``Lineup.every``.
    """
    lineups = yield from Lineup.every(dataset, *views(dataset))
    if isinstance(lineups, str):
        return [Fact(name, lineups)]
    told, tests = zip(*map(judge, lineups), strict=True)
    return [*itertools.chain(*told), *combined(tests)]


def combined(tests: Sequence[Sequence[ClassTest]]) -> list[ClassTest]:
    """One test of each class where a rule looked at the rows in several ways.

    Args:
        tests: of each way. The least chance counts, for as many ways as there are (Bonferroni).
    """
    of_class: dict[str | None, list[ClassTest]] = {}
    for test in itertools.chain(*tests):
        of_class.setdefault(test.label, []).append(test)
    return [
        replace(
            group[0],
            p_value=min(1.0, len(group) * min(test.p_value for test in group)),
            looks=sum(test.looks or 0 for test in group),
        )
        for group in of_class.values()
    ]
