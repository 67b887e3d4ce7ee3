"""Tails are those of scipy.stats, which takes longer to import than a small dataset to scan."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from poisonscan.detectors.datasets import tails

HITS, ROWS, SHARES = np.meshgrid(
    [0, 1, 2, 7, 40, 400, 401], [0, 1, 7, 40, 400, 9_000], [0, 1e-9, 0.01, 0.5, 0.999, 1]
)


def test_binomial() -> None:
    wanted = stats.binom.sf(HITS - 1, ROWS, SHARES)
    found = tails.binomial(HITS, ROWS, SHARES)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-300)


def test_binomial_of_many() -> None:
    hits, rows = np.array([0, 3, 9, 400]), np.array([5, 5, 5, 500])
    wanted = stats.binom.logsf(hits - 1, rows, [0.2, 0.5, 0.5, 0.3])
    assert np.allclose(tails.log_binomial(hits, rows, [0.2, 0.5, 0.5, 0.3]), wanted)


@pytest.mark.parametrize("hits", [0, 1, 30])
@pytest.mark.parametrize("end", [1e-9, 0.01, 0.4])
def test_rates_agree_with_hits_up_to_the_limits(hits: int, end: float) -> None:
    low, high = tails.rate_limits(hits, 40, end)
    assert 0 <= low < high < 1
    if hits:
        assert tails.binomial(hits, 40, low) == pytest.approx(end)
    assert tails.binomial(hits + 1, 40, high) == pytest.approx(1 - end)


def test_all_hits_leave_no_upper_limit() -> None:
    assert tails.rate_limits(9, 9, 0.01)[1] == 1.0


@pytest.mark.parametrize(("statistic", "degrees"), [(0.0, 1), (3.84, 1), (70.0, 12), (900.0, 3)])
def test_chi_squared(statistic: float, degrees: int) -> None:
    chance = stats.chi2.sf(statistic, degrees)
    assert tails.chi_squared(statistic, degrees) == pytest.approx(chance, rel=1e-9)
    assert tails.chi_squared_limit(chance, degrees) == pytest.approx(statistic, abs=1e-6)


def test_detectors_load_without_what_is_slow_to_import() -> None:
    code = (
        "import sys; from poisonscan.files import load_detectors;"
        "from poisonscan.rules import all_rules;"
        "load_detectors(rule for rule in all_rules().values() if rule.of_datasets);"
        "slow = {'scipy.stats', 'scipy.ndimage', 'sklearn', 'pandas', 'torch'};"
        "print(sorted(slow & {*sys.modules}))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
