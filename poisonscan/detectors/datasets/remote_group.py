"""Are a few rows of a class far from all its others, and is nothing between?

Rows with a trigger may be so few that no test of the shape of a class sees them, and yet far from
it: by a hundred times its width, some by twice as much as others. Distances are compared by their
logarithms then. Of honest rows, whatever their tails, there are the fewer in each doubling of the
distance the further out it is: that holds for all densities that fall like some power of the
distance or faster, however heavy the tail (for these "regularly varying" ones see Embrechts,
Klüppelberg and Mikosch 1997, *Modelling Extremal Events*). A group behind an empty stretch breaks
it. ``bimodality`` asks less of honest rows, and needs a gap several times as wide as the group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from poisonscan.detectors.datasets.bimodality import (
    MIN_BUMP,
    Floats,
    Split,
    spread,
)
from poisonscan.detectors.datasets.far_side import middle, side_beyond

LARGEST = 1 / 3
"""Share of a class up to which rows are a group in it; see ``bimodality.MINOR``."""
VALLEYS = (1.0, 2.0, 4.0)
"""Widths of the empty stretch looked for before a group, in widths of the group, by logarithms."""
TAIL = 2.0
"""Spreads from the middle of a class from which rows count as its tail: a class without tails,
as many between any two places as between others, ends before."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a group is reported. See the rules.

    Attributes:
        p_value: of there being no group, corrected for all that was looked at, at most.
        separation: of the group from the others, at least; see ``Split``.
        lead: variance along the direction over that along the class's second, at least. A trigger
            is one pattern: what honest pictures show goes on in many.
        participation: coordinates that make up the direction, at least.
        contrast: variance along the direction over what is usual for a class, at least.
        outside: share of other classes' rows that lie there too, at most.
        variety: see ``Split``, at least.
    """

    p_value: float
    separation: float
    lead: float
    participation: float
    contrast: float
    outside: float
    variety: float

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Limits:
        """From a rule's thresholds: those of their own for a group begin with ``remote_``."""
        own = {name: f"remote_{name}" for name in cls.__slots__}
        return cls(
            **{name: float(values[key if key in values else name]) for name, key in own.items()}
        )

    def allow(self, split: Split, second: float, usual: float) -> bool:
        """Whether a group is to be reported.

        Args:
            split: the group and the other rows of its class.
            second: the class's second largest eigenvalue.
            usual: median of the other classes' largest eigenvalues.
        """
        return (
            split.log_p <= math.log10(self.p_value)
            and split.separation >= self.separation
            and split.eigenvalue >= max(self.lead * second, self.contrast * usual)
            and split.participation >= self.participation
            and split.outside <= self.outside
            and split.variety >= self.variety
        )


def edge(values: Floats) -> tuple[float, float]:
    """Where a group begins that is all on its own, and how sure that is.

    If densities of log distances fall, the outermost rows take up no less room than as many others
    would before them: of all rows in their stretch and in one ``w`` times as long before it, a row
    is in theirs with a chance of at most ``1 / (1 + w)``. That is tested for every number of
    outermost rows, and corrected for all of them.

    Args:
        values: distinct, of shape (n,), n >= 2.

    Returns:
        The middle of the widest gap before the group, infinite where there is none, and log10 of
        the p-value, at most 0.
    """
    from scipy.special import betainc

    ordered = np.sort(values)
    centre, width, n = middle(ordered), spread(ordered), len(ordered)
    far = np.log1p(np.maximum((ordered - centre) / width, 0))
    sizes = np.arange(MIN_BUMP, int(LARGEST * n) + 1)
    best, place = 0.0, math.inf
    for valley in VALLEYS:
        starts = n - sizes
        before = far[starts] - valley * (far[-1] - far[starts])
        between = starts - np.searchsorted(far, before)
        # The group was chosen to begin and end on a row, so those two prove nothing.
        chances = betainc(sizes - 2, between + 1, 1 / (1 + valley))
        chances = np.where(before >= math.log1p(TAIL), chances, 1.0)
        if not len(chances) or chances.min() >= 10**best:
            continue
        found = int(chances.argmin())
        best = math.log10(max(float(chances[found]), 1e-300))
        first = int(starts[found])
        around = ordered[first - int(between[found]) - 1 : first + 1]
        gap = int(np.diff(around).argmax())
        place = float(around[gap] + around[gap + 1]) / 2
    return place, min(0.0, best + math.log10(len(VALLEYS) * max(len(sizes), 1)))


def remote_group(
    axis: int, rows: Floats, others: Floats, looks: int, eigenvalue: float, participation: float
) -> Split | None:
    """The group of rows of a class that is on its own along one axis, if any.

    Args:
        axis: which column.
        rows: distinct rows of the class, of shape (n, axes), n >= 2.
        others: rows of other classes, of shape (m, axes).
        looks: tests made over all axes, signs and classes, to correct for.
        eigenvalue: variance along the axis in units of the other classes'.
        participation: number of coordinates that make up the axis.
    """
    return side_beyond(
        lambda values: edge(np.unique(values)),
        lambda part, rest: _variety(part, rest, others, axis),
        axis, rows, others, looks, eigenvalue, participation,
    )  # fmt: skip


def _variety(part: Floats, rest: Floats, others: Floats, axis: int) -> float:
    """``Split.variety``, over what is less: the spread of the rest or that of other classes.

    Rows that were taken from other classes are as different from each other as these are: little,
    along the directions in which their new class varies most.
    """
    usual = [others] if len(others) >= MIN_BUMP else []
    across = [column for column in range(part.shape[1]) if column != axis]
    spreads = [
        spread(part[:, column]) / min(spread(rows[:, column]) for rows in (rest, *usual))
        for column in across
    ] or [1.0]
    return float(np.median(spreads))
