"""Read delimited text: CSV, TSV and their relatives."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from poisonscan.datasets.dialects import HEAD, Dialect, is_number, reader, sniff
from poisonscan.datasets.flaws import PLACES, Flaw, Place, flaw
from poisonscan.datasets.layouts import MAX_RECORD, SNIFFED, Layout, reading
from poisonscan.datasets.lines import BOM, Block, Records, block_size, blocks, readable
from poisonscan.escape import clip, escape
from poisonscan.formats.members import opened
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.layouts import Span
    from poisonscan.formats.base import TableFile

_NUMERIC = 0.95
"""Share of numbers among the cells of a numeric column; the rest are marks like ``NA``."""
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a block of a file.

    Attributes:
        table: the rows.
        block: the block.
        dialect: how to read it.
        header: whether the first record holds the names of the columns.
    """

    table: pa.Table
    block: Block
    dialect: Dialect
    header: bool

    def lines(self) -> list[tuple[int, int]]:
        """First and last line of each row: cells may hold line breaks. Slow."""
        width = len(self.dialect.names)
        records = _records(self.block, self.dialect)
        # The reader of rows leaves out blank lines and records of another width.
        return [(a, b) for a, b, cells in records if cells == width][int(self.header) :]


def csv_layout(file: TableFile) -> Layout:
    """The columns of a delimited file, with logical types by its first rows."""
    dialect = _sniffed(file, file.header)
    schema = pa.schema([(name, pa.string()) for name in dialect.names])
    found = Layout(schema, dialect=dialect)
    if len(set(schema.names)) < len(schema.names):
        return found
    part = next(csv_parts(file, found, schema.names, lambda _: None), None)
    if part is None:
        return found
    rows = part.table.slice(0, SNIFFED).combine_chunks()
    types = [_cell_type(column) for column in rows.columns]
    fields = list(zip(schema.names, types, strict=True))
    return Layout(pa.schema(fields), dialect=dialect)


def _sniffed(file: TableFile, header: bool | None) -> Dialect:
    with opened(file) as source:
        head = source.read(HEAD)
    name = PurePosixPath(file.path)
    suffix = PurePosixPath(name.stem).suffix if file.codec else name.suffix
    return sniff(head, suffix, header)


def begins_with(file: TableFile, names: Collection[str]) -> bool:
    """Whether the first record of a delimited file has one of these cells.

    Who names a column that stands there says that it is a header, whatever it looks like.
    """
    with reading(file.path, 0):
        return not set(names).isdisjoint(_sniffed(file, header=True).names)


def _cell_type(cells: pa.ChunkedArray) -> pa.DataType:
    """What nearly all cells of a sample read as: integers, floating-point numbers or strings."""
    counts = cells.cast(pa.binary()).value_counts()
    filled = numeric = 0
    whole = True
    for cell, count in zip(*(part.to_pylist() for part in counts.flatten()), strict=True):
        text = cell.decode("utf-8", "replace").strip()
        filled += count if text else 0
        if is_number(text):
            numeric += count
            whole = whole and text.lstrip("+-").isdigit()
    if not filled or numeric < _NUMERIC * filled:
        return pa.string()
    return pa.int64() if whole else pa.float64()


def csv_batches(
    file: TableFile, found: Layout, columns: Sequence[str], problem: Sink, span: Span | None = None
) -> Iterator[pa.RecordBatch]:
    """Rows of a delimited file, every cell a string exactly as it stands there.

    A record with too many or too few cells is left out and told to ``problem``, and so is one that
    is too long; the rows after it count as if it were not there.
    """
    for part in csv_parts(file, found, columns, problem, span):
        yield from part.table.combine_chunks().to_batches()


def csv_parts(
    file: TableFile, found: Layout, columns: Sequence[str], problem: Sink, span: Span | None = None
) -> Iterator[Part]:
    """Rows of a delimited file by blocks; see ``csv_batches``."""
    dialect = found.dialect
    if dialect is None:
        raise ValueError("its dialect is not known")
    ragged = _Ragged(dialect, problem)
    size = block_size(len(dialect.names))
    for block in blocks(file, records_of(dialect), problem, span, size):
        data = readable(block, problem)
        if block.offset == 0:
            data = data.removeprefix(BOM)
        if not data.strip(b"\r\n"):
            continue
        header = dialect.header and block.offset == 0
        try:
            table = _parsed(data, dialect, columns, ragged, header=header)
        except pa.ArrowInvalid as error:
            count = records_of(dialect).lines(block.data)
            where = f"lines {block.line:,} to {block.line + max(count - 1, 0):,}"
            why = escape(clip(" ".join(str(error).split())))
            problem(flaw("cannot be read", "part", [Place(block.line, where, why)]))
            continue
        ragged.tell(block)
        if table.num_rows:
            yield Part(table, block, dialect, header)


def records_of(dialect: Dialect) -> Records:
    """What finds the ends of records."""
    return Records(dialect.delimiter, dialect.quoted)


def _parsed(
    data: bytes, dialect: Dialect, columns: Sequence[str], ragged: _Ragged, *, header: bool
) -> pa.Table:
    reading = pa.csv.ReadOptions(
        use_threads=False,
        block_size=len(data) + 1,
        # Not those of the file, of which several may be the same.
        column_names=list(dialect.names),
        skip_rows_after_names=int(header),
    )
    parsing = pa.csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char='"' if dialect.quoted else False,
        # The block is whole, so this matters only to what is skipped: a line, or a record.
        newlines_in_values=header,
        invalid_row_handler=ragged.take,
    )
    converting = pa.csv.ConvertOptions(
        check_utf8=False,
        column_types=dict.fromkeys(dialect.names, pa.string()),
        strings_can_be_null=False,
        include_columns=list(columns),
    )
    return pa.csv.read_csv(pa.BufferReader(data), reading, parsing, converting)


class _Ragged:
    """Tells of records with another number of cells than there are columns."""

    def __init__(self, dialect: Dialect, problem: Sink) -> None:
        self.dialect = dialect
        self.problem = problem
        self.waiting: list[int] = []
        self.told = 0

    def take(self, row: pa.csv.InvalidRow) -> str:
        """Leave a record out."""
        self.waiting.append(row.actual_columns)
        return "skip"

    def tell(self, block: Block) -> None:
        """Name the records of a block that were left out, by their lines."""
        waiting, self.waiting = self.waiting, []
        if not waiting:
            return
        width = len(self.dialect.names)
        lines: list[int] = []
        if self.told < PLACES:
            lines = [a for a, _, cells in _records(block, self.dialect) if cells not in {0, width}]
        self.told += len(waiting)
        places = tuple(
            Place(line, detail=plural(cells, "cell"))
            for line, cells in zip(lines[:PLACES], waiting, strict=False)
        )
        what = f"left out, of other than {plural(width, 'cell')}"
        self.problem(Flaw(what, "record", places, len(waiting)))


def _records(block: Block, dialect: Dialect) -> Iterator[tuple[int, int, int]]:
    """First line, last line and number of cells of each record; blank lines have none."""
    limit = csv.field_size_limit(MAX_RECORD)
    try:
        source = io.BytesIO(block.data.removeprefix(BOM) if block.offset == 0 else block.data)
        text = io.TextIOWrapper(source, "utf-8", "surrogateescape", newline="")
        records = reader(text, dialect.delimiter, quoted=dialect.quoted)
        last = block.line - 1
        while True:
            try:
                record = next(records, None)
            except csv.Error:
                return
            if record is None:
                return
            first, last = last + 1, block.line - 1 + records.line_num
            yield first, last, len(record)
    finally:
        csv.field_size_limit(limit)


def as_numbers(cells: pa.Array) -> pa.Array:
    """Cells as ``float64``: what does not read as a number becomes null."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if not pa.types.is_string(cells.type) and not pa.types.is_large_string(cells.type):
        return pc.cast(cells, pa.float64(), safe=False)
    trimmed = pc.ascii_trim_whitespace(cells)
    try:
        return pc.cast(trimmed, pa.float64())
    except pa.ArrowInvalid:
        numeric = pc.match_substring_regex(trimmed.cast(pa.binary()), _NUMBER)
        plain = pc.if_else(numeric, pc.ascii_ltrim(trimmed, "+"), pa.scalar(None, cells.type))
        return pc.cast(plain, pa.float64())
