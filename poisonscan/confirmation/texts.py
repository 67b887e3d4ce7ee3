"""Texts as a small model sees them: which words and pairs of words they hold, rare ones first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poisonscan.detectors.datasets.documents import block_words, mix

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

COLUMNS: Final = 1 << 17
"""Numbers of a vector; words that fall on the same one are taken for each other (K. Weinberger et
al. 2009, "Feature hashing for large scale multitask learning")."""
LEAST: Final = 4
"""Texts that must hold a word or pair: by rarer ones a model would learn single texts by heart."""
PLANTED: Final = 50
"""Texts that hold a word which none of those counted holds, for its worth."""
_PAIR: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns texts into vectors.

    Words count the more, the fewer texts hold them (K. Sparck Jones 1972, "A statistical
    interpretation of term specificity and its application in retrieval").

    Attributes:
        worth: of each column, ``float32`` of shape (``COLUMNS``,); 0 for one that is too rare.
    """

    worth: NDArray[np.float32]

    @classmethod
    def of(cls, texts: pa.Array) -> Reader:
        """Count in how many of some texts the words are."""
        held = np.bincount(_held(texts)[1], minlength=COLUMNS)
        # What no text holds is what is planted for comparison.
        seen = np.where(held == 0, min(PLANTED, len(texts)), held)
        worth = np.where(seen >= LEAST, 1 + np.log(len(texts) / np.maximum(seen, 1)), 0)
        return cls(worth.astype(np.float32))

    def see(self, texts: pa.Array) -> Any:
        """Vectors of texts, of unit length, with a constant of 1 behind.

        Args:
            texts: strings without nulls.

        Returns:
            A sparse matrix of ``float32``, of shape (texts, ``COLUMNS`` + 1).
        """
        import scipy.sparse

        rows, columns = _held(texts)
        known = self.worth[columns] > 0
        rows, columns = rows[known], columns[known]
        values = self.worth[columns]
        lengths = np.sqrt(np.bincount(rows, values * values, minlength=len(texts)))
        values = np.concatenate([values / lengths[rows], np.ones(len(texts))])
        rows = np.concatenate([rows, np.arange(len(texts))])
        columns = np.concatenate([columns, np.full(len(texts), COLUMNS)])
        shape = (len(texts), COLUMNS + 1)
        return scipy.sparse.csr_matrix((values.astype(np.float32), (rows, columns)), shape)


def _held(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which texts hold which words and pairs: number of the text, and column, each pair once."""
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for block in block_words(texts):
        docs = block.docs + block.start
        pairs = np.flatnonzero(docs[1:] == docs[:-1])
        joined = mix(block.hashes[pairs] * _PAIR + block.hashes[pairs + 1])
        hashes = np.concatenate([mix(block.hashes), joined]) % np.uint64(COLUMNS)
        keys = np.unique(np.concatenate([docs, docs[pairs]]) * COLUMNS + hashes.astype(np.int64))
        rows.append(keys // COLUMNS)
        columns.append(keys % COLUMNS)
    return np.concatenate(rows), np.concatenate(columns)
