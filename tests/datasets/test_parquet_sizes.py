"""Parquet files of a few bytes that hold rows of gigabytes, and large ones that do not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets import parquet_sizes
from poisonscan.datasets.layouts import BATCH_ROWS
from poisonscan.datasets.parquet_sizes import plan_group
from poisonscan.datasets.tables import layout, read
from tests.datasets.files import table_file

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS: list[dict[str, Any]] = [
    {"compression": codec, "data_page_version": version}
    for codec in ["none", "snappy", "zstd", "gzip"]
    for version in ["1.0", "2.0"]
]


def _lists(lengths: list[int], kind: str = "i1") -> pa.Array:
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype("i4")
    return pa.ListArray.from_arrays(ends, pa.array(np.zeros(ends[-1], kind)))


def _write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def _at_once(path: Path, *columns: str, group: int = 0) -> int:
    with pq.ParquetFile(path) as parquet:
        return plan_group(table_file(path, path.parent), parquet, group, columns).rows


def _read(path: Path) -> tuple[int, int]:
    """Rows, and the most that was allocated after any batch."""
    file = table_file(path, path.parent)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    found = layout(file)
    for batch in read(file, found, found.schema.names):
        most = max(most, pa.total_allocated_bytes() - before)
        rows += batch.num_rows
    return rows, most


@pytest.mark.parametrize("options", OPTIONS)
def test_a_row_of_many_equal_numbers_is_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    count = 60_000_000
    path = _write(tmp_path / "t.parquet", {"label": [0] * 3, "v": _lists([1, count, 2])}, **options)
    assert path.stat().st_size < 2_000
    most = pa.default_memory_pool().max_memory()
    file = table_file(path, tmp_path)
    problems: list[str] = []
    assert list(read(file, layout(file), ["v"], lambda found: problems.append(str(found)))) == []
    assert problems[0].startswith("1 part cannot be read: rows 0 to 2 (row group 0: ")
    assert "column 'v.list.element': a row may" in problems[0]
    assert pa.default_memory_pool().max_memory() <= max(most, 300_000_000)
    assert sum(batch.num_rows for batch in read(file, layout(file), ["label"])) == 3


@pytest.mark.parametrize("options", OPTIONS[:2])
def test_large_row_groups_of_short_lists_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    path = _write(tmp_path / "t.parquet", {"v": _lists([512] * 120_000)}, **options)
    rows, most = _read(path)
    assert rows == 120_000
    assert most < 100_000_000


def test_a_million_rows_of_plain_columns_are_read_in_full_batches(tmp_path: Path) -> None:
    count = 1_100_000
    columns = {"a": np.arange(count), "b": np.ones(count), "c": np.arange(count) % 9}
    path = _write(tmp_path / "t.parquet", columns)
    assert _at_once(path, "a", "b", "c") == BATCH_ROWS


def test_long_texts_are_read_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_sizes, "MAX_DECODED", 1 << 20)
    texts = ["x" * 100_000 + str(i) for i in range(50)] + ["short"] * 3_000
    path = _write(
        tmp_path / "t.parquet", {"t": texts}, use_dictionary=False, write_batch_size=1,
        data_page_size=1,
    )  # fmt: skip
    assert 5 <= _at_once(path, "t") <= 10
    delta = _write(
        tmp_path / "d.parquet", {"t": texts[:50]}, use_dictionary=False,
        column_encoding="DELTA_BYTE_ARRAY",
    )  # fmt: skip
    assert delta.stat().st_size < 200_000
    assert _at_once(delta, "t") <= 10


def test_wide_values_and_large_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = pa.array([b"x" * 100_000] * 40, pa.binary(100_000))
    path = _write(tmp_path / "t.parquet", {"f": wide, "g": [1] * 40})
    monkeypatch.setattr(parquet_sizes, "MAX_DECODED", 1 << 20)
    assert _at_once(path, "f") == 10
    assert _at_once(path, "g") == BATCH_ROWS
    monkeypatch.setattr(parquet_sizes, "MAX_DECODED", 50_000)
    with pytest.raises(ValueError, match="'f': a row may take 100,000 bytes"):
        _at_once(path, "f")
    monkeypatch.setattr(parquet_sizes, "MAX_PAGES", 50_000)
    with pytest.raises(ValueError, match="row group 0: pages of"):
        _at_once(path, "f")


@given(
    lengths=st.lists(st.integers(0, 700), min_size=1, max_size=60),
    version=st.sampled_from(["1.0", "2.0"]),
    page=st.sampled_from([1, 1 << 20]),
)
def test_the_longest_row_is_found(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], version: str, page: int
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    _write(
        path, {"v": _lists(lengths, "i8")}, data_page_version=version, data_page_size=page,
        write_batch_size=16,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_sizes, "MAX_DECODED", 12 * max(*lengths, 1))
        assert _at_once(path, "v") >= 1
        if max(lengths) > 1:
            patch.setattr(parquet_sizes, "MAX_DECODED", 12 * max(lengths) - 1)
            with pytest.raises(ValueError, match=f"a row may take {12 * max(lengths):,} bytes"):
                _at_once(path, "v")


def test_levels_within_lists_of_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [[[1] * 5] * 4, None, [], [[1], None, [2, 3]]] * 50
    path = _write(tmp_path / "t.parquet", {"v": pa.array(rows)}, row_group_size=100)
    monkeypatch.setattr(parquet_sizes, "MAX_DECODED", 20 * 12)
    assert [_at_once(path, "v", group=group) for group in range(2)] == [1, 1]
    monkeypatch.setattr(parquet_sizes, "MAX_DECODED", 20 * 12 - 1)
    with pytest.raises(ValueError, match="a row may take 240 bytes"):
        _at_once(path, "v", group=1)


def test_how_many_runs_are_looked_at_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _write(tmp_path / "t.parquet", {"v": _lists([100] * 200)})
    monkeypatch.setattr(parquet_sizes, "MAX_DECODED", 10_000)
    monkeypatch.setattr(parquet_sizes, "MAX_RUNS", 50)
    with pytest.raises(ValueError, match="too many runs"):
        _at_once(path, "v")


@given(data=st.data())
def test_flipped_bytes_are_an_error_at_most(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    _write(path, {"v": _lists([9, 90, 3] * 20), "t": ["a", "b", None] * 20})
    with pq.ParquetFile(path) as parquet, pytest.MonkeyPatch.context() as patch:
        broken = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            broken[data.draw(st.integers(4, len(broken) - 9))] = data.draw(st.integers(0, 255))
        path.write_bytes(broken)
        patch.setattr(parquet_sizes, "MAX_DECODED", 2_000)
        parquet_sizes._row_groups.cache_clear()
        with contextlib.suppress(ValueError, OSError):
            assert plan_group(table_file(path, path.parent), parquet, 0, ["v", "t"]).rows > 0
