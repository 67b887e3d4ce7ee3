"""What small models say of stamped rows and of suspects, with and without the suspects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poisonscan.confirmation.sample import luck
from poisonscan.confirmation.surrogate import guessed, learn

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Marks = NDArray[np.bool_]
Stamp = Callable[[Ints], Any]
"""Makes vectors of some rows of the sample with a trigger put on them."""

HELD: Final = 4
"""One of so many rows that no suspicion names is not learnt from."""
STAMPED: Final = 300
"""Rows at most that a trigger is put on, and suspects that are looked at."""
LEAST: Final = 40
"""Rows of which shares are taken."""
MOST_WEIGHT: Final = 4.0
"""Rows of a large dataset that one of the sample stands for at most: what is learnt from a sample
would otherwise be too sure of it."""
WORKS: Final = 0.1
"""Of the way from guessing to always right, how far a model must be to be asked, less two standard
errors."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What a test came to.

    Attributes:
        rows: rows that were looked at.
        with_them: how many of them followed the model that saw the suspects.
        without: how many followed the one that did not.
        plain: how many followed the first with no trigger on them; of a test without a trigger,
            how many other rows would be expected to.
        interval: of the difference of the shares with and without, 95 %.
    """

    rows: int
    with_them: int
    without: int
    plain: int
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Trial:
    """A sample with what was learnt from it.

    Attributes:
        contents: hashes of what the rows hold, ``uint64`` of shape (n,).
        vectors: of the rows, of shape (n, d).
        labels: from 0, of shape (n,).
        weights: how much each row counts, 0 for those held out, of shape (n,).
        learnt: what tells the classes apart, suspects included.
        accuracy: mean over classes of the share of held out rows that are recognised.
        error: standard error of that.
        classes: how many there are.
    """

    contents: Hashes
    vectors: Any
    labels: Ints
    weights: NDArray[np.float32]
    learnt: NDArray[np.float32]
    accuracy: float
    error: float
    classes: int

    @classmethod
    def of(
        cls, contents: Hashes, vectors: Any, labels: Ints, weights: NDArray[np.float64], held: Marks
    ) -> Trial:
        """Learn from a sample.

        Args:
            contents: hashes of what the rows hold, ``uint64`` of shape (n,).
            vectors: of shape (n, d).
            labels: from 0, all present, of shape (n,).
            weights: rows that each stands for.
            held: not learnt from.
        """
        classes = int(labels.max()) + 1
        counted = np.where(held, 0, weights)
        # Classes count alike, or a rare one would never be guessed.
        sizes = np.bincount(labels, counted, minlength=classes)
        counted *= (counted.sum() / classes / np.maximum(sizes, 1))[labels]
        learnt = learn(vectors, labels, counted.astype(np.float32), classes)
        right = guessed(vectors[held], learnt) == labels[held]
        number = np.bincount(labels[held], minlength=classes)
        number, known = number[number > 0], np.bincount(labels[held], right)
        recalls = known[np.unique(labels[held])] / number
        # A class of which none is missed may be luck: one more of each kind (Agresti and Coull).
        safe = (recalls * number + 1) / (number + 2)
        error = float(np.sqrt((safe * (1 - safe) / number).sum())) / max(len(number), 1)
        accuracy = float(recalls.mean()) if held.any() else 0.0
        weighed = counted.astype(np.float32)
        return cls(contents, vectors, labels, weighed, learnt, accuracy, error, classes)

    @property
    def works(self) -> bool:
        """Whether the classes are told apart well enough to be asked."""
        chance = 1 / self.classes
        return self.accuracy - 2 * self.error >= chance + WORKS * (1 - chance)

    def without(self, suspects: Marks) -> NDArray[np.float32]:
        """What is learnt when some rows are left out."""
        weights = np.where(suspects, np.float32(0), self.weights)
        return learn(self.vectors, self.labels, weights, self.classes)

    def stamped(
        self, stamp: Stamp, target: int, held: Marks, left: NDArray[np.float32]
    ) -> Shares | None:
        """Put a trigger on rows of other classes that were not learnt from.

        Args:
            stamp: the trigger.
            target: the class that it is to lead to.
            held: rows that were not learnt from.
            left: what is learnt without the suspects.

        Returns:
            None where there are too few such rows.
        """
        asked = self._some(held & (self.labels != target))
        if len(asked) < LEAST:
            return None
        marked = stamp(asked)
        follow = guessed(marked, self.learnt) == target
        still = guessed(marked, left) == target
        plain = int((guessed(self.vectors[asked], self.learnt) == target).sum())
        counts = len(asked), int(follow.sum()), int(still.sum()), plain
        return Shares(*counts, paired(follow, still))

    def control(self, stamp: Stamp, target: int, held: Marks, suspects: Marks) -> float | None:
        """How well a trigger that is planted for comparison is followed.

        It is put on as many rows of other classes as there are suspects, which get their class.

        Args:
            stamp: a trigger that no row has.
            target: the class.
            held: rows that were not learnt from.
            suspects: the rows of the finding.

        Returns:
            The share of stamped rows of other classes that are taken for the class; None where
            there are too few.
        """
        asked = self._some(held & (self.labels != target))
        count = min(int(suspects.sum()), STAMPED)
        chosen = self._some((self.weights > 0) & (self.labels != target))[:count]
        if len(asked) < LEAST or len(chosen) < count:
            return None
        weights = self.weights.copy()
        weights[chosen] = 0
        mean = np.full(count, self.weights[suspects].mean(), np.float32)
        learnt = learn(
            _stacked(self.vectors, stamp(chosen)),
            np.append(self.labels, np.full(count, target)),
            np.append(weights, mean),
            self.classes,
        )
        return float((guessed(stamp(asked), learnt) == target).mean())

    def left_out(
        self, suspects: Marks, target: int, held: Marks, left: NDArray[np.float32]
    ) -> Shares | None:
        """See which suspects are taken for their class by what is learnt without them.

        Args:
            suspects: the rows, of class ``target``.
            target: the class.
            held: rows that were not learnt from either.
            left: what is learnt without the suspects.

        Returns:
            As ``with_them``, suspects that are taken for other classes; as ``without``, so many of
            as many other rows of the class. None where there are too few of either.
        """
        asked = self._some(suspects)
        others = self._some(held & ~suspects & (self.labels == target))
        if min(len(asked), len(others)) < LEAST // 2:
            return None
        gone = guessed(self.vectors[asked], left) != target
        usual = guessed(self.vectors[others], left) != target
        expected = round(float(usual.mean()) * len(asked))
        counts = len(asked), int(gone.sum()), expected, expected
        return Shares(*counts, apart(gone, usual))

    def _some(self, rows: Marks) -> Ints:
        chosen = np.flatnonzero(rows)
        order = np.argsort(luck(self.contents[chosen]), kind="stable")
        return np.asarray(chosen[order[:STAMPED]], np.int64)


def _stacked(one: Any, other: Any) -> Any:
    if isinstance(one, np.ndarray):
        return np.concatenate([one, other])
    import scipy.sparse

    return scipy.sparse.vstack([one, other], format="csr")


_NORMAL: Final = 1.959964


def paired(one: Marks, other: Marks) -> tuple[float, float]:
    """95 % interval of the difference of two shares of the same rows.

    D. Bonett and R. Price (2012), "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data".
    """
    size = len(one) + 2
    gained = (int((one & ~other).sum()) + 1) / size
    lost = (int((other & ~one).sum()) + 1) / size
    error = _NORMAL * np.sqrt((gained + lost - (gained - lost) ** 2) / size)
    middle = gained - lost
    return float(max(-1.0, middle - error)), float(min(1.0, middle + error))


def apart(one: Marks, other: Marks) -> tuple[float, float]:
    """95 % interval of the difference of the shares of different rows.

    A. Agresti and B. Caffo (2000), "Simple and effective confidence intervals for proportions and
    differences of proportions".
    """
    shares = [(int(marks.sum()) + 1) / (len(marks) + 2) for marks in (one, other)]
    errors = [s * (1 - s) / (len(m) + 2) for s, m in zip(shares, (one, other), strict=True)]
    error, middle = _NORMAL * np.sqrt(sum(errors)), shares[0] - shares[1]
    return float(max(-1.0, middle - error)), float(min(1.0, middle + error))
