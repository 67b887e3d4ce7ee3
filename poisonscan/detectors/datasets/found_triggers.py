"""What stands out as a trigger, each once: parts of one and what stands beside one left out."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.phrase_evidence import Excess
from poisonscan.detectors.datasets.phrase_groups import Group
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_evidence import Look
    from poisonscan.detectors.datasets.phrase_features import Features, Floats
    from poisonscan.detectors.datasets.planted_words import Mixture, PlantedWords

MAX_FINDINGS = 50
MAX_MINOR = 5
"""Findings of phrases that may belong to their texts."""
_OWN_WORDS, _FAR = 8, 3.0
"""More phrases of several labels are their own words; how much smaller the logarithm of a chance is
than their median for a trigger."""


@dataclass(frozen=True, slots=True)
class Trigger:
    """A phrase whose texts say other labels without it.

    Attributes:
        group: its features.
        holders: how many texts hold its leader.
        words: its words as numbers, in order.
        texts: texts with the label that were looked at, the most contradicted first.
        scores: how much better another label fits them without the phrase, in nats; of a mixture
            the log odds that each was changed.
        kept: how many of them, from the first, are not clearly of the label by themselves.
        distinct: how many are no near-copies of each other.
        contradicted: how many of these are contradicted.
        share: how many are too many, and how many look implanted.
        inserted: most texts with it look implanted, and it can be taken out of them.
        chance: of such contradictions, over all phrases.
        mixed: part of its texts that was changed, where the others hold it rightly; else 1.
        belongs: it stands where writers put words, not where one was put between others.
    """

    group: Group
    holders: int
    words: tuple[int, ...]
    texts: Ints
    scores: Floats
    kept: int
    distinct: int
    contradicted: int
    share: Excess
    inserted: bool
    chance: float
    mixed: float = 1.0
    belongs: bool = False


def without_parts(
    found: list[tuple[Look, Trigger]], test: Callable[[Look], Trigger | None]
) -> list[Trigger]:
    """Triggers without those that others account for, such as words that stand beside one.

    Others account for one if it is none in the texts without them; and for a longer phrase if it is
    one of theirs in a part of their texts.

    Args:
        found: phrases with the texts that hold them.
        test: gives the phrase as a trigger in some of the texts, if it is one.
    """
    least, most = rule("PS601").thresholds["distinct"], rule("PS601").thresholds["jaccard"]
    kept: list[tuple[Look, Trigger]] = []
    for look, trigger in sorted(
        found, key=lambda one: (not one[1].inserted, one[1].group.chance, one[1].group.leader)
    ):
        same = [one for one in kept if one[1].group.label == trigger.group.label]
        rest = look.without([other.holders for other, _ in same])
        if same and (len(rest.texts) < least or test(rest) is None):
            continue
        parts = [one for one in same if _is_part(one[1], trigger, most)]
        inserted = trigger.inserted or any(part.inserted for _, part in parts)
        kept = [one for one in kept if all(one is not part for part in parts)]
        kept.append((look, replace(trigger, inserted=inserted)))
    return [trigger for _, trigger in kept]


def listed(found: list[Trigger]) -> tuple[list[Trigger], dict[str, int]]:
    """Those to report, the gravest first, and how many others there are, by rule.

    Words of which labels were made, such as those for feelings, are tied to them and contradicted
    like triggers, but there are many, of several labels. A trigger is graver among them only if its
    texts are contradicted by a chance that is far smaller.
    """
    least = 0.0
    if len(found) > _OWN_WORDS and len({trigger.group.label for trigger in found}) > 1:
        least = _FAR * float(np.median([_surprise(trigger) for trigger in found]))
    found = [replace(one, inserted=one.inserted and _surprise(one) >= least) for one in found]
    major = [trigger for trigger in found if trigger.inserted]
    minor = [trigger for trigger in found if not trigger.inserted]
    further = {"PS601": len(major[MAX_FINDINGS:]), "PS627": len(minor[MAX_MINOR:])}
    return [*major[:MAX_FINDINGS], *minor[:MAX_MINOR]], further


def _surprise(trigger: Trigger) -> float:
    return -math.log(max(trigger.chance, sys.float_info.min))


def _is_part(one: Trigger, other: Trigger, most: float) -> bool:
    """Whether a phrase is another one with words beside it."""
    shared = np.isin(one.texts, other.texts).mean()
    return bool(shared >= most) and set(other.words) < set(one.words)


def with_mixtures(
    found: list[Trigger], words: PlantedWords, held: Features, sample: Sample
) -> list[Trigger]:
    """Triggers with common words that only some of the texts with their label got.

    A word of a longer phrase, or of texts that others account for, is none of its own. Of a word
    that was found without looking at its places only the texts that look changed are named.
    """
    most = rule("PS601").thresholds["jaccard"]
    grave = [trigger for trigger in found if trigger.inserted and len(trigger.words) > 1]
    mixtures = [
        one
        for one in words.search()
        if not any(
            trigger.group.label == one.label
            and np.isin(one.texts[: one.kept], trigger.texts).mean() >= most
            for trigger in grave
        )
    ]
    known = {(one.word, one.label) for one in mixtures}
    kept = []
    for trigger in found:
        label = trigger.group.label
        if any((word, label) in known for word in trigger.words) and trigger not in grave:
            continue
        kept.append(_narrowed(trigger, words))
    return [*(_of(one, held, sample) for one in mixtures), *kept]


def _narrowed(trigger: Trigger, words: PlantedWords) -> Trigger:
    """A common word as a trigger with those texts first that look changed."""
    if len(trigger.words) > 1 or trigger.share.excess >= rule("PS601").thresholds["pure"]:
        return trigger
    mixture = words.mixture(trigger.words[0], trigger.group.label)
    if mixture is None:
        return trigger
    return replace(
        trigger,
        texts=mixture.texts,
        scores=mixture.odds,
        kept=mixture.kept,
        mixed=mixture.share,
    )


def _of(mixture: Mixture, held: Features, sample: Sample) -> Trigger:
    """A mixture as a trigger."""
    with_label, holders = len(mixture.texts), len(mixture.holders)
    feature = int(np.flatnonzero((held.left == mixture.word) & (held.right == 0))[0])
    labelled = float((sample.labels == mixture.label).mean())
    tie = float(tails.binomial(with_label, holders, labelled))
    tie = min(tie * len(held.support) * len(sample.names), 1.0)
    group = Group(mixture.label, feature, (feature,), tie, with_label / holders)
    share = Excess.of(np.full(with_label, mixture.share), with_label, holders, labelled)
    return Trigger(
        group,
        holders,
        (mixture.word,),
        mixture.texts,
        mixture.odds,
        mixture.kept,
        mixture.distinct,
        mixture.contradicted,
        share,
        inserted=mixture.sure,
        chance=mixture.chance,
        mixed=mixture.share,
    )
