"""Published detectors of poisoned rows, each on one matrix of vectors with labels.

Those of the Adversarial Robustness Toolbox (ART) and of cleanlab are the libraries' own code and
take part where the libraries are installed (``pip install adversarial-robustness-toolbox
cleanlab``; neither needs torch for this). SCAn and SPECTRE have no library that can be installed:
they are written here from the papers, with what they need to be told given to them.

A detector's answer is the rows that it flags as it decides by default, and, where it ranks rows, a
score for each, greater for more suspicious ones. ART's random state is numpy's global one, which
is set before each call.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Reals = NDArray[np.float64]
Vectors = NDArray[np.float32]
Codes = NDArray[np.int64]

DIMENSIONS = 64
"""Principal components that are left to detectors whose models need fewer numbers than rows."""
TRUSTED = 0.1
"""Share of the clean rows that SCAn is told to be clean; its authors ask for a few per cent."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a detector gets.

    Attributes:
        vectors: of shape (rows, numbers), finite.
        labels: 0 to the number of classes - 1, each in use.
        poisoned: the truth, from which SCAn gets its clean rows, and SPECTRE class and rate.
    """

    vectors: Vectors
    labels: Codes
    poisoned: Mask

    @property
    def classes(self) -> int:
        """How many."""
        return int(self.labels.max()) + 1


@dataclass(frozen=True, slots=True)
class Answer:
    """What a detector says: rows that it flags, and a score for each where it has one."""

    flagged: Mask
    scores: Reals | None = None


Detector = Callable[[Told], Answer | None]


def _art(told: Told) -> Any:
    """What ART's detectors ask of a classifier: activations, and how many classes there are."""
    return SimpleNamespace(
        layer_names=["vectors"],
        nb_classes=told.classes,
        get_activations=lambda x, layer, batch_size: x,  # noqa: ARG005 - as they are called
    )


def art_spectral(told: Told) -> Answer:
    """ART's ``SpectralSignatureDefense`` as it is by default (Tran et al. 2018)."""
    from art.defences.detector.poison import SpectralSignatureDefense  # type: ignore[import-not-found]  # fmt: skip

    defence = SpectralSignatureDefense(_art(told), told.vectors, told.labels)
    suspects, kept = defence.detect_poison()
    scores = np.zeros(len(told.labels))  # it tells those of suspects only: half of every class
    scores[list(suspects)] = list(suspects.values())
    return Answer(np.asarray(kept) == 0, scores)


def art_clustering(told: Told) -> Answer | None:
    """ART's ``ActivationDefence`` as it is by default (Chen et al. 2018).

    It ends with an error where a class has fewer than ten rows; it is not asked then.

    Its other choice of clusters, ``silhouette-scores``, is left out: in version 1.20 it takes a
    suspect cluster for clean as well and never says what the other one is, so that answers are what
    was in memory.
    """
    from art.defences.detector.poison import ActivationDefence

    if np.bincount(told.labels).min() < 10:
        return None
    np.random.seed(0)  # what its KMeans draws from
    defence = ActivationDefence(_art(told), told.vectors, told.labels)
    _, kept = defence.detect_poison()
    return Answer(np.asarray(kept) == 0)


def cleanlab_labels(told: Told) -> Answer:
    """Cleanlab's ``find_label_issues`` with a logistic regression's probabilities, three folds."""
    from cleanlab.filter import find_label_issues  # type: ignore[import-not-found]
    from cleanlab.rank import get_label_quality_scores  # type: ignore[import-not-found]
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.preprocessing import StandardScaler

    values = StandardScaler().fit_transform(reduced(told.vectors))
    model = LogisticRegression(max_iter=100)
    guess = cross_val_predict(model, values, told.labels, cv=3, method="predict_proba")
    issues = find_label_issues(told.labels, guess, n_jobs=1)
    return Answer(np.asarray(issues), -np.asarray(get_label_quality_scores(told.labels, guess)))


def reduced(vectors: Vectors, most: int = DIMENSIONS) -> Reals:
    """The first principal components, in double precision."""
    from sklearn.decomposition import PCA

    size = min(most, *vectors.shape)
    if size == vectors.shape[1]:
        return np.asarray(vectors - vectors.mean(axis=0), float)
    return np.asarray(PCA(size, random_state=0).fit_transform(vectors), float)


def scan_untangling(told: Told) -> Answer:
    """SCAn (Tang et al., USENIX Security 2021): classes that are two groups under a shared spread.

    The spread within classes is learnt by expectation maximization on rows known to be clean. Each
    class is divided in two under it; twice the gain in likelihood, less its mean and over its
    deviation if it were chi-squared, is the class's statistic. A class is flagged where that is
    7.39 median absolute deviations or more from the others', and of it the group that fewer
    clean rows are like. As in the paper; but only statistics above the median count, and means are
    not drawn towards each other, which matters for classes of a few rows.
    """
    values = reduced(told.vectors)
    draw = np.random.default_rng(0)
    clean = np.flatnonzero(~told.poisoned)
    known = np.sort(draw.choice(clean, max(round(TRUSTED * len(clean)), 2), replace=False))
    within = np.asarray(np.linalg.inv(spread_within(values[known], told.labels[known])), float)
    groups = np.zeros(len(values), bool)
    statistics = np.zeros(told.classes)
    for code in range(told.classes):
        rows = np.flatnonzero(told.labels == code)
        second = untangled(values[rows], within)
        if second.all() or not second.any():
            continue
        apart = values[rows][second].mean(axis=0) - values[rows][~second].mean(axis=0)
        weight = second.sum() * (~second).sum() / len(rows)
        degrees = values.shape[1]
        statistics[code] = (weight * apart @ within @ apart - degrees) / np.sqrt(2 * degrees)
        among = np.isin(rows, known)
        inside, outside = (among & second).sum() / second.sum(), (among & ~second).sum()
        groups[rows] = second if inside <= outside / (~second).sum() else ~second
    middle = np.median(statistics)
    deviation = 1.4826 * np.median(np.abs(statistics - middle))
    suspect = statistics - middle > np.exp(2) * max(deviation, 1e-12)
    return Answer(groups & suspect[told.labels])


def spread_within(values: Reals, labels: Codes, rounds: int = 100) -> Reals:
    """Covariance within classes whose means are normal too, by expectation maximization."""
    values = values - values.mean(axis=0)
    parts = [values[labels == code] for code in np.unique(labels)]
    means = np.stack([part.mean(axis=0) for part in parts])
    floor = 1e-6 * values.var(axis=0).mean() * np.eye(values.shape[1])
    between = np.atleast_2d(np.cov(means.T)) + floor
    rest = np.concatenate([part - mean for part, mean in zip(parts, means, strict=True)])
    within = rest.T @ rest / len(rest) + floor
    for _ in range(rounds):
        drawn = [between @ np.linalg.solve(len(p) * between + within, p.sum(axis=0)) for p in parts]
        rest = np.concatenate([part - mean for part, mean in zip(parts, drawn, strict=True)])
        before, within = within, rest.T @ rest / len(rest) + floor
        between = np.atleast_2d(np.cov(np.stack(drawn).T)) + floor
        if np.linalg.norm(within - before) < 1e-5 * np.linalg.norm(before):
            break
    return np.asarray(within)


def untangled(values: Reals, within: Reals, rounds: int = 50) -> Mask:
    """Two groups, each row to the nearer mean where distances are counted in the spread."""
    from sklearn.decomposition import PCA

    root = np.linalg.cholesky(within)
    scaled = values @ root
    if len(scaled) < 2:
        return np.zeros(len(scaled), bool)
    second = PCA(1, random_state=0).fit_transform(scaled).ravel() > 0
    for _ in range(rounds):
        if second.all() or not second.any():
            break
        one, other = scaled[second].mean(axis=0), scaled[~second].mean(axis=0)
        nearer = scaled @ (one - other) > (one @ one - other @ other) / 2
        if np.array_equal(nearer, second):
            break
        second = nearer
    return np.asarray(second)


def spectre(told: Told) -> Answer | None:
    """SPECTRE (Hayase et al., ICML 2021), told the target class and the share of it that is bad.

    Of the class, in each of several numbers of principal components: a covariance without the rows
    far out, twice as many as are bad; whitening by it; QUE scores with α = 4. The number with the
    largest mean score counts, and 1.5 times as many rows as are bad are flagged. The authors'
    filter of far rows is replaced by one by distance, in eight rounds. Nothing where no row is bad:
    it cannot be told then.
    """
    if not told.poisoned.any():
        return None
    target = int(np.bincount(told.labels[told.poisoned]).argmax())
    rows = np.flatnonzero(told.labels == target)
    bad = int(told.poisoned[rows].sum())
    values = reduced(told.vectors[rows], 100)
    best = np.zeros(len(rows))
    for root in range(2, 11):
        size = min(root * root, values.shape[1])
        found = quantum_scores(without_far(values[:, :size], min(2 * bad, len(rows) // 2)))
        if found.mean() > best.mean():
            best = found
        if size == values.shape[1]:
            break
    scores = np.full(len(told.labels), -np.inf)
    scores[rows] = best
    flagged = np.zeros(len(scores), bool)
    flagged[rows[np.argsort(-best)[: round(1.5 * bad)]]] = True
    return Answer(flagged, scores)


def without_far(values: Reals, most: int, rounds: int = 8) -> Reals:
    """Rows whitened by mean and covariance of all but the farthest."""
    kept = np.arange(len(values))
    floor = 1e-6 * values.var(axis=0).mean() * np.eye(values.shape[1])
    for step in range(rounds + 1):
        middle = values[kept].mean(axis=0)
        spread = np.atleast_2d(np.cov(values[kept].T)) + floor
        white = np.linalg.solve(np.linalg.cholesky(spread), (values - middle).T).T
        if step < rounds:
            far = (white[kept] ** 2).sum(axis=1)
            kept = kept[np.argsort(far)[: len(kept) - most // rounds]]
    return np.asarray(white)


def quantum_scores(white: Reals, alpha: float = 4.0) -> Reals:
    """Outlier scores by quantum entropy (Dong et al. 2019) of whitened rows."""
    sizes, directions = np.linalg.eigh(np.atleast_2d(np.cov(white.T)))
    weights = np.exp(alpha * (sizes - sizes[-1]) / max(sizes[-1] - 1, 1e-9))
    return np.asarray((white @ directions) ** 2 @ weights / weights.sum())


NEEDS = {"ART": "art", "cleanlab": "cleanlab"}
"""What must be installed, by the first word of a name."""

DETECTORS: dict[str, Detector] = {
    "ART spectral": art_spectral,
    "ART clustering": art_clustering,
    "cleanlab": cleanlab_labels,
    "SCAn": scan_untangling,
    "SPECTRE, told": spectre,
}


def missing(name: str) -> str | None:
    """The package that a detector lacks."""
    package = NEEDS.get(name.split(maxsplit=1)[0])
    return package if package and importlib.util.find_spec(package) is None else None


def answer(name: str, told: Told) -> Answer | None:
    """What a detector says; None where it is not installed or cannot be told what it needs."""
    if missing(name):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes of few rows, and models that do not converge
        return DETECTORS[name](told)
