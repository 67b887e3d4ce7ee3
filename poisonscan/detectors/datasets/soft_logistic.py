"""Logistic regression of shares: each row is of either side by a part, and is seen many times over.

Expectation maximization learns the same model again and again from rows that belong to a side by a
share. Libraries want a side for every row, which doubles the rows, and most forget what they learnt
before: here a fit begins where the last one ended, and few steps are left to make.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS = 60
_MEMORY = 5
_SETTLED = 1e-5
"""Relative change of what is minimized below which no more steps are made."""


def fitted(
    rows: Any,
    share: Floats,
    strength: float,
    weight: Floats | None = None,
    *,
    start: Floats | None = None,
    scale: Floats | None = None,
    steps: int = STEPS,
) -> Floats:
    """Fit by maximum likelihood with an L2 penalty, by L-BFGS (Liu and Nocedal 1989).

    Args:
        rows: sparse matrix or array of shape (n, d).
        share: how far each row is of the side in question, 0 to 1, of shape (n,).
        strength: inverse of the penalty: half the squared length of the weights is divided by it.
        weight: how much each row counts, of shape (n,); 1 without.
        start: weights to begin with, of shape (d + 1,); zeros without.
        scale: what the features are multiplied by, of shape (d,), as if the rows were; those with
            0 are left out.
        steps: to make, at most.

    Returns:
        Weights of the features as they are in ``rows``, and last the intercept, which is not
        penalized; of shape (d + 1,).
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    size, kind = rows.shape[1], rows.dtype
    turned, weight = rows.T, np.ones(len(share)) if weight is None else weight
    used = np.arange(size) if scale is None else np.flatnonzero(scale)
    unit = np.ones(size) if scale is None else scale
    first = np.zeros(len(used) + 1)
    if start is not None:
        first[:-1], first[-1] = start[used] / unit[used], start[-1]
    wide, unit = np.zeros(size, kind), unit[used]

    def loss(point: Floats) -> tuple[float, Floats]:
        weights = point[:-1]
        wide[used] = weights * unit
        odds = (rows @ wide).astype(np.float64) + point[-1]
        missed = weight * (expit(odds) - share)
        slope = np.empty(len(point))
        slope[:-1] = (turned @ missed.astype(kind))[used]
        slope[:-1] *= unit
        slope[:-1] += weights / strength
        slope[-1] = missed.sum()
        lost = weight @ (np.logaddexp(0, odds) - share * odds)
        return float(lost + weights @ weights / (2 * strength)), slope

    options = {"maxiter": steps, "ftol": _SETTLED, "gtol": 0.0, "maxcor": _MEMORY}
    point = minimize(loss, first, jac=True, method="L-BFGS-B", options=options).x
    out = np.zeros(size + 1)
    out[used], out[-1] = point[:-1] * unit, point[-1]
    return out
