"""Read parquet and Arrow IPC files."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from poisonscan.datasets.layouts import BATCH_BYTES, BATCH_ROWS, CHUNK, MAX_METADATA, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from poisonscan.formats.base import TableFile


@contextmanager
def _parquet(file: TableFile, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    with pa.OSFile(file.file, "rb") as source:
        yield pq.ParquetFile(
            source, read_dictionary=list(dictionaries), pre_buffer=False, buffer_size=CHUNK
        )


def parquet_layout(file: TableFile) -> Layout:
    """The columns of a parquet file."""
    with _parquet(file) as parquet:
        return _declared(parquet.schema_arrow)


def parquet_rows(file: TableFile) -> int:
    """The number of rows that a parquet file says it has."""
    with _parquet(file) as parquet:
        return int(parquet.metadata.num_rows)


def parquet_batches(
    file: TableFile, found: Layout, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Rows of a parquet file.

    Strings and bytes stay dictionary-encoded: a file of some kilobytes can otherwise decode to
    gigabytes, by a long value that its rows repeat.
    """
    with _parquet(file) as parquet:
        leaves = [parquet.schema.column(i) for i in range(len(parquet.schema))]
        strings = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with _parquet(file, strings) as parquet:
        if parquet.schema_arrow.names != found.schema.names:
            raise ValueError("its columns changed since it was first opened")
        for group in range(parquet.num_row_groups):
            about = parquet.metadata.row_group(group)
            wide = about.total_byte_size // max(about.num_rows, 1)
            rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(wide, 1)))
            yield from parquet.iter_batches(rows, [group], columns=columns, use_threads=False)


@contextmanager
def _arrow(
    file: TableFile, options: pa.ipc.IpcReadOptions | None = None
) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
    with pa.OSFile(file.file, "rb") as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        if is_file:
            opened = pa.ipc.open_file(source, options=options)
            yield opened.schema, map(opened.get_batch, range(opened.num_record_batches))
        else:
            stream = pa.ipc.open_stream(source, options=options)
            yield stream.schema, stream


def arrow_layout(file: TableFile) -> Layout:
    """The columns of an Arrow file or stream."""
    with _arrow(file) as (schema, _):
        return _declared(schema)


def arrow_batches(
    file: TableFile, found: Layout, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Rows of an Arrow file or stream."""
    fields = sorted(found.schema.get_field_index(name) for name in columns)
    options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    with _arrow(file, options) as (_, batches):
        for batch in batches:
            # Offsets come from the file: unchecked ones would be followed anywhere in memory.
            batch.validate(full=True)
            yield batch.select(columns)


def _declared(schema: pa.Schema) -> Layout:
    """Class names and picture columns, as the ``datasets`` library notes them in the metadata."""
    text = (schema.metadata or {}).get(b"huggingface", b"")
    bare = pa.schema([field.remove_metadata() for field in schema])
    if not text or len(text) > MAX_METADATA:
        return Layout(bare)
    try:
        features = json.loads(text)["info"]["features"]
        kinds = {name: feature.get("_type") for name, feature in features.items()}
        classes = {
            name: tuple(map(str, features[name]["names"]))
            for name, kind in kinds.items()
            if kind == "ClassLabel" and name in bare.names and features[name].get("names")
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Layout(bare)
    pictures = tuple(name for name, kind in kinds.items() if kind == "Image" and name in bare.names)
    return Layout(bare, classes, pictures)
