"""How often chance does as much: tails of the binomial, chi-squared and beta distributions.

By special functions: what ``scipy.stats`` gives is the same, but to import it takes longer than to
scan a small dataset.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


def binomial(hits: ArrayLike, rows: ArrayLike, share: ArrayLike) -> NDArray[np.float64]:
    """The chance of so many hits or more in independent rows.

    The regularised incomplete beta function (NIST Handbook, 8.17.5).

    Args:
        hits: whole numbers; the chance of none or more is 1.
        rows: whole numbers; the chance of more hits than these is 0.
        share: chance of a hit in one row, 0 to 1.

    Returns:
        Of the shape that the arguments broadcast to.
    """
    hits, rows = np.asarray(hits, np.float64), np.asarray(rows, np.float64)
    possible = (hits > 0) & (hits <= rows)
    least, others = np.where(possible, hits, 1), np.where(possible, rows - hits + 1, 1)
    tail = special.betainc(least, others, share)
    return np.asarray(np.where(possible, tail, hits <= 0), np.float64)


def log_binomial(hits: ArrayLike, rows: ArrayLike, share: ArrayLike) -> NDArray[np.float64]:
    """The natural logarithm of ``binomial``, -inf where that is too small for a number."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(binomial(hits, rows, share)))


def rate_limits(hits: int, rows: int, end: float) -> tuple[float, float]:
    """The interval of rates that a number of hits agrees with.

    Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of
    the binomial".

    Args:
        hits: at least 0 and at most ``rows``.
        rows: at least 1.
        end: chance that is left out at each end.
    """
    low = float(special.betaincinv(hits, rows - hits + 1, end)) if hits else 0.0
    high = float(special.betainccinv(hits + 1, rows - hits, end)) if hits < rows else 1.0
    return low, high


def chi_squared(statistic: float, degrees: int) -> float:
    """The chance that a chi-squared variable of some degrees of freedom is as large or larger."""
    return float(special.chdtrc(degrees, statistic))


def chi_squared_limit(chance: float, degrees: int) -> float:
    """What a chi-squared variable is as large as or larger with some chance."""
    return float(special.chdtri(degrees, chance))
