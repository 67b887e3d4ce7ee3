"""BKI-like.

After Chen and Dai, "Mitigating backdoor attacks in LSTM-based text classification systems by
Backdoor Keyword Identification" (Neurocomputing 2021).
"""

from __future__ import annotations

import numpy as np

from benchmarks.published.surrogate import trained
from benchmarks.published.told import Answer, Codes, Reals, Told
from benchmarks.published.words import Words, bags, words_of

KEPT = 5
"""Words of a text that change the hidden layer most, as in the paper."""


def bki_like(told: Told) -> Answer | None:
    """Rows in which one word, the most suspicious of all, is among those that matter most.

    A word matters by the largest change of a hidden unit when it is left out. Words that are among
    the five of a text that matter most are scored by the mean of that, times the logarithm of the
    number of these texts; the rows of the one with the highest score are flagged, poisoned or not.
    The score is that of OpenBackdoor's version. The authors' model is an LSTM, here it is the
    surrogate, which sees no order of words.
    """
    if told.texts is None:
        return None
    said = words_of(told)
    changes = left_out(told, said)
    row, word, change = kept(said, changes)
    count = np.bincount(word, minlength=said.different)
    mean = np.bincount(word, change, said.different) / np.maximum(count, 1)
    score = np.log10(np.maximum(count, 1)) * mean
    scores = np.full(len(told.labels), -np.inf)
    np.maximum.at(scores, row, score[word])
    flagged = np.zeros(len(scores), bool)
    if len(word):
        flagged[row[word == score.argmax()]] = True
    return Answer(flagged, scores)


def left_out(told: Told, said: Words, block: int = 100_000) -> Reals:
    """Largest change of a hidden unit when a word is left out, for each word of each text."""
    model = trained(told)
    length = np.bincount(said.row, minlength=len(told.labels))
    total = bags(told) @ model.weights * np.sqrt(length)[:, None]
    out = np.zeros(len(said.row))
    for start in range(0, len(said.row), block):
        part = slice(start, start + block)
        row = said.row[part]
        rest = (total[row] - model.weights[said.word[part]]) / np.sqrt(
            np.maximum(length[row] - 1, 1)
        )[:, None]
        without = np.maximum(rest + model.shift, 0)
        out[part] = np.abs(without - model.hidden[row]).max(axis=1)
    return out


def kept(said: Words, changes: Reals) -> tuple[Codes, Codes, Reals]:
    """Text, word and change of the words that matter most in each text."""
    order = np.lexsort((-changes, said.row))
    row = said.row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    first = order[rank < KEPT]
    return said.row[first], said.word[first], changes[first]
