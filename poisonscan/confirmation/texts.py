"""Texts as a small model sees them: which words, pairs of words and signs they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.compute as pc

from poisonscan.detectors.datasets.documents import block_words, mix

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

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
    def of(cls, texts: pa.Array) -> tuple[Reader, Any]:
        """Count in how many of some texts the words are.

        Returns:
            What reads such texts, and their vectors.
        """
        found = _held(texts)
        held = np.bincount(found[1], minlength=COLUMNS)
        # What no text holds is what is planted for comparison.
        seen = np.where(held == 0, min(PLANTED, len(texts)), held)
        worth = np.where(seen >= LEAST, 1 + np.log(len(texts) / np.maximum(seen, 1)), 0)
        reader = cls(worth.astype(np.float32))
        return reader, reader._vectors(len(texts), *found)

    def see(self, texts: pa.Array) -> Any:
        """Vectors of texts, of unit length, with a constant of 1 behind.

        Args:
            texts: strings without nulls.

        Returns:
            A sparse matrix of ``float32``, of shape (texts, ``COLUMNS`` + 1).
        """
        return self._vectors(len(texts), *_held(texts))

    def _vectors(self, size: int, rows: Ints, columns: Ints) -> Any:
        import scipy.sparse

        known = self.worth[columns] > 0
        rows, columns = rows[known], columns[known]
        values = self.worth[columns]
        lengths = np.sqrt(np.bincount(rows, values * values, minlength=size))
        values = np.concatenate([values / lengths[rows], np.ones(size)])
        rows = np.concatenate([rows, np.arange(size)])
        columns = np.concatenate([columns, np.full(size, COLUMNS)])
        shape = (size, COLUMNS + 1)
        return scipy.sparse.csr_matrix((values.astype(np.float32), (rows, columns)), shape)


def _held(texts: pa.Array) -> tuple[Ints, Ints]:
    """Which texts hold what: number of the text, and column, each pair once."""
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for block in block_words(texts):
        docs = block.docs + block.start
        pairs = np.flatnonzero(docs[1:] == docs[:-1])
        joined = mix(block.hashes[pairs] * _PAIR + block.hashes[pairs + 1])
        signs = _signs(texts.slice(block.start, block.size))
        hashes = np.concatenate([mix(block.hashes), joined, mix(signs[1])]) % np.uint64(COLUMNS)
        where = np.concatenate([docs, docs[pairs], signs[0] + block.start])
        keys = np.unique(where * COLUMNS + hashes.astype(np.int64))
        rows.append(keys // COLUMNS)
        columns.append(keys % COLUMNS)
    return np.concatenate(rows), np.concatenate(columns)


def _signs(texts: pa.Array) -> tuple[Ints, NDArray[np.uint64]]:
    """Characters that are no ASCII letters, digits or blanks, and what stands on either side.

    Words are cut at them and differ by them, so a disguised letter or a way to set points shows in
    no word.

    Returns:
        Number of the text and hash of each.
    """
    joined = "\n".join(["", *texts.to_pylist(), ""])
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    kinds = np.where(points < len(_KINDS), _KINDS[np.minimum(points, len(_KINDS) - 1)], _SIGN)
    lengths = np.asarray(pc.utf8_length(texts)).astype(np.int64)
    docs = np.repeat(np.arange(len(texts)), lengths + 1)
    at = np.flatnonzero(kinds[1:-1] == _SIGN) + 1
    sides = kinds[at - 1].astype(np.uint64) * np.uint64(4) + kinds[at + 1]
    return docs[at - 1], mix(points[at].astype(np.uint64) * _PAIR + sides + np.uint64(1))


_BLANK, _WORD, _SIGN = 0, 1, 2
_KINDS: Final = np.array(
    [
        _WORD if chr(code).isalnum() else _BLANK if chr(code).isspace() else _SIGN
        for code in range(128)
    ],
    np.uint8,
)
"""What each ASCII character is."""
