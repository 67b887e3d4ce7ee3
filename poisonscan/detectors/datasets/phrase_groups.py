"""Features tied to a label, those of the same texts together, and the phrase that they spell."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features

MAX_CANDIDATES = 50_000
"""Features tied to a label that are looked at, the most significant first."""
MAX_SHARED = 200_000_000
"""Pairs of them in one text, over all texts; with more, fewer features are looked at."""
_LEADING = 200
"""Texts that the wording of a phrase is taken from."""


@dataclass(frozen=True, slots=True)
class Group:
    """Features that occur in nearly the same texts.

    Attributes:
        label: code of the label they are tied to.
        leader: the feature most tied to it.
        members: all features, the leader first.
        chance: of a tie as strong as the leader's, over all features and labels.
    """

    label: int
    leader: int
    members: tuple[int, ...]
    chance: float


def tied(held: Features, sample: Sample, limits: Mapping[str, float]) -> tuple[list[Group], int]:
    """Features tied to a label, each a group of its own, the most significant first.

    One-sided binomial test of the label's share among texts with the feature against its share
    among all, times the number of features and labels (Bonferroni).

    Args:
        held: features of the sample's texts.
        sample: the texts.
        limits: ``support`` and ``purity`` of a feature and ``chance``, below which it is tied.

    Returns:
        The groups, and how many are left out because they are too many.
    """
    from scipy.special import bdtrc

    classes = len(sample.names)
    often = np.flatnonzero(held.support >= limits["support"])
    wide = np.zeros((sample.size, classes), np.float32)
    wide[np.arange(sample.size), sample.labels] = 1
    counts = np.asarray(held.matrix[:, often].T @ wide)
    label = counts.argmax(axis=1)
    count, support = counts.max(axis=1).astype(np.float64), held.support[often]
    prior = np.bincount(sample.labels, minlength=classes)[label] / sample.size
    chance = bdtrc(count - 1, support, prior) * len(often) * classes
    strong = np.flatnonzero(
        (chance < limits["chance"])
        & (count >= limits["purity"] * support)
        & (count >= limits["support"])
    )
    order = strong[np.lexsort((often[strong], -count[strong], chance[strong]))]
    order = order[:MAX_CANDIDATES]
    while (np.asarray(held.matrix[:, often[order]].sum(axis=1), float) ** 2).sum() > MAX_SHARED:
        order = order[: len(order) // 2]
    single = [
        Group(int(label[i]), int(often[i]), (int(often[i]),), float(chance[i]))
        for i in order.tolist()
    ]
    return single, len(strong) - len(single)


def grouped(held: Features, single: list[Group], jaccard: float) -> list[Group]:
    """Join each feature to the most significant one of the same label that shares its texts."""
    if not single:
        return []
    leaders = np.array([group.leader for group in single])
    matrix = held.matrix[:, leaders].tocsc()
    shared = (matrix.T @ matrix).tocsr()
    support = held.support[leaders]
    free = np.ones(len(single), bool)
    groups = []
    for index, group in enumerate(single):
        if not free[index]:
            continue
        near = slice(shared.indptr[index], shared.indptr[index + 1])
        others, both = shared.indices[near], shared.data[near]
        alike = others[both >= jaccard * (support[others] + support[index] - both)]
        alike = np.sort(alike[free[alike]])
        members = tuple(single[i].leader for i in alike.tolist() if single[i].label == group.label)
        free[alike] = False
        groups.append(Group(group.label, group.leader, members, group.chance))
    return groups


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
