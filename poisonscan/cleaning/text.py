"""Delimited text and JSON lines without some records, all others byte for byte."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from poisonscan.cleaning.errors import CleanError
from poisonscan.datasets.lines import BOM
from poisonscan.datasets.tables import by_lines, layout, read
from poisonscan.escape import quote
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from numpy.typing import NDArray

    from poisonscan.datasets.delimited import Part as CsvPart
    from poisonscan.datasets.json_lines import Part as JsonPart
    from poisonscan.datasets.layouts import Layout
    from poisonscan.formats.base import TableFile

_COPIED: Final = 1 << 20
_BREAKS: Final = {
    "csv": re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+"),
    "json": re.compile(rb"[^\n]*\n|[^\n]+"),
}


def write_text(file: TableFile, taken: NDArray[np.int64], out: Path) -> int:
    """Write a file without some rows; what is not a record of a row stays as it stands.

    Args:
        file: delimited text or JSON lines, not compressed.
        taken: rows to leave out, ascending, each once.
        out: a new file.

    Returns:
        Rows that stay.

    Raises:
        CleanError: the lines of a row are not known, or what was written does not read back as
            the rows that stay.
        DatasetError: the file cannot be read.
        OSError: it cannot be written.
    """
    found = layout(file)
    parts = by_lines(file, found)
    if parts is None:
        raise CleanError(f"{quote(file.path)}: rows of this form cannot be taken out")
    done = place = 0
    with Path(file.file).open("rb") as source, out.open("xb") as sink:
        for part in parts:
            rows = part.table.num_rows
            first, last = np.searchsorted(taken, [done, done + rows])
            block, end = part.block, part.block.offset + len(part.block.data)
            _copy(source, sink, place, block.offset)
            kept = _kept(file, part, taken[first:last] - done) if last > first else block.data
            sink.write(kept)
            done, place = done + rows, end
        _copy(source, sink, place, file.size)
    if len(taken) and taken[-1] >= done:
        raise CleanError(
            f"{quote(file.path)} has only {plural(done, 'row')}: it is not what was scanned"
        )
    _compare(file, found, taken, out)
    return done - len(taken)


def _copy(source: BinaryIO, sink: BinaryIO, start: int, stop: int) -> None:
    """Bytes between blocks, such as blank lines and records that are not read."""
    source.seek(start)
    while start < stop and (piece := source.read(min(_COPIED, stop - start))):
        sink.write(piece)
        start += len(piece)


def _kept(file: TableFile, part: CsvPart | JsonPart, taken: NDArray[np.int64]) -> bytes:
    """A block without some of its rows."""
    lines = part.lines()
    if len(lines) != part.table.num_rows:
        message = f"{quote(file.path)}: it is not known which lines its rows are in"
        raise CleanError(f"{message}; write it as one record a line and scan again")
    gone: set[int] = set()
    for row in taken.tolist():
        gone.update(range(lines[row][0], lines[row][1] + 1))
    data = part.block.data
    mark = BOM if part.block.offset == 0 and data.startswith(BOM) else b""
    pieces = enumerate(_BREAKS[file.format].findall(data[len(mark) :]), part.block.line)
    return mark + b"".join(piece for number, piece in pieces if number not in gone)


def _compare(file: TableFile, found: Layout, taken: NDArray[np.int64], out: Path) -> None:
    """Read back what was written, and compare it with what was to stay.

    Raises:
        CleanError: it differs.
    """
    written = replace(file, file=str(out), size=out.stat().st_size)
    names = found.schema.names
    left = _without(read(file, found, names), taken)
    right = read(written, found, names)
    ours = theirs = None
    while True:
        ours = ours if ours is not None and ours.num_rows else next(_filled(left), None)
        theirs = theirs if theirs is not None and theirs.num_rows else next(_filled(right), None)
        if ours is None or theirs is None:
            if ours is not None or theirs is not None:
                raise CleanError(f"{quote(file.path)}: what was written does not read back alike")
            return
        rows = min(ours.num_rows, theirs.num_rows)
        if not _alike(ours.slice(0, rows), theirs.slice(0, rows)):
            raise CleanError(f"{quote(file.path)}: what was written does not read back alike")
        ours, theirs = ours.slice(rows), theirs.slice(rows)


def _filled(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return (batch for batch in batches if batch.num_rows)


def _without(
    batches: Iterator[pa.RecordBatch], taken: NDArray[np.int64]
) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in batches:
        yield batch.filter(pa.array(staying(taken, done, batch.num_rows)))
        done += batch.num_rows


def _alike(left: pa.RecordBatch, right: pa.RecordBatch) -> bool:
    """Whether rows are equal in the columns that are read as the same type.

    That of numbers in JSON depends on the rows around them.
    """
    kinds = {field.name: field.type for field in right.schema}
    return all(
        left.column(field.name).equals(right.column(field.name))
        for field in left.schema
        if kinds.get(field.name) == field.type
    )


def staying(taken: NDArray[np.int64], start: int, rows: int) -> NDArray[np.bool_]:
    """Which of ``rows`` rows from ``start`` on stay."""
    first, last = np.searchsorted(taken, [start, start + rows])
    stays = np.ones(rows, bool)
    stays[taken[first:last] - start] = False
    return stays
