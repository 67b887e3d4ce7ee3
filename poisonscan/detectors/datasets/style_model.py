"""Texts of a label that share a style and say what other labels say: a mixture of two, by EM.

Texts of the label are taken for a mixture: honest ones, and implanted ones that are all written in
one style and say what texts of all labels say. Two linear models see different words of the texts
(Blum and Mitchell 1998, "Combining labeled and unlabeled data with co-training"): that of style
tells the implanted from all others, that of content tells the label from the others without the
implanted. Each text's share of being implanted, from both, is what they are learnt with again
(Dempster, Laird and Rubin 1977). Every text is judged by models that did not see it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets.soft_logistic import fitted
from poisonscan.detectors.datasets.style_suspects import Suspects

if TYPE_CHECKING:
    from poisonscan.detectors.datasets.style_features import Views

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

FOLDS = 3
_ROUNDS = (6, 10)
"""Until a label is seen to hold nothing, and more where it may hold something."""
_SETTLED = 0.03
"""Change of the suspicions in a round, as a share of them, below which no more rounds are made."""
_SEEDS = 0.95
"""Part of other labels' texts whose style is less of the label than that of the first suspects."""
_CONTRADICTED = 0.1
"""Share of a label's texts that are taken for contradicted at first, at least: many implanted ones
have taught the model that they are right."""
_STEEP = 2.0
"""Log-odds of the first suspects' being implanted per log-odds of their style's being the label's.\
"""
_JOINT, _CONTENT, _STYLE, _FREE = 0.3, 0.3, 0.1, 100.0
"""Inverse strength of regularization. Style is what many texts share: weights are kept small. One
weight for one number is left as it comes."""
_LEAST_SAID = 0.2
"""Log-ratio by which a feature must be more or less frequent among suspects to be looked at."""
_HALF = 0.5
"""Weight of style beside content when both are learnt together."""
_PRIOR = 4.0
"""Texts like all others that are added to the suspects when features are counted."""
_FAR = 6.0
"""Log-odds that one text's content counts for at most."""
_STEPS = 12
"""Of a fit in a round: it goes on in the next, which is enough that likelihood grows (generalized
expectation maximization, Dempster, Laird and Rubin 1977)."""
_LEAST_RATE = 0.005
_FEWEST = 5
"""Suspects, shares of them added up, below which there is no style to be learnt."""
_EITHER = 2
"""Texts of other labels that are as much in the style as named ones, per suspects' one, where \
content speaks for it as well."""
_ALONE = (1 / 3, 1 / 10)
"""The same where style speaks alone, and for the core."""
_FEATURES = 8
_LEAST_WEIGHT = 1e-6
_NAMED = 0.02
"""Share of being implanted below which a text says nothing of the style: honest ones are many."""


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Tells implanted texts of a label from honest ones, also of texts that it did not learn from.

    Attributes:
        style: weights of the features of style, the intercept last, of shape (d + 1,).
        content: the same of those of content, against the label.
        share: of the texts that have the label.
        rate: share of the label's that are implanted.
        either: log-odds by style from which a text is named if it is more likely implanted than
            not.
        alone: the same from which it is named whatever it says.
    """

    style: Floats
    content: Floats
    share: float
    rate: float
    either: float = np.inf
    alone: float = np.inf

    def odds(self, style: Any, content: Any) -> Floats:
        """Log-odds that texts of the label are implanted; -infinity for those not to be named.

        Args:
            style: which text holds which feature, sparse of shape (texts, d).
            content: the same of content.
        """
        own = style @ self.style[:-1] + self.style[-1]
        odds = self.joined(own, content @ self.content[:-1] + self.content[-1])
        return np.where(self.names(own, odds), odds, -np.inf)

    def joined(self, style: Floats, against: Floats) -> Floats:
        """Log-odds from both: ``style`` of all texts, ``against`` the label by content."""
        from_others = np.exp(np.clip(against, -_FAR, _FAR))
        odds = style - _logit(self.rate * self.share) + _logit(self.rate)
        return np.asarray(odds + np.log((1 - self.share) * from_others + self.share))

    def names(self, style: Floats, odds: Floats) -> Mask:
        """Which texts of the label are named."""
        return ((odds > 0) & (style > self.either)) | (style > self.alone)


@dataclass(frozen=True, slots=True)
class Styled:
    """What came of a label.

    Attributes:
        suspects: its texts in the style that hardly any text of other labels has.
        named: those that are more likely implanted than not, or hardly like any other, most so
            first.
        scores: log-odds of being implanted of the named.
        features: the style, by the features that make most of it.
        judge: judges other texts of the label.
    """

    suspects: Suspects
    named: Ints
    scores: Floats
    features: Ints
    judge: Judge


def styled(seen: Views, mine: Mask, others: float, least: float) -> Styled | None:
    """Look for a style among the texts of a label.

    Args:
        seen: all texts, in an order that chance might have given.
        mine: which have the label, shape (texts,).
        others: share of the texts of other labels that are as much in the style as suspects.
        least: what ``Suspects.implanted`` must be for the label to be looked at to the end.

    Returns:
        None where no text of the label is both in a style of its own and contradicted.
    """
    if not seen.style.shape[1] or not seen.content.shape[1]:
        return None
    models = _Models(seen, mine)
    tails = others * np.array([1, _EITHER, *_ALONE])
    parts = _first(models)
    for rounds in _ROUNDS:
        parts = _parted(models, parts, rounds)
        limits = np.quantile(parts.style[~mine], 1 - tails)
        chosen = mine & (parts.style > limits[0])
        if not chosen.any() or chosen.sum() == mine.sum():
            return None
        against = models.content(np.where(chosen, _LEAST_WEIGHT, 1.0))
        suspects = Suspects.of(parts.style, against, mine, (limits[0], limits[3]))
        if suspects.implanted < least or parts.suspicion.sum() < _FEWEST:
            return None
    if parts.judge is None:
        return None
    judge = replace(parts.judge, either=float(limits[1]), alone=float(limits[2]))
    named = np.flatnonzero(mine & judge.names(parts.style, parts.odds))
    named = named[np.argsort(-parts.odds[named], kind="stable")]
    made = models.features() * np.asarray(seen.style[suspects.texts].mean(axis=0)).ravel()
    return Styled(
        suspects,
        named,
        parts.odds[named],
        np.argsort(-made, kind="stable")[:_FEATURES],
        judge,
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """Texts as parted in honest and implanted ones.

    Attributes:
        style: log-odds of being implanted, by style alone.
        odds: from style and content; -infinity for other labels' texts.
        judge: what parted them, for others; None for a first guess.
    """

    style: Floats
    odds: Floats
    judge: Judge | None = None

    @property
    def suspicion(self) -> Floats:
        """Probability of being implanted."""
        return _sigmoid(self.odds)


class _Models:
    """Models of style and of content; each text is judged by those that were learnt without it.

    Attributes:
        mine: texts of the label, of shape (texts,).
    """

    def __init__(self, seen: Views, mine: Mask) -> None:
        folds = np.arange(len(mine)) % FOLDS
        self.mine = mine
        self._kept = [folds != fold for fold in range(FOLDS)]
        self._style = [(seen.style[kept], seen.style[~kept]) for kept in self._kept]
        self._content = [(seen.content[kept], seen.content[~kept]) for kept in self._kept]
        self._style_weights: list[Floats | None] = [None] * FOLDS
        self._content_weights: list[Floats | None] = [None] * FOLDS

    def style(self, suspicion: Floats) -> Floats:
        """How much texts are written like the suspects: log-odds.

        Features are scaled by what each of them says alone, so that the penalty is less on those
        that say much (Wang and Manning 2012, "Baselines and bigrams").
        """
        out = np.zeros(len(suspicion))
        for fold, (kept, (rows, held)) in enumerate(zip(self._kept, self._style, strict=True)):
            scale = _said(rows, suspicion[kept])
            scale[scale < _LEAST_SAID] = 0
            weights = fitted(
                rows,
                suspicion[kept],
                _STYLE,
                start=self._style_weights[fold],
                scale=scale,
                steps=_STEPS,
            )
            self._style_weights[fold] = weights
            out[~kept] = held @ weights[:-1] + weights[-1]
        return out

    def content(self, weight: Floats) -> Floats:
        """How much texts' content speaks against the label: log-odds, labels equally likely."""
        out = np.zeros(len(weight))
        for fold, (kept, (rows, held)) in enumerate(zip(self._kept, self._content, strict=True)):
            label, even = self.mine[kept], weight[kept].copy()
            for side in (label, ~label):
                even[side] *= kept.sum() / 2 / max(even[side].sum(), _LEAST_WEIGHT)
            weights = fitted(
                rows,
                label.astype(float),
                _CONTENT,
                even,
                start=self._content_weights[fold],
                steps=_STEPS,
            )
            self._content_weights[fold] = weights
            out[~kept] = -(held @ weights[:-1]) - weights[-1]
        return out

    def both(self) -> tuple[Floats, Floats]:
        """What style says for the label beyond content, and content against it beyond style.

        Rewritten texts have words of their own, too: content alone would take these for the
        label's.
        """
        from scipy.sparse import hstack

        even = np.where(self.mine, 0.5 / self.mine.mean(), 0.5 / (1 - self.mine.mean()))
        own, against = np.zeros(len(even)), np.zeros(len(even))
        for fold, kept in enumerate(self._kept):
            (style, style_held), (content, content_held) = self._style[fold], self._content[fold]
            rows, size = hstack([_HALF * style, content]).tocsr(), style.shape[1]
            weights = fitted(rows, self.mine[kept].astype(float), _JOINT, even[kept])
            self._content_weights[fold] = weights[size:]
            said = _HALF * (style_held @ weights[:size])
            own[~kept] = said - np.median(said)
            against[~kept] = -(content_held @ weights[size:-1]) - weights[-1]
        return own, against

    def judge(self, slope: float, start: float, share: float, rate: float) -> Judge:
        """The mean of the models as they were learnt last; the first are those of style's odds."""
        style = np.mean(np.array(self._style_weights), axis=0) * slope
        style[-1] += start
        return Judge(style, -np.mean(np.array(self._content_weights), axis=0), share, rate)

    def features(self) -> Floats:
        """Weights of the features of style, over all texts."""
        return np.asarray(np.mean(np.array(self._style_weights), axis=0)[:-1], np.float64)


def _first(models: _Models) -> _Parts:
    """A first guess at who is implanted: what style says for the label and content against it."""
    (own, against), mine = models.both(), models.mine
    odds = _STEEP * (own - np.quantile(own[~mine], _SEEDS))
    contradicted = mine & (against > min(np.quantile(against[mine], 1 - _CONTRADICTED), 0.0))
    return _Parts(own, np.where(contradicted, odds, -np.inf))


def _parted(models: _Models, parts: _Parts, rounds: int) -> _Parts:
    """Learn both models from who is suspected and suspect anew, in turn."""
    mine, share = models.mine, float(models.mine.mean())
    for _ in range(rounds):
        suspicion = parts.suspicion
        if suspicion.sum() < _FEWEST:
            break
        known = np.where(suspicion > _NAMED, suspicion, 0.0)
        slope, start = _calibration(style := models.style(known), known)
        style = style * slope + start
        honest = np.where(mine, 1 - np.maximum(suspicion, _sigmoid(style)), 1.0)
        against = models.content(honest)
        rate = max(float(suspicion[mine].mean()), _LEAST_RATE)
        judge = models.judge(slope, start, share, rate)
        odds = np.where(mine, judge.joined(style, against), -np.inf)
        parts = _Parts(style, odds, judge)
        if np.abs(parts.suspicion - suspicion).sum() < _SETTLED * suspicion.sum():
            break
    return parts


def _calibration(odds: Floats, suspicion: Floats) -> tuple[float, float]:
    """What log-odds are without shrinkage by the penalty: times a slope, and a start added.

    Platt 1999, "Probabilistic outputs".
    """
    slope, start = fitted(odds[:, None], suspicion, _FREE)
    return float(slope), float(start)


def _said(rows: Any, suspicion: Floats) -> Floats:
    """How far the share of each feature among suspects is from that among others: a ratio's log.

    Both shares are drawn towards the common one, as if ``_PRIOR`` more texts had it.
    """
    common = np.maximum(np.asarray(rows.mean(axis=0)).ravel(), _LEAST_WEIGHT)
    among, others = (
        (rows.T @ part.astype(rows.dtype) + _PRIOR * common) / (part.sum() + _PRIOR)
        for part in (suspicion, 1 - suspicion)
    )
    return np.asarray(np.abs(np.log(among / others)), np.float64)


def _sigmoid(odds: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(odds), np.float64)


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
