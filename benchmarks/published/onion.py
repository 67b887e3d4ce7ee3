"""ONION-like.

After Qi et al., "ONION: A Simple and Effective Defense Against Textual Backdoor Attacks" (EMNLP
2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.published.told import Answer, Codes, Mask, Reals, Told
from benchmarks.published.words import Words, words_of

FOLDS = 5
DISCOUNT = 0.75
"""Taken from every count, as is usual (Kneser and Ney 1995; Chen and Goodman 1999)."""
PERCENTILE = 99
"""Of the scores of rows known to be clean, above which a row is flagged."""


def onion_like(told: Told) -> Answer | None:
    """Rows with a word without which the text is much likelier.

    A word's score is what leaving it out takes from the text's perplexity, a row's is the highest
    of its words. The authors take GPT-2, and tune the threshold on clean rows so that little else
    is lost; here 1 % of the clean rows are, and a model of word pairs is fitted on four fifths of
    the rows for the fifth that is left out: without the poisoned ones, as GPT-2 has not seen the
    trigger either. It knows far fewer words: what ONION finds with GPT-2 may be much more.
    """
    if told.texts is None:
        return None
    said = words_of(told)
    rows = len(told.labels)
    steps = steps_of(said, rows)
    fold = np.random.default_rng(0).integers(0, FOLDS, rows)
    scores = np.zeros(rows)
    for each in range(FOLDS):
        others = (fold != each) & ~told.poisoned
        model = Bigrams.fit(steps.taken(others[steps.row]), said.different + 1)
        row, drop = drops(model, steps.taken(fold[steps.row] == each), rows)
        np.maximum.at(scores, row, drop)
    return Answer(scores > np.percentile(scores[told.known], PERCENTILE), scores)


@dataclass(frozen=True, slots=True)
class Steps:
    """Neighbours in texts, each of which begins and ends with a border.

    Attributes:
        row: of each pair, in order.
        before: the first word's number; the border's comes after those of all words.
        word: the second one's.
    """

    row: Codes
    before: Codes
    word: Codes

    def taken(self, which: Mask) -> Steps:
        """Those of some rows."""
        return Steps(self.row[which], self.before[which], self.word[which])


def steps_of(said: Words, rows: int) -> Steps:
    """All of them, in order."""
    order = np.argsort(np.concatenate([said.row, np.arange(rows)]), kind="stable")
    word = np.concatenate([said.word, np.full(rows, said.different)])[order]
    row = np.concatenate([said.row, np.arange(rows)])[order]
    return Steps(row, np.concatenate([[said.different], word[:-1]]), word)


@dataclass(frozen=True, slots=True)
class Bigrams:
    """How often words follow each other, with Kneser and Ney's discount.

    Attributes:
        keys: pairs that were seen, in order.
        counts: how often.
        seen: of each word, how often something followed it.
        share: of the probability after a word, what is left to pairs that were not seen.
        alone: of each word, its probability where nothing is known of the one before.
    """

    keys: Codes
    counts: Codes
    seen: Codes
    share: Reals
    alone: Reals

    @classmethod
    def fit(cls, steps: Steps, different: int) -> Bigrams:
        """The model of some texts."""
        keys, counts = np.unique(steps.before * different + steps.word, return_counts=True)
        seen = np.bincount(steps.before, minlength=different)
        followers = np.bincount(keys // different, minlength=different)
        share = np.where(seen > 0, DISCOUNT * followers / np.maximum(seen, 1), 1.0)
        leaders = np.bincount(keys % different, minlength=different)
        left = DISCOUNT * (leaders > 0).sum() / different
        alone = (np.maximum(leaders - DISCOUNT, 0) + left) / max(len(keys), 1)
        return cls(keys, counts, seen, share, alone)

    def logs(self, before: Codes, word: Codes) -> Reals:
        """Logarithms of the probabilities that words follow others."""
        wanted = before * len(self.seen) + word
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        count = np.where(self.keys[place] == wanted, self.counts[place], 0)
        known = np.maximum(count - DISCOUNT, 0) / np.maximum(self.seen[before], 1)
        return np.asarray(np.log(known + self.share[before] * self.alone[word]))


def drops(model: Bigrams, steps: Steps, rows: int) -> tuple[Codes, Reals]:
    """Row of each word, and what leaving it out takes from the perplexity."""
    logs = model.logs(steps.before, steps.word)
    total = np.bincount(steps.row, logs, rows)
    length = np.bincount(steps.row, minlength=rows)
    inner = np.flatnonzero(steps.row[:-1] == steps.row[1:])  # all but borders
    row = steps.row[inner]
    bridge = model.logs(steps.before[inner], steps.word[inner + 1])
    rest = total[row] - logs[inner] - logs[inner + 1] + bridge
    with_it = np.exp(-total[row] / length[row])
    return row, with_it - np.exp(-rest / (length[row] - 1))
