"""Texts of a label that share a style and say what other labels say: a mixture of two, by EM.

Texts of the label are taken for a mixture: honest ones, and implanted ones that are all written in
one style and say what texts of all labels say. Two linear models see different words of the texts
(Blum and Mitchell 1998, "Combining labeled and unlabeled data with co-training"): that of style
tells the implanted from all others, that of content tells the label from the others without the
implanted. Each text's share of being implanted, from both, is what they are learnt with again
(Dempster, Laird and Rubin 1977). Every text is judged by models that did not see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from poisonscan.detectors.datasets.style_features import Views

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

FOLDS = 3
_ROUNDS = 4
_SEEDS = 0.95
"""Part of other labels' texts whose style is less of the label than that of the first suspects."""
_JOINT, _CONTENT, _STYLE = 0.3, 0.3, 0.05
"""Inverse strength of regularization. Style is what many texts share: weights are kept small."""
_HALF = 0.5
"""Weight of style beside content when both are learnt together, and of content beside style."""
_FAR = 6.0
"""Log-odds that one text's content counts for at most."""
_HONEST = 0.1
"""Share of honest texts that are contradicted as much as those that are counted."""
_LEAST_VARIANCE = 0.05
"""Of one text's being counted, at least: a few alike texts are no certainty."""
_LEAST_RATE = 0.005
_TOLERANCE, _LEAST_TOLERANCE, _STEPS = 1e-3, 1e-4, 20
_FEWEST = 5
"""Suspects, shares of them added up, below which there is no style to be learnt."""
_LIKELY, _CORE = 3, 10
_FEATURES = 8
_LEAST_WEIGHT = 1e-6
_NAMED = 0.02
"""Share of being implanted below which a text is left out of the implanted ones."""


@dataclass(frozen=True, slots=True)
class Styled:
    """What came of a label.

    Attributes:
        suspects: its texts in the style that hardly any text of other labels has, most so first.
        scores: their log-odds of being written in it.
        likely: how many of them, from the first, are left where a third of the other labels' texts
            in the style is: those to be named.
        core: how many are left where a tenth of these is: most, if the style is hardly theirs.
        implanted: share of them that say what other labels say, of what would be were all drawn
            from texts of all labels; 0 for honest texts, whatever their style, 1 for implanted ones
            and more for those from other labels only.
        error: its standard error.
        features: the style, by the features that make most of it.
    """

    suspects: Ints
    scores: Floats
    likely: int
    core: int
    implanted: float
    error: float
    features: Ints

    @property
    def chance(self) -> float:
        """Probability that as many say what other labels say, were the texts honest.

        By the normal approximation, where style and content are independent within the label.
        """
        from scipy.special import ndtr

        return float(ndtr(-self.implanted / self.error))


def styled(seen: Views, mine: Mask, others: float) -> Styled | None:
    """Look for a style among the texts of a label.

    Args:
        seen: all texts, in an order that chance might have given.
        mine: which have the label, shape (texts,).
        others: share of the texts of other labels that are as much in the style as suspects.

    Returns:
        None where no text of the label is both in a style of its own and contradicted.
    """
    if not seen.style.shape[1] or not seen.content.shape[1]:
        return None
    folds = np.arange(len(mine)) % FOLDS
    share = float(mine.mean())
    against = _content(seen.content, mine, np.ones(len(mine)), folds)
    own = _style_beside_content(seen, mine, folds)
    first = mine & (against > 0)
    if not first.any():
        return None
    suspicion = np.where(first, _sigmoid(2 * (own - np.quantile(own[~mine], _SEEDS))), 0.0)
    style = own
    for _ in range(_ROUNDS):
        if suspicion.sum() < _FEWEST:
            return None
        style = _style(seen.style, suspicion, folds)
        honest = np.where(mine, 1 - np.maximum(suspicion, _sigmoid(style)), 1.0)
        against = _content(seen.content, mine, honest, folds)
        rate = max(float(suspicion[mine].mean()), _LEAST_RATE)
        from_others = np.exp(_HALF * np.clip(against, -_FAR, _FAR))
        odds = style - _logit(rate * share) + np.log((1 - share) * from_others + share)
        suspicion = np.where(mine, _sigmoid(odds + _logit(rate)), 0.0)
    limits = np.quantile(style[~mine], 1 - others / np.array([1, _LIKELY, _CORE]))
    chosen = mine & (style > limits[0])
    if not chosen.any() or chosen.sum() == mine.sum():
        return None
    against = _content(seen.content, mine, np.where(chosen, _LEAST_WEIGHT, 1.0), folds)
    implanted, error = _implanted(against, mine, chosen)
    suspects = np.flatnonzero(chosen)
    suspects = suspects[np.argsort(-style[suspects], kind="stable")]
    made = _weights(seen.style, suspicion) * np.asarray(seen.style[suspects].mean(axis=0)).ravel()
    return Styled(
        suspects,
        style[suspects],
        int((style[suspects] > limits[1]).sum()),
        int((style[suspects] > limits[2]).sum()),
        implanted,
        error,
        np.argsort(-made, kind="stable")[:_FEATURES],
    )


def _implanted(against: Floats, mine: Mask, chosen: Mask) -> tuple[float, float]:
    """How many of the chosen say what other labels say, and the standard error; see ``Styled``.

    Counted are texts that are contradicted more than nine in ten honest ones are: those that say
    nothing are not.
    """
    limit = np.quantile(against[mine & ~chosen], 1 - _HONEST)
    others, high = (float((against[which] > limit).mean()) for which in (~mine, chosen))
    unit = max(others - _HONEST, 1e-3) * (1 - float(mine.mean()))
    error = np.sqrt(max(high * (1 - high), _LEAST_VARIANCE) / chosen.sum())
    return (high - _HONEST) / unit, float(error) / unit


def _style_beside_content(seen: Views, mine: Mask, folds: Ints) -> Floats:
    """What the style of texts says for the label beyond their content."""
    from scipy.sparse import hstack

    both, size = hstack([_HALF * seen.style, seen.content]).tocsr(), seen.style.shape[1]
    even = np.where(mine, 0.5 / mine.mean(), 0.5 / (1 - mine.mean()))
    out = np.zeros(len(mine))
    for fold in range(FOLDS):
        kept, held = folds != fold, folds == fold
        weights = _fit(both[kept], mine[kept], even[kept], _JOINT).coef_[0][:size]
        said = _HALF * (seen.style[held] @ weights)
        out[held] = said - np.median(said)
    return out


def _content(content: Any, mine: Mask, weight: Floats, folds: Ints) -> Floats:
    """How much the content of texts speaks against the label: log-odds, labels equally likely."""
    out = np.zeros(len(mine))
    for fold in range(FOLDS):
        kept, held = folds != fold, folds == fold
        label, even = mine[kept], weight[kept].copy()
        for side in (label, ~label):
            even[side] *= kept.sum() / 2 / max(even[side].sum(), _LEAST_WEIGHT)
        out[held] = -_fit(content[kept], label, even, _CONTENT).decision_function(content[held])
    return out


def _style(style: Any, suspicion: Floats, folds: Ints) -> Floats:
    """How much texts are written like the suspects: log-odds."""
    out = np.zeros(len(suspicion))
    for fold in range(FOLDS):
        kept, held = np.flatnonzero(folds != fold), folds == fold
        out[held] = _soft(style[kept], suspicion[kept]).decision_function(style[held])
    return out


def _weights(style: Any, suspicion: Floats) -> Floats:
    return np.asarray(_soft(style, suspicion).coef_[0], np.float64)


def _soft(rows: Any, suspicion: Floats) -> Any:
    """A fit where each row is implanted by a share, and honest by the rest."""
    from scipy.sparse import vstack

    first = np.flatnonzero(suspicion > _NAMED)
    rest = np.flatnonzero(suspicion < 1 - _NAMED)
    target = np.concatenate([np.ones(len(first), bool), np.zeros(len(rest), bool)])
    weight = np.concatenate([suspicion[first], 1 - suspicion[rest]])
    if not len(first):  # nothing to tell apart: the first row stands for it, with no weight
        first, target = rest[:1], np.append(True, target)
        weight = np.append(_LEAST_WEIGHT, weight)
    return _fit(vstack([rows[first], rows[rest]]), target, weight, _STYLE)


def _fit(rows: Any, target: Mask, weight: Floats, strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    # The solver multiplies its tolerance by the share of the rarer side: few rows would take long.
    rarer = max(min(target.sum(), (~target).sum()), 1) / len(target)
    tolerance = max(_TOLERANCE, _LEAST_TOLERANCE / rarer)
    model = LogisticRegression(C=strength, solver="liblinear", tol=tolerance, max_iter=_STEPS)
    return model.fit(rows, target, sample_weight=weight)


def _sigmoid(odds: Floats) -> Floats:
    from scipy.special import expit

    return np.asarray(expit(odds), np.float64)


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))
