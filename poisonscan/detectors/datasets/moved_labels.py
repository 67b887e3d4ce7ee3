"""Rows of many classes that were made in one way, and whose labels were moved by one rule.

An attack may give each class a target of its own, "3" to what shows 2 and "4" to what shows 3
(*all-to-all*, Gu, Dolan-Gavitt and Garg 2017, "BadNets: Identifying vulnerabilities in the machine
learning model supply chain"). No class has a style of its own then. But rows that their labels
contradict share one with each other that rows in agreement with theirs hardly have, and what a row
shows tells its wrong label: honest mistakes of a classifier in one style are those that it makes in
others, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.contradicted_style import contradiction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.contradicted_style import Style, Styles

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]

FOLDS = 3
"""Parts of the rows, each of which is asked whether it follows the rule that the others show."""
_LOOKS = 2
"""Sets of rows that are asked."""
_MOST_LEAKED = 0.5
"""See ``implanted_share``: as the share of contradicted rows over that of others, at most."""
_LEAST_APART = 0.1
"""How much more often the classifier must be right than honest mistakes follow the rule."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Rows of a style whose labels follow a rule.

    Attributes:
        style: what they share.
        follow: share of those that were asked whose label is the one that the rule of the others
            gives what they show.
        usual: share of contradicted rows without the style that would do so.
        log10_p: of so many, if these were like those.
        implanted: how many of them must have moved labels, from 0 to 1: the classifier is not
            always right, and some honest rows follow the rule.
        error: its standard error.
        rule: the label of most rows that show a class, for each class that rows show; that of most
            rows first.
        labels: how many labels the rows have.
    """

    style: Style
    follow: float
    usual: float
    log10_p: float
    implanted: float
    error: float
    rule: Mapping[int, int]
    labels: int

    def allowed(self, limits: Mapping[str, float]) -> bool:
        """Whether this is to be reported; see the rule."""
        return (
            len(self.style.sure) >= limits["pictures"]
            and self.labels >= limits["labels"]
            and self.log10_p <= math.log10(limits["p_value"])
            and self.implanted - limits["errors"] * self.error >= limits["evidence"]
        )


def moved(styles: Styles) -> Moved | None:
    """The style of rows that their labels contradict, and the rule that these follow.

    The rule is learnt from two thirds of the rows and asked of the others, which were not chosen by
    it: if they make the mistakes of other contradicted rows, those that follow it are no more than
    a binomial distribution gives (Hoeffding 1956, "On the distribution of the number of successes
    in independent trials": with unlike chances there are no more beyond the mean). It is asked of
    the style's sure rows and of all its suspects, and the clearer answer counts, after Bonferroni:
    rows whose labels agree by accident are taken for honest, and leave few sure ones.

    Returns:
        None where these rows share nothing, or most are of one label (which has a style, then), or
        the classifier's mistakes are too many or too regular to tell.
    """
    scores, labels = styles.scores, styles.labels
    against = contradiction(scores, labels)
    contradicted = against > 0
    if not 0 < contradicted.sum() < len(labels):
        return None
    leak = _agreeing_by_accident(contradicted, scores.shape[1])
    if leak * contradicted.sum() > _MOST_LEAKED * (~contradicted).sum():
        return None
    style = styles.of(contradicted, against, leak)
    if style is None:
        return None
    asked = [np.sort(rows) for rows in (style.sure, style.suspects) if len(rows) >= FOLDS]
    if any(mostly_one(labels[rows]) for rows in asked):
        return None
    shown, rest = scores.argmax(axis=1), np.ones(len(labels), bool)
    rest[style.suspects] = False
    right = float((shown[rest] == labels[rest]).mean())
    elsewhere = _table(shown, labels, rest & contradicted, scores.shape[1])
    answers = [_asked(style, shown[rows], labels[rows], elsewhere, right) for rows in asked]
    told = [answer for answer in answers if answer is not None]
    return min(told, key=lambda answer: answer.log10_p) if told else None


def _asked(style: Style, shown: Ints, labels: Ints, elsewhere: Ints, right: float) -> Moved | None:
    """Whether rows follow a rule; None where mistakes follow it about as often."""
    follow, usual = _following(shown, labels, elsewhere)
    if right - usual < _LEAST_APART:
        return None
    rows = len(shown)
    chance = tails.binomial(round(follow * rows), rows, usual)
    return Moved(
        style,
        follow,
        usual,
        math.log10(min(1.0, _LOOKS * max(float(chance), 1e-300))),
        float(np.clip((follow - usual) / (right - usual), 0, 1)),
        math.sqrt(max(follow * (1 - follow), 1 / rows) / rows) / (right - usual),
        _rule(_table(shown, labels, np.arange(rows), len(elsewhere))),
        len(np.unique(labels)),
    )


def _agreeing_by_accident(contradicted: Mask, classes: int) -> float:
    """How many rows with moved labels agree with these, for each that is contradicted.

    That is so where the classifier is wrong, and of all classes says the label.
    """
    accident = float(contradicted.mean()) / max(classes - 1, 1)
    return accident / (1 - accident) if accident < 1 else math.inf


def mostly_one(labels: Ints) -> bool:
    """Whether more than half of some rows have the same label."""
    return 2 * int(np.bincount(labels).max(initial=0)) > len(labels)


def _table(shown: Ints, labels: Ints, rows: Mask | Ints, classes: int) -> Ints:
    """How many rows show each class and have each label."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (shown[rows], labels[rows]), 1)
    return table


def _following(shown: Ints, labels: Ints, elsewhere: Ints) -> tuple[float, float]:
    """Share of rows that follow the rule of others, and that of such mistakes elsewhere.

    Args:
        shown: the class that each row shows.
        labels: the label of each.
        elsewhere: how many other contradicted rows there are of each shown class and label.
    """
    folds, classes = np.arange(len(shown)) % FOLDS, len(elsewhere)
    smoothed = elsewhere + 1.0  # Laplace's rule of succession
    chances = smoothed / smoothed.sum(axis=1, keepdims=True)
    hits, expected = 0, 0.0
    for fold in range(FOLDS):
        held = folds == fold
        target = _table(shown, labels, ~held, classes).argmax(axis=1)[shown[held]]
        hits += int((labels[held] == target).sum())
        expected += float(chances[shown[held], target].sum())
    return hits / len(shown), expected / len(shown)


def _rule(table: Ints) -> dict[int, int]:
    """The most frequent label of what shows each class; that of most rows first."""
    known = np.flatnonzero(table.sum(axis=1))
    surest = known[np.argsort(-table[known].max(axis=1), kind="stable")]
    return {int(code): int(table[code].argmax()) for code in surest}
