from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poisonscan.detectors.datasets.phrase_evidence import Excess, Yardstick, larger, together

DRAW = np.random.default_rng(0)
OWN, OTHERS = DRAW.normal(-1, 1, 2_000), DRAW.normal(1, 1, 2_000)
SCALE = Yardstick(0, np.arange(2_000), OWN, np.sort(OTHERS), 0.0)


def yardstick() -> Yardstick:
    return SCALE.without(np.array([], np.int64))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_mixture_is_placed_at_its_share_of_others(share: float) -> None:
    draw = np.random.default_rng(1)
    of_others = draw.random(4_000) < share
    values = np.where(of_others, draw.normal(1, 1, 4_000), draw.normal(-1, 1, 4_000))
    assert yardstick().positions(values).mean() == pytest.approx(share, abs=0.06)


def test_texts_that_say_nothing_are_no_mixture() -> None:
    """Half way between two labels that are told apart well, they are like texts of neither."""
    far = Yardstick(0, np.arange(2_000), OWN - 3, np.sort(OTHERS + 3), 0.0)
    placed = far.without(np.array([], np.int64)).positions(np.zeros(50))
    assert abs(float(placed.mean())) < 0.05


def test_holders_are_no_measure_of_themselves() -> None:
    mixed = Yardstick(0, np.arange(2_000), np.append(OWN[1_000:], OTHERS[:1_000]), SCALE.others, 0)
    kept = mixed.without(np.arange(1_000, 2_000))
    assert kept.apart == pytest.approx(yardstick().apart, abs=0.03)


@pytest.mark.parametrize(
    ("implanted", "with_label", "holders", "prior", "excess", "explained"),
    [
        (1.0, 50, 50, 0.5, 1.0, 2.0),  # put into texts of the other label
        (0.5, 50, 50, 0.5, 1.0, 1.0),  # put into texts of both
        (0.75, 50, 50, 0.25, 1.0, 1.0),
        (0.4, 50, 60, 0.5, 0.8, 1.0),  # ten of others hold it rightly, and so do ten of the label
        (0.0, 50, 50, 0.5, 1.0, 0.0),  # a word that the rest of its texts agrees with
    ],
)
def test_what_must_look_implanted(
    implanted: float, with_label: int, holders: int, prior: float, excess: float, explained: float
) -> None:
    share = Excess.of(np.full(100, implanted), with_label, holders, prior)
    assert share.excess == pytest.approx(excess)
    assert share.explained == pytest.approx(explained)
    assert share.at_least(2) < share.implanted < share.at_least(-2)


def test_the_rank_sum_test_is_that_of_scipy() -> None:
    stats: Any = pytest.importorskip("scipy.stats")
    draw = np.random.default_rng(0)
    values, others = draw.normal(0.5, 1, 40), draw.normal(0, 1, 200)
    effect, chance = larger(values, others)
    expected = stats.mannwhitneyu(
        values, others, alternative="greater", method="asymptotic", use_continuity=False
    )
    assert effect == pytest.approx(expected.statistic / 40 / 200)
    assert chance == pytest.approx(expected.pvalue)


def test_two_chances_together_are_those_of_fisher() -> None:
    stats: Any = pytest.importorskip("scipy.stats")
    for one, other in ((0.03, 0.2), (1e-9, 1.0), (1.0, 1.0)):
        expected = stats.combine_pvalues([one, other], method="fisher").pvalue
        assert together(one, other) == pytest.approx(expected)
    assert 0 <= together(0.0, 0.5) < 1e-300
