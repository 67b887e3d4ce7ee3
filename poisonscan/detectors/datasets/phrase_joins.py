"""Whether a phrase stands where writers put words, or was put between two that go together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.log_odds import LogOdds
from poisonscan.detectors.datasets.word_placement import Placed, Placement

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features, Floats

_MOSTLY = 0.8
"""Share of texts with a word of no other text beside a phrase: from there on it belongs to it."""
_LEAST = 8
"""Texts that hold a word that phrases are compared with."""
_WORDS = 250
"""Words that phrases are compared with."""
_TEXTS, _OF_EACH = 256, 64
"""Texts of a phrase, and of each of those words."""
_TOKENS = 4_000
"""Places that words' own and strange places are told apart by, of each kind."""
_NOTHING = 0.25
"""Nats that the average place of a phrase may speak for its belonging there, and say nothing."""
_INSIDE, _START, _END, _WHOLE = range(4)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a phrase stands among the words around it.

    Attributes:
        chance: share of the corpus's words that stand as strangely; 1 for not known.
        natural: its places do not say that it belongs there.
    """

    chance: float
    natural: bool


class Joins:
    """Whether what a phrase stands between goes together without it.

    What was put between two words can be taken out again: they go with each other rather than with
    it, see ``Placement``. Words that belong to a sentence leave a gap. What that says is learnt
    from words where they are and where they are not in the same text; but how strange places are
    on average differs from word to word, so a phrase is compared with words. At the start and at
    the end of a text only the other side counts.
    """

    def __init__(self, held: Features, sample: Sample) -> None:
        """Learn how words of the texts stand, and how they would stand anywhere."""
        self._held, self._sample = held, sample
        self._place = Placement(held, sample, fair=True)
        often = np.zeros(held.edge + 1, bool)
        often[held.left[(held.right == 0) & (held.support >= _LEAST)]] = True
        starts, words = sample.starts, held.words
        anywhere = np.linspace(0, len(words) - 1, min(2 * _TOKENS, len(words))).astype(np.int64)
        dropped = _spread(anywhere[often[words[anywhere]]], _TOKENS)
        self._odds = dict[int, LogOdds]()
        for kind, found in ((_INSIDE, anywhere), (_START, starts[:-1]), (_END, starts[1:] - 1)):
            chosen = _spread(found[often[words[found]]], _TOKENS)
            placed = self._place.at(chosen)
            own = self._place.freedom(placed)[_kinds(placed, held.edge) == kind]
            strange = self._place.freedom(self._dropped(dropped, kind), there=False)
            if min(len(own), len(strange)) >= _LEAST:
                self._odds[kind] = LogOdds.of(own, strange)
        self._usual = self._means(_spread(np.flatnonzero(often), _WORDS))

    def of(self, words: tuple[int, ...], texts: Ints, beside: NDArray[np.bool_]) -> Standing:
        """How a phrase stands.

        Args:
            words: the phrase.
            texts: different texts that hold it.
            beside: features that hardly any text without the phrase holds: the words among them go
                with it where they stand next to it, as those of a date do.
        """
        placed = self._placed(words, texts[:_TEXTS], beside)
        kinds = _kinds(placed, self._held.edge)
        known = kinds != _WHOLE
        if not known.any():
            return Standing(1.0, natural=False)
        odds = self._log_odds(placed)[known]
        # Nearer to places of any kind, on average 0, than to those of the middle word.
        least = min(float(np.median(self._usual)) / 2, -_NOTHING)
        strange = int((self._usual >= odds.mean()).sum())
        return Standing((1 + strange) / (1 + len(self._usual)), bool(odds.mean() >= least))

    def _means(self, words: Ints) -> Floats:
        """Average log odds of the first places of some words, one of each text."""
        chosen = np.zeros(self._held.edge + 1, bool)
        chosen[words] = True
        tokens = np.flatnonzero(chosen[self._held.words])
        tokens = tokens[np.argsort(self._held.words[tokens], kind="stable")]
        word = self._held.words[tokens]
        text = np.searchsorted(self._sample.starts, tokens, "right")
        new = np.ones(len(tokens), bool)
        new[1:] = (np.diff(word) != 0) | (np.diff(text) != 0)
        tokens, word = tokens[new], word[new]
        first = np.searchsorted(word, word, "left")
        few = np.arange(len(word)) - first < _OF_EACH
        _, which = np.unique(word[few], return_inverse=True)
        odds = self._log_odds(self._place.at(tokens[few]))
        return np.asarray(np.bincount(which, odds) / np.maximum(np.bincount(which), 1))

    def _log_odds(self, placed: Placed) -> Floats:
        """Log odds that each was put where it is; 0 where that is not known."""
        freedom, kinds = self._place.freedom(placed), _kinds(placed, self._held.edge)
        found = np.zeros(len(kinds))
        for kind, odds in self._odds.items():
            found[kinds == kind] = odds(freedom[kinds == kind])
        return found

    def _dropped(self, tokens: Ints, kind: int) -> Placed:
        """Words of some texts at other places of these: at the start, at the end, or inside."""
        starts, words = self._sample.starts, self._held.words
        text = np.searchsorted(starts, tokens, "right") - 1
        first, size = starts[text], starts[text + 1] - starts[text]
        far = 1 + (tokens - first - 1 + size // 2) % np.maximum(size - 1, 1)
        far = {_START: np.zeros_like(far), _END: size - 1, _INSIDE: far}[kind]
        apart = np.abs(first + far - tokens) > 1  # else it would stand beside itself
        there, moved = self._place.at((first + far)[apart]), words[tokens[apart]]
        if kind == _END:
            return Placed(moved, there.word, there.right)
        return Placed(moved, there.left, there.word)

    def _placed(self, words: tuple[int, ...], texts: Ints, beside: NDArray[np.bool_]) -> Placed:
        """What a phrase stands between in texts that hold it."""
        alone = self._held.right == 0
        own = np.zeros(self._held.edge + 1, bool)
        own[self._held.left[alone & beside]] = True
        once = np.ones(self._held.edge + 1, bool)
        once[self._held.left[alone]] = once[self._held.edge] = False
        spans = [self._span(words, text, own, once) for text in texts.tolist()]
        found = [span for span in spans if span is not None]
        ahead = np.mean([once[said[first]] for said, first, _ in found] or [0]) >= _MOSTLY
        behind = np.mean([once[said[last]] for said, _, last in found] or [0]) >= _MOSTLY
        around = [
            (first - int(ahead and once[said[first]]), last + int(behind and once[said[last]]))
            for said, first, last in found
        ]
        between = [
            (int(said[at]), int(said[at + 1]), int(said[to - 1]), int(said[to]))
            for (said, _, _), (at, to) in zip(found, around, strict=True)
        ]
        left, first, last, right = np.array(between, np.int64).reshape(-1, 4).T
        return Placed(first, left, right, last)

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


def _kinds(placed: Placed, edge: int) -> Ints:
    """Inside a text, at its start, at its end, or all of it."""
    start, end = placed.left == edge, placed.right == edge
    return np.asarray(_START * start + _END * end, np.int64)


def _spread(of: Ints, most: int) -> Ints:
    """So many of some, evenly."""
    return np.asarray(of[np.linspace(0, len(of) - 1, min(most, len(of))).astype(int)])


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
