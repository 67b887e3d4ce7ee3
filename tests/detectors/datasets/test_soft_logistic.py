from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.linear_model import LogisticRegression

from poisonscan.detectors.datasets.soft_logistic import fitted

Floats = NDArray[np.float64]


def drawn(seed: int) -> tuple[Floats, Floats, Floats]:
    """Rows of six features in a half of which each is, shares that follow two, and weights."""
    draw = np.random.default_rng(seed)
    rows = (draw.random((300, 6)) < 0.5).astype(float)
    odds = 2 * rows[:, 0] - 3 * rows[:, 1] + draw.normal(size=300)
    return rows, 1 / (1 + np.exp(-odds)), draw.uniform(0.5, 2, 300)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_shares_are_rows_of_both_sides(kind: type) -> None:
    rows, share, weight = drawn(0)
    twice = vstack([csr_matrix(rows)] * 2).tocsr()
    side = np.repeat([1, 0], len(rows))
    both = np.concatenate([weight * share, weight * (1 - share)])
    known = LogisticRegression(C=0.5, tol=1e-8, max_iter=1_000).fit(twice, side, both)
    found = fitted(csr_matrix(rows.astype(kind)), share, 0.5, weight)
    assert np.allclose(found[:-1], known.coef_[0], atol=0.02)
    assert np.allclose(found[-1], known.intercept_, atol=0.02)


def test_a_scale_is_as_if_the_rows_were_scaled_and_0_leaves_a_feature_out() -> None:
    rows, share, _ = drawn(1)
    scale = np.array([2.0, 0.5, 0.0, 1.0, 1.0, 1.0])
    found = fitted(rows, share, 0.1, scale=scale)
    known = fitted(rows * scale, share, 0.1)
    assert found[2] == 0.0
    assert np.allclose(found[:-1], known[:-1] * scale, atol=1e-3)
    assert found[:2] @ [1, -1] > 1


def test_a_fit_goes_on_where_it_began() -> None:
    rows, share, _ = drawn(2)
    point, scale = np.zeros(7), np.full(6, 0.7)
    for _ in range(30):
        point = fitted(rows, share, 1.0, start=point, scale=scale, steps=2)
    whole = fitted(rows, share, 1.0, scale=scale)
    few = fitted(rows, share, 1.0, scale=scale, steps=2)
    assert np.allclose(point, whole, atol=0.02)
    assert not np.allclose(few, whole, atol=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_one_side_alone_and_no_features_are_fitted(share: float) -> None:
    shares = np.full(50, share)
    for rows in (csr_matrix((50, 3)), csr_matrix((50, 0)), csr_matrix(np.ones((50, 2)))):
        found = fitted(rows, shares, 1.0)
        assert found.shape == (rows.shape[1] + 1,)
        assert np.isfinite(found).all()
        assert (found[-1] > 1) == bool(share)
