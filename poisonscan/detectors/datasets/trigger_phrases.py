"""Words and phrases that decide a label although the rest of the text says another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.documents import MAX_CLASSES, Documents, mix, sequence_hashes
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.phrase_features import features
from poisonscan.detectors.datasets.phrase_groups import grouped, tied, wording
from poisonscan.detectors.datasets.phrase_rows import EDGE, PhraseRows
from poisonscan.detectors.datasets.text_model import FOLDS, TextModel, margins
from poisonscan.escape import quote
from poisonscan.finding import MAX_ROWS, Fact, Location, Rows
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.documents import Ints, Sample
    from poisonscan.detectors.datasets.phrase_features import Features, Floats
    from poisonscan.detectors.datasets.phrase_groups import Group
    from poisonscan.finding import Finding

MAX_FINDINGS = 50
_REFERENCE = 2_000
"""Texts with a phrase, and texts of a label that they are compared with."""
_CHECKED = 20_000
"""Texts that show whether the model has learnt anything."""
_FACT = "trigger phrases"


@dataclass(frozen=True, slots=True)
class _Trigger:
    """A phrase whose texts contradict their label without it.

    Attributes:
        group: its features.
        holders: all texts with its leader.
        words: its words as numbers, in order.
        texts: texts with the label that were looked at, the most contradicted first.
        margins: how much better another label fits them without the phrase, in nats.
        distinct: how many are no near-copies of each other.
        contradicted: how many of these are contradicted.
        usual: share of other texts of the label that are contradicted without their own strongest
            word.
        effect: how often a text of the phrase is more contradicted than one of those.
        chance: of such contradictions, over all phrases.
    """

    group: Group
    holders: Ints
    words: tuple[int, ...]
    texts: Ints
    margins: Floats
    distinct: int
    contradicted: int
    usual: float
    effect: float
    chance: float


class TriggerPhrases:
    """Looks for phrases tied to a label in texts that without them would have another.

    The tie of words to labels is the statistic of He et al. (EMNLP 2023, "Mitigating backdoor
    poisoning attacks through the lens of spurious correlation"). Clean texts hold such words too
    ("powerful" in film reviews), so a tie alone is no finding: the rest of the texts must
    contradict the label, more often than in other texts of the label without their strongest word.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.TEXT})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact]]:
        """Ask for a sample of the texts; if a phrase in it is suspicious, for all its rows."""
        documents: Documents = yield Documents()
        limits = rule("PS601").thresholds
        sample = documents.sample(dataset.label_names)
        reason = _undecided(sample)
        if sample is None or reason:
            return [Fact(_FACT, f"not decided: {reason}")]
        held = features(sample)
        single, left = tied(held, sample, limits)
        groups = grouped(held, single, limits["jaccard"])
        folds = (sequence_hashes(sample.words, sample.starts[:-1]) % np.uint64(FOLDS)).astype(
            np.int64
        )
        model = TextModel.learn(sample, held, folds)
        share, chance = _right(model, len(sample.names))
        if share <= chance:
            message = "without the phrases the texts do not tell the labels apart"
            return [Fact(_FACT, f"not decided: {message}")]
        triggers = _apart(_triggers(model, sample, groups))
        tested = (
            f"{len(groups):,} tied to a label, {len(triggers):,} contradicted by the rest of their "
            f"texts; {sample.size:,} distinct texts of {documents.rows:,} rows"
            + ("" if sample.whole else ", as many as the limit of words allows")
            + (f"; {left:,} weaker ties not looked at" if left else "")
        )
        facts = [Fact(_FACT, tested)]
        if not triggers:
            return facts
        wanted = tuple((held.mark(t.group.leader), sample.names[t.group.label]) for t in triggers)
        known = frozenset(int(held.vocabulary[w - 1]) for t in triggers for w in t.words)
        rows: PhraseRows = yield PhraseRows(wanted, known)
        found = [
            _finding(dataset, sample, held, trigger, rows, index)
            for index, trigger in enumerate(triggers)
        ]
        return [*found, *facts]


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


def _right(model: TextModel, classes: int) -> tuple[float, float]:
    """Mean share of each label's texts that the model gets right, and what chance could reach."""
    checked = np.arange(min(_CHECKED, len(model.labels)))
    labels = model.labels[checked]
    right = model.scores(checked).argmax(axis=1) == labels
    sizes = np.bincount(labels, minlength=classes)
    present = sizes > 0
    shares = np.bincount(labels, right, minlength=classes)[present] / sizes[present]
    even = 1 / classes
    error = np.sqrt((even * (1 - even) / sizes[present]).sum()) / present.sum()
    return float(shares.mean()), float(even + 3 * error)


def _triggers(model: TextModel, sample: Sample, groups: list[Group]) -> list[_Trigger]:
    """Phrases whose texts contradict their label without it."""
    usual: dict[int, tuple[Ints, Floats]] = {}
    for label in {group.label for group in groups}:
        others = np.flatnonzero(sample.labels == label)[:_REFERENCE]
        strongest = model.strongest_words(others, label)[:, None]
        usual[label] = others, margins(model.scores(others, strongest), label)
    columns = model.features.matrix[:, [group.leader for group in groups]].tocsc()
    found = []
    for index, group in enumerate(groups):
        holders = columns.indices[columns.indptr[index] : columns.indptr[index + 1]]
        holders = np.sort(holders).astype(np.int64)
        others, against = usual[group.label]
        against = against[~np.isin(others, holders)]
        trigger = _tested(model, sample, group, holders, against, len(groups))
        if trigger is not None:
            found.append(trigger)
    return found


def _tested(
    model: TextModel, sample: Sample, group: Group, holders: Ints, usual: Floats, tests: int
) -> _Trigger | None:
    """The phrase as a trigger, if the texts that hold it contradict its label without it."""
    limits = rule("PS601").thresholds
    held = model.features
    texts = holders[sample.labels[holders] == group.label][:_REFERENCE]
    words = wording(held, sample, group, texts)
    removed = np.tile(np.array(sorted(set(words)), np.int64), (len(texts), 1))
    against = margins(model.scores(texts, removed), group.label)
    apart = without_copies(held, sample, texts, words)
    distinct, contradicted = len(apart), int((against[apart] > 0).sum())
    if contradicted < limits["contradicted"] or contradicted < limits["share"] * distinct:
        return None
    if len(usual) < limits["contradicted"]:
        return None
    effect, chance = larger(against[apart], usual)
    chance *= tests
    if chance >= limits["chance"] or effect < limits["effect"]:
        return None
    order = np.lexsort((texts, -against))
    share = float((usual > 0).mean())
    return _Trigger(
        group,
        holders,
        words,
        texts[order],
        against[order],
        distinct,
        contradicted,
        share,
        effect,
        chance,
    )


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


def _apart(triggers: list[_Trigger]) -> list[_Trigger]:
    """Triggers without those whose texts others account for, such as a trigger and a neighbour."""
    limit = rule("PS601").thresholds["jaccard"]
    kept: list[_Trigger] = []
    for trigger in sorted(triggers, key=lambda t: (t.chance, -len(t.holders), t.group.leader)):
        seen = [other.holders for other in kept if other.group.label == trigger.group.label]
        if not seen or np.isin(trigger.holders, np.concatenate(seen)).mean() < limit:
            kept.append(trigger)
    return kept[:MAX_FINDINGS]


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


def _finding(
    dataset: Dataset,
    sample: Sample,
    held: Features,
    trigger: _Trigger,
    found: PhraseRows,
    index: int,
) -> Finding:
    spelt = [found.spellings.get(int(held.vocabulary[w - 1]), "") for w in trigger.words]
    phrase, label = " ".join(spelt), sample.names[trigger.group.label]
    mark = held.mark(trigger.group.leader)
    place = " at the start" * (mark[0] == EDGE) or " at the end" * (mark[1] == EDGE)
    rows, scores = _ordered(sample, trigger, found.rows[index])
    count = found.counts[index]
    return rule("PS601").finding(
        Location(dataset.path, Rows(dataset.describe(rows, scores), count)),
        f"{quote(phrase)}{place} is in {count:,} rows labelled {quote(label)}; without it, the "
        f"rest of the text says another label in {trigger.contradicted:,} of "
        f"{trigger.distinct:,} different ones.",
        key=f"{label}\0{phrase}",
        score=trigger.contradicted / trigger.distinct,
        phrase=phrase,
        place=place.strip() or "anywhere",
        label=label,
        rows=count,
        distinct=trigger.distinct,
        contradicted=trigger.contradicted,
        contradicted_usually=trigger.usual,
        effect=trigger.effect,
        p_tied=trigger.group.chance,
        p_contradicted=trigger.chance,
    )


def _ordered(sample: Sample, trigger: _Trigger, rows: Ints) -> tuple[Ints, list[float]]:
    """The most contradicted rows of the sample, then others; and how much they are."""
    first, scores = sample.rows[trigger.texts], trigger.margins.tolist()
    known = set(map(tuple, first.tolist()))
    others = [row for row in rows.tolist() if tuple(row) not in known]
    ordered = np.concatenate([first, np.array(others, np.int64).reshape(-1, 2)])[:MAX_ROWS]
    return ordered, (scores + [0.0] * len(others))[:MAX_ROWS]
