"""Flips of labels, from held-out scores: how many everywhere, from one class to another, in a file.

The table of given and predicted labels among confident rows is that of confident learning
(Northcutt, Jiang and Chuang 2021). Its cells are judged by the floor under the classifier's own
errors rather than by their counts, so that a weak classifier gives no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.noise_floor import Floor, floor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

_CELLS = 30
"""Pairs of labels that a curve is fitted to, those with the most contradictions."""
_LEAST = 5
"""Contradicted rows that it takes to look at a pair of labels, or at a file."""


@dataclass(frozen=True, slots=True)
class Flips:
    """Rows whose labels were flipped, probably.

    Attributes:
        given: the label that they have; None: any.
        true: the label that they look like; None: any.
        floor: the fitted curve.
        rows: which they are, the most certain first.
        scores: probability of each that it was flipped.
        looked: rows that the rate is a share of.
        least: rate that honest labels may reach: what the fitted one was tested against.
        chance: probability that honest labels look like this.
        unknown: these rows are more than those of the given label that look like it: the
            classifier knows it too little.
        overlap: the classifier is wrong elsewhere about as often, or as many rows go the other
            way: the two labels may just overlap.
    """

    given: int | None
    true: int | None
    floor: Floor
    rows: Ints
    scores: Floats
    looked: int
    least: float
    chance: float
    unknown: bool = False
    overlap: bool = False


@dataclass(frozen=True, slots=True)
class Lasting:
    """How often the surer half of the rows of a predicted class has another label.

    Attributes:
        rate: share of these rows.
        low: lower end of its interval (Clopper and Pearson 1934).
        high: upper end.
        below: share of the other half.
        back: share of sure rows of the other class that have the label of this one.
        least: share that honest labels may reach.
        chance: probability of so many, were it so.
    """

    rate: float
    low: float
    high: float
    below: float
    back: float
    least: float
    chance: float


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows with their given and predicted labels.

    Attributes:
        scores: how much each row looks like each class, of shape (rows, classes).
        labels: the given ones, of shape (rows,).
        limits: thresholds of the rule.
    """

    scores: Floats
    labels: Ints
    limits: Mapping[str, float]

    @property
    def predicted(self) -> Ints:
        """The class that each row looks most like."""
        return np.asarray(self.scores.argmax(axis=1), np.int64)

    @property
    def margins(self) -> Floats:
        """How far it is ahead of the second one."""
        ordered = np.sort(self.scores, axis=1)
        return np.asarray(ordered[:, -1] - ordered[:, -2])

    def skill(self) -> tuple[float, float]:
        """Held-out accuracy, and how far it gets from the largest class's share (0) to 1."""
        right = float((self.predicted == self.labels).mean())
        largest = float(np.bincount(self.labels).max() / len(self.labels))
        return right, (right - largest) / (1 - largest) if largest < 1 else 0.0

    def usual(self, fit: Floor) -> float:
        """What labels of honest data may have under the curve."""
        return self.limits["rate"] + self.limits["of_errors"] * fit.honest

    def targeted(self) -> list[Flips]:
        """Pairs of labels that are flipped far more often than others are."""
        predicted, margins = self.predicted, self.margins
        classes = self.scores.shape[1]
        drop = self._drop(classes * (classes - 1))
        tables = self._tables()
        found = []
        for true, given in self._crowded(predicted, margins):
            mine = np.flatnonzero((predicted == true) & np.isin(self.labels, (true, given)))
            ahead = self.scores[mine, true] - self.scores[mine, given]
            flipped = self.labels[mine] == given
            if 2 * flipped.sum() > len(mine):
                continue  # of two labels the rarer one: no share of flips can be told there
            fit = floor(ahead, flipped, 0.5, drop)
            rows, sure = mine[flipped], ahead[flipped]
            of_given = int((predicted[self.labels == given] == given).sum())
            known = of_given >= len(rows)
            others = predicted != true
            wrong = predicted[others] != self.labels[others]
            elsewhere = floor(margins[others], wrong, 1 - 1 / classes, drop)
            # What the classifier mixes up by itself, it is sure of at times: of two classes that
            # overlap, or that it cannot tell, it must leave less unsaid than is flipped.
            own = max(fit.honest, elsewhere.honest)
            usual = self.limits["times_others"] * elsewhere.rate / (classes - 1)
            least = max(usual, own, self.limits["rate_of_pair"])
            if fit.low > least:
                flips = _flips(given, true, fit, rows, sure, len(mine), least)
                found.append(replace(flips, unknown=not known))
            elif known and (lasting := self._lasting(true, given, *tables)) is not None:
                found.append(self._named(lasting, true, given, fit))
            else:
                continue
            # Of labels that overlap as many rows go each way, whatever their sizes; and a model
            # that is wrong elsewhere as often may be so here, and sure, as of negations.
            returned = ((predicted == given) & (self.labels == true)).sum()
            overlap = returned >= len(rows) or found[-1].floor.low <= wrong.mean()
            found[-1] = replace(found[-1], overlap=bool(overlap))
        return found

    def _tables(self) -> tuple[Ints, Ints]:
        """Rows of each predicted and given label: of the surer half of each predicted, the rest."""
        classes = self.scores.shape[1]
        sure = self._sure()
        tables = np.zeros((2, classes, classes), np.int64)
        np.add.at(tables, ((~sure).astype(np.int64), self.predicted, self.labels), 1)
        return tables[0], tables[1]

    def _sure(self) -> Mask:
        """Which rows are the surer half of those of their predicted class."""
        predicted, margins = self.predicted, self.margins
        sure = np.zeros(len(predicted), bool)
        for label in np.unique(predicted).tolist():
            mine = predicted == label
            sure |= mine & (margins >= np.median(margins[mine]))
        return sure

    def _lasting(self, true: int, given: int, sure: Ints, unsure: Ints) -> Lasting | None:
        """Whether sure rows of a class have another label too often, about as often as unsure ones.

        Honest contradictions die out with the margin, go both ways, and are of several labels. So
        the share among sure rows is tested against that of other classes, of any other label, and
        of the way back (binomial, Bonferroni over all pairs), their number against that of the way
        back, and the share must be no less than ``lasting`` of that among unsure rows.
        """
        hits, size = int(sure[true, given]), int(sure[true, given] + sure[true, true])
        others = np.delete(sure, true, axis=0)
        right = np.trace(sure) - sure[true, true]
        elsewhere = max(1 - right / max(others.sum(), 1), _most_mixed(sure, given))
        back = sure[given, true] / max(sure[given, true] + sure[given, given], 1)
        limits = self.limits
        least = max(limits["rate_of_pair"], elsewhere, limits["times_others"] * back)
        looks = len(sure) * (len(sure) - 1)
        chance = float(tails.binomial(hits, size, min(least, 1.0)))
        # Of two labels of unlike sizes the smaller has the larger share of what overlaps, though as
        # many rows go one way as the other: flips make one way longer (exact test of McNemar 1947).
        returned = int(sure[given, true])
        even = float(tails.binomial(hits, hits + returned, 0.5))
        below = unsure[true, given] / max(unsure[true, given] + unsure[true, true], 1)
        if max(chance * looks, even) >= limits["chance"] or hits / size < limits["lasting"] * below:
            return None
        low, high = tails.rate_limits(hits, size, limits["chance"] / looks)
        return Lasting(hits / size, low, high, float(below), float(back), float(least), chance)

    def _named(self, lasting: Lasting, true: int, given: int, fit: Floor) -> Flips:
        """The rows of flips that last, with how likely each of the contradicted ones is flipped."""
        rows = np.flatnonzero((self.predicted == true) & (self.labels == given))
        flipped = lasting.rate - lasting.back
        unsure = min(flipped / max(lasting.below, flipped), 1.0)
        scores = np.where(self._sure()[rows], flipped / lasting.rate, unsure)
        likely = np.flatnonzero(scores >= 0.5)
        order = likely[np.lexsort((rows[likely], -self.margins[rows[likely]]))]
        looked = int(((self.predicted == true) & np.isin(self.labels, (true, given))).sum())
        told = replace(fit, rate=lasting.rate, low=lasting.low, high=lasting.high)
        return Flips(
            given, true, told, rows[order], scores[order], looked, lasting.least, lasting.chance
        )

    def anywhere(self, without: list[Flips], elsewhere: Mask) -> Flips | None:
        """Flips that no pair of labels explains, and no file.

        Args:
            without: pairs of labels that are flipped.
            elsewhere: rows of files with flips of their own, of shape (rows,).
        """
        predicted, margins = self.predicted, self.margins
        kept = ~elsewhere
        for flips in without:
            kept &= ~((predicted == flips.true) & (self.labels == flips.given))
        mine = np.flatnonzero(kept)
        wrong = predicted[mine] != self.labels[mine]
        fit = self.fit(mine)
        if fit is None or fit.low <= self.usual(fit) or self.spread(mine) < self.limits["spread"]:
            return None
        rows, least = mine[wrong], self.usual(fit)
        return _flips(None, None, fit, rows, margins[rows], len(mine), least)

    def spread(self, rows: Ints) -> float:
        """Whether confident rows are contradicted by all labels (1), or by a few usual ones (0).

        Flips at random go to every label, honest confusion goes to a neighbour (a *premium* cut
        taken for an *ideal* one). Of the labels that contradict a predicted class, the more
        frequent half among one half of the rows is left out among the other half; what remains is
        compared with what it would be were all equally frequent. 1 for two classes.
        """
        classes = self.scores.shape[1]
        dropped = (classes - 1) // 2
        margins, predicted = self.margins[rows], self.predicted[rows]
        labels = self.labels[rows]
        sure = (margins >= np.median(margins)) & (predicted != labels)
        if not dropped or not sure.any():
            return 1.0
        halves = np.zeros((2, classes, classes))
        where = np.flatnonzero(sure)
        np.add.at(halves, (where % 2, predicted[where], labels[where]), 1)
        kept = 0.0
        for half in (0, 1):
            usual = np.argsort(-halves[1 - half], axis=1, kind="stable")[:, :dropped]
            rest = halves[half].copy()
            np.put_along_axis(rest, usual, 0, axis=1)
            kept += float(rest.sum())
        return float(kept / len(where) * (classes - 1) / (classes - 1 - dropped))

    def fit(self, rows: Ints) -> Floor | None:
        """The curve under some rows; None for no rows."""
        if not len(rows):
            return None
        wrong = self.predicted[rows] != self.labels[rows]
        top = 1 - 1 / self.scores.shape[1]
        return floor(self.margins[rows], wrong, top, self._drop(1))

    def _drop(self, looks: int) -> float:
        """Log-likelihood that an interval's end may lose, after Bonferroni over ``looks``."""
        chance = min(1.0, 2 * self.limits["chance"] / max(looks, 1))
        return tails.chi_squared_limit(chance, 1) / 2

    def _crowded(self, predicted: Ints, margins: Floats) -> list[tuple[int, int]]:
        """Pairs of a predicted and another given label with many rows, though they are confident.

        Looked at are the more confident half of the rows of each predicted class.
        """
        shares = []
        for true in np.unique(predicted).tolist():
            mine = np.flatnonzero(predicted == true)
            sure = mine[margins[mine] >= np.median(margins[mine])]
            counts = np.bincount(self.labels[sure], minlength=self.scores.shape[1])
            for given in np.flatnonzero(counts >= _LEAST).tolist():
                share = counts[given] / (counts[given] + counts[true])
                if given != true and share > self.limits["rate"]:
                    shares.append((-share, true, given))
        return [(true, given) for _, true, given in sorted(shares)[:_CELLS]]


def _flips(
    given: int | None,
    true: int | None,
    fit: Floor,
    rows: Ints,
    margins: Floats,
    looked: int,
    least: float,
) -> Flips:
    """Of contradicted rows, those that were rather flipped than misjudged."""
    chance = fit.posterior(margins)
    likely = np.flatnonzero(chance >= 0.5)
    order = likely[np.lexsort((rows[likely], -margins[likely]))]
    return Flips(given, true, fit, rows[order], chance[order], looked, least, fit.chance(least))


def _most_mixed(sure: Ints, given: int) -> float:
    """The largest share of a predicted class that another one's label has, but for one label.

    Args:
        sure: rows of each predicted and given label.
        given: the label that is left out, of every predicted class.
    """
    own = np.diagonal(sure)[:, None]
    shares = np.where(sure >= _LEAST, sure / np.maximum(sure + own, 1), 0.0)
    np.fill_diagonal(shares, 0)
    shares[:, given] = 0
    return float(shares.max())


@dataclass(frozen=True, slots=True)
class Crowded:
    """A file in which confident rows are contradicted more often than in the others.

    Attributes:
        part: its number.
        sure: confident rows in it.
        wrong: those of them that are contradicted.
        elsewhere: share of confident rows of other files that are.
        chance: of as many were it as in the others, for all files.
        rows: the contradicted rows, the most certain first.
    """

    part: int
    sure: int
    wrong: int
    elsewhere: float
    chance: float
    rows: Ints


def crowded(judged: Judged, parts: Ints) -> list[Crowded]:
    """Files with far more contradicted labels among confident rows than the others.

    Tested against the others' share, once more as large, plus ``rate``: files that are a little
    harder than others are none (binomial, Holm's bound replaced by Bonferroni's).

    Args:
        judged: all rows.
        parts: file of each row, of shape (rows,).
    """
    margins, wrong = judged.margins, judged.predicted != judged.labels
    sure = margins >= np.median(margins)
    known = np.unique(parts)
    found = []
    for part in known.tolist():
        mine = sure & (parts == part)
        hits, size = int((wrong & mine).sum()), int(mine.sum())
        rest = sure & (parts != part)
        if hits < _LEAST or not rest.any():
            continue
        elsewhere = float(wrong[rest].mean())
        usual = min(1.0, 2 * elsewhere + judged.limits["rate"])
        chance = float(tails.log_binomial(hits, size, usual)) + math.log(len(known))
        if chance < math.log(judged.limits["chance"]) and hits / size > judged.limits["in_part"]:
            rows = np.flatnonzero(mine & wrong)
            rows = rows[np.argsort(-margins[rows], kind="stable")]
            found.append(Crowded(part, size, hits, elsewhere, math.exp(chance), rows))
    return found
