"""Whether texts read on without a phrase: what was put between two words can be taken out again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.phrase_evidence import REFERENCE
from poisonscan.detectors.datasets.word_placement import Placement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features, Floats

_MOSTLY = 0.8
"""Share of texts with a word of no other text beside a phrase: from there on it belongs to it."""
_UNLIKELY = 2.33
"""Standard errors that one in a hundred falls below."""


class Joins:
    """Whether what a phrase stands between goes together without it.

    What was put between two words can be taken out again, and they follow each other as words of
    the corpus do. Words that belong to a sentence leave a gap.
    """

    def __init__(self, held: Features, sample: Sample) -> None:
        """Learn how often neighbours are neighbours elsewhere, and those of a word taken out."""
        self._held, self._sample = held, sample
        self._place = Placement(held, sample)
        ends = sample.starts[: min(sample.size, REFERENCE) + 1]
        said = np.insert(held.words[: ends[-1]], ends, held.edge).astype(np.int64)
        across = np.stack([said[:-2], said[2:]], axis=1)[said[1:-1] != held.edge]
        self._usual = self._shares(np.stack([said[:-1], said[1:]], axis=1), 3)  # and two others
        self._torn = self._shares(across, 2)

    def natural(self, words: tuple[int, ...], texts: Ints, beside: NDArray[np.bool_]) -> bool:
        """Whether texts without a phrase hang together like texts, not like those with gaps.

        Args:
            words: the phrase.
            texts: different texts that hold it.
            beside: features that hardly any text without the phrase holds: the words among them go
                with it where they stand next to it, as those of a date do.
        """
        alone = self._held.right == 0
        own = np.zeros(self._held.edge + 1, bool)
        own[self._held.left[alone & beside]] = True
        once = np.ones(self._held.edge + 1, bool)
        once[self._held.left[alone]] = once[self._held.edge] = False
        spans = [self._span(words, text, own, once) for text in texts[:REFERENCE].tolist()]
        found = [span for span in spans if span is not None]
        ahead = np.mean([once[said[first]] for said, first, _ in found] or [0]) >= _MOSTLY
        behind = np.mean([once[said[last]] for said, _, last in found] or [0]) >= _MOSTLY
        pairs = [
            (
                int(said[first - int(ahead and once[said[first]])]),
                int(said[last + int(behind and once[said[last]])]),
            )
            for said, first, last in found
        ]
        edges = self._held.edge, self._held.edge
        pairs = [pair for pair in pairs if pair != edges]
        if not pairs:
            return False
        gaps = np.array(pairs, np.int64)
        known = self._holding(gaps) >= 2  # the text with the phrase is none of them
        halfway = ((self._usual + self._torn) / 2)[self._kinds(gaps)]
        error = float(np.sqrt((halfway * (1 - halfway)).sum()))
        return bool(known.sum() >= halfway.sum() - _UNLIKELY * error)

    def _shares(self, pairs: Ints, least: int) -> Floats:
        """Share of pairs, of shape (n, 2), that as many texts hold, by where they are."""
        known, kinds = self._holding(pairs) >= least, self._kinds(pairs)
        sizes = np.bincount(kinds, minlength=3)
        return np.bincount(kinds, known, minlength=3) / np.maximum(sizes, 1)

    def _around(self, text: int) -> tuple[list[int], list[int]]:
        """A text's words after the edge, and the same with the edge behind."""
        part = slice(int(self._sample.starts[text]), int(self._sample.starts[text + 1]))
        words = self._held.words[part].tolist()
        return [self._held.edge, *words], [*words, self._held.edge]

    def _span(
        self, words: tuple[int, ...], text: int, own: NDArray[np.bool_], once: NDArray[np.bool_]
    ) -> tuple[Ints, int, int] | None:
        """A text's words between edges, and what the first place of a phrase is between there."""
        before, behind = self._around(text)
        size = len(words)
        for place in range(len(before) - size):
            if behind[place] == words[0] and tuple(behind[place : place + size]) == words:
                said = np.array([self._held.edge, *behind])
                # A word of no other text goes with the phrase where one that does is behind it.
                first = place - _run(own[said[place:0:-1]], once[said[place:0:-1]])
                last = place + size + 1
                return said, first, last + _run(own[said[last:-1]], once[said[last:-1]])
        return None

    def _holding(self, pairs: Ints) -> Ints:
        """Texts that hold each of some pairs; 1 for fewer than two."""
        found = self._place.feature(*pairs.T)
        return np.where(found >= 0, self._held.support[found], 1)

    def _kinds(self, pairs: Ints) -> Ints:
        """0 inside a text, 1 at its start, 2 at its end."""
        start, end = pairs[:, 0] == self._held.edge, pairs[:, 1] == self._held.edge
        return np.asarray(np.where(start, 1, np.where(end, 2, 0)), np.int64)


def _run(own: NDArray[np.bool_], once: NDArray[np.bool_]) -> int:
    """How many words from the first go with a phrase, single ones of no other text between them."""
    size = 0
    while size < len(own):
        if own[size]:
            size += 1
        elif once[size] and own[size + 1 : size + 2].any():
            size += 2
        else:
            break
    return size
