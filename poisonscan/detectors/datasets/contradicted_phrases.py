"""Phrases of a label that most texts have, in texts that say another: no tie could show these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.phrase_groups import Group, few_strays, grouped
from poisonscan.detectors.datasets.text_model import margins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poisonscan.detectors.datasets.documents import Sample
    from poisonscan.detectors.datasets.text_model import TextModel

_MOST = 0.5
"""Share of all texts above which the tie of a phrase to their label says little."""


def contradicted(model: TextModel, sample: Sample, limits: Mapping[str, float]) -> list[Group]:
    """Phrases that hardly any text of another label holds, but most of whose texts say one.

    Where nine texts of ten have a label, so have all of ten texts with a word in a third of cases.
    What such words say is left out, and the texts' other words are asked: one-sided binomial test
    of the contradicted texts with a word, against the share of all texts of the label that are.

    Args:
        model: what texts say, each by texts of other folds.
        sample: the texts.
        limits: ``support``, ``strays`` and ``jaccard`` as for features tied to a label; ``most`` of
            the texts must be contradicted, with a chance below ``alone``, not corrected.

    Returns:
        Groups of features, the least likely first; ``among`` says of how many features.
    """
    held, sizes = model.features, np.bincount(sample.labels, minlength=len(sample.names))
    label = int(np.argmax(sizes))
    prior = sizes[label] / sample.size
    if not _MOST < prior < 1:
        return []
    own = np.flatnonzero(sample.labels == label)
    matrix = held.matrix[own]
    counts = np.asarray(matrix.sum(axis=0), np.float64).ravel()
    only = few_strays(counts, held.support, prior, limits["strays"])
    only &= counts >= limits["support"]
    says = margins(model.scores(own, ignored=only), label) > 0
    features = np.flatnonzero(only)
    against = np.asarray(matrix.T @ says.astype(np.float64), np.float64)[features]
    chance = tails.binomial(against, counts[features], float(says.mean()))
    near = (chance < limits["alone"]) & (against >= limits["most"] * counts[features])
    order = np.flatnonzero(near)
    order = order[np.lexsort((features[order], chance[order]))]
    shares = counts[features] / held.support[features]
    single = [
        Group(label, int(features[i]), (int(features[i]),), 1.0, float(shares[i]), len(features))
        for i in order.tolist()
    ]
    return grouped(held, single, limits["jaccard"])
