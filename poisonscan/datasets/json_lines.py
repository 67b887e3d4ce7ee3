"""Read JSON lines, and files that are one JSON array."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.json

from poisonscan.datasets.layouts import (
    BATCH_ROWS,
    CHUNK,
    MAX_DEPTH,
    MAX_JSON,
    MAX_RECORD,
    Layout,
)
from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.layouts import Sink
    from poisonscan.formats.base import TableFile

_NAMED = 5
_BOM = b"\xef\xbb\xbf"
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
        lines: line of each row, from 1; empty when rows are not lines (an array, several objects
            on a line).
    """

    table: pa.Table
    lines: tuple[int, ...]


def json_layout(file: TableFile) -> Layout:
    """The columns of a file, by its first megabyte."""
    part = next(parts(file, None, lambda _: None), None)
    if part is None:
        raise ValueError("there is no record in it")
    fields = [
        # What looks like a time in one part of a file need not in the next: text stays text.
        (field.name, pa.string() if pa.types.is_temporal(field.type) else field.type)
        for field in part.table.schema
    ]
    return Layout(pa.schema(fields))


def json_batches(
    file: TableFile, found: Layout, columns: Sequence[str], problem: Sink
) -> Iterator[pa.RecordBatch]:
    """Rows of a file.

    A line that is no JSON object is left out, and so is a column that the first megabyte does not
    have; ``problem`` is told about both.
    """
    for part in parts(file, found.schema, problem):
        yield from _selected(part.table, columns).to_batches()


def parts(
    file: TableFile, schema: pa.Schema | None, problem: Sink, *, numbered: bool = False
) -> Iterator[Part]:
    """Pieces of a file in order.

    Args:
        file: what to read.
        schema: types of columns that are not numbers; numbers are left to each piece, because an
            integer column may hold its first fraction late.
        problem: told about lines that are left out, and about columns that are not in ``schema``.
        numbered: whether to say which lines the rows are.

    Raises:
        ValueError: a line longer than ``MAX_RECORD``, or an array longer than ``MAX_JSON``.
    """
    known = names = None
    if schema is not None:
        known = pa.schema([field for field in schema if not _is_number(field.type)])
        names = set(schema.names)
    line = 1
    for chunk, is_lines in _chunks(file):
        count = chunk.count(b"\n")
        if chunk.strip():
            part = _part(chunk, known, line, problem, numbered=numbered and is_lines)
            if names and not names.issuperset(part.table.column_names):
                lines = part.lines or _full_lines(chunk, line)
                problem(_late(part.table, lines, "line" if is_lines else "record", names))
                names = None  # once: a file can have a new one in every line
            if part.table.num_rows:
                yield part
        line += count


def _late(table: pa.Table, lines: Sequence[int], unit: str, names: set[str]) -> str:
    """What to say of a piece with columns that are not among ``names``."""
    late = [name for name in table.column_names if name not in names]
    places = []
    for name in late[:_NAMED]:
        valid = np.asarray(table[name].combine_chunks().is_valid(), bool)
        row = int(valid.argmax()) if valid.any() else 0
        # Lines and rows do not match where a line holds several objects.
        line = lines[row] if len(lines) == table.num_rows else lines[0]
        places.append(f"{quote(name, 40)} ({unit} {line:,})")
    more = f" and {len(late) - _NAMED:,} more" if len(late) > _NAMED else ""
    return f"columns that first come late are not looked at, such as {', '.join(places)}{more}"


def _chunks(file: TableFile) -> Iterator[tuple[bytes, bool]]:
    """Pieces that end where a line ends, and whether they are lines of the file."""
    with Path(file.file).open("rb") as source:
        chunk = source.read(CHUNK).removeprefix(_BOM)
        if chunk.lstrip()[:1] == b"[":
            whole = chunk + source.read(MAX_JSON - len(chunk) + 1)
            yield from ((piece, False) for piece in _array(whole))
            return
        while chunk:
            end = chunk.rfind(b"\n") + 1
            if end < len(chunk):
                chunk += source.readline(MAX_RECORD + 1)
            if len(chunk) - end > MAX_RECORD:
                yield chunk[:end], True
                message = f"a line is longer than {MAX_RECORD:,} bytes"
                raise ValueError(message)
            yield chunk, True
            chunk = source.read(CHUNK)


def _array(text: bytes) -> Iterator[bytes]:
    if len(text) > MAX_JSON:
        message = f"one JSON array of more than {MAX_JSON:,} bytes; JSON lines have no such limit"
        raise ValueError(message)
    rows = json.loads(text)
    for start in range(0, len(rows), BATCH_ROWS):
        part = [
            row if isinstance(row, dict) else {"text": row}
            for row in rows[start : start + BATCH_ROWS]
        ]
        yield "\n".join(map(json.dumps, part)).encode() + b"\n"


def _part(
    chunk: bytes, known: pa.Schema | None, line: int, problem: Sink, *, numbered: bool
) -> Part:
    if _depth(chunk) <= MAX_DEPTH:
        for schema in (known, None):
            try:
                table = _parse(chunk, schema)
            except pa.ArrowInvalid:
                continue
            lines = _full_lines(chunk, line) if numbered else ()
            return Part(table, lines if len(lines) == table.num_rows else ())
    return _line_by_line(chunk, line, problem)


def _parse(chunk: bytes, schema: pa.Schema | None) -> pa.Table:
    options = pa.json.ReadOptions(use_threads=False, block_size=len(chunk) + 1)
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer")
    return pa.json.read_json(io.BytesIO(chunk), options, parse)


def _full_lines(chunk: bytes, first: int) -> tuple[int, ...]:
    lines = chunk.split(b"\n")
    return tuple(first + i for i, text in enumerate(lines) if text.strip())


def _line_by_line(chunk: bytes, first: int, problem: Sink) -> Part:
    """Slow and forgiving: bad lines are left out, columns of mixed types become text."""
    rows, lines = [], []
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
            problem(f"line {first + i:,} is not a JSON object")
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [_column([row.get(name) for row in rows]) for name in names]
    return Part(pa.table(columns, names=names), tuple(lines))


def _column(values: list[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
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
    for name in columns:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows))
    return table.select(list(columns)).combine_chunks()
