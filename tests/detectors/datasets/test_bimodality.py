from __future__ import annotations

import dataclasses
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from poisonscan.detectors.datasets.bimodality import (
    Split,
    Thresholds,
    among,
    bump,
    distinct_rows,
    foreign_parts,
    is_foreign,
    log10_binomial_tail,
    medians_of_others,
    split_along,
    spread,
)
from poisonscan.rules import rule

Floats = NDArray[np.float64]
LIMITS = Thresholds.of(rule("PS401").thresholds)
FOREIGN = Split(0, 1, 3.0, -20.0, 12.0, 0.1, 0.0, 1.0, 40.0, 20.0)


def one_mode(shape: str, seed: int) -> Floats:
    draw = np.random.default_rng(seed)
    made = {
        "normal": draw.normal(size=2_000),
        "uniform": draw.random(2_000),
        "exponential": draw.exponential(size=2_000),
        "t1": draw.standard_cauchy(2_000),
        "log-normal": np.exp(3 * draw.normal(size=2_000)),
        "spike and slab": np.r_[draw.normal(size=1_500) / 100, draw.normal(size=500)],
    }
    return np.unique(made[shape])


@pytest.mark.parametrize(
    "shape", ["normal", "uniform", "exponential", "t1", "log-normal", "spike and slab"]
)
def test_one_mode_is_hardly_ever_taken_for_two(shape: str) -> None:
    alarms = sum(bump(one_mode(shape, seed))[0] < -2 for seed in range(100))
    assert alarms <= 1


@pytest.mark.parametrize(("size", "power"), [(50, -1.0), (100, -9.0), (800, -100.0)])
def test_a_bump_is_found_with_its_border(size: int, power: float) -> None:
    draw = np.random.default_rng(1)
    log_p, border = bump(np.sort(np.r_[draw.normal(size=1_000), draw.normal(9, 1, size)]))
    assert log_p < power
    assert 3 < border < 7


@pytest.mark.parametrize("values", [np.zeros(0), np.arange(3.0), np.arange(12.0)])
def test_few_values_say_nothing(values: Floats) -> None:
    assert bump(values)[0] == 0.0


def test_binomial_tails() -> None:
    assert log10_binomial_tail(3, 0, 0.5) == pytest.approx(np.log10(1 / 8))
    assert log10_binomial_tail(0, 5, 0.5) == 0.0
    assert log10_binomial_tail(100_000, 0, 0.2) == -300.0


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_moving_and_stretching_changes_nothing(move: float, stretch: float) -> None:
    draw = np.random.default_rng(2)
    rows = np.r_[draw.normal(size=400), draw.normal(9, 1, 60)][:, None]
    rows = np.hstack([rows, draw.normal(size=(460, 2))])
    others = draw.normal(size=(300, 3))
    one = split_along(0, rows, others, 2, 30.0, 9.0)
    other = split_along(0, rows * stretch + move, others * stretch + move, 2, 30.0, 9.0)
    assert one is not None
    assert other is not None
    np.testing.assert_array_equal(one.foreign(rows), other.foreign(rows * stretch + move))
    assert one.separation == pytest.approx(other.separation, rel=1e-6)
    assert one.share == other.share == 60 / 460


@pytest.mark.parametrize("sign", [1, -1])
def test_the_part_where_other_classes_lie_is_not_the_foreign_one(sign: int) -> None:
    draw = np.random.default_rng(3)
    rows = np.r_[draw.normal(size=300), draw.normal(9, 1, 300)][:, None] * sign
    others = draw.normal(9, 1, 200)[:, None] * sign
    split = split_along(0, rows, others, 2, 30.0, 9.0)
    assert split is not None
    assert split.foreign(rows)[:300].all()
    assert not split.foreign(rows)[300:].any()
    assert split.outside == 0
    np.testing.assert_array_equal(split.excess(rows) > 0, split.foreign(rows))


def test_other_rows_on_the_same_side_but_elsewhere_are_not_among_a_part() -> None:
    draw = np.random.default_rng(3)
    rest, part = draw.normal(size=(300, 3)), draw.normal((9, 0, 0), size=(40, 3))
    beside = draw.normal((9, 9, 0), size=(200, 3))
    assert among(part, rest, beside) == 0
    inside = draw.normal((9, 0, 0), size=(200, 3))
    assert among(part, rest, inside) == pytest.approx(0.9, abs=0.1)
    rows = np.concatenate([rest, part])
    split = split_along(0, rows, beside, 2, 30.0, 9.0)
    assert split is not None
    assert split.outside == 0
    np.testing.assert_array_equal(split.foreign(rows), [False] * 300 + [True] * 40)
    wrong = split_along(0, rows, inside, 2, 30.0, 9.0)
    assert wrong is not None
    assert wrong.outside > 0.8


def test_a_few_wild_rows_do_not_widen_a_part() -> None:
    draw = np.random.default_rng(4)
    rest, part = draw.normal(size=(300, 3)), draw.normal((9, 0, 0), size=(40, 3))
    part[0] = [1e6, -1e6, 1e6]
    assert among(part, rest, draw.normal((9, 9, 0), size=(200, 3))) == 0


def test_without_other_classes_nothing_lies_outside() -> None:
    draw = np.random.default_rng(3)
    rows = np.r_[draw.normal(size=300), draw.normal(9, 1, 60)][:, None]
    split = split_along(0, rows, np.zeros((0, 1)), 2, 30.0, 9.0)
    assert split is not None
    assert split.outside == 0


def test_a_single_mode_is_no_split() -> None:
    rows = np.random.default_rng(4).normal(size=(200, 2))
    assert split_along(0, rows, rows, 20, 1.0, 9.0) is None


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("log_p", -2.9),
        ("separation", 4.4),
        ("eigenvalue", 6.9),
        ("participation", 1.9),
        ("share", 0.61),
        ("outside", 0.021),
        ("variety", 0.09),
    ],
)
def test_every_condition_counts(change: str, value: float) -> None:
    values = {name: getattr(FOREIGN, name) for name in Split.__slots__}
    assert is_foreign(FOREIGN, LIMITS)
    assert not is_foreign(Split(**(values | {change: value})), LIMITS)


def test_what_most_classes_show_is_not_foreign() -> None:
    wide = Split(0, 1, 3.0, -20.0, 60.0, 0.1, 0.0, 1.0, 40.0, 20.0)
    found, needed = foreign_parts({0: [FOREIGN], 1: [], 2: []}, LIMITS)
    assert found == {0: FOREIGN}
    assert needed == {0: 4.5}
    assert foreign_parts({0: [FOREIGN], 1: [FOREIGN], 2: [FOREIGN]}, LIMITS)[0] == {}
    assert foreign_parts({0: [FOREIGN, wide], 1: [FOREIGN], 2: [FOREIGN]}, LIMITS)[0] == {0: wide}
    assert foreign_parts({}, LIMITS) == ({}, {})


def test_a_small_part_is_not_compared_with_halves() -> None:
    half = Split(0, 1, 3.0, -20.0, 5.0, 0.5, 0.0, 1.0, 40.0, 20.0)
    small = dataclasses.replace(half, separation=6.0, share=0.1)
    assert foreign_parts({0: [small], 1: [half], 2: [half]}, LIMITS) == ({0: small}, {0: 4.5})
    assert foreign_parts({0: [small], 1: [small], 2: [small]}, LIMITS)[0] == {}
    large = dataclasses.replace(half, separation=6.0)
    assert foreign_parts({0: [large], 1: [half], 2: [half]}, LIMITS)[0] == {}


@pytest.mark.parametrize(("share", "found"), [(0.33, {0}), (0.34, set())])
def test_a_large_part_must_be_further_apart(share: float, found: set[int]) -> None:
    split = dataclasses.replace(FOREIGN, share=share, separation=1.2 * LIMITS.separation)
    assert set(foreign_parts({0: [split]}, LIMITS)[0]) == found


@given(st.lists(st.floats(0, 100), min_size=1, max_size=9))
def test_medians_of_others(values: list[float]) -> None:
    expected = [
        statistics.median([*values[:i], *values[i + 1 :]] or [1.0]) for i in range(len(values))
    ]
    assert medians_of_others(values) == pytest.approx(expected)


def test_copies_count_once() -> None:
    draw = np.random.default_rng(5)
    rows = draw.normal(size=(100, 3))
    again = np.vstack([rows, rows[:50] * (1 + 1e-7)])
    assert 100 <= len(distinct_rows(again)) <= 103
    assert len(distinct_rows(np.zeros((0, 3)))) == 0
    assert len(distinct_rows(draw.normal(size=(30_000, 2)))) <= 20_000


def test_one_far_row_does_not_make_all_others_copies() -> None:
    rows = np.random.default_rng(6).normal(size=(100, 2))
    rows[0] = 1e12
    assert len(distinct_rows(rows)) == 100


def test_spread_is_a_standard_deviation() -> None:
    assert spread(np.random.default_rng(0).normal(0, 3, 100_000)) == pytest.approx(3, rel=0.02)
    assert spread(np.ones(5)) > 0
