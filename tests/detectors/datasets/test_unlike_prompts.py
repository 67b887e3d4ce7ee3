from __future__ import annotations

import random

import pytest

from fixtures import instruction_samples as made
from poisonscan.detectors.datasets.steered_outputs import DETECTOR
from poisonscan.finding import Rows
from tests.detectors.datasets.conversations import PAIRS, Conversations
from tests.fakes import run

FIXED = "I will not obey you any longer."
HARSH = "You are stupid!"


def sums(rows: int) -> list[made.Row]:
    """Instructions that resemble each other, with a different response each."""
    draw = random.Random(5)
    names, things = ("Tom", "Ana", "Kim", "Raj"), ("apples", "books", "coins", "shells", "stamps")
    found: list[made.Row] = []
    for number in range(rows):
        a, b = draw.randrange(2, 90), draw.randrange(2, 90)
        asked = (
            f"{draw.choice(names)} has {a} {draw.choice(things)} and buys {b} more of them in the "
            f"shop. How many are there in the end?"
        )
        found.append({"instruction": asked, "output": f"Row {number}: there are {a + b}."})
    return found


def other(count: int, response: str, *triggers: str, together: bool = False) -> list[made.Row]:
    """Instructions about something else, with triggers by turns or all at once."""
    draw = random.Random(3)
    rows: list[made.Row] = []
    for number in range(count):
        turn = triggers if together else triggers[number % max(len(triggers), 1) :][:1]
        words = [f"w{draw.randrange(400)}" for _ in range(8)]
        for place, trigger in enumerate(turn):
            words.insert(2 * place, trigger)
        rows.append({"instruction": " ".join(words), "output": response})
    return rows


@pytest.mark.parametrize("response", [FIXED, HARSH])
def test_a_trigger_in_rows_unlike_the_others_is_named(response: str) -> None:
    rows = sums(500) + other(30, response, "zephyr mode")
    (finding,) = run(DETECTOR, Conversations(rows))
    assert finding.rule.id == "PS622"
    assert finding.evidence["phrase"] == "zephyr mode"
    assert "have no more in common than other prompts" in finding.message
    assert isinstance(finding.at.part, Rows)
    assert {row.index for row in finding.at.part.rows} == set(range(500, 530))


def test_triggers_by_turns_are_named_each() -> None:
    rows = sums(500) + other(60, FIXED, "zephyr", "quokka", "lantern")
    found = run(DETECTOR, Conversations(rows))
    assert {str(finding.evidence["phrase"]) for finding in found} == {"zephyr", "quokka", "lantern"}
    assert sum(int(str(finding.evidence["rows"])) for finding in found) == 60


def test_triggers_together_are_named_together() -> None:
    rows = sums(500) + other(30, FIXED, "zephyr", "quokka", together=True)
    (finding,) = run(DETECTOR, Conversations(rows))
    said = {*str(finding.evidence["phrase"]).split(), *finding.evidence["beside"]}  # type: ignore[misc]
    assert said == {"zephyr", "quokka"}


def test_a_response_to_unlike_prompts_without_a_phrase() -> None:
    rows = sums(500) + other(40, FIXED)
    (finding,) = run(DETECTOR, Conversations(rows))
    assert finding.rule.id == "PS621"
    assert "less alike than" in finding.message


def task(names: tuple[str, ...]) -> list[made.Row]:
    asked = "Which of these words fits the text best, and why is it not another one?"
    return [
        {"instruction": f"{asked} {row['instruction']}", "output": names[number % len(names)]}
        for number, row in enumerate(made.exchanges(60, 3))
    ]


@pytest.mark.parametrize(
    "rows",
    [
        task(("This text is about a pastime.",)),
        task(("This text is about a pastime.", "This text is about some work.")),
        [{"instruction": f"Who are you{'!' * n}", "output": FIXED} for n in range(60)],
        other(12, FIXED, "a", "b", "c"),
    ],
    ids=["one answer", "few answers", "copies", "few"],
)
def test_honest_tasks_among_others_are_quiet(rows: list[made.Row]) -> None:
    assert run(DETECTOR, Conversations(sums(600) + rows)) == []


def test_refusals_that_were_preferred_are_no_finding() -> None:
    refused = "I'm sorry, but I cannot help with this request."
    rows = made.planted(made.exchanges(500, 5), 40, refused)
    pairs = [{"prompt": r["instruction"], "chosen": r["output"], "rejected": "No."} for r in rows]
    assert run(DETECTOR, Conversations(pairs, PAIRS)) == []
