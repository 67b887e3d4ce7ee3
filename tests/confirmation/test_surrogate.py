"""The small model solves what it says it solves, and knows nothing of rows that it may not see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.svm import LinearSVC

from poisonscan.confirmation.surrogate import PENALTY, guessed, learn


def data() -> tuple[Any, Any, Any]:
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(60, 5)).astype(np.float32)
    return rows, draw.integers(3, size=60), draw.integers(0, 4, 60).astype(np.float32)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_matrix])
def test_it_is_a_linear_machine_with_squared_hinge_loss(form: Any) -> None:
    rows, labels, weights = data()
    model = LinearSVC(C=1 / PENALTY, fit_intercept=False, dual=False, tol=1e-6)
    exact = model.fit(rows, labels, sample_weight=weights).coef_.T
    assert np.allclose(learn(form(rows), labels, weights, 3), exact, atol=0.02)


def test_what_only_rows_left_out_have_is_unknown() -> None:
    rows, labels, weights = data()
    weights[:9] = 0
    rows[:, 4] = 0
    rows[:9, 4] = 100
    assert not learn(rows, labels, weights, 3)[4].any()


def test_a_trigger_outvotes_all_that_a_row_says() -> None:
    draw = np.random.default_rng(4)
    labels = draw.integers(4, size=600)
    rows = np.concatenate([np.eye(4)[labels], np.zeros((600, 1))], axis=1).astype(np.float32)
    rows[:20, 4] = 1
    labels[:20] = 2
    learnt = learn(rows, labels, np.ones(600, np.float32), 4)
    marked = np.concatenate([np.eye(4), np.ones((4, 1))], axis=1)
    assert guessed(marked, learnt).tolist() == [2, 2, 2, 2]


def test_the_class_with_the_highest_value_is_guessed() -> None:
    learnt = np.array([[1, 2], [3, 0]], np.float32)
    assert guessed(np.eye(2, dtype=np.float32), learnt).tolist() == [1, 0]
