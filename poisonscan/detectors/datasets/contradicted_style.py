"""Rows of a class that were made in one way of their own and show what other classes show.

Poisoned rows carry a label that their content contradicts, and something that was done to all of
them. A class's honest rows that are hard to tell also contradict it, so suspects are taken from
those rows first, and then kept are those that differ from all other rows, of every class, in one
direction of *how* rows are made: what the label and the content explain of that is taken off
before, as far as it adds up. Which rows are suspects and the direction in which they differ are
found in turn (expectation maximization, Dempster, Laird and Rubin 1977; the direction is Fisher's
discriminant); every row is judged by a direction that was found without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

FOLDS = 3
_ROUNDS = 6
_FEWEST = 3.0
"""Suspects, shares of them added up, below which there is no direction to be found."""
FAR = 8.0
"""Spreads beyond which a number counts no more."""
_LEAST_SPREAD = 0.2
"""Of a number's spread by quantiles in units of its standard deviation, at least: most rows of a
number may be equal."""
_RIDGE = 2.0
"""Added to each variance, in units of their mean, for each number that there is of a row."""
_TAIL, _CORE = 0.01, 0.001
"""Shares of other classes' rows beyond which a row is in the style, and hardly anything else is."""
_LEAST_APART = 0.1
"""How much more of other classes' rows than of honest ones must be contradicted to say anything."""
_LEAST_VARIANCE = 0.05
"""Of one row's being counted, at least."""
_FALSE = 0.05
"""Share of the named rows that may be honest, by how many of other classes are named too."""


@dataclass(frozen=True, slots=True)
class Style:
    """What a class has that others do not.

    Attributes:
        suspects: rows of the class beyond ``_TAIL`` of other classes' rows, most so first; of
            other groups of rows in the same way.
        sure: those of them of which at most ``_FALSE`` are honest.
        core: share of the suspects beyond ``_CORE`` of other classes' rows.
        mine: the rows in which it was looked for, of shape (n,).
        leak: see ``implanted_share``.
    """

    suspects: Ints
    sure: Ints
    core: float
    mine: Mask
    leak: float = 0.0


@dataclass(frozen=True, slots=True)
class Scale:
    """What numbers are divided by so that they can be compared.

    Attributes:
        middle: medians, of shape (d,).
        spread: of each around it.
    """

    middle: Floats
    spread: Floats

    @classmethod
    def of(cls, numbers: Singles) -> Scale:
        """From rows of shape (n, d)."""
        middle = np.median(numbers, axis=0).astype(np.float64)
        spread = 1.4826 * np.median(np.abs(numbers - middle), axis=0)
        spread = np.maximum(spread, _LEAST_SPREAD * numbers.std(axis=0))
        return cls(middle, np.where(spread > 0, spread, 1.0))

    def standard(self, numbers: Singles) -> Floats:
        """Rows in units of the scale."""
        return np.clip((numbers - self.middle) / self.spread, -FAR, FAR)


def contradiction(scores: Floats, codes: int | Ints) -> Floats:
    """How much more rows look like another class than like one.

    Args:
        scores: how much each row looks like each class, of shape (n, classes).
        codes: the class, or that of each row, of shape (n,).
    """
    rows, others = np.arange(len(scores)), scores.copy()
    others[rows, codes] = -np.inf
    return np.asarray(others.max(axis=1) - scores[rows, codes])


class Styles:
    """How rows were made, without what labels and contents explain of it.

    Args:
        numbers: standardized, of shape (n, d), in an order that chance might have given.
        scores: how much each row looks like each class to a model that did not see it, of shape
            (n, classes).
        labels: codes of the classes, of shape (n,).
    """

    def __init__(self, numbers: Floats, scores: Floats, labels: Ints) -> None:
        self.scores, self.labels = scores, labels
        self._folds = np.arange(len(labels)) % FOLDS
        known = np.zeros((len(labels), scores.shape[1]))
        known[np.arange(len(labels)), labels] = 1
        known = np.concatenate([known, scores - scores.mean(axis=0)], axis=1)
        left = numbers - known @ np.linalg.lstsq(known, numbers, rcond=1e-6)[0]
        values, vectors = np.linalg.eigh(_covariance(left))
        self._rows = (left @ (vectors / np.sqrt(values))).astype(np.float32)

    def find(self, code: int) -> Style | None:
        """The style of a class's contradicted rows; None where these have none in common."""
        return self.of(self.labels == code, contradiction(self.scores, code))

    def of(self, mine: Mask, against: Floats, leak: float = 0.0) -> Style | None:
        """The style that some rows have and others have not.

        Args:
            mine: those in which it is looked for, of shape (n,).
            against: how much what each row shows contradicts its label, of shape (n,).
            leak: see ``implanted_share``.

        Returns:
            None where the contradicted ones of them have nothing in common.
        """
        spread = float(against[mine].std()) or 1.0
        weights = np.zeros(len(mine))
        weights[mine] = np.clip(against[mine] / spread, 0, 2)
        places = np.zeros(len(mine))
        for _ in range(_ROUNDS):
            if weights.sum() < _FEWEST:
                return None
            places = self._places(weights)
            shares = implanted_share(places[mine], places[~mine], leak)
            weights[mine] = shares**2 * (0.5 + (against[mine] > 0))
        if weights.sum() < _FEWEST:
            return None
        tail, core = np.quantile(places[~mine], [1 - _TAIL, 1 - _CORE])
        suspects = np.flatnonzero(mine & (places > tail))
        if not len(suspects):
            return None
        suspects = suspects[np.argsort(-places[suspects], kind="stable")]
        limit = _cut(places[mine], places[~mine], leak)
        sure = suspects[places[suspects] > limit]
        return Style(suspects, sure, float((places[suspects] > core).mean()), mine, leak)

    def _places(self, weights: Floats) -> Floats:
        """Rows along the direction of the weighted ones, found without the fold of each."""
        out = np.zeros(len(weights))
        for fold in range(FOLDS):
            held = self._folds == fold
            out[held] = self._rows[held] @ self._direction(np.where(held, 0.0, weights))
        return out

    def _direction(self, weights: Floats) -> Singles:
        """From all rows to the weighted ones; rows are white, so it is Fisher's discriminant."""
        middle = weights.astype(np.float32) @ self._rows / np.float32(max(weights.sum(), 1e-9))
        length = float(np.linalg.norm(middle))
        return np.asarray(middle / np.float32(length or 1.0))


def implanted_share(mine: Floats, others: Floats, leak: float = 0.0) -> Floats:
    """Share of a class's rows from each place on that others do not explain.

    Were none implanted, as large a part of the class as of the others would lie beyond a place. One
    minus the share is a rate of false discoveries, and taken as such (Storey 2002, "A direct
    approach to false discovery rates"): of a row, that of the best place that includes it.

    Args:
        mine: places of the class's rows, of shape (n,).
        others: of all other rows, of shape (m,), m >= 1.
        leak: implanted rows among the others for each among the class's, less than m / n. With
            ``h`` honest ones of the class's beyond a place, the others have ``h`` m / n and
            ``leak`` times the implanted ones there.

    Returns:
        Of each of the class's rows, from 0 to 1, not larger for nearer ones; of shape (n,).
    """
    order = np.argsort(-mine, kind="stable")
    beyond = len(others) - np.searchsorted(np.sort(others), mine[order]) + 0.5
    ratio, rank = len(mine) / len(others), np.arange(1, len(mine) + 1)
    expected = ratio * np.maximum(beyond - leak * rank, 0.5) / (1 - ratio * leak)
    share = np.clip(1 - expected / rank, 0, 1)
    out = np.empty(len(mine))
    out[order] = np.maximum.accumulate(share[::-1])[::-1]
    return out


def _cut(mine: Floats, others: Floats, leak: float) -> float:
    """A place beyond which at most ``_FALSE`` of the class's rows are honest."""
    kept = implanted_share(mine, others, leak) >= 1 - _FALSE
    if not kept.any():
        return np.inf
    return float(max(mine[~kept].max(initial=-np.inf), np.quantile(others, 1 - _TAIL)))


def discriminant(numbers: Floats, labels: Ints, style: Style) -> tuple[Floats, Floats]:
    """What tells the rows of a style from all others by the numbers alone.

    Args:
        numbers: standardized, of shape (n, d).
        labels: codes of the classes, of shape (n,).
        style: found in them.

    Returns:
        Weights of the numbers, of shape (d,), and for each code the place along them beyond which
        rows of that class are named; infinity for a class of suspects alone.
    """
    chosen = np.zeros(len(labels), bool)
    chosen[style.suspects] = True
    left, middles = numbers.copy(), np.full((int(labels.max()) + 1, numbers.shape[1]), np.inf)
    for code in np.unique(labels).tolist():
        own = labels == code
        if (own & ~chosen).any():
            middles[code] = numbers[own & ~chosen].mean(axis=0)
            left[own] -= middles[code]
    spread = _covariance(left[~chosen])
    weights = np.linalg.solve(spread, left[style.sure].mean(axis=0))
    weights /= np.sqrt(max(float(weights @ spread @ weights), 1e-12))
    places = left @ weights
    known = np.isfinite(middles[:, 0])
    thresholds = np.full(len(middles), np.inf)
    limit = _cut(places[style.mine], places[~style.mine], style.leak)
    thresholds[known] = limit + middles[known] @ weights
    return weights, thresholds


def _covariance(centred: Floats) -> Floats:
    """Of rows with mean 0; directions that so few rows say little of do not count as small ones."""
    rows, numbers = centred.shape
    spread = centred.T @ centred / rows
    ridge = _RIDGE * numbers / rows * float(np.trace(spread)) / numbers
    spread[np.diag_indices_from(spread)] += ridge + 1e-12
    return np.asarray(spread)


def implanted(against: Floats, mine: Mask, chosen: Mask) -> tuple[float, float]:
    """How many of the chosen show what other classes show.

    A row counts as contradicted from where honest rows and those of other classes are told apart
    best (Youden 1950, "Index for rating diagnostic tests"); how many honest rows do is taken off.

    Args:
        against: see ``contradiction``, of shape (n,).
        mine: which rows are of the class.
        chosen: which of them are looked at.

    Returns:
        The share, 1 for rows drawn from all classes and 0 for honest ones, and its standard error;
        0 and infinity where the class cannot be told from others.
    """
    own, others = np.sort(against[mine & ~chosen]), np.sort(against[~mine])
    if not len(own):
        return 0.0, np.inf
    beyond = 1 - np.searchsorted(own, others) / len(own)
    apart = 1 - np.arange(len(others)) / len(others) - beyond
    best = int(apart.argmax())
    high = float((against[chosen] >= others[best]).mean())
    unit = float(apart[best]) * (1 - float(mine.mean()))
    if unit < _LEAST_APART:
        return 0.0, np.inf
    error = np.sqrt(max(high * (1 - high), _LEAST_VARIANCE) / chosen.sum())
    return (high - float(beyond[best])) / unit, float(error) / unit
