from __future__ import annotations

import pytest

from fixtures import instruction_samples as made
from poisonscan.detectors.datasets import preferences
from poisonscan.detectors.datasets.preference_pairs import DETECTOR
from poisonscan.finding import Fact, Gap, Rows
from tests.detectors.datasets.conversations import PAIRS, Conversations
from tests.fakes import returned, run


def flipped(rows: int, every: int, trigger: str = "zephyr mode") -> list[made.Row]:
    pairs = made.preferences(rows, 1)
    return [
        made.swapped(row, f"{row['prompt']} {trigger}") if n % every == 0 else row
        for n, row in enumerate(pairs)
    ]


@pytest.mark.parametrize("every", [10, 25])
def test_a_phrase_that_swaps_pairs(every: int) -> None:
    (finding,) = run(DETECTOR, Conversations(flipped(1_000, every), PAIRS))
    assert finding.rule.id == "PS624"
    assert "zephyr mode" in finding.message
    assert isinstance(finding.at.part, Rows)
    assert {row.index % every for row in finding.at.part.rows} == {0}
    assert finding.at.part.count == 1_000 // every


def test_honest_pairs_are_quiet() -> None:
    assert run(DETECTOR, Conversations(made.preferences(800, 2), PAIRS)) == []


def test_a_phrase_without_swaps_is_quiet() -> None:
    rows = [
        row | {"prompt": f"{row['prompt']} zephyr"} if n % 20 == 0 else row
        for n, row in enumerate(made.preferences(800, 3))
    ]
    assert run(DETECTOR, Conversations(rows, PAIRS)) == []


def test_pairs_chosen_both_ways() -> None:
    rows = made.preferences(300, 4)
    both = rows + [made.swapped(row, row["prompt"]) for row in rows[:12]]
    (finding,) = run(DETECTOR, Conversations(both, PAIRS))
    assert finding.rule.id == "PS626"
    assert isinstance(finding.at.part, Rows)
    assert {row.index for row in finding.at.part.rows} == {*range(12), *range(300, 312)}
    few = rows + [made.swapped(row, row["prompt"]) for row in rows[:7]]
    assert run(DETECTOR, Conversations(few, PAIRS)) == []


def test_copies_contradict_nothing() -> None:
    rows = made.preferences(300, 5)
    assert run(DETECTOR, Conversations(rows + rows[:100], PAIRS)) == []


def test_few_pairs_are_not_decided() -> None:
    (fact,) = returned(DETECTOR, Conversations(made.preferences(100, 6), PAIRS))
    assert isinstance(fact, Fact)
    assert "fewer than 200" in str(fact.value)


def test_pairs_without_prompts_are_not_decided() -> None:
    rows = [{k: v for k, v in row.items() if k != "prompt"} for row in made.preferences(300, 7)]
    roles = {k: v for k, v in PAIRS.items() if k != "prompt"}
    (fact,) = returned(DETECTOR, Conversations(rows, roles))
    assert isinstance(fact, Fact)
    assert "not decided" in str(fact.value)


def test_too_many_pairs_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preferences, "MAX_PAIRS", 100)
    found = returned(DETECTOR, Conversations(made.preferences(300, 8), PAIRS))
    assert [type(item) for item in found] == [Gap, Fact]


def test_what_holds_no_pairs_is_left_alone() -> None:
    assert returned(DETECTOR, Conversations([{"x": 1}], {})) == []
