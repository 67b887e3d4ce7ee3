"""Strings that are no UTF-8, and record batches that are damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from poisonscan.datasets.columnar import arrow_parts
from poisonscan.datasets.tables import layout, numbered, read
from tests.datasets.files import table_file

if TYPE_CHECKING:
    from pathlib import Path


def _strings(count: int) -> pa.Array:
    stored = pa.array([b"ok", b"\xff\xfe", None] * count, pa.binary())
    return pa.Array.from_buffers(pa.string(), 3 * count, stored.buffers())


def _table() -> pa.Table:
    texts = _strings(50)
    lists = pa.ListArray.from_arrays(pa.array(range(151), pa.int32()), texts)
    shared = pa.DictionaryArray.from_arrays(pa.array([1, 0, None] * 50, pa.int32()), texts[:2])
    struct = pa.StructArray.from_arrays([texts, pa.array(range(150))], ["s", "n"])
    return pa.table({"text": texts, "lists": lists, "shared": shared, "struct": struct})


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("column", ["text", "lists", "shared", "struct"])
def test_rows_with_other_bytes_are_named_and_kept(tmp_path: Path, suffix: str, column: str) -> None:
    path = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        pq.write_table(_table(), path)
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _table().schema) as writer:
            writer.write_table(_table())
    file = table_file(path, tmp_path)
    problems: list[str] = []
    (batch,) = read(file, layout(file), [column], lambda found: problems.append(str(found)))
    batch.validate(full=True)
    assert batch.num_rows == 150
    first = "0, 3, 6, 9, 12" if column == "shared" else "1, 4, 7, 10, 13"
    what = "50 rows with text that is not UTF-8, read as it stands"
    assert problems == [f"{what}: rows {first} and 45 more"]
    assert "\\xff\\xfe" in str(batch.column(0)[int(first[0])].as_py()).replace("\\\\", "\\")


def test_a_damaged_record_batch_costs_only_itself(tmp_path: Path) -> None:
    table = pa.table({"n": np.arange(5_000), "text": [f"text {i}" for i in range(5_000)]})
    path = tmp_path / "t.arrow"
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, table.schema, options=options) as writer,
    ):
        writer.write_table(table, max_chunksize=1_000)
    data = bytearray(path.read_bytes())
    frames = [i for i in range(len(data)) if data[i : i + 4] == b"\x28\xb5\x2f\xfd"]
    middle = frames[len(frames) // 2]
    data[middle : middle + 4] = b"\0" * 4
    path.write_bytes(data)
    file = table_file(path, tmp_path)
    problems: list[str] = []
    found = list(
        numbered(file, layout(file), ["n", "text"], lambda found: problems.append(str(found)))
    )
    assert [start for start, _ in found] == [0, 1_000, 3_000, 4_000]
    assert all(batch.column(0)[0].as_py() == start for start, batch in found)
    assert problems[0].startswith("1 part cannot be read: rows 2,000 to 2,999 (record batch 2: ")
    parts = arrow_parts(file, 1)
    assert [part.groups for part in parts] == [(i,) for i in range(5)]
    assert [part.rows for part in parts] == [1_000] * 5
