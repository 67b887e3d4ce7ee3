"""Words, pairs of words and first and last words of texts: which text holds which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets.phrase_rows import EDGE, NONE

if TYPE_CHECKING:
    from poisonscan.detectors.datasets.documents import Hashes, Ints, Sample
    from poisonscan.detectors.datasets.phrase_rows import Mark

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Features:
    """Texts and what they hold.

    A word is a number from 1; 0 stands for no word and ``edge`` for the start or end of a text.

    Attributes:
        matrix: 1 where a text holds a feature, sparse of shape (texts, features), by rows.
        left: first word of each feature, ``int64`` of shape (features,).
        right: second word of each feature; 0 for a single word.
        support: texts with each feature, ``int64`` of shape (features,).
        words: the words of all texts as numbers, ``int64`` of shape (words,).
        vocabulary: hash of each word; that of word 1 comes first.
    """

    matrix: Any
    left: Ints
    right: Ints
    support: Ints
    words: Ints
    vocabulary: Hashes

    @property
    def edge(self) -> int:
        """The number for the start or end of a text."""
        return len(self.vocabulary) + 1

    @property
    def paired(self) -> NDArray[np.bool_]:
        """Features of two words, not of one or of one at an edge."""
        return np.asarray(
            (self.right > 0) & (self.right != self.edge) & (self.left != self.edge), bool
        )

    def mark(self, feature: int) -> Mark:
        """A feature by the hashes of its words."""
        return self._hash(int(self.left[feature])), self._hash(int(self.right[feature]))

    def _hash(self, word: int) -> int:
        if word in (0, self.edge):
            return EDGE if word else NONE
        return int(self.vocabulary[word - 1])


def features(sample: Sample, least: int = 2) -> Features:
    """Features that at least ``least`` texts hold."""
    from scipy.sparse import csr_matrix

    vocabulary, inverse = np.unique(sample.words, return_inverse=True)
    words = inverse.astype(np.int64) + 1
    edge = len(vocabulary) + 1
    docs = np.repeat(np.arange(sample.size), np.diff(sample.starts))
    first, last = words[sample.starts[:-1]], words[sample.starts[1:] - 1]
    inside = docs[1:] == docs[:-1]
    every = np.arange(sample.size)
    left = [words, words[:-1][inside], np.full(sample.size, edge), last]
    right = [np.zeros_like(words), words[1:][inside], first, np.full(sample.size, edge)]
    code = np.concatenate(left) * (edge + 1) + np.concatenate(right)
    holder = np.concatenate([docs, docs[1:][inside], every, every])
    # Rare words have rare pairs: leave them out before sorting.
    common = np.append(np.insert(np.bincount(inverse, minlength=edge - 1), 0, least), least)
    kept = (common[code // (edge + 1)] >= least) & (common[code % (edge + 1)] >= least)
    code, holder = code[kept], holder[kept]
    order = np.lexsort((holder, code))
    code, holder = code[order], holder[order]
    new = np.ones(len(code), bool)
    new[1:] = (code[1:] != code[:-1]) | (holder[1:] != holder[:-1])
    code, holder = code[new], holder[new]
    codes, feature, support = np.unique(code, return_inverse=True, return_counts=True)
    enough = support >= least
    number = np.cumsum(enough) - 1
    kept = enough[feature]
    entries = (holder[kept], number[feature[kept]])
    shape = (sample.size, int(enough.sum()))
    matrix = csr_matrix((np.ones(len(entries[0]), np.float32), entries), shape=shape)
    codes = codes[enough]
    return Features(
        matrix, codes // (edge + 1), codes % (edge + 1), support[enough], words, vocabulary
    )
