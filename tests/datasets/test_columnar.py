"""Parquet and Arrow files whose own description of themselves is wrong."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from poisonscan.datasets.columnar import parquet_parts
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.tables import layout, parts, read
from tests.datasets.files import table_file

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pa.table({
    "text": ["some words", None] * 20,
    "label": [0, 1] * 20,
    "tags": [["a"], None] * 20,
})  # fmt: skip


@pytest.mark.parametrize("bit", [1, 4])
def test_one_wrong_bit_in_a_footer_does_not_end_the_process(tmp_path: Path, bit: int) -> None:
    # pyarrow 26 ends the process when asked for the metadata of a column with broken statistics;
    # some of these bits break them.
    path = tmp_path / "t.parquet"
    pq.write_table(TABLE, path, row_group_size=20)
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    outcomes = set()
    for place in range(len(data) - 8 - length, len(data) - 8):
        broken = bytearray(data)
        broken[place] ^= bit
        path.write_bytes(broken)
        file = table_file(path, tmp_path)
        try:
            found = layout(file)
            parts(file, found)
            outcomes.add(sum(b.num_rows for b in read(file, found, found.schema.names)))
        except DatasetError:
            outcomes.add(-1)
    assert {-1, 40} <= outcomes


def test_rows_before_a_damaged_page_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    texts = [f"text {i}" for i in range(12_000)]
    options = {"use_dictionary": False, "compression": "snappy", "data_page_size": 1 << 12}
    pq.write_table(pa.table({"text": texts}), path, row_group_size=6_000, **options)
    about = pq.ParquetFile(path).metadata.row_group(0).column(0)
    data = bytearray(path.read_bytes())
    at = about.data_page_offset + about.total_compressed_size // 2
    data[at : at + 8_000] = b"\xff" * 8_000  # whole pages and their headers
    path.write_bytes(data)
    file = table_file(path, tmp_path)
    problems: list[str] = []
    read_rows: list[str] = []
    for batch in read(file, layout(file), ["text"], lambda found: problems.append(str(found))):
        read_rows += batch.column(0).to_pylist()
    (problem,) = problems
    match = re.match("1 part cannot be read: rows ([0-9,]+) to 5,999 ", problem)
    assert match is not None
    first = int(match[1].replace(",", ""))
    assert 2_000 < first < 4_000
    assert read_rows == texts[:first] + texts[6_000:]


def test_parts_cover_every_row_group_once(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=3)
    file = table_file(tmp_path / "t.parquet", tmp_path)
    for size in [1, 500, 1_000, 10**9]:
        found = parquet_parts(file, size)
        assert [group for part in found for group in part.groups or ()] == list(range(14))
        assert sum(part.rows for part in found) == 40


@pytest.mark.parametrize(
    "metadata",
    [
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b'{"info": {"features": {"label": 1}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel"}}}}',
        b'{"info": {"features": {"other": {"_type": "ClassLabel", "names": ["a"]}}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": 7}}}}',
    ],
)
def test_odd_metadata_is_ignored(tmp_path: Path, metadata: bytes) -> None:
    table = TABLE.replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "t.parquet")
    found = layout(table_file(tmp_path / "t.parquet", tmp_path))
    assert (found.classes, found.pictures) == ({}, ())


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([TABLE["text"], TABLE["label"]], names=["a", "a"])
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match="share a name"):
        layout(table_file(tmp_path / "t.parquet", tmp_path))


@pytest.mark.parametrize("columns", [["label"], ["tags", "text"], ["label", "text"]])
def test_columns_come_in_the_order_asked_for(tmp_path: Path, columns: list[str]) -> None:
    pq.write_table(TABLE, tmp_path / "t.parquet")
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, TABLE.schema) as writer:
        writer.write_table(TABLE)
    (tmp_path / "t.arrow").write_bytes(buffer.getvalue())
    for name in ["t.parquet", "t.arrow"]:
        file = table_file(tmp_path / name, tmp_path)
        batches = list(read(file, layout(file), columns))
        assert all(batch.schema.names == columns for batch in batches)
        assert sum(batch.num_rows for batch in batches) == 40
