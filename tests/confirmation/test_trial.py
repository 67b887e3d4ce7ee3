"""Intervals of differences, and what makes a model too weak to be asked."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.confirmation.trial import Trial, paired


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_intervals_hold_the_difference_that_was_seen(pairs: list[tuple[bool, bool]]) -> None:
    one, other = np.array(pairs).T
    seen = one.mean() - other.mean()
    interval = paired(one, other)
    assert -1 <= interval[0] <= interval[1] <= 1
    assert interval[0] - 1e-9 <= seen + (2 / (len(one) + 2)) * (seen < 0)
    assert interval[1] + 1e-9 >= seen - (2 / (len(one) + 2)) * (seen > 0)


def test_intervals_hold_the_true_difference_mostly() -> None:
    draw = np.random.default_rng(4)
    held = 0
    for _ in range(400):
        one, other = draw.random(80) < 0.7, draw.random(80) < 0.4
        low, high = paired(one, other)
        held += low <= 0.3 <= high
    assert 0.92 <= held / 400 <= 0.985


def test_a_model_that_guesses_does_not_work() -> None:
    draw = np.random.default_rng(5)
    rows, labels = draw.normal(size=(400, 8)).astype(np.float32), draw.integers(2, size=400)
    rows[:, 7] = 1
    held = np.arange(400) % 4 == 0
    contents = np.arange(400, dtype=np.uint64)
    assert not Trial.of(contents, rows, labels, np.ones(400), held).works
    rows[:, 0] += 4 * labels
    trial = Trial.of(contents, rows, labels, np.ones(400), held)
    assert trial.works
    assert trial.accuracy > 0.9


def test_a_rare_class_counts_as_much_as_a_frequent_one() -> None:
    draw = np.random.default_rng(6)
    labels = (np.arange(1_000) % 20 == 0).astype(np.int64)
    rows = np.ones((1_000, 3), np.float32)
    rows[:, :2] = draw.normal(size=(1_000, 2))
    rows[:, 0] += 3 * labels
    held = draw.random(1_000) < 0.3
    trial = Trial.of(np.arange(1_000, dtype=np.uint64), rows, labels, np.ones(1_000), held)
    assert trial.accuracy > 0.8  # the mean of both classes: always 0 would be 0.5
