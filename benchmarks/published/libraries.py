"""Detectors of the Adversarial Robustness Toolbox (ART) and of cleanlab: the libraries' own code.

ART's random state is numpy's global one, which is set before each call.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.published.told import Answer, Told, reduced


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
