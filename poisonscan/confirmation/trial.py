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
Floats = NDArray[np.float32]
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
        with_them: how many of them followed the model that saw the suspects, or half of them.
        without: how many followed the one that did not.
        plain: how many followed the first with no trigger on them; of a test of suspects, how many
            of as many rows of other classes.
        interval: of the difference of the shares with and without, 95 %.
    """

    rows: int
    with_them: int
    without: int
    plain: int
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Taught:
    """What is learnt from parts of the suspects.

    Attributes:
        without: from none of them.
        halves: twice which rows belong to the half that is left out, and what is learnt then.
    """

    without: Floats
    halves: tuple[tuple[Marks, Floats], ...]


@dataclass(frozen=True, slots=True)
class Halves:
    """What came of teaching half of the suspects.

    Attributes:
        shares: of suspects that follow the other half.
        alike: the chance that a suspect looks more like another class than a row of other classes
            does, to what is learnt without suspects: about 0.5 for rows that show other classes,
            and little for an honest kind of rows that only their own class has.
    """

    shares: Shares
    alike: float


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
    weights: Floats
    learnt: Floats
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

    def without(self, suspects: Marks) -> Floats:
        """What is learnt when some rows are left out."""
        weights = np.where(suspects, np.float32(0), self.weights)
        return learn(self.vectors, self.labels, weights, self.classes)

    def stamped(self, stamp: Stamp, target: int, held: Marks, left: Floats) -> Shares | None:
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

    def taught(self, suspects: Marks) -> Taught:
        """Learn from none of the suspects, from half of them, and from the other half.

        What is learnt from halves goes on from what is learnt without any.
        """
        without = self.without(suspects)
        first = (self.contents >> np.uint64(32)) % np.uint64(2) == 0
        halves = []
        for half in (first, ~first):
            # The other half counts twice: as much as the data hold of what they share.
            counts = np.where(suspects, np.where(half, 0, 2), 1).astype(np.float32)
            weights = self.weights * counts
            halves.append((half, learn(self.vectors, self.labels, weights, self.classes, without)))
        return Taught(without, tuple(halves))

    def can_halve(self, suspects: Marks, target: int, held: Marks) -> bool:
        """Whether there are enough suspects, and rows of other classes; see ``halves``."""
        own = self.labels == target
        return bool((suspects & own).sum() >= LEAST // 2 and (held & ~own).sum() >= LEAST)

    def halves(self, taught: Taught, suspects: Marks, target: int, held: Marks) -> Halves:
        """See whether suspects follow the half of them that they do not belong to.

        Rows that have nothing in common but a wrong label teach nothing about each other.

        Args:
            taught: what is learnt from halves.
            suspects: the rows; those of class ``target`` are asked.
            target: the class.
            held: rows that were not learnt from.
        """
        asked = self._some(suspects & (self.labels == target))
        others = self._some(held & (self.labels != target))
        follow, plain = np.zeros(len(asked), bool), []
        for half, learnt in taught.halves:
            mine = half[asked]
            follow[mine] = guessed(self.vectors[asked[mine]], learnt) == target
            plain.append(float((guessed(self.vectors[others], learnt) == target).mean()))
        still = guessed(self.vectors[asked], taught.without) == target
        usual = round(max(plain) * len(asked))
        counted = len(asked), int(follow.sum()), int(still.sum()), usual
        own, rest = (self._elsewhere(rows, target, taught.without) for rows in (asked, others))
        alike = float((own[:, None] > rest[None]).mean())
        return Halves(Shares(*counted, paired(follow, still)), alike)

    def _elsewhere(self, rows: Ints, target: int, learnt: Floats) -> Floats:
        """How much each row looks like the class that it looks most like, ``target`` apart."""
        values = self.vectors[rows] @ learnt
        values[:, target] = -np.inf
        return np.asarray(values.max(axis=1), np.float32)

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
