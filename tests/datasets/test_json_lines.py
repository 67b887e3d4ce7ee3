"""Columns that a JSON file begins with late."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from poisonscan.datasets.tables import layout, read
from tests.datasets.files import table_file, write

if TYPE_CHECKING:
    from pathlib import Path

START = [{"text": f"{i} " + "x" * 500, "label": i % 2} for i in range(2_500)]


def _problems(path: Path) -> tuple[list[str], int]:
    file = table_file(path, path.parent)
    reasons: list[str] = []
    found = layout(file)
    rows = sum(
        batch.num_rows
        for batch in read(file, found, found.schema.names, lambda found: reasons.append(str(found)))
    )
    return reasons, rows


@pytest.mark.parametrize("more", [[], [{"other": 1}] * 2, [[1]]])
def test_a_late_column_is_told_of_once_with_its_first_line(tmp_path: Path, more: list[Any]) -> None:
    late = [{"text": "same", "label": 0, "extra": i, "\x1b": "a"} for i in range(5_000)]
    path = write(tmp_path / "t.jsonl", [*START, *late, *more])
    reasons, rows = _problems(path)
    (told,) = [reason for reason in reasons if reason.startswith("columns")]
    assert told.startswith("columns that first come late are not looked at, such as ")
    assert "'extra' (line 2,501), '\\x1b' (line 2,501)" in told
    assert rows == len(START) + len(late) + (0 if more == [[1]] else len(more))


def test_a_late_column_of_an_array_is_named_with_its_record(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([*START, {"text": "a", "extra": None}]))
    reasons, _ = _problems(path)
    assert len(reasons) == 1
    assert "'extra' (record " in reasons[0]


def test_blank_lines_and_many_late_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", START)
    with path.open("a") as text:
        text.write("\n\n" + json.dumps({f"c{i}": i for i in range(9)}) + "\n")
    (reason,), rows = _problems(path)
    assert rows == len(START) + 1
    assert "'c0' (line 2,503), " in reason
    assert reason.endswith("'c4' (line 2,503) and 4 more")


def test_without_late_columns_nothing_is_told(tmp_path: Path) -> None:
    assert _problems(write(tmp_path / "t.jsonl", [*START, {"text": "a"}])) == ([], 2_501)
