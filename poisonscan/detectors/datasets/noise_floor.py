"""How many labels are wrong, told apart from what a classifier gets wrong by itself.

Honest classes overlap where the classifier is unsure, so its contradictions die out as its margin
grows. Labels that were flipped do not care how sure it is: they keep a floor under the curve, also
among rows that look most like their class (the anchor points of Liu and Tao, 2016, "Classification
with noisy labels by importance reweighting"; the confident examples of Northcutt et al., 2021,
"Confident learning"). Both are fitted together by maximum likelihood.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BINS = 100
"""Groups of rows of like margin that the curve is fitted to."""
_RATES = np.concatenate([[0.0], np.geomspace(0.0005, 0.5, 36)])
"""Rates of flipped labels that are tried."""
_UNSURE = 0.5
"""At margin 0 honest rows are contradicted with odds of at least exp(-0.5): a coin, nearly."""
_SURE, _SHARE = 0.95, 0.2
"""At this quantile of the margins honest rows are contradicted a fifth as often as all, or less.
Without it a class whose rows all have about one margin could be flipped or overlap: no telling."""

_STEPS, _ENOUGH = 200, 1e-9


@dataclass(frozen=True, slots=True)
class Floor:
    """P(contradicted | margin m) = rate + (1 - rate) · top · σ(-(start + slope · m)).

    Attributes:
        rate: share of labels that were flipped, whatever the margin.
        low: lower end of its interval, by profile likelihood.
        high: upper end.
        honest: mean of the second term, the classifier's own errors.
        start: see above.
        slope: see above, in units of one over margin.
        top: the largest share that errors can reach: 1 - 1 / classes.
        likelihood: log-likelihood of the best curve for each rate that was tried, of shape
            (rates,).
    """

    rate: float
    low: float
    high: float
    honest: float
    start: float
    slope: float
    top: float
    likelihood: Floats = field(repr=False, compare=False)

    def chance(self, rate: float) -> float:
        """Probability of rows that speak so much for a larger rate, were it no more than this.

        By the profile likelihood, as the interval (S. S. Wilks 1938), one-sided.

        Args:
            rate: from 0 to 1.
        """
        from scipy.special import erfc

        if rate >= self.rate:
            return 1.0
        lost = float(self.likelihood.max() - np.interp(rate, _RATES, self.likelihood))
        return float(erfc(np.sqrt(max(lost, 0.0))) / 2)

    def posterior(self, margins: Floats) -> Floats:
        """Probability that a contradicted row of each margin was flipped."""
        own = _honest(self.start + self.slope * margins, self.top)
        return np.asarray(self.rate / np.maximum(self.rate + (1 - self.rate) * own, 1e-12))


def floor(margins: Floats, contradicted: NDArray[np.bool_], top: float, drop: float) -> Floor:
    """Fit the curve.

    Args:
        margins: how far the predicted class is ahead, at least 0, of shape (rows,), rows > 0.
        contradicted: whether the given label is another, of shape (rows,).
        top: see ``Floor``.
        drop: log-likelihood that the ends of the interval may lose against the best fit.
    """
    groups = np.array_split(np.argsort(margins, kind="stable"), min(BINS, len(margins)))
    sizes = np.array([len(group) for group in groups], np.float64)
    where = np.array([margins[group].mean() for group in groups])
    hits = np.array([contradicted[group].sum() for group in groups], np.float64)
    unit = float(np.quantile(margins, _SURE)) or 1.0
    allowed = max(_SHARE * hits.sum() / sizes.sum(), 1e-3)
    least = float(np.log(top / allowed - 1))
    likelihood, fits = _profile(where / unit, sizes, hits, top, least)
    at = int(likelihood.argmax())
    fine = np.linspace(0.0, _RATES[-1], 2001)
    inside = fine[np.interp(fine, _RATES, likelihood) >= likelihood[at] - drop]
    rate, (start, end) = float(_RATES[at]), fits[at].tolist()
    slope = end - start
    own = _honest(start + slope * where / unit, top)
    return Floor(
        rate,
        float(min(inside.min(initial=rate), rate)),
        float(max(inside.max(initial=rate), rate)),
        float((own * sizes).sum() / sizes.sum()),
        start,
        slope / unit,
        top,
        likelihood,
    )


def _honest(logit: Floats, top: float) -> Floats:
    return np.asarray(top / (1 + np.exp(np.clip(logit, -40, 40))))


def _profile(
    where: Floats, sizes: Floats, hits: Floats, top: float, least: float
) -> tuple[Floats, Floats]:
    """The best curve for each rate of ``_RATES``.

    Damped Fisher scoring (Levenberg-Marquardt) within bounds, for all rates at once, from two
    starts each.

    Args:
        where: margins of the groups in units of the largest that counts.
        sizes: rows of each group.
        hits: contradicted rows of each group.
        top: see ``Floor``.
        least: lower bound of the curve's end.

    Returns:
        Log-likelihoods, of shape (rates,), and start and end, of shape (rates, 2).
    """
    starts = np.array([[0.0, least + 2], [0.0, least + 5]])
    rates = np.repeat(_RATES, len(starts))[:, None]
    at = np.tile(starts, (len(_RATES), 1))
    lower, upper = np.array([-8.0, least]), np.array([_UNSURE, 60.0])
    damping = np.full(len(at), 1e-2)
    cost, gradient, curvature = _costs(rates, where, sizes, hits, top, at)
    for _ in range(_STEPS):
        stuck = ((at <= lower) & (gradient > 0)) | ((at >= upper) & (gradient < 0))
        matrix = curvature + damping[:, None, None] * (curvature + 1e-9) * np.eye(2)
        matrix = np.where(stuck[:, :, None] | stuck[:, None, :], 0, matrix)
        matrix += (stuck[:, :, None] + 1e-12) * np.eye(2)
        step = np.linalg.solve(matrix, np.where(stuck, 0, gradient)[:, :, None])[:, :, 0]
        moved = np.clip(at - step, lower, upper)
        after, slopes, bends = _costs(rates, where, sizes, hits, top, moved)
        better = after < cost
        gained = float(np.max(np.where(better, cost - after, 0)))
        at[better], gradient[better] = moved[better], slopes[better]
        curvature[better], cost = bends[better], np.minimum(cost, after)
        damping = np.where(better, damping / 4, damping * 8)
        if gained < _ENOUGH and damping.min() > 1e-3:
            break
    shape = (len(_RATES), len(starts))
    best = cost.reshape(shape).argmin(axis=1)
    every = np.arange(len(_RATES))
    return -cost.reshape(shape)[every, best], at.reshape(*shape, 2)[every, best]


def _costs(
    rates: Floats, where: Floats, sizes: Floats, hits: Floats, top: float, at: Floats
) -> tuple[Floats, Floats, Floats]:
    """Negative log-likelihood of binomial counts, its gradient, and the Fisher information."""
    own = _honest(at[:, :1] + (at[:, 1:] - at[:, :1]) * where, top)
    share = np.clip(rates + (1 - rates) * own, 1e-12, 1 - 1e-12)
    value = -(hits * np.log(share) + (sizes - hits) * np.log1p(-share)).sum(axis=1)
    bend = (1 - rates) * own * (1 - own / top)
    slope = (hits / share - (sizes - hits) / (1 - share)) * bend
    weight = sizes / (share * (1 - share)) * bend * bend
    parts = np.stack([1 - where, where])
    gradient = slope @ parts.T
    products = (parts[:, None] * parts[None]).reshape(4, -1)
    return value, gradient, (weight @ products.T).reshape(-1, 2, 2)
