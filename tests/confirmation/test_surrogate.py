"""The small model is the ridge regression that it says it is, of no rows but those it may see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from poisonscan.confirmation.surrogate import PENALTY, guessed, learn


def data() -> tuple[Any, Any, Any]:
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(60, 5)).astype(np.float32)
    return rows, draw.integers(3, size=60), draw.integers(0, 4, 60).astype(np.float32)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix])
def test_it_is_ridge_regression_on_weighted_rows(form: Any) -> None:
    rows, labels, weights = data()
    target = np.eye(3)[labels]
    gram = (rows * weights[:, None]).T @ rows + PENALTY * np.eye(5)
    exact = np.linalg.solve(gram, (rows * weights[:, None]).T @ target)
    assert np.allclose(learn(form(rows), labels, weights, 3), exact, atol=5e-3)


def test_what_only_rows_left_out_have_is_unknown() -> None:
    rows, labels, weights = data()
    weights[:9] = 0
    rows[:, 4] = 0
    rows[:9, 4] = 100
    assert not learn(rows, labels, weights, 3)[4].any()


def test_the_class_with_the_highest_value_is_guessed() -> None:
    learnt = np.array([[1, 2], [3, 0]], np.float32)
    assert guessed(np.eye(2, dtype=np.float32), learnt).tolist() == [1, 0]
