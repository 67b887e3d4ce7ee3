"""Files that are one JSON array, read piece by piece."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from poisonscan.datasets import json_array
from poisonscan.datasets.json_array import array_blocks
from poisonscan.datasets.tables import layout, read
from poisonscan.formats.base import TableFile
from tests.datasets.files import table_file

if TYPE_CHECKING:
    from pathlib import Path

HARD = [
    {"a": 'quote " and \\', "b": [1, {"c": "],[{"}]},
    {"a": "\\\\", "b": []},
    {"a": "line\nbreak\r", "b": [2, {"c": '\\"'}]},
    {"a": "é界 , ]", "b": None},
]


def elements(path: Path, root: Path) -> tuple[list[Any], list[str]]:
    problems: list[str] = []
    rows, place = [], 1
    for block in array_blocks(table_file(path, root), lambda found: problems.append(str(found))):
        assert block.line == place
        found = [json.loads(line) for line in block.data.split(b"\n") if line.strip()]
        rows += found
        place += len(found)
    return rows, problems


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 20])
def test_elements_wherever_pieces_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None
) -> None:
    rows = HARD * 5
    path = tmp_path / "t.json"
    path.write_bytes(json.dumps(rows, indent=indent, ensure_ascii=False).encode() + b"\n ")
    monkeypatch.setattr(json_array, "CHUNK", chunk)
    assert elements(path, tmp_path) == (rows, [])


def test_random_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(1)

    def value(depth: int) -> Any:
        kind = draw.randrange(4 + 2 * (depth < 4))
        if kind == 4:
            return [value(depth + 1) for _ in range(draw.randrange(4))]
        if kind == 5:
            return {text(): value(depth + 1) for _ in range(3)}
        return [None, draw.randrange(99), draw.random(), text()][kind]

    def text() -> str:
        return "".join(draw.choices('\\"[]{},\n a\u00e9', k=draw.randrange(6)))

    path = tmp_path / "t.json"
    for _ in range(60):
        rows = [{"x": value(0)} for _ in range(draw.randrange(1, 8))]
        path.write_text(json.dumps(rows, ensure_ascii=draw.random() < 0.5), "utf-8")
        monkeypatch.setattr(json_array, "CHUNK", draw.randrange(1, 40))
        assert elements(path, tmp_path) == (rows, [])


@pytest.mark.parametrize("text", ["[]", "[ \n ]", "\ufeff []"])
def test_nothing_in_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text, "utf-8")
    assert elements(tmp_path / "t.json", tmp_path) == ([], [])


def test_what_is_no_object_is_text(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('[{"text": "a"}, "b", 3, ["c"]]')
    rows, problems = elements(tmp_path / "t.json", tmp_path)
    assert [row["text"] for row in rows] == ["a", "b", 3, ["c"]]
    assert problems == []


@pytest.mark.parametrize("cut", [1, 30, 60])
def test_what_stands_before_the_cut_is_read(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps([{"a": i} for i in range(9)])[:-cut])
    blocks = array_blocks(table_file(path, tmp_path), print)
    first = next(blocks)
    assert first.data.startswith(b'{"a": 0}\n')
    with pytest.raises(ValueError, match=f"ends early, in record {(90 - cut) // 10 + 1}"):
        next(blocks)


def test_what_stands_behind_the_array_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('[{"a": 1}] {"a": 2}')
    rows, (problem,) = elements(tmp_path / "t.json", tmp_path)
    assert rows == [{"a": 1}]
    assert "behind the end of the array" in problem


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_element_that_is_too_long_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(json_array, "MAX_RECORD", 500)
    monkeypatch.setattr(json_array, "CHUNK", 64)
    rows = [{"a": "x" * 20} for _ in range(2)]
    (tmp_path / "t.json").write_text(json.dumps([*rows[:place], {"a": "y" * 900}, *rows[place:]]))
    problems: list[str] = []
    found = [
        json.loads(line)
        for block in array_blocks(
            table_file(tmp_path / "t.json", tmp_path), lambda found: problems.append(str(found))
        )
        for line in block.data.split(b"\n")
        if line.strip()
    ]
    assert found == rows
    what = "1 element left out, of more than 16,777,216 bytes"
    assert problems == [f"{what}: element {place + 1}"]


def test_memory_does_not_grow_with_the_array(tmp_path: Path) -> None:
    path = tmp_path / "t.json.gz"
    text = b"[" + b",".join([b'{"a": "%s"}' % (b"x" * 4_000)] * 20_000) + b"]"
    path.write_bytes(gzip.compress(text, 1))
    del text
    tracemalloc.start()
    file = TableFile("t.json.gz", str(path), "json", path.stat().st_size, "gzip")
    count = sum(len(block.data) > 0 for block in array_blocks(file, print))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count > 50
    assert peak < 24 << 20


def test_same_rows_as_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": f'{i} \\ " ,]', "label": i % 3, "tags": ["a"] * (i % 4)} for i in range(999)]
    path = tmp_path / "t.json"
    path.write_text(json.dumps(rows, indent=1))
    monkeypatch.setattr(json_array, "CHUNK", 1 << 12)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        loaded = datasets.load_dataset("json", data_files=str(path), split="train", streaming=True)
        expected = list(loaded)
    file = table_file(path, tmp_path)
    found = layout(file)
    seen = [row for batch in read(file, found, found.schema.names) for row in batch.to_pylist()]
    assert seen == expected == rows
