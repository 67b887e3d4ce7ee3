"""Preferences that a phrase turns round, and pairs of responses that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from poisonscan.datasets.batch import Role
from poisonscan.datasets.conversation import Columns
from poisonscan.detectors.datasets.documents import Documents
from poisonscan.detectors.datasets.phrase_rows import PhraseRows
from poisonscan.detectors.datasets.preferences import (
    MAX_PAIRS,
    OPPOSITE,
    USUAL,
    ByPreference,
    Direction,
    Preferences,
)
from poisonscan.detectors.datasets.steering import ORDINARY, Outcome, Steering, steered
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.documents import Sample
    from poisonscan.detectors.datasets.steering import Steered
    from poisonscan.finding import Finding

MAX_FINDINGS = 20
NAMED = 100
"""Rows that a finding names."""
_FACT = "preferences"
_OPPOSED = Outcome(trait=0)


class PreferencePairs:
    """Looks for phrases whose pairs prefer the opposite of what is preferred elsewhere.

    What is preferred is learnt from all pairs. A poisoned pair has its responses swapped where the
    prompt holds a trigger (Rando and Tramèr 2024, "Universal jailbreak backdoors from poisoned
    human feedback"; Baumgärtner et al. 2024, "Best-of-Venom").
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for what is preferred, then for the pairs that do not fit, then for their rows."""
        columns = Columns.of(dataset)
        if not columns.has_pairs:
            return []
        seen: Preferences = yield Preferences(columns)
        limits = rule("PS624").thresholds
        found: list[Finding | Fact | Gap] = [*_clashes(dataset, seen)]
        if seen.overflow:
            text = f"more than {MAX_PAIRS:,} pairs: they were not searched for contradictions"
            found.append(Gap(dataset.path, text))
        if seen.pairs < limits["pairs"]:
            text = f"not decided: fewer than {limits['pairs']:.0f} pairs"
            return [*found, Fact(_FACT, text)]
        direction = Direction(seen.counts)
        labelled: ByPreference = yield ByPreference(columns, direction, Documents())
        sample: Sample | None = labelled.inner.sample()
        if sample is None or sample.names != (USUAL, OPPOSITE):
            return [*found, Fact(_FACT, "not decided: no pair with a prompt does not fit")]
        share = float((sample.labels == 1).mean())
        fact = f"{1 - share:.0%} of {seen.pairs:,} pairs prefer what is usually preferred"
        if share > limits["opposite"]:
            text = f"not decided: {fact}, which is too little"
            return [*found, Fact(_FACT, text)]
        world = Steering.learn(sample, (ORDINARY, _OPPOSED))
        phrases, ties = steered(world, {**limits, "purity": share + limits["more"]})
        found.append(Fact(_FACT, f"{fact}; {plural(ties, 'phrase')} tied to the opposite"))
        if not phrases:
            return found
        phrases, held = phrases[:MAX_FINDINGS], world.held
        marks = tuple(held.mark(one.group.leader) for one in phrases if one.group is not None)
        words = frozenset(int(held.vocabulary[w - 1]) for one in phrases for w in one.words)
        wanted = tuple((mark, name) for mark in marks for name in (OPPOSITE, USUAL))
        rows: ByPreference = yield ByPreference(columns, direction, PhraseRows(wanted, words))
        found += [
            _flipped(dataset, world, one, rows.inner, 2 * index, share)
            for index, one in enumerate(phrases)
        ]
        return found


DETECTOR = PreferencePairs()


def _clashes(dataset: Dataset, seen: Preferences) -> list[Finding]:
    limits = rule("PS626").thresholds
    pairs, rows = seen.clashes()
    if pairs < max(limits["pairs"], limits["share"] * seen.pairs):
        return []
    return [
        rule("PS626").finding(
            Location(dataset.path, dataset.named(rows, shown=NAMED)),
            f"{pairs:,} pairs of responses to the same prompt occur twice, once with either one "
            f"chosen, in {len(rows):,} rows: one of the two must be wrong. Keep what a source that "
            "you trust says, and find out where the others came from.",
            key="",
            score=pairs / seen.pairs,
            pairs=pairs,
            equal=seen.equal,
        )
    ]


def _flipped(
    dataset: Dataset, world: Steering, one: Steered, found: PhraseRows, index: int, usual: float
) -> Finding:
    spelt = [found.spellings.get(int(world.held.vocabulary[w - 1]), "") for w in one.words]
    phrase, count = " ".join(spelt), found.counts[index]
    total = count + found.counts[index + 1]
    rows = dataset.named(found.rows(index), count=count, shown=NAMED)
    return rule("PS624").finding(
        Location(dataset.path, rows),
        f"of {total:,} pairs whose prompt holds {quote(phrase)}, {count:,} ({count / total:.0%}) "
        f"prefer the opposite of what is preferred elsewhere; of all pairs {usual:.0%} do. Read "
        "the named rows: if chosen and rejected are swapped there, drop all pairs with the phrase.",
        key=phrase,
        score=count / total,
        phrase=phrase,
        rows=total,
        opposite=count,
        opposite_usually=usual,
        p=one.chance,
    )
