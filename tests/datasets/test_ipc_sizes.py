"""Arrow files that would unpack to more than memory holds."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.datasets.ipc_sizes import MAX_BATCH, record_batches
from tests.datasets.files import batches, only, opened

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}


def _written(
    kind: str, table: pa.Table, compression: str | None = None, rows: int = 10**9
) -> bytes:
    buffer = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with KINDS[kind](buffer, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=rows)
    return buffer.getvalue()


SMALL = pa.table({
    "n": [1, None, 3],
    "s": pa.array(["a", "b", None]).dictionary_encode(),
    "l": [[1.5], [], None],
})  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_ordinary_files_pass(kind: str, compression: str | None) -> None:
    found = record_batches(io.BytesIO(_written(kind, SMALL, compression, rows=1)))
    assert [(batch.rows, batch.problem) for batch in found] == [(1, "")] * 3
    found = record_batches(io.BytesIO(_written(kind, SMALL.slice(0, 0), compression)))
    assert all(batch.rows == 0 for batch in found)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_refused_before_it_is_read(tmp_path: Path, kind: str) -> None:
    # One chunk more than the limit, all zeros: some ten kilobytes.
    zeros = pa.table({"x": np.zeros(MAX_BATCH // 8 + 1_000)})
    data = _written(kind, zeros, "zstd")
    del zeros
    assert len(data) < 1_000_000
    (found,) = record_batches(io.BytesIO(data))
    assert found.problem.startswith("a batch of 1,0")
    (tmp_path / "t.arrow").write_bytes(data)
    datasets, gaps = opened(tmp_path)
    assert datasets == []
    assert "a batch of" in gaps[0].reason


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
@settings(max_examples=200)
def test_nonsense_is_a_value_error(kind: str, data: st.DataObject) -> None:
    broken = bytearray(_written(kind, SMALL, "zstd"))
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        record_batches(io.BytesIO(broken[: data.draw(st.integers(0, len(broken)))]))


def test_views_of_one_long_text(tmp_path: Path) -> None:
    long = pa.array(["A" * 3_000_000])
    views = np.tile(np.array([3_000_000, 0x41414141, 0, 0], np.int32), 1_000)
    buffers = [None, pa.py_buffer(views), long.buffers()[2]]
    views = pa.Array.from_buffers(pa.string_view(), 1_000, buffers)
    table = pa.table({"text": views})
    (tmp_path / "t.arrow").write_bytes(_written("stream", table))
    found, (gap,) = opened(tmp_path)
    assert found == []
    assert "longer than" in gap.reason


def test_views_are_read(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array(["some words", None, "x"], pa.string_view())})
    (tmp_path / "t.arrow").write_bytes(_written("file", table))
    (batch,) = batches(only(tmp_path, text_column="text"))
    assert np.isnan(batch.features).all(axis=1).tolist() == [False, True, False]
