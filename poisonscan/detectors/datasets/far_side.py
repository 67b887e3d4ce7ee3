"""Do more rows of a class lie far out on one side than on the other, and are they foreign?

Rows that share a faint pattern make a small second hump on one side of the class along the pattern,
which may overlap the first: there need be no gap between. What tells it from the wide tails of
honest classes is that these have two sides: pictures that show the opposite of a rare thing are as
rare. So the shorter side, mirrored at the middle of the class, says how many honest rows to expect
on the longer one, as decoys do in other fields (Barber and Candès 2015, "Controlling the false
discovery rate via knockoffs").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from poisonscan.detectors.datasets.bimodality import (
    MIN_BUMP,
    Floats,
    Split,
    log10_binomial_tail,
    separation,
    variety,
)

HONEST = 0.05
"""Share of the rows beyond the threshold that may be honest, by what the other side shows."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When rows on the far side are reported. See the rules.

    Attributes:
        p_value: of both sides being alike, corrected for all that was looked at, at most.
        separation: of the rows beyond from the others, at least; see ``Split``.
        eigenvalue: variance along the direction in units of the other classes', at least.
        contrast: this over the median of the other classes' largest, at least.
        distinction: separation over what other classes have, at least; see ``allow``.
        participation: coordinates that make up the direction, at least.
        rows: beyond, at least.
        share: of the class, at most.
        outside: share of other classes' rows that lie there too, at most.
        variety: see ``Split``, at least.
    """

    p_value: float
    separation: float
    eigenvalue: float
    contrast: float
    distinction: float
    participation: float
    rows: float
    share: float
    outside: float
    variety: float

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Limits:
        """From a rule's thresholds."""
        return cls(**{name: float(values[name]) for name in cls.__slots__})

    def notable(self, split: Split, size: int) -> bool:
        """Whether both sides of a class are different, however far apart.

        Args:
            split: the rows beyond and the others.
            size: distinct rows of the class.
        """
        return (
            split.log_p <= math.log10(self.p_value)
            and split.participation >= self.participation
            and split.share * size >= self.rows
            and split.share <= self.share
        )

    def allow(self, split: Split, size: int, usual: float, apart: float) -> bool:
        """Whether the rows beyond are to be reported.

        Args:
            split: those rows and the others.
            size: distinct rows of the class.
            usual: median of the other classes' largest eigenvalues.
            apart: how far apart the sides of other classes are. Things that are drawn, centred or
                cut out come in kinds, and then the sides of most classes are different: a class
                must stand out among them.
        """
        return (
            self.notable(split, size)
            and split.separation >= max(self.separation, self.distinction * apart)
            and split.eigenvalue >= max(self.eigenvalue, self.contrast * usual)
            and split.outside <= self.outside
            and split.variety >= self.variety
        )


def middle(ordered: Floats) -> float:
    """Middle of the shortest interval that holds half of the values (Grübel 1988).

    A second hump of less than half of the rows hardly moves it, unlike mean and median.

    Args:
        ordered: ascending, of shape (n,), n >= 2.
    """
    half = len(ordered) // 2
    start = int(np.argmin(ordered[half:] - ordered[: len(ordered) - half]))
    return float(ordered[start] + ordered[start + half]) / 2


def threshold_of(values: Floats) -> tuple[float, float]:
    """How far out rows are mostly foreign, and how sure that is.

    The nearest place beyond which there are so many rows that those beyond its mirror image, and
    one more, are at most ``HONEST`` of them. If both sides were alike each of all these rows would
    be on either with the same chance: a binomial test, multiplied by the places looked at.

    Args:
        values: of shape (n,), n >= 2.

    Returns:
        The place, infinite where there is none, and log10 of the p-value.
    """
    ordered = np.sort(values)
    centre = middle(ordered)
    ahead = ordered[ordered > centre]
    beyond = np.arange(len(ahead), 0, -1)
    opposite = np.searchsorted(ordered, 2 * centre - ahead)
    enough = np.flatnonzero(1 + opposite <= HONEST * beyond)
    if not len(enough):
        return math.inf, 0.0
    first = int(enough[0])
    log_p = log10_binomial_tail(int(beyond[first]), int(opposite[first]), 1 / 2)
    before = ahead[first - 1] if first else centre
    return float(ahead[first] + before) / 2, min(0.0, log_p + math.log10(len(ahead)))


def far_side(
    axis: int, rows: Floats, others: Floats, looks: int, eigenvalue: float, participation: float
) -> Split | None:
    """The rows of a class on the far side along one axis, or None if both sides may be alike.

    Args:
        axis: which column.
        rows: distinct rows of the class, of shape (n, axes), n >= 2.
        others: rows of other classes, of shape (m, axes).
        looks: tests made over all axes, signs and classes, to correct for.
        eigenvalue: variance along the axis in units of the other classes'.
        participation: number of coordinates that make up the axis.
    """
    return side_beyond(
        threshold_of,
        lambda part, rest: variety(part, rest, axis),
        axis, rows, others, looks, eigenvalue, participation,
    )  # fmt: skip


def side_beyond(
    place: Callable[[Floats], tuple[float, float]],
    differ: Callable[[Floats, Floats], float],
    axis: int,
    rows: Floats,
    others: Floats,
    looks: int,
    eigenvalue: float,
    participation: float,
) -> Split | None:
    """The rows of a class beyond a place on the surer side of one axis, or None if there is none.

    Args:
        place: of values along the axis: where the side begins, and log10 of the p-value.
        differ: ``Split.variety`` of the side and of the rest.
        axis: this and what follows as for ``far_side``.
        rows: see there.
        others: see there.
        looks: see there.
        eigenvalue: see there.
        participation: see there.
    """
    sides = {sign: place(sign * rows[:, axis]) for sign in (1, -1)}
    sign = min(sides, key=lambda side: sides[side][1])
    threshold, log_p = sides[sign]
    log_p += math.log10(looks)
    above = sign * rows[:, axis] > threshold
    part, rest = rows[above], rows[~above]
    if log_p >= 0 or min(len(part), len(rest)) < MIN_BUMP:
        return None
    return Split(
        axis,
        sign,
        threshold,
        log_p,
        separation(part, rest, axis),
        len(part) / len(rows),
        float(np.mean(sign * others[:, axis] > threshold)) if len(others) else 0.0,
        differ(part, rest),
        eigenvalue,
        participation,
    )
