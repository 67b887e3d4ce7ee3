"""Flips from one class to another, from scores that a classifier could have given."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.detectors.datasets.label_flips import Judged
from poisonscan.rules import rule

ROWS, CLASSES = 160, 8


def judged(contradicted: NDArray[np.float64], back: float = 0.0) -> Judged:
    """Rows taken for a class each, the surest last.

    Args:
        contradicted: which part of those taken for class 0 has the label 1, at each margin.
        back: which part of those taken for class 1 has the label 0.
    """
    margins = np.tile(np.linspace(0.1, 1, ROWS), CLASSES)
    predicted = np.repeat(np.arange(CLASSES), ROWS)
    scores = np.zeros((len(margins), CLASSES))
    scores[np.arange(len(margins)), predicted] = margins
    labels = predicted.copy()
    turn = np.floor(np.cumsum(contradicted))  # as regular as can be: nothing turns on a draw
    labels[:ROWS][np.diff(turn, prepend=0) > 0] = 1
    way = np.floor(np.cumsum(np.full(ROWS, back)))
    labels[ROWS : 2 * ROWS][np.diff(way, prepend=0) > 0] = 0
    return Judged(scores, labels, rule("PS308").thresholds)


@pytest.mark.parametrize("rate", [0.15, 0.2])
def test_a_sixth_of_a_small_class_among_eight_is_found(rate: float) -> None:
    given = judged(np.full(ROWS, rate))
    (flips,) = given.targeted()
    assert (flips.true, flips.given, flips.unknown, flips.overlap) == (0, 1, False, False)
    assert flips.floor.low < rate < flips.floor.high
    assert set(flips.rows.tolist()) == set(np.flatnonzero(given.labels[:ROWS] == 1).tolist())
    assert flips.chance < 1e-4


def test_contradictions_that_die_out_are_no_flips() -> None:
    """Of sure rows as many have the other label as above, of unsure ones three times as many."""
    contradicted = np.where(np.arange(ROWS) < ROWS // 2, 0.45, 0.15)
    assert judged(contradicted).targeted() == []


def test_contradictions_both_ways_are_no_flips() -> None:
    assert judged(np.full(ROWS, 0.15), back=0.1).targeted() == []


def small_and_large() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores and labels of a class and of one eight times its size, whose label a fifth has."""
    sizes = (ROWS, 8 * ROWS)
    predicted = np.repeat([0, 1], sizes)
    margins = np.concatenate([np.linspace(0.1, 1, size) for size in sizes])
    scores = np.zeros((len(predicted), 2))
    scores[np.arange(len(predicted)), predicted] = margins
    labels = predicted.copy()
    labels[: sizes[0] : 5] = 1
    return scores, labels


@pytest.mark.parametrize(("returned", "found"), [(36, False), (6, True)])
def test_a_small_class_is_contradicted_as_often_as_it_contradicts(
    returned: int, found: bool
) -> None:
    """Of two labels that overlap the rarer one has the larger share of the same rows."""
    scores, labels = small_and_large()
    labels[ROWS + 5 :: 8 * ROWS // returned] = 0
    flips = Judged(scores, labels, rule("PS308").thresholds).targeted()
    assert [(each.true, each.given) for each in flips] == ([(0, 1)] if found else [])


@pytest.mark.parametrize(("returned", "overlap"), [(40, True), (6, False)])
def test_as_many_rows_the_other_way_may_be_labels_that_overlap(
    returned: int, overlap: bool
) -> None:
    """The unsure rows of a large class have the label of a small one as often as that has its."""
    scores, labels = small_and_large()
    labels[ROWS : ROWS + 3 * returned : 3] = 0
    (flips,) = Judged(scores, labels, rule("PS308").thresholds).targeted()
    assert (flips.true, flips.given, flips.overlap) == (0, 1, overlap)


@pytest.mark.parametrize(("elsewhere", "overlap"), [(0.2, True), (0.03, False)])
def test_flips_no_more_frequent_than_mistakes_elsewhere_may_be_mistakes(
    elsewhere: float, overlap: bool
) -> None:
    """Among unsure rows of other classes, and of several labels: what a weak model does."""
    given = judged(np.full(ROWS, 0.2))
    labels = given.labels.copy()
    unsure = np.arange(ROWS // 2)[:: round(1 / (2 * elsewhere))]
    for label in range(1, CLASSES):
        other = label % (CLASSES - 1) + 1 + np.arange(len(unsure)) % 2
        labels[label * ROWS + unsure] = np.where(other == label, 0, other % CLASSES)
    (flips,) = Judged(given.scores, labels, given.limits).targeted()
    assert (flips.true, flips.given, flips.overlap) == (0, 1, overlap)


def test_several_labels_that_are_mixed_up_as_much_are_no_flips() -> None:
    given = judged(np.full(ROWS, 0.15))
    labels = given.labels.copy()
    labels[4 * ROWS : 5 * ROWS : 6] = 6
    assert Judged(given.scores, labels, given.limits).targeted() == []


def test_few_flips_are_no_finding() -> None:
    assert judged(np.full(ROWS, 0.04)).targeted() == []


@pytest.mark.parametrize(("rate", "found"), [(0.48, True), (0.52, False), (0.6, False)])
def test_a_label_that_most_rows_of_a_class_have_is_no_flip(rate: float, found: bool) -> None:
    """The classifier takes more rows of another class for this one than there are in it."""
    assert bool(judged(np.full(ROWS, rate)).targeted()) == found
