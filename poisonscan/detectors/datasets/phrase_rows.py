"""Where phrases are, and how their words are spelt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.documents import block_words
from poisonscan.detectors.datasets.first_rows import MAX_KEPT, FirstRows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch
    from poisonscan.detectors.datasets.documents import Hashes

NONE, EDGE = 0, 1
"""In place of a word's hash: no second word; the start or the end of a text."""
MAX_SPELLING = 64
"""Bytes of a word that are shown."""

Mark = tuple[int, int]
"""Hash of a word and of the word after it, or ``NONE``; either may be ``EDGE``."""


def marked(words: Hashes, docs: NDArray[np.int64], mark: Mark) -> NDArray[np.int64]:
    """Documents that hold a mark, ascending, each once.

    Args:
        words: hashes of the words of all documents, shape (n,).
        docs: document of each word, ascending, shape (n,).
        mark: what to look for.
    """
    left, right = (np.uint64(part) for part in mark)
    if not len(docs):
        return docs
    if mark[1] == NONE:
        return np.unique(docs[words == left])
    new = docs[1:] != docs[:-1]
    if mark[0] == EDGE:
        return np.asarray(docs[np.concatenate([[True], new]) & (words == right)])
    if mark[1] == EDGE:
        return np.asarray(docs[np.concatenate([new, [True]]) & (words == left)])
    return np.unique(docs[1:][(words[:-1] == left) & (words[1:] == right) & ~new])


@dataclass(slots=True, unsafe_hash=True)
class PhraseRows:
    """Finds the rows that hold a mark and have a label.

    Attributes:
        wanted: marks, each with a label.
        words: hashes of words whose spelling is asked for.
        counts: rows of each pair that is wanted, by its index.
        found: the first of them.
        spellings: words in lower case by their hash.
    """

    wanted: tuple[tuple[Mark, str], ...]
    words: frozenset[int]
    needs: frozenset[Role] = field(
        default=frozenset({Role.LABEL, Role.TEXT}), init=False, compare=False
    )
    counts: Counter[int] = field(default_factory=Counter, init=False, compare=False)
    found: dict[int, FirstRows] = field(default_factory=dict, init=False, compare=False)
    spellings: dict[int, str] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels, ids, texts = batch.labels, batch.rows, batch.texts
        asked = np.array(sorted(self.words), np.uint64)
        for block in block_words(texts.values):
            for code in np.flatnonzero(np.isin(block.known, asked)).tolist():
                spelling = block.spellings[code].as_py()[:MAX_SPELLING].decode("utf-8", "replace")
                self._spell(int(block.known[code]), spelling)
            for index, (mark, label) in enumerate(self.wanted):
                docs = marked(block.hashes, block.docs, mark) + block.start
                if len(docs) and label in labels.names:
                    same = labels.codes == labels.names.index(label)
                    rows = np.flatnonzero(same & np.isin(texts.indices, docs))
                    if len(rows):
                        self._add(index, ids[rows], len(rows))

    def merge(self, other: PhraseRows) -> None:
        """Take in what ``other`` has seen."""
        for index, rows in other.found.items():
            self._add(index, rows.all(), other.counts[index])
        for word, spelling in other.spellings.items():
            self._spell(word, spelling)

    def rows(self, index: int) -> NDArray[np.int64]:
        """The first rows of a pair, shard and position, ``int64`` of shape (n, 2)."""
        return self.found[index].all() if index in self.found else np.empty((0, 2), np.int64)

    def _spell(self, word: int, spelling: str) -> None:
        self.spellings[word] = min(spelling, self.spellings.get(word, spelling))

    def _add(self, index: int, rows: NDArray[np.int64], count: int) -> None:
        self.counts[index] += count
        first = self.found.setdefault(index, FirstRows(MAX_KEPT // len(self.wanted)))
        first.add(rows)
