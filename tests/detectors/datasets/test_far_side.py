from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from poisonscan.detectors.datasets.bimodality import Floats, Split
from poisonscan.detectors.datasets.far_side import Limits, far_side, middle
from poisonscan.detectors.datasets.shared_patterns import upper_quartile
from poisonscan.rules import rule


def split(values: Floats, others: Floats | None = None) -> Split | None:
    rng = np.random.default_rng(9)
    rows = np.column_stack([values, rng.normal(size=(len(values), 2))])
    beside = rng.normal(size=(500, 3)) if others is None else others
    return far_side(0, rows, beside, 20, 5.0, 100.0)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_a_second_hump_without_a_gap(sign: int, share: float) -> None:
    rng = np.random.default_rng(3)
    count = round(share * 1_000)
    values = sign * np.append(rng.normal(size=1_000 - count), rng.normal(4, 1, count))
    found = split(values)
    assert found is not None
    assert found.sign == sign
    assert found.log_p < -5
    foreign = found.foreign(values[:, None])
    assert foreign[-count:].mean() > 0.6
    assert foreign[:-count].mean() < 0.02
    assert found.outside < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_wide_tails_on_both_sides_are_none(seed: int) -> None:
    values = np.random.default_rng(seed).standard_t(2, 2_000)
    found = split(values)
    assert found is None or found.log_p > -3


def test_others_that_lie_there_too_are_counted() -> None:
    rng = np.random.default_rng(4)
    values = np.append(rng.normal(size=900), rng.normal(5, 1, 100))
    found = split(values, rng.normal(5, 1, (400, 3)))
    assert found is not None
    assert found.outside > 0.9


def test_few_rows_and_equal_ones() -> None:
    assert split(np.arange(15.0)) is None
    assert split(np.zeros(200)) is None


def test_the_middle_is_that_of_the_larger_part() -> None:
    rng = np.random.default_rng(5)
    values = np.sort(np.append(rng.normal(size=700), rng.normal(20, 1, 300)))
    assert abs(middle(values)) < 0.5
    assert abs(values.mean()) > 5


def test_a_class_stands_out_from_others_that_come_in_kinds() -> None:
    """As in Fashion-MNIST, where trousers, sneakers and boots were reported on clean pictures."""
    rng = np.random.default_rng(3)
    limits = Limits.of(rule("PS406").thresholds)
    found = split(np.append(rng.normal(size=800), rng.normal(4.5, 1, 200)), rng.normal(size=(9, 3)))
    assert found is not None
    found = replace(found, eigenvalue=50.0, variety=1.0)
    assert limits.allow(found, 1_000, 5.0, 0.0)
    as_wide = {0: found.separation, **dict.fromkeys(range(1, 7), 0.9 * found.separation)}
    nine_plain = {0: found.separation, 1: 9.0, **dict.fromkeys(range(2, 10), 0.0)}
    assert not limits.allow(found, 1_000, 5.0, upper_quartile(as_wide, 0))
    assert limits.allow(found, 1_000, 5.0, upper_quartile(nine_plain, 0))
