"""Classes some of whose pictures share a faint pattern, whatever pictures are looked at for."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from poisonscan.datasets.batch import Aggregate
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.bimodality import Floats, Split
from poisonscan.detectors.datasets.far_side import Limits, far_side
from poisonscan.detectors.datasets.picture_views import View
from poisonscan.detectors.datasets.remote_group import Limits as Groups
from poisonscan.detectors.datasets.remote_group import remote_group
from poisonscan.detectors.datasets.suspects import Lineup
from poisonscan.finding import Fact, Finding, Gap, Rule
from poisonscan.verdict import ClassTest

TESTS = 2
"""Tests along each side of each direction."""
USUAL = 0.001
"""P-value at which sides of the other classes count as different when a class is compared with
them. By that at which a class is reported, others that just miss it would count as alike."""


def shared_pattern(
    dataset: Dataset, view: View, broken: Rule, what: str
) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
    """Ask for class moments, then for projections, then report classes with rows on a far side.

    The directions are those of spectral signatures (see ``contrast``). One test needs no gap (see
    ``far_side``), for vectors of which no coordinate is much larger than others; the other finds
    rows that are too few for it (see ``remote_group``).

    Args:
        dataset: labelled pictures.
        view: how they are looked at.
        broken: the rule.
        what: what the rows share, for the message.

    Raises:
        LimitReached: too many different labels to be classes, or too many rows without a picture.
    """
    lineups = yield from Lineup.every(dataset, view)
    name = broken.name.replace("-", " ")
    if isinstance(lineups, str):
        return [Fact(name, lineups)]
    (lineup,) = lineups
    limits, tested = Limits.of(broken.thresholds), lineup.testable()
    few = Groups.of(broken.thresholds)
    every = {
        code: _splits(lineup, code, rows, len(tested), far_side) for code, rows in tested.items()
    }
    usual_sides = replace(limits, p_value=USUAL)
    widest = {
        code: max(
            (s.separation for s in splits if usual_sides.notable(s, len(tested[code]))), default=0
        )
        for code, splits in every.items()
    }
    findings: list[Finding] = []
    found: dict[int, Split] = {}
    for code, splits in every.items():
        usual, apart = _usual(lineup, code), upper_quartile(widest, code)
        needed = max(limits.separation, limits.distinction * apart)
        passing = [s for s in splits if limits.allow(s, len(tested[code]), usual, apart)]
        if not passing:
            needed = few.separation
            second = float(lineup.contrast.eigenvalues[code, 1])
            groups = _splits(lineup, code, tested[code], len(tested), remote_group)
            passing = [group for group in groups if few.allow(group, second, usual)]
        if not passing:
            continue
        split = found[code] = min(passing, key=lambda s: (s.log_p, -s.separation))
        findings.append(
            lineup.finding(
                broken,
                code,
                split.excess,
                f"{what}, {split.separation:.1f} spreads away from the rest of the class"
                f" ({needed:.1f} or more are reported)",
                split.separation,
                separation_needed=needed,
                separation_of_others=apart,
                eigenvalue=split.eigenvalue,
                eigenvalue_of_others=usual,
                log10_p=split.log_p,
                coordinates=split.participation,
                other_classes_beyond=split.outside,
            )
        )
    looks = TESTS * 2 * lineup.contrast.eigenvalues.shape[1]
    tests = lineup.tests(broken, tested, found, looks)
    return [*findings, Fact(name, lineup.tested(tested)), *lineup.gaps(), *tests]


def _usual(lineup: Lineup, code: int) -> float:
    """Median of the other classes' largest eigenvalues."""
    return float(np.median(np.delete(lineup.contrast.eigenvalues[:, 0], code)))


def upper_quartile(widest: Mapping[int, float], code: int) -> float:
    """That of the other classes' separations: one or two more that are poisoned change little.

    Args:
        widest: by class, how far its sides are apart at most; 0 where they are alike.
        code: the class that is left out.
    """
    others = [separation for other, separation in widest.items() if other != code]
    return float(np.quantile(others, 3 / 4)) if others else 0.0


def _splits(
    lineup: Lineup, code: int, rows: Floats, classes: int, test: Callable[..., Split | None]
) -> list[Split]:
    """The rows that a test finds along each of a class's directions."""
    contrast, others = lineup.contrast, lineup.outside(code)
    axes = np.eye(rows.shape[1])
    looks = TESTS * 2 * len(axes) * classes
    found = (
        test(
            number,
            rows,
            others,
            looks,
            float(contrast.eigenvalues[code, number]),
            contrast.participation(code, axis),
        )
        for number, axis in enumerate(axes)
    )
    return [split for split in found if split is not None]
