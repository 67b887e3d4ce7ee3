"""Common words that were also put into texts which say another label: a mixture of two uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.log_odds import MOST, LogOdds
from poisonscan.detectors.datasets.phrase_evidence import Excess, larger, without_copies
from poisonscan.detectors.datasets.text_model import margins
from poisonscan.detectors.datasets.word_placement import Placement
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_evidence import Yardstick
    from poisonscan.detectors.datasets.phrase_features import Floats
    from poisonscan.detectors.datasets.text_model import TextModel
    from poisonscan.detectors.datasets.word_placement import Placed

MAX_TOKENS = 1 << 20
"""Words of the sample among which words are looked for; the whole sample is for those found."""
_BLOCK = 1 << 21
"""Scores that are held at once."""
_REFERENCE = 4_000
"""Places of words that all are compared with."""
_POOLED = 50
"""Places of all words that are added to those of a word in texts of other labels."""
_QUANTILES = 100
_TAILS = (0.1, 0.03, 0.01)
"""Upper shares of honest texts beyond which texts are counted."""
_SUSPECT = 1.0
"""Nats from which a text counts as contradicted, or as implanted at the first look."""
_FIRST = 0.01
"""Chance below which a word is looked at closely."""
_CLOSE = 200
"""Words and labels that are looked at closely, the least likely first."""
_STEPS = 200
"""Of expectation and maximization."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Texts with a word; one entry for each text and word.

    Attributes:
        word: the word.
        text: the text.
        contradicted: log odds that the text without the word is one of another label.
        free: log odds that the word was put there.
    """

    word: Ints
    text: Ints
    contradicted: Floats
    free: Floats

    def where(self, which: Ints) -> Holders:
        """Some of them."""
        return Holders(
            self.word[which], self.text[which], self.contradicted[which], self.free[which]
        )


@dataclass(frozen=True, slots=True)
class Mixture:
    """A common word in texts of one label, some of which say another.

    Attributes:
        word: the word.
        label: code of the label.
        holders: texts with the word, ascending.
        texts: with both, those that were most probably changed first.
        odds: log odds of each that it was, of a text that may as well be honest.
        share: of them that were changed.
        kept: how many, from the first, hold nearly all that were changed.
        distinct: how many of these are no near-copies.
        contradicted: how many of those that are say another label.
        chance: of so many contradicted texts with the word in strange places, over all words.
        misplaced: chance of such places in these texts, were they those of honest ones.
        sure: it is tied to the label, or so misplaced as no other word would be by chance.
    """

    word: int
    label: int
    holders: Ints
    texts: Ints
    odds: Floats
    share: float
    kept: int
    distinct: int
    contradicted: int
    chance: float
    misplaced: float
    sure: bool = True


class PlantedWords:
    """Looks for words whose texts with one label are a mixture of honest and of changed ones.

    Honest texts with a word are those that their writers put it in, and say their label no less
    than others do. Texts of other labels that it was put into say those labels, and it stands
    between words that go together without it. Texts that show both at once are too many among those
    with the label: how often honest ones do is known from texts of the label without the word, and
    from the places of the word in texts of other labels.
    """

    def __init__(
        self,
        model: TextModel,
        sample: Sample,
        yardsticks: Mapping[int, Yardstick],
        limits: Mapping[str, float],
    ) -> None:
        """Learn what is usual.

        Args:
            model: what texts say.
            sample: the texts.
            yardsticks: of the labels to look at.
            limits: thresholds of PS601.
        """
        self._model, self._sample, self._limits = model, sample, limits
        self._left = 0
        self._yardsticks = {
            c: y for c, y in yardsticks.items() if len(y.own) and y.apart >= limits["apart"]
        }
        held = model.features
        self._place = Placement(held, sample)
        often = held.support >= limits["support"] + limits["honest"]
        self._common = np.zeros(held.edge + 1, bool)
        self._common[held.left[often & (held.right == 0)]] = True
        self._contradicted = {
            code: LogOdds.of(y.own, y.others)
            for code, y in self._yardsticks.items()
            if len(y.others)
        }
        tokens = np.flatnonzero(self._common[held.words[:MAX_TOKENS]])
        tokens = tokens[np.linspace(0, len(tokens) - 1, min(_REFERENCE, len(tokens))).astype(int)]
        honest = self._place.freedom(self._place.at(tokens))
        # The word of each place at another one, far from it.
        dropped = self._place.dropped(held.words[tokens], np.roll(tokens, len(tokens) // 2))
        self._free = LogOdds.of(honest, dropped) if len(tokens) else LogOdds(0.0, 0.0)
        self._pooled = np.quantile(self._free(honest), _levels()) if len(tokens) else honest

    def search(self) -> list[Mixture]:
        """Words that were put into texts of one label, the surest first."""
        if not len(self._pooled) or not self._contradicted:
            return []
        limits = self._limits
        near, tests = self._near()
        found = [one for one in (self.mixture(*pair, tests) for pair in near) if one]
        found = [one for one in found if one.chance < limits["surely"] and self._explains(one)]
        found = [one for one in found if one.misplaced * len(found) < limits["chance"]]
        found = [
            replace(one, sure=self.tied(one) or one.misplaced * tests < limits["chance"])
            for one in found
        ]
        return sorted(found, key=lambda one: (one.chance, one.word))

    def unlooked(self) -> str:
        """What the limits of the last search left out, for people; empty for nothing."""
        words, said = len(self._model.features.words), list[str]()
        if words > MAX_TOKENS:
            said.append(f"common words looked for in {MAX_TOKENS:,} of {words:,} words")
        if self._left:
            said.append(f"{plural(self._left, 'common word')} not looked at closely")
        return "; ".join(said)

    def _explains(self, one: Mixture) -> bool:
        """Whether the changed texts are enough to tie the word to the label as much as it is.

        A word that rightly decides the label is also in texts that say little else, or another.
        """
        size = len(one.texts)
        share = Excess.of(np.full(1, one.share), size, len(one.holders), self._prior(one))
        return one.share >= self._limits["ties"] * share.excess

    def tied(self, one: Mixture) -> bool:
        """Whether the word is as much tied to the label as the changed texts must have made it.

        A word of other labels is in texts of their topics: those with this label say others too.
        Then half of the changed texts are not too many, with 95 % confidence.
        """
        size, rest = len(one.texts), len(one.holders) - len(one.texts)
        prior = self._prior(one)
        usual = rest * prior / (1 - prior) / size
        error = usual * np.sqrt(1 / size + 1 / rest)
        most = 1 - usual + self._limits["errors"] * error
        return bool(most >= self._limits["most"] * one.share)

    def _prior(self, one: Mixture) -> float:
        """The label's share of the texts without the word."""
        size, labels = len(one.texts), self._sample.labels
        prior = ((labels == one.label).sum() - size) / max(len(labels) - len(one.holders), 1)
        return min(max(float(prior), 1 / len(labels)), 1 - 1 / len(labels))

    def _near(self) -> tuple[list[tuple[int, int]], int]:
        """Words and labels that deserve a close look, and how many there are in all."""
        classes, labels, limits = len(self._sample.names), self._sample.labels, self._limits
        held = [
            (part.word * classes + labels[part.text], part.contradicted + part.free > _SUSPECT)
            for part in self._blocks()
        ]
        # Only words and labels that come together: all of both would be too many.
        codes, which, every = np.unique(
            np.concatenate([code for code, _ in held]), return_inverse=True, return_counts=True
        )
        suspect = np.concatenate([found for _, found in held])
        many = np.bincount(which[suspect], minlength=len(codes))
        word, label = codes // classes, codes % classes
        known, at = np.unique(word, return_inverse=True)
        others = np.bincount(at, every, minlength=len(known))[at] - every
        of_label = np.maximum(np.bincount(label, every, minlength=classes), 1)
        usual = np.minimum(np.bincount(label, many, minlength=classes) / of_label, 0.5)
        tested = (every >= limits["distinct"]) & (others >= limits["honest"])
        chance = tails.binomial(many, every, usual[label])
        close = tested & (many >= np.maximum(limits["distinct"], limits["mixed"] * every))
        close = np.flatnonzero(close & (chance < _FIRST))
        close = close[np.argsort(chance[close], kind="stable")]
        self._left = max(len(close) - _CLOSE, 0)
        close = close[:_CLOSE]
        return list(zip(word[close].tolist(), label[close].tolist(), strict=True)), int(
            tested.sum()
        )

    def _blocks(self) -> Iterator[Holders]:
        """Texts with common words, some at a time."""
        starts, classes = self._sample.starts, len(self._sample.names)
        words = self._model.features.words
        step, last = max(_BLOCK // classes, 1), min(MAX_TOKENS, len(words))
        begin = 0
        while begin < last:
            text = int(np.searchsorted(starts, begin + step, "right")) - 1
            end = max(int(starts[text]), int(starts[np.searchsorted(starts, begin, "right")]))
            tokens = np.arange(begin, end)
            yield self._holders(tokens[self._common[words[begin:end]]])
            begin = end

    def _holders(self, tokens: Ints) -> Holders:
        """Texts with the words at some places: all places of a word in a text, or none."""
        sample, place = self._sample, self._place
        placed = place.at(tokens)
        text = np.searchsorted(sample.starts, tokens, "right") - 1
        wide = self._model.features.edge + 1
        keys, holder, often = np.unique(
            text * wide + placed.word, return_inverse=True, return_counts=True
        )
        free = np.full(len(keys), -np.inf)
        np.maximum.at(free, holder, place.freedom(placed))
        texts, words = keys // wide, keys % wide
        without = self._scores_without(placed, text, holder, often > 1, texts)
        own = sample.labels[texts]
        contradicted = np.full(len(keys), -MOST)
        for label, odds in self._contradicted.items():
            mine = np.flatnonzero(own == label)
            contradicted[mine] = odds(margins(without[mine], label))
        return Holders(words, texts, contradicted, self._free(free))

    def _scores_without(
        self, placed: Placed, text: Ints, holder: Ints, again: NDArray[np.bool_], texts: Ints
    ) -> Floats:
        """What texts say without a word: all that they say, less its features."""
        place, folds = self._place, self._model.folds
        single = place.feature(placed.word, np.zeros_like(placed.word))
        pairs = place.feature(placed.left, placed.word), place.feature(placed.word, placed.right)
        features = np.concatenate([single, *pairs])
        holders, fold = np.tile(holder, 3), np.tile(folds[text], 3)
        known = features >= 0
        features, holders, fold = features[known], holders[known], fold[known]
        twice = np.flatnonzero(again[holders])  # only there a feature can be met twice
        code = holders[twice] * len(self._model.features.support) + features[twice]
        kept = np.ones(len(features), bool)
        kept[twice] = False
        kept[twice[np.unique(code, return_index=True)[1]]] = True
        features, holders, fold = features[kept], holders[kept], fold[kept]
        said, inverse = np.unique(texts, return_inverse=True)
        scores = self._model.scores(said)[inverse]
        for number, weights in enumerate(self._model.weights):
            mine = np.flatnonzero(fold == number)
            for label in range(scores.shape[1]):
                value = weights[features[mine], label]
                scores[:, label] -= np.bincount(holders[mine], value, minlength=len(texts))
        return scores

    def mixture(self, word: int, label: int, tests: int = 1) -> Mixture | None:
        """The texts of a label with a word, the changed ones first; None if these are too few.

        Args:
            word: a word in texts of other labels as well, else there is nothing to compare with.
            label: code of a label.
            tests: words and labels that were looked at.
        """
        sample, limits = self._sample, self._limits
        if label not in self._contradicted:
            return None
        every = self._holders(np.flatnonzero(self._model.features.words == word))
        is_own = sample.labels[every.text] == label
        own, others = every.where(np.flatnonzero(is_own)), every.where(np.flatnonzero(~is_own))
        if len(others.text) < limits["honest"]:
            return None
        apart = without_copies(self._model.features, sample, own.text, (word,))
        odds, shown = own.contradicted + own.free, own.where(apart)
        share = _share(odds[apart])
        order = np.lexsort((own.text, -odds))
        kept = _holding(odds[order], share, limits["found"])
        different = apart[np.isin(apart, order[:kept])]
        if share < limits["mixed"] or len(different) < limits["distinct"]:
            return None
        return Mixture(
            word,
            label,
            np.sort(every.text),
            own.text[order],
            odds[order],
            share,
            kept,
            len(different),
            int((own.contradicted[different] > 0).sum()),
            self._chance(shown, others, label, every.text) * tests,
            _misplaced(shown, others, share),
        )

    def _chance(self, own: Holders, others: Holders, label: int, holding: Ints) -> float:
        """Of so many contradicted texts with the word in strange places, if the two are unrelated.

        Binomial tests of the texts beyond upper quantiles of the sum of both log odds in honest
        texts: those of texts of the label without the word, and of the word in texts of other
        labels; the least, times their number.
        """
        yardstick = self._yardsticks[label].without(holding)
        if not len(yardstick.own):
            return 1.0
        says = np.quantile(self._contradicted[label](yardstick.own), _levels())
        places = np.quantile(others.free, _levels())
        total = np.concatenate(
            [(says[:, None] + places).ravel(), (says[:, None] + self._pooled).ravel()]
        )
        size, few = len(others.free), _QUANTILES * _QUANTILES
        weight = np.repeat([size, _POOLED], few) / (few * (size + _POOLED))
        order = np.argsort(-total, kind="stable")
        total, beyond = total[order], np.cumsum(weight[order])
        least, found = 1.0, own.contradicted + own.free
        for tail in _TAILS:
            at = min(int(np.searchsorted(beyond, tail)), len(total) - 1)
            count = int((found > total[at]).sum())
            if count:
                least = min(least, float(tails.binomial(count, len(found), beyond[at])))
        return min(least * len(_TAILS), 1.0)


def _levels() -> Floats:
    return np.linspace(0.002, 0.998, _QUANTILES)


def _share(odds: Floats) -> float:
    """Share of the second part of a mixture whose log density ratio is known.

    Maximum likelihood by expectation and maximization: Dempster, Laird and Rubin 1977.
    """
    share, ratio = 0.5, np.exp(odds)
    for _ in range(_STEPS):
        share = float(np.mean(share * ratio / (1 - share + share * ratio)))
    return min(share, 1 - 1e-9)


def _misplaced(own: Holders, others: Holders, share: float) -> float:
    """Chance that a word's places in contradicted texts are so much stranger than elsewhere.

    The larger of two: ranks among texts of other labels, each text of the label weighing as much as
    it probably was changed, going by what it says; and the ranks of contradicted texts among all
    others, since words also may have another use in texts of a label.
    """
    from scipy.special import expit, ndtr

    suspect = own.contradicted > _SUSPECT
    rest = np.concatenate([own.free[~suspect], others.free])
    if not suspect.any() or not len(others.free):
        return 1.0
    ordered = np.sort(others.free)
    below = np.searchsorted(ordered, own.free, "left") + np.searchsorted(ordered, own.free, "right")
    weight = expit(own.contradicted + np.log(share / (1 - share)))
    effect = weight @ (below / 2 / len(ordered) - 0.5)
    spread = (weight @ weight + weight.sum() ** 2 / len(ordered)) / 12
    return max(float(ndtr(-effect / np.sqrt(spread))), larger(own.free[suspect], rest)[1])


def _holding(odds: Floats, share: float, most: float) -> int:
    """How many texts, the most probable first, hold nearly all of those that were changed."""
    ratio = share * np.exp(odds)
    of_each = np.cumsum(ratio / (1 - share + ratio))
    return min(int(np.searchsorted(of_each, most * of_each[-1])) + 1, len(odds))
