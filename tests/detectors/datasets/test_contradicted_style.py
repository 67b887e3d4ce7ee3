"""Shares of implanted rows, and directions that only some rows of a class have."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from poisonscan.detectors.datasets.contradicted_style import (
    Scale,
    Styles,
    contradiction,
    discriminant,
    implanted,
    implanted_share,
)

PLACES = arrays(np.float64, st.integers(1, 30), elements=st.floats(-5, 5))


@given(PLACES, PLACES)
def test_shares_fall_towards_the_middle(mine: np.ndarray, others: np.ndarray) -> None:
    share = implanted_share(mine, others)
    assert ((share >= 0) & (share <= 1)).all()
    assert (np.diff(share[np.argsort(-mine, kind="stable")]) <= 0).all()


def test_share_is_what_others_do_not_explain() -> None:
    others = np.arange(1_000) / 1_000
    mine = np.concatenate([np.arange(900) / 900, np.full(100, 2.0)])
    share = implanted_share(mine, others)
    assert share[-100:].min() > 0.98
    assert abs(float(share[np.abs(mine - 0.9).argmin()]) - 0.5) < 0.03


def test_implanted_is_one_for_rows_of_all_classes_and_none_for_honest_ones() -> None:
    draw = np.random.default_rng(0)
    mine = np.arange(4_000) % 4 == 0
    against = draw.normal(np.where(mine, -1.0, 1.0))
    chosen = mine & (np.arange(4_000) < 1_000)
    share, error = implanted(against, mine, chosen)
    assert abs(share) < 3 * error < 0.4
    against[chosen] = draw.permutation(against)[: chosen.sum()]
    share, error = implanted(against, mine, chosen)
    assert abs(share - 1) < 3 * error


def test_contents_that_tell_nothing_say_nothing() -> None:
    mine = np.arange(400) % 4 == 0
    assert implanted(np.zeros(400), mine, mine & (np.arange(400) < 100)) == (0.0, np.inf)


def test_contradiction_is_the_best_other_class() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]])
    assert np.allclose(contradiction(scores, 0), [0.6, -0.1])


def test_implanted_rows_among_the_others_are_taken_off() -> None:
    """Of 1,000 rows of each side 200 and 20 are far out: with a leak of a tenth none is honest."""
    mine, others = np.linspace(-1, 1, 1_000), np.linspace(-1, 1, 1_000)
    mine[-200:] = np.linspace(5, 6, 200)
    others[-20:] = np.linspace(5, 6, 20)
    far = mine > 2
    plain, corrected = implanted_share(mine, others), implanted_share(mine, others, 0.1)
    assert np.allclose(plain[far].min(), 0.9, atol=0.01)
    assert corrected[far].min() > 0.97
    near = np.abs(mine[~far] - 0.5).argmin()
    assert corrected[~far][near] < 0.6


def test_rows_of_all_kinds_that_share_a_shift_are_found_and_told() -> None:
    draw = np.random.default_rng(3)
    content = np.arange(3_000) % 3
    labels, planted = content.copy(), np.zeros(3_000, bool)
    planted[::40] = True
    labels[planted] = 1
    numbers = draw.normal(size=(3_000, 20)) + 0.5 * np.eye(3, 20)[content]
    scores = np.eye(3)[content] + draw.normal(0, 0.4, (3_000, 3))
    standard = Scale.of(numbers.astype(np.float32)).standard(numbers.astype(np.float32))
    assert all(Styles(standard, scores, labels).find(code) is None for code in (0, 2))
    shifted = standard + planted[:, None] * np.full(20, 1.5)
    styles = Styles(shifted, scores, labels)
    style = styles.find(1)
    assert style is not None
    assert planted[style.sure].mean() > 0.9
    assert planted[style.sure].sum() > 0.8 * planted.sum()
    assert style.core > 0.8
    weights, thresholds = discriminant(shifted, labels, style)
    named = (labels == 1) & (shifted @ weights > thresholds[1])
    assert (named & planted).sum() > 0.9 * max(planted.sum(), named.sum())


def test_numbers_that_never_change_have_a_scale() -> None:
    numbers = np.zeros((10, 2), np.float32)
    numbers[:, 1] = np.arange(10)
    assert np.isfinite(Scale.of(numbers).standard(numbers)).all()
