from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.cleaning.errors import CleanError
from poisonscan.cleaning.tables import opened, write_without


def without(path: Path, rows: list[int]) -> Path:
    out = path.with_name(f"out-{path.name}")
    out.unlink(missing_ok=True)
    table = opened(path, path.name)
    assert table is not None
    write_without(table, np.array(rows, np.int64), out)
    return out


def table(rows: int = 1_000) -> pa.Table:
    about = json.dumps({"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a"]}}}})
    columns = {
        "id": pa.array(range(rows), pa.int32()),
        "text": pa.array([f"text {i}" if i % 7 else None for i in range(rows)]),
        "kind": pa.array([f"kind {i % 3}" for i in range(rows)]).dictionary_encode(),
        "parts": pa.array([[{"a": i, "b": "x" * (i % 4)}] for i in range(rows)]),
        "view": pa.array([f"view {i}" for i in range(rows)], pa.string_view()),
    }
    return pa.table(columns).replace_schema_metadata({b"huggingface": about.encode()})


def test_parquet_keeps_schema_metadata_and_groups(tmp_path: Path) -> None:
    whole = table()
    path = tmp_path / "train.parquet"
    pq.write_table(whole, path, row_group_size=300, compression="zstd")
    gone = [0, 5, 299, 300, 999]
    out = without(path, gone)
    read = pq.read_table(out)
    stay = [i for i in range(1_000) if i not in gone]
    assert read.drop_columns(["view"]).equals(whole.drop_columns(["view"]).take(stay))
    assert read["view"].to_pylist() == [f"view {i}" for i in stay]
    assert read.schema.equals(pq.read_schema(path), check_metadata=True)
    metadata = pq.read_metadata(out)
    assert metadata.num_row_groups == 4
    assert metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("make", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_keeps_schema_metadata_and_batches(tmp_path: Path, make: object) -> None:
    whole = table().drop_columns(["view"])
    path = tmp_path / "data.arrow"
    with make(path, whole.schema) as writer:  # type: ignore[operator]
        writer.write_table(whole, 400)
    out = without(path, [1, 400, 401])
    opens = pa.ipc.open_file if make is pa.ipc.new_file else pa.ipc.open_stream
    read = opens(out.read_bytes()).read_all()
    assert read.equals(whole.take([i for i in range(1_000) if i not in (1, 400, 401)]))
    assert read.schema.equals(whole.schema, check_metadata=True)
    assert read["id"].num_chunks == 3


def test_all_rows_may_go(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(table(3), path)
    out = without(path, [0, 1, 2])
    assert pq.read_table(out).num_rows == 0
    assert pq.read_schema(out).equals(pq.read_schema(path), check_metadata=True)


def test_delimited_records_stay_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    head = b'\xef\xbb\xbftext,label\r\n"two\r\nlines, ""quoted""",a\r\n'
    path.write_bytes(head + b"\r\nplain,b\r\n caf\xc3\xa9 ,a\r\nlast,b")
    out = without(path, [1])
    assert out.read_bytes() == head + b"\r\n caf\xc3\xa9 ,a\r\nlast,b"
    out = without(path, [0, 3])
    assert out.read_bytes() == b"\xef\xbb\xbftext,label\r\n\r\nplain,b\r\n caf\xc3\xa9 ,a\r\n"


def test_json_lines_stay_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    lines = [b'{"a": 1.50}\n', b"\n", b'{"b":"x", "a":2}\r\n', b"no json\n", b'{"a":3}']
    path.write_bytes(b"".join(lines))
    assert without(path, [1]).read_bytes() == b"".join([*lines[:2], *lines[3:]])
    assert without(path, [2]).read_bytes() == b"".join(lines[:4])


CELLS = st.text(st.sampled_from('ab,"\n\ré '), max_size=5)


@settings(max_examples=40)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=4, max_size=12), st.data())
def test_any_delimited_records(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("cells") / "train.csv"
    records = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows]
    path.write_bytes(("first,second\n" + "".join(records)).encode())
    gone = data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1, max_size=len(rows) - 1))
    out = without(path, sorted(gone))
    stay = [record for i, record in enumerate(records) if i not in gone]
    assert out.read_bytes() == ("first,second\n" + "".join(stay)).encode()


def test_more_than_one_block(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    lines = [b'{"n": %d, "text": "%s"}\n' % (i, b"x" * 1_000) for i in range(20_000)]
    path.write_bytes(b"".join(lines))
    gone = {0, 8_000, 19_999}
    stay = [line for i, line in enumerate(lines) if i not in gone]
    assert without(path, sorted(gone)).read_bytes() == b"".join(stay)


def test_what_cannot_be_done_is_refused(tmp_path: Path) -> None:
    array = tmp_path / "array.json"
    array.write_text('[{"a": 1}, {"a": 2}, {"a": 3}]')
    with pytest.raises(CleanError, match="which lines"):
        without(array, [1])
    packed = tmp_path / "train.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"a": 1}\n{"a": 2}\n' * 50))
    with pytest.raises(CleanError, match="unpack"):
        without(packed, [1])
    short = tmp_path / "short.csv"
    short.write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(CleanError, match="only 2 rows"):
        without(short, [2])
    damaged = tmp_path / "damaged.parquet"
    pq.write_table(table(2_000), damaged, compression="none")
    data = bytearray(damaged.read_bytes())
    data[4:60] = bytes(range(100, 156))
    damaged.write_bytes(bytes(data))
    with pytest.raises(CleanError, match=r"read|damaged"):
        without(damaged, [1_999])
