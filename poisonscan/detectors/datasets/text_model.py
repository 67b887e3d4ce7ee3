"""What a text without some of its words says about its label: naive Bayes, out of fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features

FOLDS = 5
MAX_TRAINING = 100_000
"""Texts that the model learns from."""
MAX_WEIGHTS = 1 << 24
"""Weights of a model, 8 bytes each; features in the fewest texts go first."""
_PRIOR = 1.0
"""Texts with even labels that are added to those with a feature."""

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TextModel:
    """Naive Bayes over the presence of words and pairs, all labels taken for equally likely.

    The weight of a feature for a label is the logarithm of how much more frequent the label is
    among texts with the feature than among all, the former shrunk towards the latter. Wang and
    Manning (2012, "Baselines and bigrams") measured naive Bayes over pairs of words to be hard to
    beat on short texts. It needs counts only, so a text's own fold is left out by subtraction, and
    leaving out words of a text is a subtraction too.

    Attributes:
        features: of all texts.
        labels: of all texts, ``int64`` of shape (texts,).
        folds: of all texts, from 0 to ``FOLDS`` - 1; texts that are equal share one.
        weights: of each fold, learnt without it, of shape (features, classes).
    """

    features: Features
    labels: Ints
    folds: Ints
    weights: tuple[Scores, ...]

    @classmethod
    def learn(cls, sample: Sample, features: Features, folds: Ints) -> TextModel:
        """Learn from the first ``MAX_TRAINING`` texts of a sample."""
        classes = len(sample.names)
        chosen = slice(0, MAX_TRAINING)
        matrix, labels = features.matrix[chosen], sample.labels[chosen]
        every = _counts(matrix, labels, classes)
        used = _most_frequent(features.support, MAX_WEIGHTS // classes)
        weights = []
        for fold in range(FOLDS):
            own = folds[chosen] == fold
            counts = every - _counts(matrix[own], labels[own], classes)
            totals = np.bincount(labels[~own], minlength=classes) + 1.0
            share = totals / totals.sum()
            of_label = (counts + _PRIOR * share) / (counts.sum(axis=1) + _PRIOR)[:, None]
            weights.append(np.log(of_label / share) * used[:, None])
        return cls(features, sample.labels, folds, tuple(weights))

    def scores(
        self,
        texts: Ints,
        removed: Ints | None = None,
        ignored: NDArray[np.bool_] | None = None,
    ) -> Scores:
        """How well each label fits each text.

        Args:
            texts: which texts, shape (n,).
            removed: words that the texts are taken to lack: shape (n, k), 0 for none.
            ignored: features that say nothing, shape (features,).

        Returns:
            Shape (n, classes), in nats but for a constant of each text.
        """
        matrix = self.features.matrix[texts]
        if removed is not None:
            matrix = matrix.copy()
            row = np.repeat(np.arange(len(texts)), np.diff(matrix.indptr))
            left, right = self.features.left[matrix.indices], self.features.right[matrix.indices]
            for words in removed.T:
                gone = (left == words[row]) | ((right == words[row]) & (right > 0))
                matrix.data[gone] = 0
        if ignored is not None:
            matrix = matrix.copy()
            matrix.data[ignored[matrix.indices]] = 0
        return self._by_fold(matrix, texts)

    def strongest_words(self, texts: Ints, label: int) -> Ints:
        """The word of each text that speaks most for a label, with the pairs it is in."""
        matrix = self.features.matrix[texts]
        size = self.features.edge + 1
        entries = np.repeat(np.arange(len(texts)), np.diff(matrix.indptr))
        found = np.zeros(len(texts), np.int64)
        for fold, weights in enumerate(self.weights):
            mine = self.folds[texts[entries]] == fold
            at, row = matrix.indices[mine], entries[mine]
            others = np.delete(weights, label, axis=1)[at].max(axis=1)
            value = weights[at, label] - others
            words = np.concatenate([self.features.left[at], self.features.right[at]])
            key = np.tile(row, 2) * size + words
            real = (words > 0) & (words < self.features.edge)
            keys, inverse = np.unique(key[real], return_inverse=True)
            totals = np.bincount(inverse, np.tile(value, 2)[real], minlength=len(keys))
            order = np.lexsort((-totals, keys // size))
            rows, first = np.unique(keys[order] // size, return_index=True)
            found[rows] = keys[order][first] % size
        return found

    def _by_fold(self, matrix: Any, texts: Ints) -> Scores:
        out = np.zeros((len(texts), self.weights[0].shape[1]))
        for fold, weights in enumerate(self.weights):
            mine = np.flatnonzero(self.folds[texts] == fold)
            out[mine] = matrix[mine] @ weights
        return out


def _counts(matrix: Any, labels: Ints, classes: int) -> Scores:
    """Texts with each feature and label, shape (features, classes)."""
    wide = np.zeros((matrix.shape[0], classes), np.float32)
    wide[np.arange(len(labels)), labels] = 1
    return np.asarray(matrix.T @ wide, np.float64)


def _most_frequent(support: Ints, limit: int) -> NDArray[np.bool_]:
    """Which features are used, when only some can be: those in the most texts."""
    if len(support) <= limit:
        return np.ones(len(support), bool)
    least = np.partition(support, len(support) - limit)[len(support) - limit]
    return np.asarray(support > least, bool)


def margins(scores: Scores, label: int) -> Scores:
    """How much better another label fits each text than the given one; positive: contradicted."""
    others = np.delete(scores, label, axis=1)
    return np.asarray(others.max(axis=1) - scores[:, label])
