import numpy as np

from poisonscan.detectors.datasets.log_odds import MOST, LogOdds


def test_log_odds_of_two_normals_are_those_of_their_densities() -> None:
    """N(m, 1) over N(0, 1) is exp(m x - m²/2), however many there are of each."""
    draw = np.random.default_rng(0)
    odds = LogOdds.of(draw.normal(size=200_000), draw.normal(2, size=20_000))
    assert np.allclose(odds(np.array([0.0, 1.0, 2.0])), [-2, 0, 2], atol=0.1)


def test_no_number_says_more_than_the_most() -> None:
    odds = LogOdds.of(np.linspace(0, 1, 50), np.linspace(2, 3, 50))
    assert odds(np.array([-1e9, 1e9])).tolist() == [-MOST, MOST]


def test_sets_that_do_not_differ_say_nothing() -> None:
    same = np.ones(20)
    assert np.allclose(LogOdds.of(same, same)(np.array([1.0])), 0)
