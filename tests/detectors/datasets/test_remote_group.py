"""A few rows far from all others of their class, and tails that are none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.detectors.datasets.bimodality import Split
from poisonscan.detectors.datasets.remote_group import Limits, edge, remote_group
from poisonscan.rules import rule

Floats = NDArray[np.float64]
ROWS, LOOKS = 600, 400
LIMITS = Limits.of(rule("PS406").thresholds)


def tails(kind: str, seed: int) -> Floats:
    draw = np.random.default_rng(seed)
    return {
        "normal": draw.normal(size=ROWS),
        "student": draw.standard_t(3, size=ROWS),
        "cauchy": draw.standard_cauchy(size=ROWS),
        "one-sided": draw.pareto(1.5, size=ROWS),
        "lognormal": draw.lognormal(0, 1.5, size=ROWS),
        "uniform": draw.uniform(size=ROWS),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["normal", "student", "cauchy", "one-sided", "lognormal", "uniform"]
)
def test_honest_tails_are_no_group(kind: str) -> None:
    chances = [edge(np.unique(tails(kind, seed)))[1] for seed in range(100)]
    assert min(chances) > -5.5  # the limit of 0.001 after LOOKS tests
    assert sum(chance <= -2 for chance in chances) <= 4


@pytest.mark.parametrize("kind", ["normal", "student"])
def test_twenty_far_rows_are_a_group(kind: str) -> None:
    rows = tails(kind, 1)
    rows[:20] = np.random.default_rng(2).uniform(100, 200, 20)  # wider apart than the rest
    place, log_p = edge(np.unique(rows))
    assert log_p < -5.5
    assert set(np.flatnonzero(rows > place)) == set(range(20))


def split(rows: Floats, seed: int = 9) -> Split | None:
    others = np.random.default_rng(seed).normal(size=(400, rows.shape[1]))
    return remote_group(0, rows, others, LOOKS, float(rows[:, 0].var()), 40.0)


def shifted(count: int, spread: float = 1.0) -> Floats:
    """A class that varies six times as much as others, and rows of these with a trigger."""
    draw = np.random.default_rng(3)
    rows: Floats = draw.normal(size=(ROWS, 6)) * np.array([1, 6, 6, 6, 6, 6])
    rows[:count] = draw.normal(size=(count, 6)) * spread
    rows[:count, 0] += 100
    return rows


def test_rows_of_other_classes_with_a_trigger_are_reported() -> None:
    found = split(shifted(18))
    assert found is not None
    assert LIMITS.allow(found, second=36.0, usual=36.0)
    assert found.foreign(shifted(18)).sum() == 18


def test_copies_of_a_row_are_not() -> None:
    found = split(shifted(18, spread=0.01))
    assert found is not None
    assert not LIMITS.allow(found, second=36.0, usual=36.0)


def test_fewer_than_eight_rows_are_not_found() -> None:
    assert split(shifted(7)) is None


def test_a_class_that_varies_as_much_in_another_direction_is_not_reported() -> None:
    found = split(shifted(18))
    assert found is not None
    assert not LIMITS.allow(found, second=found.eigenvalue / 1.5, usual=36.0)
    assert not LIMITS.allow(found, second=36.0, usual=found.eigenvalue)
