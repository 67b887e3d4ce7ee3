"""Words, pairs of words and first and last words of texts: which text holds which."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from poisonscan.detectors.datasets.phrase_rows import EDGE, NONE

if TYPE_CHECKING:
    from poisonscan.detectors.datasets.documents import Hashes, Ints, Sample
    from poisonscan.detectors.datasets.phrase_rows import Mark

Floats = NDArray[np.float64]

MOST = 1 << 63
"""Features and texts as one number are below."""


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
    from scipy.sparse import csc_matrix

    vocabulary, words = _numbered(sample.words)
    edge = len(vocabulary) + 1
    bits = max(1, int(sample.size).bit_length())
    code, text = _pairs(words, sample.starts, edge, least)
    known = None
    if (edge + 1) ** 2 << bits > MOST:  # few numbers instead of large ones
        known, code = np.unique(code, return_inverse=True)
    code <<= bits  # one number of feature and text sorts faster than two
    code |= text
    held = code.view(np.uint64)
    del code, text
    held.sort()
    new = np.ones(len(held), bool)
    np.not_equal(held[1:], held[:-1], out=new[1:])
    held = held[new]
    holder = (held & np.uint64((1 << bits) - 1)).astype(np.int32)
    held >>= np.uint64(bits)
    first = np.ones(len(held), bool)
    np.not_equal(held[1:], held[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    support = np.diff(np.append(starts, len(held)))
    enough = support >= least
    codes = held[starts[enough]].astype(np.int64)
    codes = codes if known is None else known[codes]
    holder, support = holder[np.repeat(enough, support)], support[enough]
    ends = np.concatenate([[0], np.cumsum(support)])
    shape = (sample.size, len(codes))
    matrix = csc_matrix((np.ones(len(holder), np.float32), holder, ends), shape=shape).tocsr()
    return Features(matrix, codes // (edge + 1), codes % (edge + 1), support, words, vocabulary)


def _numbered(hashes: Hashes) -> tuple[Hashes, Ints]:
    """Different hashes in order, and the number of each in it, from 1."""
    coded = pc.dictionary_encode(pa.array(hashes))
    known = np.asarray(coded.dictionary)
    order = np.argsort(known)
    number = np.empty(len(known), np.int64)
    number[order] = np.arange(1, len(known) + 1)
    return known[order], number[np.asarray(coded.indices)]


def _pairs(words: Ints, starts: Ints, edge: int, least: int) -> tuple[Ints, Ints]:
    """The feature and the text of each occurrence of words and pairs.

    Rare words have rare pairs: those are left out.
    """
    common = np.append(np.bincount(words, minlength=edge) >= least, True)  # an edge is no word
    often = common[words]
    docs = np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))
    single = np.flatnonzero(often)
    inside = np.flatnonzero(often[:-1] & often[1:] & (docs[1:] == docs[:-1]))
    first, last = words[starts[:-1]], words[starts[1:] - 1]
    begins, closes = np.flatnonzero(common[first]), np.flatnonzero(common[last])
    wide = edge + 1
    code = [
        words[single] * wide,
        words[inside] * wide + words[inside + 1],
        edge * wide + first[begins],
        last[closes] * wide + edge,
    ]
    text = [docs[single], docs[inside], begins.astype(np.int32), closes.astype(np.int32)]
    return np.concatenate(code), np.concatenate(text)
