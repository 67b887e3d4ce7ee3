"""Read parquet and Arrow IPC files."""

from __future__ import annotations

import contextlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from poisonscan.datasets.encoding import PLAIN
from poisonscan.datasets.ipc_sizes import record_batches
from poisonscan.datasets.layouts import BATCH_ROWS, CHUNK, MAX_METADATA, PIECE_BYTES, Layout, Lost
from poisonscan.datasets.parquet_sizes import plan_group
from poisonscan.datasets.utf8 import check
from poisonscan.escape import clip, escape
from poisonscan.formats.members import seekable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from poisonscan.datasets.ipc_sizes import Batch
    from poisonscan.formats.base import TableFile

FEW_ROWS = 128
"""Rows that are decoded at once of a row group that is damaged."""
PART = 64 << 20
"""Bytes, decompressed, of a parquet file from which it is cut into parts."""


def _source(file: TableFile) -> Any:
    """The bytes of a file, for the libraries."""
    if file.steps or file.present is not None:
        return pa.PythonFile(seekable(file), "r")
    return pa.OSFile(file.file, "rb")


@contextmanager
def _parquet(
    file: TableFile, dictionaries: Sequence[str] = (), metadata: Any = None
) -> Iterator[pq.ParquetFile]:
    with _source(file) as source:
        yield pq.ParquetFile(
            source,
            metadata=metadata,
            read_dictionary=list(dictionaries),
            pre_buffer=False,
            buffer_size=CHUNK,
        )


def parquet_layout(file: TableFile) -> Layout:
    """The columns of a parquet file."""
    with _parquet(file) as parquet:
        return _declared(parquet.schema_arrow)


@dataclass(frozen=True, slots=True)
class Part:
    """Row groups of a parquet file, or record batches of an Arrow file, that one worker reads.

    Attributes:
        groups: their numbers; None for all of a stream.
        rows: how many rows they say they hold.
        size: their bytes, decompressed.
    """

    groups: tuple[int, ...] | None
    rows: int
    size: int


def parquet_parts(file: TableFile, size: int = PART) -> list[Part]:
    """The row groups of a file in parts of about ``size`` bytes; one part if it has no rows."""
    with _parquet(file) as parquet:
        metadata = parquet.metadata
        about = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # Not by column: asking for the metadata of a column whose statistics are broken ends the
    # process (an exception of pyarrow's that nothing catches); reading it is an error.
    each = [(max(0, group.num_rows), max(0, group.total_byte_size)) for group in about]
    return _cut(each, size) or [Part((), 0, file.size)]


def _cut(each: Sequence[tuple[int, int]], size: int) -> list[Part]:
    """Neighbours by rows and bytes, put together to parts of about ``size`` bytes."""
    parts: list[Part] = []
    groups: list[int] = []
    rows = stored = 0
    for number, (count, weight) in enumerate(each):
        groups.append(number)
        rows += count
        stored += weight
        if stored >= size or number == len(each) - 1:
            parts.append(Part(tuple(groups), rows, stored))
            groups, rows, stored = [], 0, 0
    return parts


def parquet_batches(
    file: TableFile, found: Layout, columns: Sequence[str], groups: Sequence[int] | None
) -> Iterator[pa.RecordBatch | Lost]:
    """Rows of the named row groups of a parquet file, or of all.

    A file of some kilobytes can decode to gigabytes, by a long value that its rows repeat: where
    that may be, strings and bytes stay dictionary-encoded. What a batch takes is looked up
    beforehand. Of a row group that cannot be read on, the rows that are left are ``Lost``.

    Raises:
        ValueError: the file changed.
    """
    with _parquet(file) as parquet:
        if parquet.schema_arrow.names != found.schema.names:
            raise ValueError("its columns changed since it was first opened")
        metadata = parquet.metadata
        for group in range(metadata.num_row_groups) if groups is None else groups:
            rows = max(0, metadata.row_group(group).num_rows)
            done, error = 0, None
            # Damage costs the batch that it is in: what stands before it there is read by little.
            for most in (BATCH_ROWS, FEW_ROWS):
                try:
                    for batch in _row_group(file, parquet, group, columns, most, done):
                        yield batch
                        done += batch.num_rows
                    break
                except (pa.ArrowException, OSError, ValueError, MemoryError) as reason:
                    error = reason
            if error is not None and done < max(1, rows):
                yield Lost(max(0, rows - done), f"row group {group:,}: {_said(error)}")


def _row_group(
    file: TableFile,
    parquet: pq.ParquetFile,
    group: int,
    columns: Sequence[str],
    most: int,
    skip: int,
) -> Iterator[pa.RecordBatch]:
    """Rows of a row group, at most so many at once, without the first ``skip``."""
    about = parquet.metadata.row_group(group)
    wide = about.total_byte_size // max(about.num_rows, 1)
    plan = plan_group(file, parquet, group, columns)
    rows = max(1, min(most, plan.rows, PIECE_BYTES // max(wide, 1)))
    with contextlib.ExitStack() as stack:
        if plan.dictionaries:
            encoded = _parquet(file, plan.dictionaries, parquet.metadata)
            parquet = stack.enter_context(encoded)
        batches = parquet.iter_batches(rows, [group], columns=columns, use_threads=False)
        done = 0
        while plan.readable is None or done + rows <= plan.readable:
            batch = next(batches, None)
            if batch is None:
                return
            done += batch.num_rows
            known, skip = min(skip, batch.num_rows), max(0, skip - batch.num_rows)
            if known < batch.num_rows:
                yield batch.slice(known) if known else batch
        raise ValueError(plan.damage)


def _said(error: Exception) -> str:
    return escape(clip(" ".join(str(error).split()) or type(error).__name__))


@contextmanager
def _arrow(
    file: TableFile, options: pa.ipc.IpcReadOptions | None = None
) -> Iterator[tuple[pa.Schema, Sequence[Batch], Callable[[int], pa.RecordBatch], bool]]:
    """The schema, what is known of each batch, what reads one, and whether in any order."""
    with seekable(file) as index:
        about = record_batches(index)
    with _source(file) as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        if is_file:
            opened = pa.ipc.open_file(source, options=options)
            yield opened.schema, about[: opened.num_record_batches], opened.get_batch, True
        else:
            stream = pa.ipc.open_stream(source, options=options)
            yield stream.schema, about, lambda _: stream.read_next_batch(), False


def arrow_layout(file: TableFile) -> Layout:
    """The columns of an Arrow file or stream."""
    with _arrow(file) as (schema, about, _, in_any_order):
        refused = [batch.problem for batch in about if batch.problem]
        if refused and (len(refused) == len(about) or not in_any_order):
            raise ValueError(refused[0])
        return _declared(schema)


def arrow_parts(file: TableFile, size: int = PART) -> list[Part]:
    """The record batches of a file in parts of about ``size`` bytes; a stream is one part."""
    with _arrow(file) as (_, about, _, in_any_order):
        if not in_any_order:
            return [Part(None, sum(batch.rows for batch in about), file.size)]
        return _cut([(batch.rows, batch.size) for batch in about], size) or [Part((), 0, file.size)]


def arrow_batches(
    file: TableFile, found: Layout, columns: Sequence[str], groups: Sequence[int] | None
) -> Iterator[pa.RecordBatch | Lost]:
    """Rows of an Arrow file or stream; the rows of a batch that cannot be read are ``Lost``."""
    fields = sorted(found.schema.get_field_index(name) for name in columns)
    options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    with _arrow(file, options) as (_, about, take, in_any_order):
        for number in range(len(about)) if groups is None else groups:
            entry = about[number]
            try:
                if entry.problem:
                    raise ValueError(entry.problem)
                batch = take(number).select(columns)
                # Offsets come from the file: unchecked ones would be followed anywhere in memory.
                check(batch)
            except StopIteration:
                raise ValueError("it ends early") from None
            except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
                if entry.problem and not in_any_order:
                    raise
                yield Lost(entry.rows, f"record batch {number:,}: {_said(error)}")
            else:
                yield batch


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
