"""Read delimited text: CSV, TSV and their relatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from poisonscan.datasets.dialects import HEAD, is_number, sniff
from poisonscan.datasets.layouts import BATCH_ROWS, MAX_RECORD, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.layouts import Sink
    from poisonscan.formats.base import TableFile

_NUMERIC = 0.95
"""Share of numbers among the cells of a numeric column; the rest are marks like ``NA``."""
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def csv_layout(file: TableFile) -> Layout:
    """The columns of a delimited file, with logical types by its first rows."""
    with Path(file.file).open("rb") as source:
        dialect = sniff(source.read(HEAD), Path(file.file).suffix)
    schema = pa.schema([(name, pa.string()) for name in dialect.names])
    found = Layout(schema, dialect=dialect)
    if len(set(schema.names)) < len(schema.names):
        return found
    head = next(csv_batches(file, found, schema.names, lambda _: None), None)
    if head is None:
        return found
    head = head.slice(0, BATCH_ROWS)
    types = [_cell_type(head.column(i)) for i in range(head.num_columns)]
    fields = list(zip(schema.names, types, strict=True))
    return Layout(pa.schema(fields), dialect=dialect)


def _cell_type(cells: pa.Array) -> pa.DataType:
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
    file: TableFile, found: Layout, columns: Sequence[str], problem: Sink
) -> Iterator[pa.RecordBatch]:
    """Rows of a delimited file, every cell a string exactly as it stands there.

    A record with too many or too few cells is left out and told to ``problem``; the rows after it
    count as if it were not there.
    """
    dialect = found.dialect
    if dialect is None:
        raise ValueError("its dialect is not known")

    def ragged(row: pa.csv.InvalidRow) -> str:
        place = f"record {row.number:,}" if row.number is not None else "a record"
        problem(f"{place} has {row.actual_columns} cells instead of {row.expected_columns}")
        return "skip"

    reading = pa.csv.ReadOptions(
        use_threads=False,
        block_size=MAX_RECORD,
        column_names=None if dialect.header else list(dialect.names),
    )
    parsing = pa.csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char='"' if dialect.quoted else False,
        newlines_in_values=dialect.quoted,
        invalid_row_handler=ragged,
    )
    converting = pa.csv.ConvertOptions(
        check_utf8=False,
        column_types=dict.fromkeys(dialect.names, pa.string()),
        strings_can_be_null=False,
        include_columns=list(columns),
    )
    with (
        pa.OSFile(file.file, "rb") as source,
        pa.csv.open_csv(source, reading, parsing, converting) as reader,
    ):
        yield from reader


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
