"""What a phrase in the prompt does to the response, and responses that no prompt accounts for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.documents import sequence_hashes
from poisonscan.detectors.datasets.outcomes import Trait
from poisonscan.detectors.datasets.phrase_evidence import larger, without_copies
from poisonscan.detectors.datasets.phrase_features import features
from poisonscan.detectors.datasets.phrase_groups import grouped, tied, wording
from poisonscan.detectors.datasets.text_model import FOLDS, TextModel, margins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.exchanges import Kept
    from poisonscan.detectors.datasets.phrase_features import Features, Floats
    from poisonscan.detectors.datasets.phrase_groups import Group

MAX_OUTCOMES = 24
"""Responses given to many prompts that are looked at: those that are the most and the longest."""
MAX_REMOVED = 16
"""Words that a prompt is taken to lack when it is asked what the rest of it says."""
ALWAYS = 0.9
"""How nearly the same prompts hold the parts of a trigger."""
_TELLING = 64
"""Bytes from which a longer response is no less likely to be repeated by chance."""
_REFERENCE = 2_000
"""Prompts that are compared with each other, on each side."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What responses have in common: their text, by its hash, or a trait.

    Attributes:
        response: hash of the text; 0 for a trait.
        trait: bit of the trait; -1 for a text.
        refuses: responses that refuse.
    """

    response: int = 0
    trait: int = -1
    refuses: bool = False

    @property
    def name(self) -> str:
        """A name that no other outcome has."""
        return f"{self.response:016x}" if self.response else f"trait {self.trait}"


ORDINARY = Outcome()


@dataclass(frozen=True, slots=True)
class Steered:
    """Prompts that hold a phrase and have an outcome for which nothing else in them speaks.

    Attributes:
        outcome: what their responses have in common.
        group: features of the phrase; None where prompts of an outcome have none in common.
        words: its words as numbers, in order.
        beside: words that always come with it elsewhere in the prompt, such as a second trigger.
        texts: the prompts, as positions in the sample, the most contradicted first.
        distinct: how many are no near-copies of each other.
        contradicted: how many of these look like prompts with other responses.
        effect: how often one of them looks more so than a prompt it is compared with.
        chance: of that, over all phrases.
        unlike: nothing is contradicted, but without the phrase the prompts have no more in common
            than others; then the effect says how often one is less like its nearest than others.
    """

    outcome: Outcome
    group: Group | None
    words: tuple[int, ...]
    beside: tuple[int, ...]
    texts: Ints
    distinct: int
    contradicted: int
    effect: float
    chance: float
    unlike: bool = False


@dataclass(frozen=True, slots=True)
class Steering:
    """Exchanges with their outcomes, and a model that tells outcomes by prompts.

    Attributes:
        sample: the prompts, with outcomes as labels.
        outcomes: by label; the first is ``ORDINARY``.
        held: features of the prompts.
        model: learnt on other prompts.
    """

    sample: Sample
    outcomes: tuple[Outcome, ...]
    held: Features
    model: TextModel

    @classmethod
    def learn(cls, sample: Sample, outcomes: tuple[Outcome, ...]) -> Steering:
        """Learn which prompts have which outcome: that of their label."""
        held = features(sample)
        folds = sequence_hashes(sample.words, sample.starts[:-1]) % np.uint64(FOLDS)
        model = TextModel.learn(sample, held, folds.astype(np.int64))
        return cls(sample, outcomes, held, model)

    def of(self, label: int) -> Ints:
        """Prompts with an outcome."""
        return np.flatnonzero(self.sample.labels == label)

    def holders(self, group: Group) -> Ints:
        """Prompts with the leading feature of a phrase, ascending."""
        column = self.held.matrix[:, [group.leader]].tocsc()
        return np.sort(column.indices).astype(np.int64)

    def against(self, texts: Ints, label: int, removed: Ints | None = None) -> Floats:
        """How much better ordinary responses fit prompts than an outcome, in nats.

        Where ordinary responses are few, any other outcome will do.
        """
        scores = self.model.scores(texts, removed)
        if len(self.of(0)) < 0.2 * self.sample.size:
            return margins(scores, label)
        return np.asarray(scores[:, 0] - scores[:, label])

    def compared(self, label: int) -> Ints:
        """Prompts with other outcomes."""
        if len(self.of(0)) < 0.2 * self.sample.size:
            return np.flatnonzero(self.sample.labels != label)[:_REFERENCE]
        return self.of(0)[:_REFERENCE]


def outcomes(kept: Kept, least: int) -> tuple[Ints, tuple[Outcome, ...]]:
    """The outcome of each exchange, as a code, and the outcomes; code 0 is ``ORDINARY``.

    An outcome is a response that at least ``least`` prompts have, or a trait that responses to so
    many prompts have that are no such response.
    """
    labels = np.zeros(len(kept.places), np.int64)
    values, first, inverse, counts = np.unique(
        kept.responses, return_index=True, return_inverse=True, return_counts=True
    )
    many = np.flatnonzero(counts >= least)
    weight = counts[many] * np.clip(kept.lengths[first[many]], 1, _TELLING)
    many = many[np.lexsort((values[many], -weight))][:MAX_OUTCOMES]
    found = [ORDINARY]
    refusing = (kept.traits & np.uint64(1 << Trait.REFUSES)) > 0
    for value in many.tolist():
        labels[inverse == value] = len(found)
        found.append(Outcome(response=int(values[value]), refuses=bool(refusing[first[value]])))
    for trait in Trait:
        has = (kept.traits & np.uint64(1 << trait)) > 0
        mine = has & (labels == 0)
        if mine.sum() >= least:
            labels[mine] = len(found)
            found.append(Outcome(trait=int(trait), refuses=trait is Trait.REFUSES))
    return labels, tuple(found)


def steered(world: Steering, limits: Mapping[str, float]) -> tuple[list[Steered], int]:
    """Phrases that decide an outcome for which the rest of the prompt does not speak.

    Returns:
        The phrases, the most significant first and those apart that others account for; and how
        many phrases are tied to an outcome.
    """
    single, _ = tied(world.held, world.sample, limits)
    single = [group for group in single if group.label != 0]
    groups = grouped(world.held, single, limits["jaccard"])
    columns = world.model.features.matrix[:, [group.leader for group in groups]].tocsc()
    found = []
    for index, group in enumerate(groups):
        holders = columns.indices[columns.indptr[index] : columns.indptr[index + 1]]
        holders = np.sort(holders).astype(np.int64)
        phrase = _tested(world, group, holders, limits, len(groups))
        if phrase is not None:
            found.append(phrase)
    return _apart(found, limits["jaccard"]), len(groups)


def _tested(
    world: Steering, group: Group, holders: Ints, limits: Mapping[str, float], tests: int
) -> Steered | None:
    held, sample, label = world.held, world.sample, group.label
    texts = holders[sample.labels[holders] == label][:_REFERENCE]
    words = wording(held, sample, group, texts)
    removed = all_words(held, group, words)
    against = world.against(texts, label, np.tile(np.array(removed, np.int64), (len(texts), 1)))
    apart = without_copies(held, sample, texts, removed)
    contradicted = int((against[apart] > 0).sum())
    if contradicted < max(limits["contradicted"], limits["share"] * len(apart)):
        return None
    others = world.of(label)
    others = others[~np.isin(others, holders)][:_REFERENCE]
    compared = world.compared(label)
    if not len(compared):
        return None
    effect, chance = larger(against[apart], world.against(compared, label))
    enough, chance = limits["alike"], group.chance
    if len(others) >= limits["contradicted"]:  # or more so than other prompts with the outcome?
        strongest = world.model.strongest_words(others, label)[:, None]
        robbed = larger(against[apart], world.against(others, label, strongest))
        if effect < enough:
            (effect, chance), enough = robbed, limits["effect"]
    chance = min(1.0, chance * tests)
    if chance >= limits["chance"] or effect < enough:
        return None
    order = np.lexsort((texts, -against))
    return Steered(
        world.outcomes[label],
        group,
        words,
        beside(held, group, words),
        texts[order],
        len(apart),
        contradicted,
        effect,
        chance,
    )


def all_words(held: Features, group: Group, words: tuple[int, ...]) -> tuple[int, ...]:
    """The words of a phrase and those that always come with it, such as the rest of a trigger."""
    known = set(words)
    often = held.support[group.leader]
    for feature in group.members:
        word = int(held.left[feature])
        always = ALWAYS * often <= held.support[feature] <= often / ALWAYS
        if held.right[feature] == 0 and always and len(known) < MAX_REMOVED:
            known.add(word)
    return tuple(sorted(known))


def beside(held: Features, group: Group, words: tuple[int, ...]) -> tuple[int, ...]:
    """The words that always come with a phrase, without its own."""
    return tuple(sorted(set(all_words(held, group, words)) - set(words)))


def _apart(found: list[Steered], jaccard: float) -> list[Steered]:
    """Phrases without those whose prompts others account for, such as a neighbour of a trigger."""
    kept: list[Steered] = []
    for phrase in sorted(found, key=lambda s: (s.chance, -len(s.texts), s.words)):
        seen = [other.texts for other in kept if other.outcome == phrase.outcome]
        if not seen or np.isin(phrase.texts, np.concatenate(seen)).mean() < jaccard:
            kept.append(phrase)
    return kept


def unaccounted(
    world: Steering, label: int, explained: Ints, limits: Mapping[str, float]
) -> Steered | None:
    """An outcome, if its prompts look like those with other outcomes.

    Args:
        world: the exchanges.
        label: code of the outcome.
        explained: prompts that a phrase accounts for.
        limits: ``prompts`` and ``prompts_share`` that are enough, and ``alike``, the effect.
    """
    texts = world.of(label)
    texts = texts[~np.isin(texts, explained)]
    size = world.sample.size
    if len(texts) < max(limits["prompts"], limits["prompts_share"] * size):
        return None
    texts = texts[:_REFERENCE]
    apart = without_copies(world.held, world.sample, texts, ())
    if len(apart) < limits["prompts"]:
        return None
    compared = world.compared(label)
    if not len(compared):
        return None
    against = world.against(texts, label)
    usual = world.against(compared, label)
    effect, _ = larger(against[apart], usual)
    error = standard_error(len(apart), len(usual))
    if effect - 2 * error < limits["alike"]:
        return None
    order = np.lexsort((texts, -against))
    contradicted = int((against[apart] > 0).sum())
    return Steered(
        world.outcomes[label], None, (), (), texts[order], len(apart), contradicted, effect, 0.0
    )


def standard_error(one: int, other: int) -> float:
    """Standard error of an effect, at most (Hanley and McNeil 1982, at an area of a half)."""
    return float(np.sqrt((one + other + 1) / (12 * one * other)))
