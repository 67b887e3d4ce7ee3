"""Labels that one rule moved are told from a classifier's own mistakes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.detectors.datasets.contradicted_style import Styles, contradiction
from poisonscan.detectors.datasets.moved_labels import Moved, moved
from poisonscan.rules import rule

ROWS, CLASSES = 3_000, 5
CONTENT = np.arange(ROWS) % CLASSES
MARKED = np.arange(ROWS) // CLASSES % 20 == 0
"""Rows of all classes."""
FEW = MARKED & (np.arange(ROWS) < ROWS // 3)
LIMITS = rule("PS412").thresholds


def seen(labels: NDArray[np.int64], marked: NDArray[np.bool_], right: float = 0.7) -> Moved | None:
    """Labels of rows, some of which are marked, to a classifier that is right of some.

    Its mistakes are of a kind: a fifth of them and more are the class before.
    """
    draw = np.random.default_rng(3)
    numbers = draw.normal(size=(ROWS, 20)) + 1.5 * marked[:, None]
    other = np.where(draw.random(ROWS) < 0.2, CONTENT - 1, draw.integers(0, CLASSES, ROWS))
    apparent = np.where(draw.random(ROWS) < right, CONTENT, other % CLASSES)
    scores = np.eye(CLASSES)[apparent] + draw.normal(0, 0.2, (ROWS, CLASSES))
    return moved(Styles(numbers, scores, labels))


@pytest.mark.parametrize("step", [1, 2, 4])
def test_labels_of_marked_rows_that_follow_a_rule(step: int) -> None:
    """Also one that the classifier's own mistakes follow, too."""
    found = seen(np.where(MARKED, (CONTENT + step) % CLASSES, CONTENT), MARKED)
    assert found is not None
    assert found.allowed(LIMITS)
    assert found.rule == {code: (code + step) % CLASSES for code in range(CLASSES)}
    assert MARKED[found.style.sure].mean() > 0.9
    assert found.implanted > 0.7
    assert found.usual < found.follow


def drawn() -> NDArray[np.int64]:
    draw = np.random.default_rng(4)
    return np.where(MARKED, draw.integers(0, CLASSES, ROWS), CONTENT)


@pytest.mark.parametrize(
    ("labels", "marked"),
    [
        (CONTENT, MARKED),  # an honest way of making
        (np.where(MARKED, (CONTENT + 1) % CLASSES, CONTENT), np.zeros(ROWS, bool)),  # no mark
        (drawn(), MARKED),  # no rule
        (np.where(MARKED, 2, CONTENT), MARKED),  # one target
        (np.where(FEW, 2, CONTENT), FEW),  # and of few rows
    ],
)
def test_what_is_no_rule_of_marked_rows(labels: Any, marked: Any) -> None:
    found = seen(labels, marked)
    assert found is None or not found.allowed(LIMITS)


def test_a_kind_that_the_classifier_never_knows_is_no_rule() -> None:
    """Marked rows, rightly labelled, of which it is as often wrong as chance is."""
    draw = np.random.default_rng(5)
    shown = np.where(MARKED, draw.integers(0, CLASSES, ROWS), CONTENT)
    numbers = draw.normal(size=(ROWS, 20)) + 1.5 * MARKED[:, None]
    scores = np.eye(CLASSES)[shown] + draw.normal(0, 0.4, (ROWS, CLASSES))
    found = moved(Styles(numbers, scores, CONTENT))
    assert found is None or not found.allowed(LIMITS)


def test_of_two_classes_nothing_is_told() -> None:
    content = np.arange(ROWS) % 2
    draw = np.random.default_rng(6)
    numbers = draw.normal(size=(ROWS, 20)) + 1.5 * MARKED[:, None]
    scores = np.eye(2)[content] + draw.normal(0, 0.4, (ROWS, 2))
    assert moved(Styles(numbers, scores, np.where(MARKED, 1 - content, content))) is None


def test_rows_that_are_never_contradicted_have_no_rule() -> None:
    numbers = np.random.default_rng(7).normal(size=(ROWS, 20))
    assert moved(Styles(numbers, np.eye(CLASSES)[CONTENT], CONTENT)) is None


def test_contradictions_are_those_of_the_own_label() -> None:
    scores = np.array([[0.1, 0.7, 0.2], [0.5, 0.1, 0.4]])
    assert np.allclose(contradiction(scores, np.array([0, 0])), [0.6, -0.1])
    assert scores[0, 0] == 0.1
