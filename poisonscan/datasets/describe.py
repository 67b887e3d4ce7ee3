"""What a report says about single rows: line numbers, labels and excerpts, looked up at the end."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.dialects import Dialect, reader
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.json_lines import parts
from poisonscan.datasets.labels import labels
from poisonscan.datasets.layouts import MAX_RECORD
from poisonscan.datasets.tables import read
from poisonscan.datasets.words import texts
from poisonscan.escape import clip, escape
from poisonscan.finding import Row

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.dataset import Dataset, Shard
    from poisonscan.datasets.layouts import Layout
    from poisonscan.formats.base import TableFile

EXCERPT = 200
_SHOWN = 6
"""Columns of an excerpt of a table without text."""

Line = tuple[int, int]
About = tuple[str | None, str | None]


def describe(
    dataset: Dataset, rows: NDArray[np.int64], scores: Sequence[float] | None
) -> tuple[Row, ...]:
    """See ``Dataset.describe``."""
    known: dict[tuple[int, int], Row] = {}
    for index in np.unique(rows[:, 0]).tolist():
        shard = dataset.shards[index]
        wanted = np.unique(rows[rows[:, 0] == index, 1]).tolist()
        is_table = shard.layout is not None
        about = _table(dataset, shard, wanted) if is_table else _pictures(shard, wanted)
        known |= {(index, position): row for position, row in about}
    out = []
    for i, (index, position) in enumerate(rows.tolist()):
        row = known[index, position]
        score = None if scores is None else float(scores[i])
        out.append(Row(row.path, row.index, row.split, row.line, row.label, score, row.excerpt))
    return tuple(out)


def _pictures(shard: Shard, wanted: Sequence[int]) -> Iterator[tuple[int, Row]]:
    for position in wanted:
        label = shard.labels[position] if shard.labels else None
        path = shard.files[position].path
        yield position, Row(path, 0, shard.split, label=None if label is None else _shown(label))


def _table(dataset: Dataset, shard: Shard, wanted: Sequence[int]) -> Iterator[tuple[int, Row]]:
    lines = _lines(shard, wanted)
    about = _excerpts(dataset, shard, wanted)
    for position in wanted:
        label, excerpt = about.get(position, (None, None))
        line = lines.get(position)
        index = shard.start + position
        yield position, Row(shard.path, index, shard.split, line, label, None, excerpt)


def _shown(text: str) -> str:
    return escape(clip(" ".join(clip(text, 4 * EXCERPT).split()), EXCERPT))


def _excerpts(dataset: Dataset, shard: Shard, wanted: Sequence[int]) -> dict[int, About]:
    if shard.layout is None:
        return {}
    label = next(iter(dataset.roles.get("label", ())), None)
    shown = list(dataset.roles.get("text", ()))
    if not shown:
        skipped = {*dataset.roles.get("image", ()), *dataset.roles.get("features", ()), label}
        shown = [name for name in dataset.columns if name not in skipped][:_SHOWN]
    columns = [*shown, *([label] if label is not None else [])]
    out: dict[int, About] = {}
    start = 0
    try:
        for table in read(shard.files[0], shard.layout, columns, groups=shard.groups):
            inside = [p - start for p in wanted if start <= p < start + table.num_rows]
            if inside:
                out |= _about(dataset, table.take(pa.array(inside)), inside, start, shown, label)
            start += table.num_rows
            if start > wanted[-1]:
                break
    except DatasetError:
        pass  # the scan has already reported that the file cannot be read to its end
    return out


def _about(
    dataset: Dataset,
    table: pa.RecordBatch,
    inside: Sequence[int],
    start: int,
    shown: Sequence[str],
    label: str | None,
) -> dict[int, About]:
    names: list[str | None] = [None] * len(inside)
    if label is not None:
        found = labels(
            table.column(label), dataset.label_names or (), numeric=dataset.numeric(label)
        )
        names = [_shown(found.names[code]) if code >= 0 else None for code in found.codes.tolist()]
    is_text = bool(dataset.roles.get("text"))
    out: dict[int, About] = {}
    for i, position in enumerate(inside):
        cells = [(name, _cell(table.column(name), i)) for name in shown]
        parts = [cell if is_text else f"{name}={cell}" for name, cell in cells if cell]
        excerpt = (" / " if is_text else ", ").join(parts)
        out[start + position] = (names[i], _shown(excerpt) if excerpt else None)
    return out


def _cell(column: pa.Array, row: int) -> str:
    value = column.slice(row, 1)
    if pa.types.is_nested(column.type):
        value = texts(value)
    if pa.types.is_dictionary(value.type):
        value = value.dictionary_decode()
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        value = value.cast(pa.binary())
    cell = value[0].as_py()
    if isinstance(cell, bytes):
        return cell[: 4 * EXCERPT].decode("utf-8", "backslashreplace")
    return "" if cell is None else str(cell)


# Lines


def _lines(shard: Shard, wanted: Sequence[int]) -> dict[int, Line]:
    layout, file = shard.layout, shard.files[0]
    try:
        if layout is not None and layout.dialect is not None:
            return _csv_lines(file, layout.dialect, wanted)
        if layout is not None and file.format == "json":
            return _json_lines(file, layout, wanted)
    except (OSError, ValueError, csv.Error):
        pass  # no line is better than a wrong one
    return {}


def _csv_lines(file: TableFile, dialect: Dialect, wanted: Sequence[int]) -> dict[int, Line]:
    """First and last line of records, which span several lines where cells hold line breaks."""
    out: dict[int, Line] = {}
    pending = set(wanted)
    index = -1 if dialect.header else 0
    limit = csv.field_size_limit(MAX_RECORD)
    try:
        with Path(file.file).open("rb") as source:
            text = io.TextIOWrapper(source, "utf-8-sig", "surrogateescape", newline="")
            records = reader(text, dialect.delimiter, quoted=dialect.quoted)
            last = 0
            for record in records:
                first, last = last + 1, records.line_num
                # The reader of rows leaves out blank lines and records of another width.
                if not record or len(record) != len(dialect.names):
                    continue
                if index in pending:
                    out[index] = (first, last)
                    if len(out) == len(pending):
                        break
                index += 1
    finally:
        csv.field_size_limit(limit)
    return out


def _json_lines(file: TableFile, layout: Layout, wanted: Sequence[int]) -> dict[int, Line]:
    out: dict[int, Line] = {}
    row = 0
    for part in parts(file, layout.schema, lambda _: None, numbered=True):
        rows = part.table.num_rows
        for position in wanted if part.lines else ():
            if row <= position < row + rows:
                number = part.lines[position - row]
                out[position] = (number, number)
        row += rows
        if row > wanted[-1]:
            break
    return out
