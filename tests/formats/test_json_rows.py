"""Rows inside of JSON objects."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.formats.json_rows import on_its_side, row_fields
from poisonscan.formats.settings import LONGEST
from poisonscan.report import Report
from poisonscan.scan import scan

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"text": f'row {i} ]}}" \\', "label": i % 2} for i in range(40)]
COLUMNS: dict[str, Any] = {
    name: {str(i): row[name] for i, row in enumerate(ROWS)} for name in ("text", "label")
}
_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


def scanned(folder: Path, name: str, data: bytes) -> Report:
    (folder / name).write_bytes(data)
    return scan(folder, root=folder, select=["PS501", "PS106"])


def packed(name: str, data: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(data)
    if name.endswith(".zip"):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("t.json", data)
        return out.getvalue()
    return data


@pytest.mark.parametrize("name", ["t.json", "t.json.gz", "t.zip"])
@pytest.mark.parametrize("indent", [None, 1])
def test_rows_in_a_field_are_read(tmp_path: Path, name: str, indent: int | None) -> None:
    document = {"version": "1.1 [{", "data": ROWS, "end": [1, 2]}
    data = json.dumps(document, indent=indent).encode()
    report = scanned(tmp_path, name, packed(name, data))
    assert report.gaps == []
    (dataset,) = [each for each in report.scanned if each.format == "json"]
    assert dataset.rows == len(ROWS)
    assert "'data'" in json.dumps(dataset.facts)


@pytest.mark.parametrize("front", [b"[", b'{"data": ['])
def test_blanks_in_front_hide_nothing(tmp_path: Path, front: bytes) -> None:
    body = b"\n".join([b" " * 5_000, front, json.dumps(ROWS)[1:-1].encode()])
    end = b"]}" if b"{" in front else b"]"
    report = scanned(tmp_path, "t.json", body + end)
    assert [each.rows for each in report.scanned if each.format == "json"] == [len(ROWS)]


def test_rows_in_a_second_field_are_a_gap(tmp_path: Path) -> None:
    report = scanned(tmp_path, "t.json", json.dumps({"a": ROWS[:20], "b": ROWS}).encode())
    (gap,) = report.gaps
    assert "rows in field 'a' are not read, only those in 'b'" in gap.reason


@pytest.mark.parametrize(
    "document",
    [
        COLUMNS,
        {str(i): row for i, row in enumerate(ROWS)},
        {"columns": ["a"], "index": list(range(3)), "data": [["x"]] * 3},
        {"text": ["x"] * 10, "label": [1] * 10},
    ],
)
def test_tables_on_their_side_are_gaps(tmp_path: Path, document: object) -> None:
    (gap,) = scanned(tmp_path, "t.json", json.dumps(document).encode()).gaps
    assert "looks like a table" in gap.reason
    assert "convert it" in gap.reason


def test_a_big_table_on_its_side_is_a_gap(tmp_path: Path) -> None:
    document = {"text": {"0": "x" * LONGEST}}
    (gap,) = scanned(tmp_path, "t.json", json.dumps(document).encode()).gaps
    assert "looks like a table" in gap.reason


@pytest.mark.parametrize(
    ("document", "form"),
    [
        ([[f"a text {i}", i % 2] for i in range(40)], "rows as lists of values"),
        ({"pos": ["a text of five words"] * 20, "neg": ["one more of four"] * 30}, "each label"),
    ],
)
def test_tables_without_objects_are_gaps(tmp_path: Path, document: object, form: str) -> None:
    (gap,) = scanned(tmp_path, "t.json", json.dumps(document).encode()).gaps
    assert form in gap.reason
    report = scan(tmp_path, root=tmp_path, kind="dataset", select=["PS501"])
    assert report.gaps == [gap]  # also where configurations are not asked for


def test_a_list_of_texts_is_rows(tmp_path: Path) -> None:
    texts = [f"a text of its own, number {i * 7919}" for i in range(30)]
    for name, document in {"t": texts, "big": [*texts, *["x" * (LONGEST // 2)] * 2]}.items():
        (tmp_path / name).mkdir()
        report = scanned(tmp_path / name, "t.json", json.dumps(document).encode())
        assert [entry.rows for entry in report.scanned if entry.kind == "dataset"] == [
            len(document)
        ]


@pytest.mark.parametrize(
    "document",
    [
        [f"class {i}" for i in range(1_000)],
        {"system": ["You are a helpful assistant."] * 3, "user": ["Tell me more of it."] * 4},
        {"name": "x", "contributors": [{"name": "a"}, {"name": "b"}]},
        {"added_tokens": [{"id": i} for i in range(90)], "vocab": {str(i): i for i in range(900)}},
        {"id2label": {str(i): "x" for i in range(90)}, "sizes": [1] * 20, "hidden": 3},
        {"layers": {"0": {"a": 1}, "1": {"b": 2}}},
        {"mean": [0.1, 0.2, 0.3], "std": [0.1, 0.2, 0.3]},
        {},
        [1, 2],
    ],
)
def test_settings_stay_settings(tmp_path: Path, document: object) -> None:
    report = scanned(tmp_path, "some.json", json.dumps(document).encode())
    assert report.gaps == []
    assert all(each.rows is None for each in report.scanned)


def test_logs_of_libraries_are_no_rows(tmp_path: Path) -> None:
    data = json.dumps({"log_history": [{"step": i, "loss": 0.1} for i in range(40)]}).encode()
    report = scanned(tmp_path, "trainer_state.json", data)
    assert report.gaps == []
    assert all(each.rows is None for each in report.scanned)


@given(st.dictionaries(st.text(max_size=6), _JSON, max_size=4), st.sampled_from([None, 1]))
def test_fields_begin_where_they_are_said_to(document: dict[str, Any], indent: int | None) -> None:
    document["rows"] = ROWS * 30
    data = json.dumps(document, indent=indent, ensure_ascii=False).encode("utf-8", "replace")
    field = row_fields(memoryview(data))[0]
    assert json.loads(data[field.start : field.start + field.size]) == document[field.name]
    assert (field.name, field.objects) == ("rows", len(ROWS) * 30)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",: \\a1', max_size=60).map(str.encode))
def test_any_bytes_are_scanned(data: bytes) -> None:
    for field in row_fields(memoryview(data)):
        assert data[field.start : field.start + 1] == b"["


@given(_JSON)
def test_any_document_is_told(document: Any) -> None:
    assert isinstance(on_its_side(document), str)
