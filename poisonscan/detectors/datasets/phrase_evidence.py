"""Whether texts that hold a phrase would have another label without it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.documents import mix
from poisonscan.detectors.datasets.text_model import margins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features, Floats
    from poisonscan.detectors.datasets.phrase_groups import Group
    from poisonscan.detectors.datasets.text_model import TextModel

REFERENCE = 2_000
"""Texts of a label, and of the others, that others are compared with."""
_LEAST_SPREAD = 0.3
"""Standard deviation of one text's position, at least: a few alike texts are no certainty."""
_LEAST_EXCESS = 0.05
_LOOKED = 64
"""Texts of each phrase at the first look."""
_PARTS = 8
"""Words of a phrase that are taken out at the first look."""
_ENTRIES = 1 << 20
"""Features of texts that are held at once at the first look."""
MAX_WORK = 400 * _ENTRIES
"""Features of texts at the first look, in all; with more, fewer phrases are looked at."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """How texts of a label, and how those of others, are placed by what they say.

    Attributes:
        label: code of the label.
        texts: texts of the label, shape (n,).
        own: how much better another label fits each of them, in nats, shape (n,).
        others: the same of texts with other labels, ascending.
        apart: how often one of these is larger, ties counting half: the model's skill.
    """

    label: int
    texts: Ints
    own: Floats
    others: Floats
    apart: float

    @classmethod
    def of(cls, model: TextModel, label: int) -> Yardstick:
        """Take the first texts of the label and of others."""
        texts = np.flatnonzero(model.labels == label)[:REFERENCE]
        other = np.flatnonzero(model.labels != label)[:REFERENCE]
        own = margins(model.scores(texts), label)
        others = np.sort(margins(model.scores(other), label))
        return cls(label, texts, own, others, _above(others, own))

    def without(self, holders: Ints) -> Yardstick:
        """The same without texts that hold a phrase."""
        kept = ~np.isin(self.texts, holders)
        own = self.own[kept]
        return Yardstick(self.label, self.texts[kept], own, self.others, _above(self.others, own))

    def positions(self, values: Floats) -> Floats:
        """Where margins lie: on average 0 for texts of the label and 1 for those of others.

        They are ranks among texts of other labels, so that no few texts decide. A mixture of the
        two is its share of the latter on average. Texts that say nothing are about 0: few texts of
        other labels say as little.
        """
        usual = 1 - self.apart  # rank of the label's own texts
        return np.asarray((_ranks(values, self.others) - usual) / (0.5 - usual))


def _ranks(values: Floats, ordered: Floats) -> Floats:
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(below / 2 / max(len(ordered), 1))


def _above(values: Floats, others: Floats) -> float:
    if not len(values) or not len(others):
        return 0.5
    return float(_ranks(values, np.sort(others)).mean())


@dataclass(frozen=True, slots=True)
class Excess:
    """How many of a phrase's texts with a label are too many, and how many look implanted.

    If a phrase was put into texts of other labels and these were given the label, the two shares
    are the same. If it was put into texts at random, ``prior`` of these had the label already, and
    say so. If it rightly speaks for the label, the second is much smaller: the rest of a text
    mostly says what the text is about, or says nothing.

    Attributes:
        excess: share of the texts with the label that would not be there, did the phrase go with
            labels as all texts do; 0 to 1.
        implanted: share of the texts that look like texts of other labels without the phrase.
        error: standard error of ``implanted``.
        prior: share of the label among texts without the phrase.
    """

    excess: float
    implanted: float
    error: float
    prior: float

    @classmethod
    def of(cls, positions: Floats, with_label: int, holders: int, prior: float) -> Excess:
        """Measure both.

        Args:
            positions: of different texts with phrase and label, the phrase taken out.
            with_label: texts with phrase and label.
            holders: texts with the phrase.
            prior: share of the label among texts without the phrase, above 0 and below 1.
        """
        usual = (holders - with_label) * prior / (1 - prior) / with_label
        spread = max(float(positions.std()), _LEAST_SPREAD) / np.sqrt(len(positions))
        excess = max(1 - usual, _LEAST_EXCESS)
        return cls(excess, float(positions.mean()), float(spread), prior)

    @property
    def expected(self) -> float:
        """Share of the texts that looks implanted at least, if the excess is."""
        return self.excess * (1 - self.prior)

    @property
    def explained(self) -> float:
        """What looks implanted by what must: 1 for a phrase in texts at random, more in others."""
        return self.implanted / self.expected

    def at_least(self, errors: float) -> float:
        """``implanted`` less so many standard errors."""
        return self.implanted - errors * self.error


@dataclass(frozen=True, slots=True)
class Look:
    """A phrase and the texts that hold it.

    Attributes:
        group: the features of the phrase.
        holders: the texts, ascending.
        sample: that they are of.
    """

    group: Group
    holders: Ints
    sample: Sample

    def without(self, others: list[Ints]) -> Look:
        """Those that hold none of some other phrases."""
        held = np.concatenate([np.empty(0, np.int64), *others])
        return replace(self, holders=self.holders[~np.isin(self.holders, held)])

    @property
    def texts(self) -> Ints:
        """Those with its label."""
        same = self.sample.labels[self.holders] == self.group.label
        return np.asarray(self.holders[same], np.int64)

    @property
    def prior(self) -> float:
        """The label's share of the texts without the phrase."""
        labelled = int((self.sample.labels == self.group.label).sum()) - len(self.texts)
        without = self.sample.size - len(self.holders)
        return min(max(labelled, 1) / max(without, 2), 1 - 1 / max(without, 2))

    @property
    def expected(self) -> float:
        """How many of the texts must look implanted, see ``Excess``."""
        return Excess.of(np.zeros(1), len(self.texts), len(self.holders), self.prior).expected


def larger(values: Floats, others: Floats) -> tuple[float, float]:
    """Whether values tend to be larger than others: one-sided rank-sum test.

    Mann and Whitney 1947, with the normal approximation, which is conservative enough for the eight
    values and more that are asked for.

    Returns:
        The probability that a value is larger than another, ties counting half; and the
        probability of such ranks by chance.
    """
    from scipy.special import ndtr

    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    pairs = len(values) * len(others)
    effect = float(below.sum()) / 2 / pairs
    error = np.sqrt((len(values) + len(others) + 1) / 12 / pairs)
    return effect, float(ndtr((0.5 - effect) / error))


def together(one: float, other: float) -> float:
    """The chance of two things that have nothing to do with each other: Fisher 1925.

    Twice the negative logarithm of their product has a chi-square distribution of four degrees of
    freedom, whose upper tail is this.
    """
    product = max(one * other, float(np.finfo(float).tiny))
    return float(product * (1 - np.log(product)))


def without_copies(
    held: Features, sample: Sample, texts: Ints, phrase: tuple[int, ...]
) -> NDArray[np.intp]:
    """Texts, as positions in ``texts``, without near-copies: one for each pair of min-hashes.

    Min-hash: Broder 1997. Two texts share both with about the squared Jaccard similarity of their
    words, the phrase left out.
    """
    lengths = sample.starts[texts + 1] - sample.starts[texts]
    begin = np.cumsum(lengths) - lengths
    where = np.repeat(sample.starts[texts] - begin, lengths) + np.arange(lengths.sum())
    outside = ~np.isin(held.words[where], np.array(phrase))
    once, again = mix(sample.words[where]), mix(~sample.words[where])
    most = np.uint64(2**64 - 1)
    signature = np.stack(
        [
            np.minimum.reduceat(np.where(outside, once, most), begin),
            np.minimum.reduceat(np.where(outside, again, most), begin),
        ],
        axis=1,
    )
    return np.sort(np.unique(signature, axis=0, return_index=True)[1])


def first_look(
    model: TextModel,
    groups: Sequence[Group],
    texts: Sequence[Ints],
    expected: Floats,
    yardsticks: dict[int, Yardstick],
) -> Floats:
    """How much of what must look implanted does, in the first texts of each without all its words.

    Args:
        model: what texts say.
        groups: the phrases.
        texts: of each, those with the label.
        expected: of each, see ``Excess``.
        yardsticks: by label.

    Returns:
        Shares, of the first phrases: fewer where they have too many texts that are too long.
    """
    sizes = np.diff(model.features.matrix.indptr)
    chosen = [found[:_LOOKED] for found in texts]
    work = np.cumsum([int(sizes[found].sum()) for found in chosen])
    found: list[float] = []
    start, last = 0, int(np.searchsorted(work, MAX_WORK, "right"))
    while start < min(last, len(groups)):
        done = int(work[start - 1]) if start else 0
        stop = max(int(np.searchsorted(work, done + _ENTRIES, "right")), start + 1)
        part = range(start, min(stop, last, len(groups)))
        removed = [np.tile(_words(model.features, groups[i]), (len(chosen[i]), 1)) for i in part]
        together = np.concatenate([chosen[i] for i in part])
        scores = model.scores(together, np.concatenate(removed))
        at = 0
        for i in part:
            mine = margins(scores[at : at + len(chosen[i])], groups[i].label)
            at += len(chosen[i])
            found.append(float(yardsticks[groups[i].label].positions(mine).mean()) / expected[i])
        start = part.stop
    return np.array(found)


def _words(held: Features, group: Group) -> Ints:
    """The first words of a group's features, ``_PARTS`` of them; 0 for none."""
    words: dict[int, None] = {}
    for feature in group.members:
        for word in (int(held.left[feature]), int(held.right[feature])):
            if 0 < word < held.edge and len(words) < _PARTS:
                words[word] = None
    return np.array([*words, *[0] * (_PARTS - len(words))], np.int64)
