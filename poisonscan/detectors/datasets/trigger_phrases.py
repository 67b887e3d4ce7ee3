"""Words and phrases that decide a label although the rest of the text says another."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.contradicted_phrases import contradicted
from poisonscan.detectors.datasets.documents import MAX_CLASSES
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.found_triggers import (
    MAX_FINDINGS,
    Trigger,
    listed,
    with_mixtures,
    without_parts,
)
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.phrase_evidence import (
    REFERENCE,
    Excess,
    Look,
    Yardstick,
    first_look,
    larger,
    together,
    without_copies,
)
from poisonscan.detectors.datasets.phrase_groups import (
    Group,
    grouped,
    tied,
    unaccounted,
    whole,
    wording,
)
from poisonscan.detectors.datasets.phrase_joins import Joins
from poisonscan.detectors.datasets.phrase_rows import EDGE, PhraseRows
from poisonscan.detectors.datasets.planted_words import PlantedWords
from poisonscan.detectors.datasets.sampled_texts import learnt, sample_of, sampled_texts
from poisonscan.detectors.datasets.text_model import TextModel, margins
from poisonscan.escape import quote
from poisonscan.finding import MAX_ROWS, Fact, Location
from poisonscan.plural import plural
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features
    from poisonscan.finding import Finding

_OUTLYING = 0.05
"""Share of other labels' texts that are more of the label than a row must be to stay unnamed."""
_NAMED = 5
_EMOJI_REMAINS = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""Variation selectors: texts whose emoji were taken out still hold them, and emoji are labels."""
_FACT = "trigger phrases"


class TriggerPhrases:
    """Looks for phrases tied to a label in texts that without them would have another.

    The tie of words to labels is the statistic of He et al. (EMNLP 2023, "Mitigating backdoor
    poisoning attacks through the lens of spurious correlation"). Clean texts hold such words too
    ("powerful" in film reviews), so a tie alone is no finding: without the phrase as many of its
    texts must look like texts of other labels as the phrase has texts with its label too many.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.TEXT})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | ClassTest]]:
        """Ask for a sample of the texts; if a phrase in it is suspicious, for all its rows."""
        documents = yield from sampled_texts()
        sample = sample_of(documents, dataset.label_names)
        reason = _undecided(sample)
        if sample is None or reason:
            return [Fact(_FACT, f"not decided: {reason}")]
        searched = _searched(sample, learnt(documents, sample))
        held, triggers = searched.held, searched.triggers
        fact, tests = Fact(_FACT, searched.told(sample, documents.rows)), searched.tests(sample)
        if not triggers:
            return [fact, *tests]
        wanted = tuple((held.mark(t.group.leader), sample.names[t.group.label]) for t in triggers)
        known = frozenset(int(held.vocabulary[w - 1]) for t in triggers for w in t.words)
        rows: PhraseRows = yield PhraseRows(wanted, known)
        found = [
            _finding(dataset, sample, held, trigger, rows, index)
            for index, trigger in enumerate(triggers)
        ]
        listed = [
            few((f for f in found if f.rule.id == name), further, most=MAX_FINDINGS)
            for name, further in searched.unlisted.items()
        ]
        return [*itertools.chain(*listed), fact, *tests]


DETECTOR = TriggerPhrases()


def _undecided(sample: Sample | None) -> str:
    """Why nothing can be said; empty when something can."""
    limits = rule("PS601").thresholds
    if sample is None:
        return f"more than {MAX_CLASSES} labels"
    if is_continuous(sample.names):
        return "the labels look like measurements"
    if sample.size < limits["texts"]:
        return f"fewer than {limits['texts']:.0f} distinct texts"
    if len(sample.names) < 2:
        return "fewer than two labels"
    return ""


@dataclass(frozen=True, slots=True)
class _Searched:
    """What came of a search.

    Attributes:
        held: what the texts hold.
        tied: how many phrases are tied to each label, by its code.
        left: weaker ties that were not looked at.
        dim: labels that texts do not tell from others, for people.
        triggers: what was found.
        unlisted: further ones, by rule.
        features: words and pairs of words that may be tied to a label.
        unlooked: what the search for common words left out, for people.
    """

    held: Features
    tied: Counter[int]
    left: int
    dim: tuple[str, ...]
    triggers: list[Trigger]
    unlisted: dict[str, int]
    features: int
    unlooked: str

    def told(self, sample: Sample, rows: int) -> str:
        """The search in a sentence."""
        if len(self.dim) == len(sample.names):
            return "not decided: without the phrases the texts do not tell the labels apart"
        named = ", ".join(quote(name, 40) for name in self.dim[:_NAMED])
        more = f" and {len(self.dim) - _NAMED:,} more" if len(self.dim) > _NAMED else ""
        return (
            f"{self.tied.total():,} tied to a label, {len(self.triggers):,} contradicted by the"
            f" rest of their texts; {plural(sample.size, 'distinct text')} of {plural(rows, 'row')}"
            + ("" if sample.whole else ", as many as the limit of words allows")
            + (f"; {plural(self.left, 'weaker tie')} not looked at" if self.left else "")
            + (f"; {self.unlooked}" if self.unlooked else "")
            + (f"; not decided for {named}{more}: texts do not tell them apart" if named else "")
        )

    def tests(self, sample: Sample) -> list[ClassTest]:
        """What was tested of each label that texts tell from others."""
        chances = dict[str, float]()
        for trigger in self.triggers:
            # That of the contradiction alone: it is as rare in phrases that are tied to a label by
            # accident, since it does not look at how. It is corrected for phrases of all labels,
            # and here each is a test of its own.
            label = trigger.group.label
            chance = trigger.chance
            if trigger.mixed == 1 and not trigger.group.among:  # else it is one of all words
                chance *= self.tied[label] / self.tied.total()
            name = sample.names[label]
            chances[name] = min(chance, chances.get(name, 1.0))
        names = [name for name in sample.names if name not in self.dim]
        return ClassTest.of_classes(["PS601", "PS627"], names, chances, self.features)


def _searched(sample: Sample, model: TextModel) -> _Searched:
    """Look for triggers in a sample."""
    limits = rule("PS601").thresholds
    held = model.features
    single, left = tied(held, sample, limits)
    groups = grouped(held, single, limits["jaccard"])
    groups = unaccounted(held, groups, single, limits["chance"])
    yardsticks = {code: Yardstick.of(model, code) for code in range(len(sample.names))}
    dim = {code for code, y in yardsticks.items() if y.apart < limits["apart"]}
    named = tuple(sample.names[code] for code in sorted(dim))
    by_label = Counter(group.label for group in groups)
    tests = by_label.total()
    known = {(group.leader, group.label) for group in groups}
    further = contradicted(model, sample, limits)
    groups += [group for group in further if (group.leader, group.label) not in known]
    groups = [group for group in groups if group.label not in dim]
    columns = held.matrix[:, [group.leader for group in groups]].tocsc()
    ends = zip(columns.indptr[:-1].tolist(), columns.indptr[1:].tolist(), strict=True)
    holders = [np.sort(columns.indices[start:stop]).astype(np.int64) for start, stop in ends]
    looks = [Look(group, holding, sample) for group, holding in zip(groups, holders, strict=True)]
    texts, expected = [look.texts for look in looks], np.array([look.expected for look in looks])
    shares = first_look(model, groups, texts, expected, yardsticks)
    left += len(groups) - len(shares)
    near = np.flatnonzero(shares >= limits["half"]).tolist()
    triggers = list[Trigger]()
    if near:
        test = functools.partial(_tested, model, sample, yardsticks, Joins(held, sample), tests)
        found = [(looks[index], test(looks[index])) for index in near]
        triggers = without_parts([(look, one) for look, one in found if one], test)
    common = PlantedWords(model, sample, yardsticks, limits)
    triggers, unlisted = listed(with_mixtures(triggers, common, held, sample))
    often = int((held.support >= limits["support"]).sum())
    return _Searched(held, by_label, left, named, triggers, unlisted, often, common.unlooked())


def _tested(
    model: TextModel,
    sample: Sample,
    yardsticks: dict[int, Yardstick],
    joins: Joins,
    tests: int,
    look: Look,
) -> Trigger | None:
    """The phrase as a trigger, if the texts that hold it say other labels without it."""
    limits = rule("PS601").thresholds
    held, group, every = model.features, look.group, look.texts
    texts = every[:REFERENCE]
    words = whole(held, sample, wording(held, sample, group, texts), texts)
    removed = np.tile(np.array(sorted(set(words)), np.int64), (len(texts), 1))
    ignored = _beside(held, look, len(every) / int((sample.labels == group.label).sum()))
    against = margins(model.scores(texts, removed, ignored), group.label)
    apart = without_copies(held, sample, texts, words)
    distinct, against_label = len(apart), int((against[apart] > 0).sum())
    yardstick = yardsticks[group.label].without(look.holders)
    if distinct < limits["distinct"] or len(yardstick.own) < limits["distinct"]:
        return None
    positions = yardstick.positions(against[apart])
    share = Excess.of(positions, len(every), len(look.holders), look.prior)
    pure = share.excess >= limits["pure"]  # else some of the texts are honest, and look like it
    standing = joins.of(words, texts[apart if pure else apart[against[apart] > 0]], ignored)
    chance = larger(against[apart], yardstick.own)[1]
    chance = min(chance, together(chance, standing.chance)) * (tests + group.among)
    rare = pure and standing.natural and standing.chance < limits["strange"]
    if not _suspicious(share, group, chance, rare=rare):
        return None
    order = np.lexsort((texts, -against))
    lowest = -np.inf if pure else np.quantile(yardstick.others, _OUTLYING)
    wanted = share.expected if pure else share.excess  # honest words come closer to the first
    # To follow a label that nearly all texts have says little: then what they say must.
    follows = group.chance < limits["chance"] or share.implanted >= limits["most"]
    return Trigger(
        group,
        len(look.holders),
        words,
        texts[order],
        against[order],
        int((against >= lowest).sum()),
        distinct,
        against_label,
        share,
        chance < limits["surely"]
        and follows
        and share.excess >= limits["most"]
        and share.implanted >= limits["clearly"] * wanted
        and standing.natural,
        chance,
        belongs=not standing.natural,
    )


def _suspicious(share: Excess, group: Group, chance: float, *, rare: bool) -> bool:
    """Whether enough of a phrase's texts look implanted for it to be named.

    Hardly any honest word stands in strange places and in no text of another label, so of the texts
    of one that does less is asked.

    Args:
        share: how many are too many, and how many look implanted.
        group: the phrase.
        chance: of its texts and places, over all phrases.
        rare: it is such a phrase.
    """
    limits = rule("PS601").thresholds
    least = share.at_least(limits["errors"])
    if least > limits["whole"] or share.explained < limits["half" if rare else "explained"]:
        return False
    if not rare and least < limits["half"] * share.expected:
        return False
    if group.among and share.implanted < limits["most"]:
        return False
    return chance < limits["surely" if group.among else "chance"]


def _beside(held: Features, look: Look, share: float) -> NDArray[np.bool_]:
    """Features that hardly any text without a phrase holds: they say no more than it does.

    Args:
        held: what texts hold.
        look: the phrase.
        share: of the texts of its label that hold it: a feature may be in these by chance.
    """
    limits = rule("PS601").thresholds
    both = np.asarray(held.matrix[look.holders].sum(axis=0), np.float64).ravel()
    beside = both >= limits["jaccard"] * held.support
    often = np.flatnonzero(beside)
    beside[often] = tails.binomial(both[often], held.support[often], share) < limits["chance"]
    return beside


def _finding(
    dataset: Dataset,
    sample: Sample,
    held: Features,
    trigger: Trigger,
    found: PhraseRows,
    index: int,
) -> Finding:
    spelt = [found.spellings.get(int(held.vocabulary[w - 1]), "") for w in trigger.words]
    phrase, label = " ".join(spelt), sample.names[trigger.group.label]
    mark = held.mark(trigger.group.leader)
    place = " at the start" * (mark[0] == EDGE) or " at the end" * (mark[1] == EDGE)
    rows, scores = _ordered(sample, trigger, found.rows(index))
    count, share = found.counts[index], trigger.share
    inserted = trigger.inserted and not _EMOJI_REMAINS.intersection(phrase)
    said = (
        f"; without it, the rest of the text says another label in {trigger.contradicted:,} of "
        f"{trigger.distinct:,} different ones."
    )
    if inserted and trigger.mixed < 1:
        said = (
            f", about {trigger.mixed:.0%} of which got it later: it stands between words that go"
            f" together without it, and the rest of the text says another label."
        )
    if trigger.mixed < 1:
        named = dataset.named(rows, scores, shown=MAX_ROWS)
    else:
        shown = len(rows) - (len(trigger.texts) - trigger.kept)
        named = dataset.named(rows, scores, count=count, shown=min(shown, MAX_ROWS))
    return rule("PS601" if inserted else "PS627").finding(
        Location(dataset.path, named),
        f"{quote(phrase)}{place} is in {count:,} rows labelled {quote(label)}{said}",
        key=f"{label}\0{phrase}",
        score=trigger.contradicted / trigger.distinct,
        phrase=phrase,
        place=place.strip() or "anywhere",
        label=label,
        rows=count,
        distinct=trigger.distinct,
        contradicted=trigger.contradicted,
        label_excess=share.excess,
        looks_implanted=share.implanted,
        excess_explained=share.explained,
        standard_error=share.error,
        share_of_class=trigger.kept / int((sample.labels == trigger.group.label).sum()),
        share_of_dataset=trigger.kept / sample.size,
        changed_share=trigger.mixed,
        belongs=trigger.belongs,
        p_tied=trigger.group.chance,
        p_contradicted=trigger.chance,
    )


def _ordered(sample: Sample, trigger: Trigger, rows: Ints) -> tuple[Ints, NDArray[np.float64]]:
    """The most contradicted rows first, those that fit their label last; how little they fit."""
    first = sample.rows[trigger.texts]
    step = 1 + max(first[:, 1].max(initial=0), rows[:, 1].max(initial=0))
    is_known = np.isin(rows[:, 0] * step + rows[:, 1], first[:, 0] * step + first[:, 1])
    others = rows[~is_known]
    kept, own = trigger.kept, trigger.scores
    if trigger.mixed < 1:
        return first[:kept], own[:kept]  # most of those not looked at hold it rightly
    scores = np.concatenate([own[:kept], np.zeros(len(others)), own[kept:]])
    return np.concatenate([first[:kept], others, first[kept:]]), scores
