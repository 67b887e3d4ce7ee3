"""A small network trained on the rows themselves, for detectors that look inside one.

Their authors trained the model that was attacked: convolutional networks, an LSTM, transformers.
Here one hidden layer learns the labels from bags of words where there are texts, and else from the
vectors that all detectors get, which takes seconds and needs no download.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.published.told import Reals, Told
from benchmarks.published.words import bags, words_of

UNITS = 32
EPOCHS = 20
"""Rounds over all rows at most."""
LEARNED = 0.98
"""Share of the labels that the network gives when it is trained no longer: a backdoor must have
been learned to be seen, and what follows is learning rows by heart."""


@dataclass(frozen=True, slots=True)
class Surrogate:
    """The hidden layer.

    Attributes:
        weights: of shape (inputs, units).
        shift: of each unit.
        hidden: its answer to each row, of shape (rows, units), not negative.
        right: share of the rows whose label the network gives.
    """

    weights: Reals
    shift: Reals
    hidden: Reals
    right: float


@lru_cache(maxsize=1)
def trained(told: Told) -> Surrogate:
    """The network after some rounds over all rows; words that are used once are left out."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    if told.texts is None:
        rows: Any = StandardScaler().fit_transform(told.vectors)
        used = np.ones(rows.shape[1], bool)
    else:
        every = bags(told)
        used = np.bincount(words_of(told).word, minlength=every.shape[1]) > 1
        used |= not used.any()
        rows = every[:, np.flatnonzero(used)]
    network = MLPClassifier(UNITS, learning_rate_init=0.003, batch_size=100, random_state=0)
    for _ in range(EPOCHS):
        network.partial_fit(rows, told.labels, classes=np.arange(told.classes))
        right = float(network.score(rows, told.labels))
        if right >= LEARNED:
            break
    weights, shift = np.zeros((len(used), UNITS)), network.intercepts_[0]
    weights[used] = network.coefs_[0]
    hidden = np.maximum(rows @ network.coefs_[0] + shift, 0)
    return Surrogate(weights, shift, hidden, right)
