"""The words of texts, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from benchmarks.published.told import Codes, Told

MOST_WORDS = 1_000
"""Words of a text that are looked at, so that long texts do not take minutes."""


@dataclass(frozen=True, slots=True)
class Words:
    """Lower-cased words between spaces.

    Attributes:
        row: the text of each word, in order.
        word: its number among all different words.
        different: how many there are.
    """

    row: Codes
    word: Codes
    different: int


@lru_cache(maxsize=1)
def words_of(told: Told) -> Words:
    """The words of its texts."""
    numbers: dict[str, int] = {}
    lists = [text.lower().split()[:MOST_WORDS] for text in told.texts or ()]
    word = [numbers.setdefault(word, len(numbers)) for words in lists for word in words]
    row = np.repeat(np.arange(len(lists)), [len(words) for words in lists])
    return Words(row.astype(np.int64), np.array(word, np.int64), len(numbers))


def bags(told: Told) -> Any:
    """Sparse counts of words over the root of their sum, of shape (rows, different words)."""
    from scipy.sparse import csr_array

    said = words_of(told)
    length = np.bincount(said.row, minlength=len(told.labels))
    values = 1 / np.sqrt(length[said.row])
    shape = (len(told.labels), max(said.different, 1))
    return csr_array((values, (said.row, said.word)), shape)  # the same word again is added up
