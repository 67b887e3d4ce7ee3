"""Does a class fall apart in two along a direction, and is one part like nothing else in the data?

Real classes have heavy tails and several modes, so neither a large variance nor a better fit of two
clusters than of one says much. A part of a class counts as foreign only if all of this holds:

1. the class is not unimodal along the direction (an exact test, whatever the shape of its tails),
2. its two parts are far apart for their own width,
3. the variance along the direction is a multiple of the other classes', and several coordinates
   make it up: one alone is a property of that column, not a pattern,
4. the part is no large majority, is not made of copies, and other classes' rows do not lie among
   its own,
5. most other classes show nothing like it.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TESTED_ROWS = 20_000
"""Rows of a class that the test looks at; the split it finds is applied to all."""
MIN_ROWS = 30
"""Distinct rows below which a class cannot be tested."""
MIN_BUMP = 8
"""Rows of the smallest bump looked for: fewer cannot be told from chance."""
VALLEYS = (1.0, 4.0)
"""Widths of the valley looked for before a bump, in widths of the bump."""
MINOR = 1 / 3
"""Share of a class up to which a part is minor. Classes that networks learnt often fall in halves,
two kinds of honest rows; that says nothing of a part which is smaller than kinds are."""
KINDS = 4 / 3
"""How much further apart the parts of a class must be where none of them is minor."""
BULK = 0.35
"""Share of the rows that must lie before the valley."""
EVEN = 0.4
"""Share of a class from which on its smaller part may be the honest one."""
INNER = 0.9
"""Share of a part's rows that say how far it reaches: single far ones would make it large."""
REACH = 10.0
"""Rows count as no farther than this from the middle of a part, in its spreads along each axis, so
that a few wild ones do not say what shape it has."""


@dataclass(frozen=True, slots=True)
class Split:
    """A class in two parts along one axis; the part above ``threshold`` on ``sign * x`` is foreign.

    Attributes:
        axis: index of the axis.
        sign: 1 or -1.
        threshold: where the parts meet, on ``sign * x``.
        log_p: log10 of the p-value of unimodality, corrected for all places looked at.
        separation: distance of the parts' medians over their root mean square spread, as in
            Ashman's D (Ashman, Bird and Zepf 1994).
        share: of the class's rows, in the foreign part.
        outside: share of other classes' rows among those of the foreign part; see ``among``.
        variety: spread of the foreign part along the other axes over that of the rest: near 0 when
            it is made of near copies of one row.
        eigenvalue: variance along the axis in units of the other classes'.
        participation: number of coordinates that make up the axis.
    """

    axis: int
    sign: int
    threshold: float
    log_p: float
    separation: float
    share: float
    outside: float
    variety: float
    eigenvalue: float
    participation: float

    def foreign(self, coordinates: Floats) -> NDArray[np.bool_]:
        """Which rows, of shape (rows, axes), are in the foreign part."""
        return np.asarray(self.sign * coordinates[:, self.axis] > self.threshold)

    def excess(self, coordinates: Floats) -> Floats:
        """How far beyond the threshold rows are."""
        return np.asarray(self.sign * coordinates[:, self.axis] - self.threshold)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a split is reported. See ``foreign_parts`` and the rules."""

    p_value: float
    separation: float
    eigenvalue: float
    participation: float
    share: float
    outside: float
    variety: float
    contrast: float

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Thresholds:
        """From a rule's thresholds."""
        return cls(**{name: float(values[name]) for name in cls.__slots__})


def log10_binomial_tail(successes: int, failures: int, chance: float) -> float:
    """log10 of P(X >= successes) for X binomial over successes + failures trials, at least -300."""
    from scipy.special import betainc  # what binom.sf comes to, without its 0.2 ms of checks a call

    if successes <= 0:
        return 0.0
    return math.log10(max(float(betainc(successes, failures + 1, chance)), 1e-300))


def bump(values: Floats) -> tuple[float, float]:
    """Test whether the density rises again, somewhere above the bulk.

    If a density falls all the way from its mode, a stretch can hold no more rows than an equally
    long stretch before it, and no more than ``1 / (1 + w)`` of both if that is ``w`` times as long.
    For every run of successive values, of many lengths, the rows in the stretch before it are
    counted and compared by a binomial test; the smallest p-value is multiplied by the number of
    runs (Bonferroni). No assumption is made about tails, so heavy ones raise no alarm.

    Args:
        values: distinct and ascending, of shape (n,).

    Returns:
        log10 of the corrected p-value, at most 0, and the middle of the widest gap in the valley.
    """
    n, runs, best, valley = len(values), 0, 0.0, (0, 0)
    first, size = int(BULK * n), MIN_BUMP
    while size <= n - first:
        starts = np.arange(first, n - size + 1)
        lengths = values[starts + size - 1] - values[starts]
        for width in VALLEYS:
            ends = np.searchsorted(values, values[starts] - width * lengths)
            between = np.where(ends >= first, starts - ends, n)
            runs += len(starts)
            lowest = int(np.argmin(between))
            if between[lowest] < n:
                # The run was chosen to start and end on a row, so those two prove nothing.
                gap = int(between[lowest])
                log_p = log10_binomial_tail(size - 2, gap, 1 / (1 + width))
                if log_p < best:
                    best, valley = log_p, (int(ends[lowest]) - 1, int(starts[lowest]) + 1)
        size = int(size * 1.3) + 1
    if best == 0.0:
        return 0.0, float("nan")
    seen = values[max(valley[0], 0) : valley[1]]
    widest = int(np.argmax(np.diff(seen)))
    return min(0.0, best + math.log10(runs)), float(seen[widest] + seen[widest + 1]) / 2


def spread(values: Floats) -> float:
    """Half the distance of the 16th and 84th percentiles: a standard deviation, if normal."""
    low, high = np.percentile(values, [16, 84])
    return max(float(high - low) / 2, 1e-12)


def separation(part: Floats, rest: Floats, axis: int) -> float:
    """``Split.separation`` of two groups of rows, of shape (rows, axes) each."""
    distance = abs(float(np.median(part[:, axis]) - np.median(rest[:, axis])))
    widths = np.hypot(spread(part[:, axis]), spread(rest[:, axis])) / np.sqrt(2)
    return distance / float(widths)


def variety(part: Floats, rest: Floats, axis: int) -> float:
    """``Split.variety`` of the same; 1 where there is no other axis."""
    across = [i for i in range(part.shape[1]) if i != axis]
    spreads = [spread(part[:, i]) / spread(rest[:, i]) for i in across] or [1.0]
    return float(np.median(spreads))


def among(part: Floats, rest: Floats, others: Floats) -> float:
    """Share of other rows that lie where those of a part do: as near to its middle as most of them.

    Wrongly labelled rows lie where the rows of their own class do. Rows with a trigger may lie on
    the same side of their class as others do, but in a place of their own. Distances are
    Mahalanobis', by the mean of the covariances of both parts, as that of a small part is of low
    rank.

    Args:
        part: of shape (rows, axes), rows >= 2.
        rest: of the same class, of shape (rows, axes), rows >= 2.
        others: rows of other classes, of shape (m, axes).
    """
    if not len(others):
        return 0.0
    middle = np.median(part, axis=0)
    scale = np.array([spread(column) for column in part.T])
    near, others = (np.clip((rows - middle) / scale, -REACH, REACH) for rows in (part, others))
    rest = np.clip((rest - np.median(rest, axis=0)) / scale, -REACH, REACH)
    covariance = np.atleast_2d(np.cov(near.T) + np.cov(rest.T)) / 2
    covariance += np.eye(len(covariance)) * (1e-3 * np.trace(covariance) / len(covariance) + 1e-9)
    own, foreign = (
        np.einsum("ij,ij->i", rows, np.linalg.solve(covariance, rows.T).T)
        for rows in (near, others)
    )
    return float(np.mean(foreign <= np.quantile(own, INNER)))


def distinct_rows(coordinates: Floats, seed: int = 0) -> Floats:
    """At most ``TESTED_ROWS`` rows without copies, which would fake a cluster."""
    if len(coordinates) > TESTED_ROWS:
        chosen = np.random.default_rng(seed).choice(len(coordinates), TESTED_ROWS, replace=False)
        coordinates = coordinates[np.sort(chosen)]
    if not len(coordinates):
        return coordinates
    grain = np.array([spread(column) for column in coordinates.T]) * 1e-4
    _, first = np.unique(np.round(coordinates / grain), axis=0, return_index=True)
    return np.asarray(coordinates[np.sort(first)])


def split_along(
    axis: int, rows: Floats, others: Floats, looks: int, eigenvalue: float, participation: float
) -> Split | None:
    """The split of a class along one axis, or None if it may well be unimodal there.

    Args:
        axis: which column.
        rows: distinct rows of the class, of shape (n, axes).
        others: rows of other classes, of shape (m, axes).
        looks: tests made over all axes, signs and classes, to correct for.
        eigenvalue: variance along the axis in units of the other classes'.
        participation: number of coordinates that make up the axis.
    """
    tests = {sign: bump(np.unique(sign * rows[:, axis])) for sign in (1, -1)}
    sign = min(tests, key=lambda side: tests[side][0])
    log_p, threshold = tests[sign]
    log_p += math.log10(looks)
    if log_p >= 0:
        return None
    above = sign * rows[:, axis] > threshold
    smaller, larger = rows[above], rows[~above]
    if min(len(smaller), len(larger)) < MIN_BUMP:
        return None
    swapped = len(smaller) > len(larger)
    if swapped:
        smaller, larger = larger, smaller
    outside = among(smaller, larger, others)
    if len(smaller) > EVEN * len(rows) and (more := among(larger, smaller, others)) < outside:
        smaller, larger, outside, swapped = larger, smaller, more, not swapped
    if swapped:
        sign, threshold = -sign, -threshold
    return Split(
        axis,
        sign,
        threshold,
        log_p,
        separation(smaller, larger, axis),
        len(smaller) / len(rows),
        outside,
        variety(smaller, larger, axis),
        eigenvalue,
        participation,
    )


def is_foreign(split: Split, limits: Thresholds) -> bool:
    """Whether a split passes every test that looks at its own class only."""
    return (
        split.log_p <= math.log10(limits.p_value)
        and split.separation >= limits.separation
        and split.eigenvalue >= limits.eigenvalue
        and split.participation >= limits.participation
        and split.share <= limits.share
        and split.outside <= limits.outside
        and split.variety >= limits.variety
    )


def medians_of_others(values: list[float]) -> list[float]:
    """For each value the median of all others; 1.0 for a value on its own."""
    others = len(values) - 1
    if others < 1:
        return [1.0] * len(values)
    ordered = sorted(values)
    low, high = (others - 1) // 2, others // 2
    medians = []
    for value in values:
        rank = bisect.bisect_left(ordered, value)
        medians.append((ordered[low + (rank <= low)] + ordered[high + (rank <= high)]) / 2)
    return medians


def usual_separations(
    splits: Mapping[int, list[Split]], limits: Thresholds, share: float
) -> dict[int, float]:
    """For each class how far apart parts of the other classes are: the median of the widest.

    Args:
        splits: the splits of every tested class.
        limits: the thresholds.
        share: of their class that the parts may be at most.
    """
    widest = [
        max(
            (
                split.separation
                for split in found
                if split.log_p <= math.log10(limits.p_value) and split.share <= share
            ),
            default=1.0,
        )
        for found in splits.values()
    ]
    return dict(zip(splits, medians_of_others(widest), strict=True))


def foreign_parts(
    splits: Mapping[int, list[Split]], limits: Thresholds
) -> tuple[dict[int, Split], dict[int, float]]:
    """Which classes have a foreign part.

    Args:
        splits: the splits of every tested class.
        limits: the thresholds.

    Returns:
        The chosen split of each class that has one, and for each of these the separation that it
        had to reach: ``contrast`` times the median of the other classes', if that is more than
        ``separation``. A part of at most ``MINOR`` of its class is compared with such parts only; a
        larger one, which may be one of two honest kinds, needs ``KINDS`` times ``separation``.
    """
    minor = usual_separations(splits, limits, MINOR)
    usual = usual_separations(splits, limits, 1.0)
    chosen, needed = {}, {}
    for code, found in splits.items():
        least = {
            split: max(
                limits.separation * (1.0 if split.share <= MINOR else KINDS),
                limits.contrast * (minor if split.share <= MINOR else usual)[code],
            )
            for split in found
        }
        passing = [s for s in found if is_foreign(s, limits) and s.separation >= least[s]]
        if passing:
            # The surest, not the widest: within the poison a part may stand further apart still.
            chosen[code] = min(passing, key=lambda s: (s.log_p, -s.separation))
            needed[code] = least[chosen[code]]
    return chosen, needed
