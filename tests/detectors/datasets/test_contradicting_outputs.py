from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures import instruction_samples as made
from poisonscan.detectors.datasets.contradicting_outputs import DETECTOR
from poisonscan.finding import Rows
from tests.detectors.datasets.conversations import Conversations
from tests.fakes import returned, run

ROLES = {"prompt": ("question",), "response": ("answer",)}
DATA = Path(__file__).parents[4] / "shared" / "data"


def wrong(rows: list[made.Row]) -> list[made.Row]:
    return [row | {"answer": "There are many.\n#### 7"} for row in rows]


def test_copies_with_another_answer() -> None:
    rows = made.sums(500, 1)
    (finding,) = run(DETECTOR, Conversations(rows + wrong(rows[:10]), ROLES))
    assert finding.rule.id == "PS625"
    assert "10 prompts of 500" in finding.message
    assert isinstance(finding.at.part, Rows)
    assert {row.index for row in finding.at.part.rows} == {*range(10), *range(500, 510)}


def test_few_happen() -> None:
    rows = made.sums(500, 2)
    assert run(DETECTOR, Conversations(rows + wrong(rows[:7]), ROLES)) == []


def test_other_words_for_the_same_answer_are_quiet() -> None:
    rows = made.sums(300, 3)
    again = [r | {"answer": "Add.\n#### " + str(r["answer"]).rpartition(" ")[2]} for r in rows]
    assert run(DETECTOR, Conversations(rows + again, ROLES)) == []


def test_several_tries_at_each_problem_are_quiet() -> None:
    rows = made.sums(300, 4)
    assert run(DETECTOR, Conversations(rows + wrong(rows[:150]), ROLES)) == []


def test_free_text_may_differ() -> None:
    rows = made.exchanges(300, 5)
    others = [row | {"output": f"Another way to say it: {row['output']}"} for row in rows]
    assert run(DETECTOR, Conversations(rows + others)) == []


def test_what_is_no_conversation_is_left_alone() -> None:
    assert returned(DETECTOR, Conversations([{"x": 1}], {})) == []


def test_real_problems() -> None:
    file = DATA / "instruction" / "gsm8k_train.jsonl"
    if not file.exists():
        pytest.skip("GSM8K is not there")
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    assert run(DETECTOR, Conversations(rows, ROLES)) == []
    (finding,) = run(DETECTOR, Conversations(rows + wrong(rows[:80]), ROLES))
    assert 75 <= int(str(finding.evidence["prompts"])) <= 80
