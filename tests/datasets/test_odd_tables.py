"""Tables that are odd, damaged or hostile: read, or told why not; never called clean."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poisonscan.datasets import json_lines
from poisonscan.scan import scan
from tests.datasets.files import content, only, opened, told

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [(f"a text of its own, number {i * 7919}", "ab"[i % 2]) for i in range(40)]
CSV = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in ROWS)
JSONL = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.json"])
def test_wide_text_is_a_gap_that_says_so(tmp_path: Path, coding: str, name: str) -> None:
    (tmp_path / name).write_bytes((CSV if name == "t.csv" else JSONL).encode(coding))
    report = scan(tmp_path, root=tmp_path, select=["PS501"], isolation="off")
    (gap,) = report.gaps
    assert gap.reason.startswith("text in UTF-16 or UTF-32 is not read")
    assert not report.scanned


def test_a_few_zeros_do_not_hide_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV.replace("number 7919", "num\0ber 7919"))
    report = scan(tmp_path, root=tmp_path, select=["PS501"], isolation="off")
    assert [entry.rows for entry in report.scanned] == [40]
    noise = bytes(range(256)) * 20
    (tmp_path / "t.csv").write_bytes(noise)
    report = scan(tmp_path, root=tmp_path, select=["PS501"], isolation="off")
    assert report.gaps
    assert not report.scanned


def test_maps_are_content(tmp_path: Path) -> None:
    rows = [[("a", 1)], None, [("a", 1), ("b", 2)], [("a", 1)]]
    column = pa.array(rows * 9, pa.map_(pa.string(), pa.int64()))
    sink = io.BytesIO()
    pq.write_table(pa.table({"x": column}), sink)
    (tmp_path / "t.parquet").write_bytes(sink.getvalue())
    dataset = only(tmp_path)
    assert told(dataset) == []
    assert len(set(content(dataset))) == 3


def test_half_a_pair_of_characters_costs_no_file(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "\\ud800 alone"}\n' + JSONL)
    dataset = only(tmp_path)
    assert len(content(dataset)) == 41


@pytest.mark.parametrize("first", ["", '{"text": "\\ud800"}\n'])
def test_many_keys_that_few_rows_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    rows = [f'{{"k{i}": 1}}\n' for i in range(500)]
    (tmp_path / "t.jsonl").write_text(first + "".join(rows))
    assert len(only(tmp_path).columns) == 500 + bool(first)
    monkeypatch.setattr(json_lines, "MAX_CELLS", 200_000)
    found, (gap,) = opened(tmp_path)
    assert found == []
    assert "too many cells" in gap.reason
