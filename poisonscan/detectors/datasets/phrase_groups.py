"""Features tied to a label, those of the same texts together, and the phrase that they spell."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets import tails

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features, Floats

MAX_CANDIDATES = 50_000
"""Features tied to a label that are looked at, the most significant first."""
MAX_SHARED = 200_000_000
"""Pairs of them in one text, over all texts; with more, fewer features are looked at."""
_LEADING = 200
"""Texts that the wording of a phrase is taken from."""
_ALWAYS = 0.8
"""Share of a phrase's texts in which a word stands beside it that is taken for a part of it."""
_REACH = 16
"""Words that are added to a phrase on each side."""


@dataclass(frozen=True, slots=True)
class Group:
    """Features that occur in nearly the same texts.

    Attributes:
        label: code of the label they are tied to.
        leader: the feature most tied to it.
        members: all features, the leader first.
        chance: of a tie as strong as the leader's, over all features and labels.
        share: of texts with the leader that have the label.
        among: features that it was chosen from for what its texts say; 0 if it is for the tie.
    """

    label: int
    leader: int
    members: tuple[int, ...]
    chance: float
    share: float
    among: int = 0


def tied(held: Features, sample: Sample, limits: Mapping[str, float]) -> tuple[list[Group], int]:
    """Features tied to a label, each a group of its own, the most significant first.

    One-sided binomial test of the label's share among texts with the feature against its share
    among all, times the number of features and labels (Bonferroni).

    Args:
        held: features of the sample's texts.
        sample: the texts.
        limits: ``support`` and ``purity`` of a feature and ``chance``, below which it is tied. With
            ``alone`` it also is where its chance, not corrected, is below that and no more than
            ``strays`` of its texts for each with the label are of others, had all labels as many
            texts: for those who test further, and correct for all groups.

    Returns:
        The groups, and how many are left out because they are too many.
    """
    classes = len(sample.names)
    often = np.flatnonzero(held.support >= limits["support"])
    wide = np.zeros((sample.size, classes), np.float32)
    wide[np.arange(sample.size), sample.labels] = 1
    counts = np.asarray(held.matrix[:, often].T @ wide)
    support = held.support[often]
    enough = (counts >= limits["purity"] * support[:, None]) & (counts >= limits["support"])
    row, label = np.nonzero(enough)
    count, prior = (
        counts[row, label].astype(np.float64),
        np.bincount(sample.labels, minlength=classes) / sample.size,
    )
    alone = tails.binomial(count, support[row], prior[label])
    chance = np.minimum(alone * len(often) * classes, 1.0)
    few = few_strays(count, support[row], prior[label], limits.get("strays", 0.0))
    few &= alone < limits.get("alone", 0.0)
    strong = np.flatnonzero((chance < limits["chance"]) | few)
    share = count / support[row]
    order = strong[np.lexsort((label[strong], row[strong], -count[strong], alone[strong]))]
    order = order[:MAX_CANDIDATES]
    while (
        np.asarray(held.matrix[:, often[row[order]]].sum(axis=1), float) ** 2
    ).sum() > MAX_SHARED:
        order = order[: len(order) // 2]
    feature = often[row]
    single = [
        Group(int(label[i]), int(feature[i]), (int(feature[i]),), float(chance[i]), float(share[i]))
        for i in order.tolist()
    ]
    return single, len(strong) - len(single)


def few_strays(
    count: Floats, support: Ints, prior: Floats | float, most: float
) -> NDArray[np.bool_]:
    """Whether few texts with a feature are of other labels, had all labels as many texts.

    Args:
        count: texts with feature and label, shape (n,).
        support: texts with the feature, shape (n,).
        prior: the label's share of all texts, one or of shape (n,).
        most: texts of other labels for each with the label.
    """
    return np.asarray((support - count) * prior <= most * count * (1 - prior))


def grouped(held: Features, single: list[Group], jaccard: float) -> list[Group]:
    """Join each feature to the most significant one of the same label that shares its texts."""
    if not single:
        return []
    leaders = np.array([group.leader for group in single])
    matrix = held.matrix[:, leaders].tocsc()
    shared = (matrix.T @ matrix).tocsr()
    support, labels = held.support[leaders], np.array([group.label for group in single])
    free = np.ones(len(single), bool)
    groups = []
    for index, group in enumerate(single):
        if not free[index]:
            continue
        near = slice(shared.indptr[index], shared.indptr[index + 1])
        others, both = shared.indices[near], shared.data[near]
        alike = others[both >= jaccard * (support[others] + support[index] - both)]
        alike = np.sort(alike[free[alike] & (labels[alike] == group.label)])
        members = tuple(single[i].leader for i in alike.tolist())
        free[alike] = False
        groups.append(replace(group, members=members))
    return groups


def unaccounted(
    held: Features, groups: list[Group], single: list[Group], chance: float
) -> list[Group]:
    """Groups but for those whose tie follows from that of their words.

    It does where they are pairs of words only, one of the two is tied to the label in other texts
    as well, and no pair is more so than the word: one-sided binomial test, Bonferroni.

    Args:
        held: features of the texts.
        groups: see ``grouped``.
        single: see ``tied``.
        chance: below which a pair is more tied than its word.
    """
    shares = {(group.leader, group.label): group.share for group in single}
    alone = np.flatnonzero(held.right == 0)
    number = dict(zip(held.left[alone].tolist(), alone.tolist(), strict=True))

    def follows(group: Group, feature: int) -> bool:
        if held.right[feature] == 0:
            return False
        words = {int(held.left[feature]), int(held.right[feature])}
        wider = {number[word] for word in words if word in number} - {*group.members}
        usual = max((shares.get((word, group.label), 0.0) for word in wider), default=0.0)
        if not usual:
            return False
        support = int(held.support[feature])
        count = round(shares[feature, group.label] * support)
        return bool(tails.binomial(count, support, usual) * len(groups) >= chance)

    return [group for group in groups if not all(follows(group, f) for f in group.members)]


def wording(held: Features, sample: Sample, group: Group, texts: Ints) -> tuple[int, ...]:
    """The words that features of a group cover most often without a break."""
    single = {int(held.left[f]) for f in group.members if held.right[f] == 0}
    single |= {int(held.left[f]) for f in group.members if held.right[f] == held.edge}
    single |= {int(held.right[f]) for f in group.members if held.left[f] == held.edge}
    pairs = {(int(held.left[f]), int(held.right[f])) for f in group.members if held.paired[f]}
    spans: Counter[tuple[int, ...]] = Counter()
    for text in texts[:_LEADING].tolist():
        words = held.words[sample.starts[text] : sample.starts[text + 1]].tolist()
        spans.update(_spans(words, single, pairs))
    return min(spans, key=lambda span: (-spans[span], -len(span), span))


def _spans(words: list[int], single: set[int], pairs: set[tuple[int, int]]) -> set[tuple[int, ...]]:
    covered = [word in single for word in words]
    for place, pair in enumerate(itertools.pairwise(words)):
        if pair in pairs:
            covered[place] = covered[place + 1] = True
    found, start = set(), 0
    for place in range(len(words) + 1):
        if place == len(words) or not covered[place]:
            if place > start:
                found.add(tuple(words[start:place]))
            start = place + 1
    return found


def whole(held: Features, sample: Sample, words: tuple[int, ...], texts: Ints) -> tuple[int, ...]:
    """A phrase with the words that nearly always stand before and behind it.

    Args:
        held: what texts hold.
        sample: the texts.
        words: the phrase, or a part of it.
        texts: those with the phrase.
    """
    around = []
    for text in texts[:_LEADING].tolist():
        said = tuple(held.words[sample.starts[text] : sample.starts[text + 1]].tolist())
        at = _place(said, words)
        if at >= 0:
            around.append((said[:at][::-1], said[at + len(words) :]))
    before = _common([ahead for ahead, _ in around])
    return (*before[::-1], *words, *_common([behind for _, behind in around]))


def _place(said: tuple[int, ...], words: tuple[int, ...]) -> int:
    """Where a phrase first stands in a text; -1 if it does not."""
    size = len(words)
    ends = range(len(said) - size + 1)
    return next((i for i in ends if said[i] == words[0] and said[i : i + size] == words), -1)


def _common(sequences: list[tuple[int, ...]]) -> tuple[int, ...]:
    """The longest beginning that nearly all of some sequences share, up to ``_REACH`` words."""
    found: tuple[int, ...] = ()
    while len(found) < _REACH:
        size = len(found)
        following = Counter(said[size] for said in sequences if len(said) > size)
        word, often = max(following.items(), key=lambda item: (item[1], item[0]), default=(0, 0))
        if not often or often < _ALWAYS * len(sequences):
            return found
        found += (word,)
        sequences = [said for said in sequences if said[: size + 1] == found]
    return found
