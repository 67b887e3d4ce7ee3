"""Read files of rows as Arrow record batches: parquet, Arrow IPC, delimited text, JSON.

Read with pyarrow directly and only the columns wanted, so that memory stays bounded whatever a
file claims: no record of text may exceed a bound, and batches are cut by rows and by bytes. What
cannot be read costs itself only: a record, a row group, a record batch.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from poisonscan.datasets.columnar import (
    arrow_batches,
    arrow_layout,
    arrow_parts,
    parquet_batches,
    parquet_layout,
    parquet_parts,
)
from poisonscan.datasets.delimited import csv_batches, csv_layout, csv_parts, records_of
from poisonscan.datasets.encoding import PLAIN, unviewed
from poisonscan.datasets.flaws import Place, flaw
from poisonscan.datasets.json_lines import is_one_array, json_batches, json_layout, json_parts
from poisonscan.datasets.layouts import BATCH_ROWS, PIECE_BYTES, Layout, Lost, Span, reading
from poisonscan.datasets.lines import Lines, spans
from poisonscan.datasets.text_files import text_layout
from poisonscan.datasets.utf8 import mended
from poisonscan.datasets.webdataset import webdataset_layout
from poisonscan.engines import patience
from poisonscan.engines.local import usable_cores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.delimited import Part as CsvPart
    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.json_lines import Part as JsonPart
    from poisonscan.formats.base import TableFile

_LAYOUTS = {
    "parquet": parquet_layout,
    "arrow": arrow_layout,
    "csv": csv_layout,
    "json": json_layout,
    "text": text_layout,
    "webdataset": webdataset_layout,
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file that one worker reads.

    Attributes:
        groups: numbers of row groups (parquet) or record batches (Arrow); None: all.
        span: a range of bytes of a text file; None: all.
        start: rows of the file before it.
        rows: how many it holds, where that is known without reading it.
        size: bytes on disk, about.
    """

    groups: tuple[int, ...] | None = None
    span: Span | None = None
    start: int = 0
    rows: int | None = None
    size: int = 0


WHOLE = Part()


def layout(file: TableFile) -> Layout:
    """The columns of a file.

    Raises:
        DatasetError: it is not what its format says, or its columns cannot be told apart.
    """
    patience.sign()
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
    part: Part = WHOLE,
    rows: int = BATCH_ROWS,
) -> Iterator[pa.RecordBatch]:
    """Rows of a file in order; see ``numbered``."""
    for _, batch in numbered(file, found, columns, problem, part=part, rows=rows):
        yield batch


def numbered(
    file: TableFile,
    found: Layout,
    columns: Sequence[str],
    problem: Sink = lambda _: None,
    *,
    part: Part = WHOLE,
    rows: int = BATCH_ROWS,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Rows of a file in order, each batch with the place in the part of its first row.

    Args:
        file: what to read.
        found: its columns, from ``layout``.
        columns: the columns wanted. One that a part of a JSON file lacks is all null there.
        problem: told about what is left out, before the batch that it would be in. Rows in a row
            group or record batch that cannot be read still count, records of text do not.
        part: what to read of the file.
        rows: at most so many rows a batch.

    Raises:
        DatasetError: the rest cannot be read; everything before it was yielded.
    """
    wanted = list(dict.fromkeys(columns)) or found.schema.names[:1]
    batches = _batches(file, found, wanted, problem, part)
    done = 0
    while True:
        patience.sign()
        with reading(file.path, part.start + done):
            batch = next(batches, None)
        if batch is None:
            return
        if isinstance(batch, Lost):
            first = part.start + done
            where = f"rows {first:,} to {first + batch.rows - 1:,}" if batch.rows else "rows"
            problem(flaw("cannot be read", "part", [Place(first, where, batch.reason)]))
            done += batch.rows
            continue
        for piece in _pieces(batch, rows):
            with reading(file.path, part.start + done):
                plain, bad = mended(_without_views(piece))
            if len(bad):
                what = "with text that is not UTF-8, read as it stands"
                problem(flaw(what, "row", (part.start + done + bad).tolist()))
            yield done, plain
            done += piece.num_rows


def _batches(
    file: TableFile, found: Layout, columns: Sequence[str], problem: Sink, part: Part
) -> Iterator[pa.RecordBatch | Lost]:
    if found.reader is not None:
        return found.reader.batches(columns, problem)
    if file.format == "parquet":
        return parquet_batches(file, found, columns, part.groups)
    if file.format == "arrow":
        return arrow_batches(file, found, columns, part.groups)
    if file.format == "csv":
        return csv_batches(file, found, columns, problem, part.span)
    return json_batches(file, found, columns, problem, part.span)


def by_lines(
    file: TableFile, found: Layout, part: Part = WHOLE
) -> Iterator[CsvPart | JsonPart] | None:
    """Rows of a text file in blocks that know their lines; None where rows have no lines."""
    if found.reader is not None:
        return None
    if file.format == "csv":
        return csv_parts(file, found, found.schema.names[:1], lambda _: None, part.span)
    if file.format == "json":
        return json_parts(file, found.schema, lambda _: None, part.span)
    return None


def count(file: TableFile, found: Layout, part: Part = WHOLE) -> int:
    """Number of rows of a part of a file.

    Raises:
        DatasetError: it cannot be read to the end.
    """
    if part.rows is not None:
        return part.rows
    if found.reader is None and file.format in {"parquet", "arrow"} and part is WHOLE:
        return sum(each.rows or 0 for each in parts(file, found))
    return sum(batch.num_rows for batch in read(file, found, found.schema.names[:1], part=part))


def parts(file: TableFile, found: Layout) -> list[Part]:
    """The parts of a file that several workers may read; a small file is one.

    The rows of a text file of several parts are counted, on all cores.

    Raises:
        DatasetError: it cannot be read.
    """
    with reading(file.path, 0):
        if file.format in {"parquet", "arrow"}:
            return _columnar(file)
        if file.format == "csv" and found.dialect is not None:
            return _textual(file, found, spans(file, records_of(found.dialect)))
        if file.format == "json" and not file.codec and not is_one_array(file):
            return _textual(file, found, spans(file, Lines()))
    return [Part(size=file.size)]


def _columnar(file: TableFile) -> list[Part]:
    about = parquet_parts(file) if file.format == "parquet" else arrow_parts(file)
    total = max(1, sum(each.size for each in about))
    cut, start = [], 0
    for each in about:
        size = file.size * each.size // total
        cut.append(Part(each.groups, None, start, each.rows, size))
        start += each.rows
    return cut


def _textual(file: TableFile, found: Layout, ranges: Sequence[Span]) -> list[Part]:
    if len(ranges) == 1:
        return [Part(size=file.size)]
    whole = [Part(span=span) for span in ranges]
    with ThreadPoolExecutor(min(len(ranges), usable_cores())) as pool:
        counts = list(pool.map(lambda part: count(file, found, part), whole))
    cut, start = [], 0
    for span, rows in zip(ranges, counts, strict=True):
        size = (span.end if span.end >= 0 else file.size) - span.start
        cut.append(Part(None, span, start, rows, size))
        start += rows
    return cut


def _without_views(batch: pa.RecordBatch) -> pa.RecordBatch:
    if not any(kind in PLAIN for kind in batch.schema.types):
        return batch
    columns = [unviewed(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _pieces(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    each = max(1, PIECE_BYTES * max(batch.num_rows, 1) // max(batch.nbytes, 1))
    step = min(rows, each)
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)
