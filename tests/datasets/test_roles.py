"""Roles of columns, on small tables and on real data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from poisonscan.datasets.errors import OptionError
from tests.datasets.files import label_names, only, opened, shared, write

if TYPE_CHECKING:
    from pathlib import Path

    from poisonscan.datasets.dataset import Dataset

LONG = "some sentence that goes on for a while, number {}"


def _roles(tmp_path: Path, columns: dict[str, list[Any]]) -> dict[str, tuple[str, ...]]:
    names = list(columns)
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    write(tmp_path / "t.parquet", rows)
    return dict(only(tmp_path).roles)


N = 64
CLASSES = [i % 3 for i in range(N)]
LETTERS = ["a", "b", "c", "d"] * 16
NUMBERS = {f"n{i}": [(i + 2) * row % 61 / 7 for row in range(N)] for i in range(8)}
PROSE = [LONG.format(i * i) for i in range(N)]


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        ({"a": PROSE, "target": CLASSES}, {"label": ("target",), "text": ("a",)}),
        ({"Text ": PROSE, " LABEL": CLASSES}, {"label": (" LABEL",), "text": ("Text ",)}),
        ({"a": PROSE, "b": CLASSES}, {"label": ("b",), "text": ("a",)}),
        (
            {"id": range(N), "note": PROSE, "verdict": LETTERS},
            {"label": ("verdict",), "id": ("id",), "text": ("note",)},
        ),
        (
            {"photo": [b"\x89PNG\r\n\x1a\n"] * N, "kind": LETTERS},
            {"label": ("kind",), "image": ("photo",)},
        ),
        ({"a": PROSE, "lang": LETTERS}, {"text": ("a",)}),
        ({"a": PROSE, "b": LETTERS, "c": LETTERS}, {"text": ("a",)}),
        ({"a": PROSE, "n": [i * i for i in range(N)]}, {"text": ("a",), "numeric": ("n",)}),
        ({"a": PROSE, "b": ["x"] * N}, {"text": ("a",)}),
        (
            {"question": PROSE, "answer": LETTERS},
            {
                "text": ("question", "answer"),
                "prompt": ("question",),
                "response": ("answer",),
            },
        ),
        ({"label": PROSE}, {"text": ("label",)}),
        ({"label": list(range(N))}, {"id": ("label",)}),
        ({"y": [i / 7 for i in range(N)]}, {"numeric": ("y",)}),
        ({"y": [float(i % 2) for i in range(N)]}, {"label": ("y",)}),
        ({"y": CLASSES, "label": CLASSES}, {"label": ("label",), "numeric": ("y",)}),
        ({"colour": ["red", "blue"] * 32}, {}),
        ({"n": list(range(N)), "x": CLASSES}, {"id": ("n",), "numeric": ("x",)}),
        (
            {"key": [f"k{i:04}" for i in range(N)], "x": CLASSES},
            {"id": ("key",), "numeric": ("x",)},
        ),
        ({"uuid": ["b", "a"] * 32, "x": CLASSES}, {"id": ("uuid",), "numeric": ("x",)}),
        ({"v": [[0.5] * 8] * N, "label": CLASSES}, {"label": ("label",), "features": ("v",)}),
        ({"v": [[0.5] * 3] * N}, {}),
        ({"embedding": [[0.5] * 3] * N}, {"features": ("embedding",)}),
        ({"tokens": [[1, 2, 3] * 4] * N}, {}),
        (
            {"instruction": PROSE, "output": ["ok"] * N},
            {
                "text": ("instruction", "output"),
                "prompt": ("instruction",),
                "response": ("output",),
            },
        ),
        (
            {"input": ["", "x"] * 32, "instruction": PROSE, "context": PROSE, "response": PROSE},
            {
                "text": ("input", "instruction", "context", "response"),
                "prompt": ("instruction", "input", "context"),
                "response": ("response",),
            },
        ),
        (
            {"prompt": PROSE, "chosen": PROSE, "rejected": ["no"] * N},
            {
                "text": ("prompt", "chosen", "rejected"),
                "prompt": ("prompt",),
                "chosen": ("chosen",),
                "rejected": ("rejected",),
            },
        ),
        ({"question": PROSE}, {"text": ("question",)}),
        ({"Exited": CLASSES, "x": CLASSES}, {"label": ("Exited",), "numeric": ("x",)}),
        ({"class": ["a", "b"] * 32, "survived": [0, 1] * 32}, {"label": ("survived",)}),
        (
            {"class": ["a", "b"] * 32, "churn": [i * i for i in range(N)]},
            {"label": ("class",), "numeric": ("churn",)},
        ),
        ({"Personal Loan": [0, 1] * 32}, {"label": ("Personal Loan",)}),
        ({"category_code": ["a", "b"] * 32}, {"label": ("category_code",)}),
        ({"": [i * i for i in range(N)], "x": CLASSES}, {"id": ("",), "numeric": ("x",)}),
        ({"x": CLASSES, "": [i * i for i in range(N)]}, {"numeric": ("x", "")}),
        ({"died": [f"Monday, January {i % 28 + 1}, {1800 + i}" for i in range(N)]}, {}),
        ({"letter": LETTERS, **NUMBERS}, {"label": ("letter",), "numeric": tuple(NUMBERS)}),
        ({**NUMBERS, "letter": LETTERS}, {"label": ("letter",), "numeric": tuple(NUMBERS)}),
        ({"sex": LETTERS, **NUMBERS}, {"numeric": tuple(NUMBERS)}),
        ({"letter": ["a", *["b"] * 63], **NUMBERS}, {"numeric": tuple(NUMBERS)}),
        ({"letter": LETTERS, "word": LETTERS, **NUMBERS}, {"numeric": tuple(NUMBERS)}),
        ({"letter": LETTERS, "n": [i % 7 for i in range(N)]}, {"numeric": ("n",)}),
        (
            {"text": [f"Human: {p}\n\nAssistant: {p}" for p in PROSE]},
            {"text": ("text",), "messages": ("text",)},
        ),
        (
            {"messages": [[{"role": "user", "content": "hi"}]] * N, "label": ["x", "y"] * 32},
            {"label": ("label",), "text": ("messages",), "messages": ("messages",)},
        ),
        ({"photo": [b"\x89PNG\r\n\x1a\n"] * N}, {"image": ("photo",)}),
        ({"blob": [b"\x00\x01"] * N}, {}),
    ],
)
def test_roles(
    tmp_path: Path, columns: dict[str, list[Any]], roles: dict[str, tuple[str, ...]]
) -> None:
    assert _roles(tmp_path, columns) == roles


@pytest.mark.parametrize(
    ("last", "likeliest"),
    [
        ({"n": range(N)}, ["stars", "verdict"]),
        ({"income": list(range(8)) * 8}, ["income", "stars", "verdict"]),
        ({"region": ["x", "y"] * 32}, ["stars", "verdict"]),
    ],
)
def test_columns_that_may_hold_labels_are_named_the_likeliest_first(
    tmp_path: Path, last: dict[str, Any], likeliest: list[str]
) -> None:
    named = {"verdict": LETTERS, "stars": CLASSES, "lang": LETTERS, **last}
    values = zip(PROSE, *named.values(), strict=True)
    rows = [dict(zip(["text", *named], row, strict=True)) for row in values]
    write(tmp_path / "t.parquet", rows)
    assert only(tmp_path).facts["may be labels"] == likeliest
    assert "may be labels" not in only(tmp_path, label_column="verdict").facts


def test_a_column_that_is_missing_is_said_with_the_one_that_is_meant(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", [{"text": text, "Label ": n % 3} for n, text in enumerate(PROSE)])
    with pytest.raises(OptionError, match=r"'lable'; did you mean 'Label '[?] columns: 'text"):
        only(tmp_path, label_column="lable")
    with pytest.raises(OptionError, match=r"no column 'zzz'; columns: 'text', 'Label '$"):
        only(tmp_path, label_column="zzz")
    write(tmp_path / "t.parquet", [{f"c{n}": 0 for n in range(60)}])
    with pytest.raises(OptionError, match=r"'c49' and 10 more$"):
        only(tmp_path, label_column="zzz")


def test_prompts_and_responses_that_the_user_names(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", [{"a": text, "b": text[::-1]} for text in PROSE])
    assert {"prompt", "response"}.isdisjoint(only(tmp_path).roles)
    named = only(tmp_path, prompt_column="a", response_column="b")
    assert (named.roles["prompt"], named.roles["response"]) == (("a",), ("b",))
    assert {"prompt", "response"}.isdisjoint(named.inferred)
    with pytest.raises(OptionError, match="there is no column 'c'"):
        only(tmp_path, prompt_column="c")


def test_the_last_column_of_a_table_without_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("\n".join(f"{i}.5,{i % 7},{i % 2}" for i in range(100)))
    assert only(tmp_path).roles["label"] == ("col_2",)
    (tmp_path / "t.csv").write_text("\n".join(f"{i % 7},{i % 2},{i}.5" for i in range(100)))
    assert "label" not in only(tmp_path).roles


# Real data


def _real(*parts: str) -> Dataset:
    found, gaps = opened(shared(*parts))
    assert gaps == []
    (dataset,) = found
    return dataset


def test_cifar10() -> None:
    dataset = _real("images", "cifar10_part")
    assert dataset.roles == {"label": ("label",), "image": ("image",)}
    assert dataset.label_names is not None
    assert dataset.label_names[0] == "airplane"
    assert [shard.split for shard in dataset.shards] == ["train", "test"]
    assert dataset.rows == 23_925


@pytest.mark.parametrize(
    ("folder", "rows", "text", "label"),
    [
        ("sst2", 9_613, "sentence", "label"),
        ("sst2_syntactic_20", 8_259, "sentence", "label"),
        ("ag_news_test", 7_600, "sentence ", " label"),
    ],
)
def test_texts(folder: str, rows: int, text: str, label: str) -> None:
    dataset = _real("text", folder)
    assert dataset.roles == {"label": (label,), "text": (text,)}
    names = label_names(dataset)
    assert len(names) == rows
    assert set(names) <= {"0", "1", "2", "3"}


def test_instructions() -> None:
    assert _real("instruction").roles == {
        "text": ("question", "answer"),
        "prompt": ("question",),
        "response": ("answer",),
    }


def test_tables() -> None:
    found, gaps = opened(shared("tabular"))
    assert gaps == []
    roles = {dataset.path: dataset.roles for dataset in found}
    assert roles["adult-train.csv"]["label"] == ("col_14",)
    assert roles["banknote_authentication.csv"]["label"] == ("col_4",)
    assert roles["winequality-white.csv"]["label"] == ("col_11",)
    assert "label" not in roles["diamonds.csv"]
    assert roles["diamonds.csv"]["numeric"] == ("carat", "depth", "table", "price", "x", "y", "z")
    assert roles["adult-train.csv"]["numeric"] == (
        "col_0", "col_2", "col_4", "col_10", "col_11", "col_12",
    )  # fmt: skip
