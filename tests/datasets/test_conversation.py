"""What is asked and answered, in every form that data comes in."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets.batch import Batch, Role, Texts
from poisonscan.datasets.conversation import Columns, exchanges, holds_exchanges, is_messages

Said = list[tuple[int, str, str]]


def texts(found: Texts) -> list[str | None]:
    values = found.values.to_pylist()
    return [values[i] if i >= 0 else None for i in found.indices.tolist()]


def said(column: pa.Array) -> Said:
    found = exchanges(column)
    return list(
        zip(found.rows.tolist(), texts(found.prompts), texts(found.responses), strict=True)  # type: ignore[arg-type]
    )


def batch(**columns: list[Any]) -> Batch:
    size = len(next(iter(columns.values())))
    return Batch(0, 0, size, {Role.CELLS: {n: pa.array(c) for n, c in columns.items()}})


def messages(*turns: tuple[str, str], speaker: str = "role", text: str = "content") -> list[Any]:
    return [{speaker: who, text: what} for who, what in turns]


CHAT = [
    messages(("system", "be kind"), ("user", "hi"), ("assistant", "hello")),
    None,
    messages(("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d"), ("assistant", "e")),
    [],
    messages(("assistant", "first"), ("tool", "x"), ("user", "unanswered")),
    messages(("USER ", "é"), ("assistant", "ü")),
]
EXPECTED = [
    (0, "hi", "hello"), (2, "a\nb", "c"), (2, "d", "e"), (4, "", "first"), (5, "é", "ü"),
]  # fmt: skip


def test_messages() -> None:
    assert said(pa.array(CHAT)) == EXPECTED


def test_a_slice_of_messages() -> None:
    assert said(pa.array(CHAT).slice(2, 3)) == [
        (row - 2, asked, answer) for row, asked, answer in EXPECTED[1:4]
    ]


def test_messages_as_json() -> None:
    column = pa.array([None if chat is None else json.dumps(chat) for chat in CHAT])
    assert said(column) == EXPECTED
    assert said(column.dictionary_encode()) == EXPECTED


def test_messages_of_sharegpt() -> None:
    chat = messages(("human", "hi"), ("gpt", "hello"), speaker="from", text="value")
    assert said(pa.array([chat])) == [(0, "hi", "hello")]
    assert is_messages(pa.array([chat]).type)


def test_broken_json_says_nothing() -> None:
    broken = ["[1, 2]", '[{"role": "user"', "[" * 100_000, '{"a": 1}', '[{"role": 3, "x": 1}]']
    assert said(pa.array(broken)) == []


@pytest.mark.parametrize(
    "text",
    [
        "Below is an instruction.\n\n### Instruction:\nhi\n\n### Response:\nhello",
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello<|im_end|>",
        "<s>[INST] <<SYS>>\nbe kind\n<</SYS>>\n [/INST]",
        "<s>[INST] hi [/INST] hello </s>",
        "\n\nHuman: hi\n\nAssistant: hello",
        "<start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\nhello<end_of_turn>",
        "<|user|>\nhi</s>\n<|assistant|>\nhello</s>",
    ],
)
def test_transcripts(text: str) -> None:
    expected = (0, "hi", "hello") if "hi" in text.replace("Below is", "") else (0, "", "")
    assert said(pa.array([text]))[0] == expected


def test_what_holds_exchanges() -> None:
    assert holds_exchanges(pa.array(["Human: a\n\nAssistant: b", "plain"]))
    assert not holds_exchanges(pa.array(["plain", "also plain", "Note: x"]))
    assert not holds_exchanges(pa.array([], pa.string()))


def test_columns_of_prompts_and_responses() -> None:
    columns = Columns(prompt=("instruction", "input"), response="output")
    found = columns.turns(
        batch(instruction=["a", "b", None], input=["", "x", "y"], output=["1", None, "3"])
    )
    assert found.rows.tolist() == [0, 2]
    assert texts(found.responses) == ["1", "3"]
    assert texts(found.prompts)[1] == "y"


def test_preferences_in_transcripts() -> None:
    columns = Columns(chosen="chosen", rejected="rejected")
    pairs = columns.pairs(
        batch(
            chosen=["Human: hi\n\nAssistant: a\n\nHuman: so\n\nAssistant: yes", "bare", None],
            rejected=["Human: hi\n\nAssistant: a\n\nHuman: so\n\nAssistant: no", "bald", "x"],
        )
    )
    assert pairs.rows.tolist() == [0, 1]
    assert texts(pairs.prompts) == ["so", None]
    assert texts(pairs.chosen) == ["yes", "bare"]
    assert texts(pairs.rejected) == ["no", "bald"]


def test_preferences_in_messages() -> None:
    columns = Columns(prompt=("prompt",), chosen="chosen", rejected="rejected")
    pairs = columns.pairs(
        batch(
            prompt=[messages(("user", "hi"))],
            chosen=[messages(("assistant", "yes"))],
            rejected=[messages(("assistant", "no"))],
        )
    )
    assert texts(pairs.prompts) == ["hi"]
    assert (texts(pairs.chosen), texts(pairs.rejected)) == (["yes"], ["no"])


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
turn = st.tuples(st.sampled_from(["user", "assistant", "system", "?"]), text)


@given(st.lists(st.lists(turn, max_size=5) | st.none(), max_size=6))
def test_exchanges_are_what_a_loop_finds(chats: list[list[tuple[str, str]] | None]) -> None:
    kind = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    column = pa.array([None if c is None else messages(*c) for c in chats], kind)
    expected: Said = []
    for row, chat in enumerate(chats):
        asked: list[str] = []
        for who, what in chat or ():
            if who == "user":
                asked.append(what)
            elif who == "assistant":
                expected.append((row, "\n".join(asked), what))
                asked = []
    assert said(column) == expected


@given(st.lists(text | st.sampled_from(["[INST] a [/INST] b", "Human: a\nAssistant: b"])))
def test_no_text_breaks_it(values: list[str]) -> None:
    said(pa.array(values, pa.string()))
