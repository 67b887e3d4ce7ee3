"""Read parquet and Arrow IPC files."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from poisonscan.datasets.encoding import PLAIN
from poisonscan.datasets.ipc_sizes import check_sizes
from poisonscan.datasets.layouts import BATCH_BYTES, CHUNK, MAX_METADATA, Layout
from poisonscan.datasets.parquet_sizes import rows_at_once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from poisonscan.formats.base import TableFile

PART = 64 << 20
"""Bytes, decompressed, of a parquet file from which it is cut into parts."""


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


@dataclass(frozen=True, slots=True)
class Part:
    """Row groups of a parquet file that one worker reads.

    Attributes:
        groups: their numbers.
        rows: how many rows they say they hold.
        size: their bytes, decompressed.
    """

    groups: tuple[int, ...]
    rows: int
    size: int


def parquet_parts(file: TableFile, size: int = PART) -> list[Part]:
    """The row groups of a file in parts of about ``size`` bytes; one part if it has no rows."""
    with _parquet(file) as parquet:
        metadata = parquet.metadata
        about = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # Not by column: asking for the metadata of a column whose statistics are broken ends the
    # process (an exception of pyarrow's that nothing catches); reading it is an error.
    parts: list[Part] = []
    groups: list[int] = []
    rows = stored = 0
    for number, group in enumerate(about):
        groups.append(number)
        rows += group.num_rows
        stored += group.total_byte_size
        if stored >= size or number == len(about) - 1:
            parts.append(Part(tuple(groups), rows, stored))
            groups, rows, stored = [], 0, 0
    return parts or [Part((), 0, file.size)]


def parquet_batches(
    file: TableFile, found: Layout, columns: Sequence[str], groups: Sequence[int] | None
) -> Iterator[pa.RecordBatch]:
    """Rows of the named row groups of a parquet file, or of all.

    Strings and bytes stay dictionary-encoded: a file of some kilobytes can otherwise decode to
    gigabytes, by a long value that its rows repeat. What a batch takes is looked up beforehand.

    Raises:
        ValueError: the file changed, or a row would take too much memory.
    """
    with _parquet(file) as parquet:
        leaves = [parquet.schema.column(i) for i in range(len(parquet.schema))]
        strings = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with _parquet(file, strings) as parquet:
        if parquet.schema_arrow.names != found.schema.names:
            raise ValueError("its columns changed since it was first opened")
        for group in range(parquet.num_row_groups) if groups is None else groups:
            about = parquet.metadata.row_group(group)
            wide = about.total_byte_size // max(about.num_rows, 1)
            most = rows_at_once(file.file, parquet, group, columns)
            rows = max(1, min(most, BATCH_BYTES // max(wide, 1)))
            yield from parquet.iter_batches(rows, [group], columns=columns, use_threads=False)


@contextmanager
def _arrow(
    file: TableFile, options: pa.ipc.IpcReadOptions | None = None
) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
    with Path(file.file).open("rb") as index:
        check_sizes(index)
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
    bare = pa.schema([(field.name, PLAIN.get(field.type, field.type)) for field in schema])
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
