"""Text files in blocks and parts: cutting changes nothing."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from poisonscan.datasets import lines
from poisonscan.datasets.flaws import Flaw
from poisonscan.datasets.lines import Lines, Records, blocks, spans
from poisonscan.formats.base import TableFile
from tests.datasets.files import batches, content, label_names, only, told

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = ['"', '"', ",", "\n", "\r\n", "\r", "a", 'b"', '""', '","', "é", "longer text"]
PIECES = st.lists(st.sampled_from(TOKENS), max_size=60).map("".join)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lines")


def _file(folder: Path, data: bytes) -> TableFile:
    path = folder / "t.csv"
    path.write_bytes(data)
    return TableFile("t.csv", str(path), "csv", len(data))


def _records(data: bytes) -> list[list[str]]:
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", newline="")
    return [record for record in csv.reader(text) if record]


def _fail(found: Flaw) -> None:
    pytest.fail(str(found))


@given(PIECES, st.integers(1, 9))
@example('a"b,"c\nd"\n"e""', 3)
@example('"a""\n""b"\nc', 4)
@example('x"\n"y\nz"\n', 1)
@settings(max_examples=600)
def test_blocks_are_whole_records(folder: Path, text: str, chunk: int) -> None:
    data = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "CHUNK", chunk)
        found = list(blocks(_file(folder, data), Records(",", quoted=True), _fail))
        assert b"".join(block.data for block in found) == data
        apart = [record for block in found for record in _records(block.data)]
        assert apart == _records(data)
        line = 1
        for block in found:
            assert block.line == line
            before = data[: block.offset].decode("utf-8", "ignore")
            assert line == 1 + len(before.replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1
            line += Records(",", quoted=True).lines(block.data)


@given(PIECES, st.integers(1, 9), st.integers(1, 30))
@settings(max_examples=300)
def test_parts_are_cut_where_the_whole_is(folder: Path, text: str, chunk: int, size: int) -> None:
    data = text.encode()
    for fresh in (lambda: Records(",", quoted=True), lambda: Records(",", quoted=False), Lines):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(lines, "CHUNK", chunk)
            patch.setattr(lines, "MAX_RECORD", 20)
            file = _file(folder, data)
            whole: list[Flaw] = []
            cut: list[Flaw] = []
            expected = list(blocks(file, fresh(), whole.append))
            parts = spans(file, fresh(), size)
            found = [b for span in parts for b in blocks(file, fresh(), cut.append, span)]
            assert found == expected
            assert cut == whole


@given(PIECES, st.integers(1, 9))
@settings(max_examples=300)
def test_only_overlong_records_are_left_out(folder: Path, text: str, chunk: int) -> None:
    data = text.encode()
    problems: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "CHUNK", chunk)
        patch.setattr(lines, "MAX_RECORD", 10)
        found = [
            b.data
            for b in blocks(_file(folder, data), Lines(), lambda found: problems.append(str(found)))
        ]
    expected = list(data.splitlines(keepends=True)) if b"\r" not in data else []
    if b"\r" not in data:
        assert b"".join(found) == b"".join(line for line in expected if len(line) <= 10)
        numbers = [i for i, line in enumerate(expected, 1) if len(line) > 10]
        assert [problem.split(": ")[1] for problem in problems] == [f"line {i}" for i in numbers]


def _described(folder: Path, rows: list[int]) -> list[tuple[Any, ...]]:
    """Rows of the file as reports name them, by their number in the file."""
    dataset = only(folder, text_column="text")
    starts = np.array([shard.start for shard in dataset.shards])
    shards = np.searchsorted(starts, rows, side="right") - 1
    found = dataset.describe(np.stack([shards, np.array(rows) - starts[shards]], axis=1))
    return [(row.index, row.line, row.label, row.excerpt) for row in found]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_a_big_file_in_parts_reads_as_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    rng = np.random.default_rng(0)
    if name == "t.jsonl":
        rows = [f'{{"text": "text {i}{"é" * (i % 7)}", "label": {i % 3}}}\n' for i in range(9_000)]
        rows[77], rows[6_000] = "oops\n", "\n"
        data = "".join(rows).encode()
    else:
        mark = "," if name == "t.csv" else "\t"
        rows = []
        for i in range(9_000):
            texts = ["plain", '"quoted\nover ""two"" lines"', 'six" wide', '"a,b\tc"']
            text = texts[rng.integers(4)]
            rows.append(f"{text}{mark}{i % 3}\n")
        rows[5_000] = f"a{mark}b{mark}c\n"
        rows[6_000] = "\n"
        data = f"text{mark}label\n{''.join(rows)}".encode()
    (tmp_path / name).write_bytes(data)
    monkeypatch.setattr(lines, "CHUNK", 10_000)
    wanted = [0, 1, 4_998, 4_999, 5_000, 5_001, 8_000, 8_997]
    whole = only(tmp_path, text_column="text")
    assert len(whole.shards) == 1
    before = label_names(whole), content(whole), _described(tmp_path, wanted)
    problems = told(whole)
    assert len(problems) == 1
    monkeypatch.setattr(spans, "__defaults__", (25_000,))
    dataset = only(tmp_path, text_column="text")
    assert len(dataset.shards) > 3
    assert (label_names(dataset), content(dataset), _described(tmp_path, wanted)) == before
    assert told(dataset) == problems
    assert sum(shard.size for shard in dataset.shards) == len(data)
    assert dataset.rows == len(before[0])
    index, place, _, _ = before[2][-1]
    assert index == 8_997
    assert place[0] == data[: data.rindex(rows[8_999].encode())].count(b"\n") + 1


def test_lines_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    json_row = '{{"text": "text {}", "label": 1}}\n'
    for name, row in {"t.csv": "text {},1\n", "u.jsonl": json_row}.items():
        folder = tmp_path / name[0]
        folder.mkdir()
        data = "".join(row.format(i) for i in range(50)).encode()
        data = data.replace(b"text 20", b"text \xff\xfe").replace(b"text 30", b"\xe9")
        head = b"text,label\n" if name == "t.csv" else b""
        (folder / name).write_bytes(head + data)
        dataset = only(folder, text_column="text")
        (batch,) = batches(dataset)
        assert batch.size == 50
        first = 22 if head else 21
        what = "2 lines with bytes that are not UTF-8, read as they stand"
        assert told(dataset) == [f"{what}: lines {first}, {first + 10}"]
        (row_20,) = dataset.describe(np.array([[0, 20]]))
        assert row_20.excerpt == "text \\xff\\xfe"
