"""Read JSON lines, and files that are one JSON array."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.json

from poisonscan.datasets.flaws import Flaw, flaw
from poisonscan.datasets.json_array import array_blocks, front
from poisonscan.datasets.layouts import MAX_DEPTH, Layout
from poisonscan.datasets.lines import BOM, Block, Lines, blocks, readable
from poisonscan.escape import quote
from poisonscan.formats.members import opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.layouts import Span
    from poisonscan.formats.base import TableFile

_NAMED = 5
MAX_CELLS = 20_000_000
"""Cells of a block of rows, most of them empty where there are so many."""
_QUOTE = 2
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_STEPS[ord('"')] = _QUOTE
_PLAIN = bytes(np.flatnonzero(_STEPS == 0).astype(np.uint8))
"""Bytes that are neither quotes nor brackets."""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a piece of a file.

    Attributes:
        table: the rows.
        block: what they were read from.
        is_lines: whether that is lines of the file, not objects of an array.
        numbers: line of each row, where it is known already.
    """

    table: pa.Table
    block: Block
    is_lines: bool
    numbers: tuple[int, ...] | None = None

    def lines(self) -> list[tuple[int, int]]:
        """First and last line of each row, from 1.

        Empty where rows are not lines (an array, several objects on a line).
        """
        if not self.is_lines:
            return []
        numbers = self.numbers
        if numbers is None:
            numbers = _full_lines(self.block.data, self.block.line)
        if len(numbers) != self.table.num_rows:
            return []
        return [(line, line) for line in numbers]


def json_layout(file: TableFile) -> Layout:
    """The columns of a file, by its first megabyte."""
    part = next(json_parts(file, None, lambda _: None), None)
    if part is None:
        raise ValueError("there is no record in it")
    fields = [
        # What looks like a time in one part of a file need not in the next: text stays text.
        (field.name, pa.string() if pa.types.is_temporal(field.type) else field.type)
        for field in part.table.schema
    ]
    return Layout(pa.schema(fields))


def json_batches(
    file: TableFile, found: Layout, columns: Sequence[str], problem: Sink, span: Span | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of a file.

    A line that is no JSON object is left out, and so is a column that the first megabyte does not
    have; ``problem`` is told about both.
    """
    for part in json_parts(file, found.schema, problem, span):
        yield from _selected(part.table, columns).to_batches()


def json_parts(
    file: TableFile, schema: pa.Schema | None, problem: Sink, span: Span | None = None
) -> Iterator[Part]:
    """Pieces of a file in order.

    Args:
        file: what to read.
        schema: types of columns that are not numbers; numbers are left to each piece, because an
            integer column may hold its first fraction late.
        problem: told about lines that are left out, and about columns that are not in ``schema``.
        span: the part of the file to read; None: all.

    Raises:
        ValueError: an array ends early.
    """
    known = names = None
    if schema is not None:
        known = pa.schema([field for field in schema if not _is_number(field.type)])
        names = set(schema.names)
    is_array = span is None and is_one_array(file)
    found = array_blocks(file, problem) if is_array else blocks(file, Lines(), problem, span)
    for block in found:
        if not block.data.strip():
            continue
        part = _part(block, known, problem, is_lines=not is_array)
        if names and not names.issuperset(part.table.column_names):
            problem(Flaw(_late(part, names)))
            names = None  # once: a file can have a new one in every line
        if part.table.num_rows:
            yield part


def is_one_array(file: TableFile) -> bool:
    """Whether a file is one array, or an object that holds it, not lines."""
    with opened(file) as source:
        return front(source, file.start)[:1] == b"["


def _late(part: Part, names: set[str]) -> str:
    """What to say of a piece with columns that are not among ``names``."""
    table, lines = part.table, part.lines()
    unit = "line" if part.is_lines else "record"
    first = part.block.line
    late = [name for name in table.column_names if name not in names]
    places = []
    for name in late[:_NAMED]:
        valid = np.asarray(table[name].combine_chunks().is_valid(), bool)
        row = int(valid.argmax()) if valid.any() else 0
        place = lines[row][0] if lines else first + (0 if part.is_lines else row)
        places.append(f"{quote(name, 40)} ({unit} {place:,})")
    more = f" and {len(late) - _NAMED:,} more" if len(late) > _NAMED else ""
    return f"columns that first come late are not looked at, such as {', '.join(places)}{more}"


def _part(block: Block, known: pa.Schema | None, problem: Sink, *, is_lines: bool) -> Part:
    data = readable(block, problem, "\\\\")
    if block.offset == 0 and is_lines:
        data = data.removeprefix(BOM)
    if _depth(data) <= MAX_DEPTH:
        for schema in (known, None):
            try:
                table = _parse(data, schema)
            except pa.ArrowInvalid:
                continue
            _check_cells(table.num_rows, table.num_columns)
            return Part(table, block, is_lines)
    table, numbers = _line_by_line(data, block.line, problem, "line" if is_lines else "element")
    return Part(table, block, is_lines, numbers)


def _check_cells(rows: int, columns: int) -> None:
    """Refuse rows that share hardly a key: a megabyte of them would be gigabytes of nothing.

    Raises:
        ValueError: there would be too many cells.
    """
    if rows * columns > MAX_CELLS:
        message = f"{rows:,} rows with {columns:,} different keys are too many cells to read"
        raise ValueError(message)


def _parse(chunk: bytes, schema: pa.Schema | None) -> pa.Table:
    options = pa.json.ReadOptions(use_threads=False, block_size=len(chunk) + 1)
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer")
    return pa.json.read_json(io.BytesIO(chunk), options, parse)


def _full_lines(chunk: bytes, first: int) -> tuple[int, ...]:
    lines = chunk.split(b"\n")
    return tuple(first + i for i, text in enumerate(lines) if text.strip())


def _line_by_line(
    chunk: bytes, first: int, problem: Sink, noun: str
) -> tuple[pa.Table, tuple[int, ...]]:
    """Slow and forgiving: bad lines are left out, columns of mixed types become text."""
    rows, lines = [], []
    bad: list[int] = []
    for i, text in enumerate(chunk.split(b"\n")):
        if not text.strip():
            continue
        try:
            row = json.loads(text) if _depth(text) <= MAX_DEPTH else None
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            rows.append(row)
            lines.append(first + i)
        else:
            bad.append(first + i)
    if bad:
        problem(flaw("left out, no JSON object", noun, bad))
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check_cells(len(rows), len(names))
    columns = [_column([row.get(name) for row in rows]) for name in names]
    return pa.table(columns, names=names), tuple(lines)


def _column(values: list[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):  # the last: half a pair
        texts = [
            value if value is None or isinstance(value, str) else json.dumps(value)
            for value in values
        ]
        return pa.array([None if t is None else t.encode("utf-8", "replace") for t in texts]).cast(
            pa.string()
        )


def _depth(text: bytes) -> int:
    """Deepest nesting of brackets outside strings, where there are enough of them to matter.

    When they close before they open, more than is allowed.

    The parser recurses once a level and has no limit of its own.
    """
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return 0
    if b'\\"' in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = _STEPS[np.frombuffer(text.translate(None, _PLAIN), np.uint8)]
    outside = (np.cumsum(marks == _QUOTE, dtype=np.uint8) & 1) == 0
    levels = np.cumsum(marks[outside & (marks != _QUOTE)], dtype=np.int32)
    if levels.size and levels.min() < 0:
        return MAX_DEPTH + 1
    return int(levels.max(initial=0))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def _selected(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    known = set(table.column_names)
    missing = pa.chunked_array([pa.nulls(table.num_rows)])
    found = [table.column(name) if name in known else missing for name in columns]
    return pa.table(found, names=list(columns)).combine_chunks()
