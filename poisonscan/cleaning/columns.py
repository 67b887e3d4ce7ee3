"""Parquet and Arrow files without some rows; schema and metadata stay, and groups about so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from poisonscan.cleaning.errors import CleanError
from poisonscan.cleaning.text import staying
from poisonscan.datasets.columnar import arrow_batches, parquet_batches
from poisonscan.datasets.encoding import unviewed
from poisonscan.datasets.layouts import Lost
from poisonscan.datasets.tables import layout
from poisonscan.escape import quote
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from poisonscan.formats.base import TableFile

_BYTES: Final = 64 << 20
"""Memory that rows take before they are written."""
_MAGIC: Final = b"ARROW1"


def write_parquet(file: TableFile, taken: NDArray[np.int64], out: Path) -> int:
    """Write a parquet file without some rows.

    Args:
        file: what to read.
        taken: rows to leave out, ascending, each once.
        out: a new file.

    Returns:
        Rows that stay.

    Raises:
        CleanError: a part of it cannot be read, or it has fewer rows.
        DatasetError: its columns cannot be read.
        OSError: it cannot be written.
    """
    found = layout(file)
    with pq.ParquetFile(file.file) as source:
        schema, about = source.schema_arrow, source.metadata
    sizes = [about.row_group(i).num_rows for i in range(about.num_row_groups)]
    compression: dict[str, str] = {}
    for i in range(about.num_columns if sizes else 0):
        column = about.row_group(0).column(i)
        compression[column.path_in_schema] = column.compression
    batches = parquet_batches(file, found, schema.names, None)
    stay = _stay(file, schema, batches, taken)
    with (
        out.open("xb") as sink,
        pq.ParquetWriter(sink, schema, compression=compression or "snappy") as writer,
    ):
        return _grouped(writer, schema, stay, max([1, *sizes]))


def _grouped(
    writer: pq.ParquetWriter, schema: pa.Schema, stay: Iterable[pa.RecordBatch], most: int
) -> int:
    held: list[pa.RecordBatch] = []
    rows = size = total = 0
    for batch in stay:
        if held and (rows + batch.num_rows > most or size + batch.nbytes > _BYTES):
            writer.write_table(pa.Table.from_batches(held, schema), rows)
            held, rows, size = [], 0, 0
        held.append(batch)
        rows, size, total = rows + batch.num_rows, size + batch.nbytes, total + batch.num_rows
    if held:
        writer.write_table(pa.Table.from_batches(held, schema), rows)
    return total


def write_arrow(file: TableFile, taken: NDArray[np.int64], out: Path) -> int:
    """Write an Arrow file or stream without some rows; see ``write_parquet``."""
    found = layout(file)
    with pa.OSFile(file.file) as source:
        is_file = source.read(len(_MAGIC)) == _MAGIC
        source.seek(0)
        opened = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        schema = opened.schema
    make = pa.ipc.new_file if is_file else pa.ipc.new_stream
    batches = arrow_batches(file, found, schema.names, None)
    total = 0
    with out.open("xb") as sink, make(sink, schema) as writer:
        for batch in _stay(file, schema, batches, taken):
            writer.write_batch(batch)
            total += batch.num_rows
    return total


def _stay(
    file: TableFile,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch | Lost],
    taken: NDArray[np.int64],
) -> Iterator[pa.RecordBatch]:
    """The rows that stay, as the schema has them."""
    done = 0
    for batch in batches:
        if isinstance(batch, Lost):
            raise CleanError(f"{quote(file.path)} cannot be read whole: {batch.reason}")
        kept = _without_views(batch).filter(pa.array(staying(taken, done, batch.num_rows)))
        done += batch.num_rows
        step = _step(kept)
        for start in range(0, kept.num_rows, step):
            yield _plain(kept.slice(start, step), schema)
    if len(taken) and taken[-1] >= done:
        raise CleanError(
            f"{quote(file.path)} has only {plural(done, 'row')}: it is not what was scanned"
        )


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows cannot be chosen from views."""
    columns = [unviewed(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _step(batch: pa.RecordBatch) -> int:
    """Rows whose values fit into memory: long ones may stand in a dictionary once."""
    widest = 1
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _is_long(column.type.value_type):
            widest += int(pc.max(pc.binary_length(column.dictionary)).as_py() or 0)
    return int(max(1, min(max(batch.num_rows, 1), _BYTES // widest)))


def _is_long(kind: pa.DataType) -> bool:
    return any(
        test(kind)
        for test in (
            pa.types.is_string, pa.types.is_large_string, pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )  # fmt: skip


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        _as_type(column, field.type) for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type) and not pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
    return column.cast(kind)
