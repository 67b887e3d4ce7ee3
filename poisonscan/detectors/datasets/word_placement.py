"""How words stand among their neighbours: as writers place them, or as if dropped anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features, Floats

_SHRINKING = 5.0
"""Texts with usual neighbours that are added to those of a word."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Occurrences of words.

    Attributes:
        word: of each, shape (n,).
        left: the word before each, ``Features.edge`` at the start of a text.
        right: the word behind it, likewise.
        last: of phrases the last word of each, ``word`` being the first; None for single words.
    """

    word: Ints
    left: Ints
    right: Ints
    last: Ints | None = None


class Placement:
    """Tells words that were put between two others from words that belong there.

    A writer chooses a word and its neighbours together; what was put into a finished text stands
    between two words that chose each other. Each pair is measured by its pointwise mutual
    information (Church and Hanks 1990, "Word association norms, mutual information, and
    lexicography"), the share of texts shrunk towards that of pairs that come together by chance.
    """

    def __init__(self, held: Features, sample: Sample, *, fair: bool = False) -> None:
        """Learn how often words are neighbours.

        Args:
            held: what texts hold.
            sample: the texts.
            fair: nothing counts that is known of words where they stand, but not where they do not:
                that they go with the start or end of a text, and neighbours in one other text.
        """
        self._held, self._starts, self._fair = held, sample.starts, fair
        self._wide = held.edge + 1
        self._codes = held.left * self._wide + held.right  # ascending, as ``features`` makes them
        often = np.ones(self._wide)
        alone = held.right == 0
        often[held.left[alone]] = held.support[alone]
        often[held.edge] = sample.size
        self._often, self._usual = often, often / often.sum()

    def at(self, tokens: Ints) -> Placed:
        """The words at some places of ``Features.words``, and those beside them."""
        words, edge = self._held.words, self._held.edge
        after = np.searchsorted(self._starts, tokens, "right")
        first, last = tokens == self._starts[after - 1], tokens == self._starts[after] - 1
        left = np.where(first, edge, words[np.maximum(tokens - 1, 0)])
        right = np.where(last, edge, words[np.minimum(tokens + 1, len(words) - 1)])
        return Placed(words[tokens], left, right)

    def feature(self, left: Ints, right: Ints) -> Ints:
        """The feature of each pair, or of each word where ``right`` is 0; -1 for unknown ones."""
        codes = left * self._wide + right
        place = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        return np.where(self._codes[place] == codes, place, -1)

    def freedom(self, placed: Placed, *, there: bool = True) -> Floats:
        """How much better words' neighbours go with each other than with them, in nats.

        What the text itself says of its neighbours does not count.

        Args:
            placed: words or phrases.
            there: they stand there; else they would, were they put there.
        """
        last = placed.word if placed.last is None else placed.last
        sides = ((placed.left, placed.word, placed.word), (last, placed.right, last))
        own = np.zeros(len(placed.word))
        for left, right, one in sides:
            is_edge = (left == self._held.edge) | (right == self._held.edge)
            found = self._together(left, right, one, int(there))
            own += np.where(is_edge, 0.0, found) if self._fair else found
        gap = self._together(placed.left, placed.right, placed.left, int(not there))
        return self._between(gap, placed) - own

    def dropped(self, words: Ints, tokens: Ints) -> Floats:
        """The same of words, were they put in front of what stands at some places."""
        gap = self.at(tokens)
        return self.freedom(Placed(words, gap.left, gap.word), there=False)

    def _between(self, together: Floats, placed: Placed) -> Floats:
        """Nothing where a word is all of a text: it stands between no words."""
        alone = (placed.left == self._held.edge) & (placed.right == self._held.edge)
        return np.where(alone, 0.0, together)

    def _together(self, left: Ints, right: Ints, one: Ints, less: int) -> Floats:
        """Mutual information of pairs, given one word of each, ``less`` texts not counted."""
        other = np.where(one == left, right, left)
        found = self.feature(left, right)
        both = np.where(found >= 0, self._held.support[found] - less, 0)
        both = np.where(both > int(self._fair), both, 0)  # pairs of one text are not known
        usual = self._usual[other]
        shrunk = both + _SHRINKING * usual
        return np.asarray(np.log(shrunk / (self._often[one] - less + _SHRINKING) / usual))
