"""Read files of rows as Arrow record batches: parquet, Arrow IPC, delimited text, JSON.

Read with pyarrow directly and only the columns wanted, so that memory stays bounded whatever a
file claims: no record of text may exceed a block, and batches are cut by rows and by bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from poisonscan.datasets.columnar import (
    arrow_batches,
    arrow_layout,
    parquet_batches,
    parquet_layout,
    parquet_parts,
)
from poisonscan.datasets.delimited import csv_batches, csv_layout
from poisonscan.datasets.encoding import PLAIN, unviewed
from poisonscan.datasets.json_lines import json_batches, json_layout
from poisonscan.datasets.layouts import BATCH_BYTES, BATCH_ROWS, Layout, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.columnar import Part
    from poisonscan.datasets.layouts import Sink
    from poisonscan.formats.base import TableFile

_LAYOUTS = {
    "parquet": parquet_layout,
    "arrow": arrow_layout,
    "csv": csv_layout,
    "json": json_layout,
}


def layout(file: TableFile) -> Layout:
    """The columns of a file.

    Raises:
        DatasetError: it is not what its format says, or its columns cannot be told apart.
    """
    with reading(file.path, 0):
        found = _LAYOUTS[file.format](file)
        names = found.schema.names
        if len(set(names)) < len(names):
            raise ValueError("several columns share a name")
        if not names:
            raise ValueError("there are no columns in it")
        return found


def read(
    file: TableFile,
    found: Layout,
    columns: Sequence[str],
    problem: Sink = lambda _: None,
    *,
    groups: Sequence[int] | None = None,
    rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Rows of a file in order.

    Args:
        file: what to read.
        found: its columns, from ``layout``.
        columns: the columns wanted. One that a part of a JSON file lacks is all null there.
        problem: told about records that are left out, before the batch that they would be in.
        groups: row groups of a parquet file; None: all.
        rows: at most so many rows a batch.

    Raises:
        DatasetError: the rest cannot be read; everything before it was yielded.
    """
    wanted = list(dict.fromkeys(columns)) or found.schema.names[:1]
    if file.format == "parquet":
        batches = parquet_batches(file, found, wanted, groups)
    else:
        batches = _batches(file, found, wanted, problem)
    done = 0
    while True:
        with reading(file.path, done):
            batch = next(batches, None)
        if batch is None:
            return
        for piece in _pieces(batch, rows):
            with reading(file.path, done):
                plain = _without_views(piece)
            yield plain
            done += piece.num_rows


def _batches(
    file: TableFile, found: Layout, columns: Sequence[str], problem: Sink
) -> Iterator[pa.RecordBatch]:
    if file.format == "arrow":
        return arrow_batches(file, found, columns)
    if file.format == "csv":
        return csv_batches(file, found, columns, problem)
    return json_batches(file, found, columns, problem)


def count(file: TableFile, found: Layout) -> int:
    """Number of rows of a file.

    Raises:
        DatasetError: it cannot be read to the end.
    """
    if file.format == "parquet":
        return sum(part.rows for part in parts(file))
    return sum(batch.num_rows for batch in read(file, found, found.schema.names[:1]))


def parts(file: TableFile) -> list[Part]:
    """The parts that several workers may read of a parquet file.

    Raises:
        DatasetError: it cannot be read.
    """
    with reading(file.path, 0):
        return parquet_parts(file)


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    if not any(kind in PLAIN for kind in batch.schema.types):
        return batch
    columns = [unviewed(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _pieces(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    each = max(1, BATCH_BYTES * max(batch.num_rows, 1) // max(batch.nbytes, 1))
    step = min(rows, each)
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)
