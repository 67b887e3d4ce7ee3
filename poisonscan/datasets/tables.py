"""Read files of rows as Arrow record batches: parquet, Arrow IPC, delimited text, JSON.

Read with pyarrow directly and column by column, so that memory stays bounded whatever a file
claims: strings of parquet stay dictionary-encoded (a dictionary page of a few kilobytes can
otherwise decode to gigabytes), text is read in blocks no record may exceed, and batches are cut by
rows and by bytes. What a dataset saved by the ``datasets`` library says about its columns
(``ClassLabel`` names, ``Image``) is taken from the schema's metadata.
"""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.ipc
import pyarrow.json
import pyarrow.parquet as pq

from poisonscan.datasets.dialects import HEAD, Dialect, is_number, sniff
from poisonscan.datasets.errors import DatasetError, OptionError
from poisonscan.escape import clip, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from poisonscan.formats.base import TableFile

BATCH_ROWS = 1_024
BATCH_BYTES = 64 << 20
MAX_RECORD = 16 << 20
"""Bytes of the longest CSV record or JSON line."""
MAX_JSON = 64 << 20
"""Bytes of the largest file that is one JSON array."""
MAX_SCHEMA = 16 << 20
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file, as all its rows are read.

    Attributes:
        schema: names and logical types. Cells of delimited text arrive as strings whatever their
            logical type, exactly as they stand in the file.
        classes: declared class names by column.
        pictures: columns declared to hold pictures.
        dialect: of delimited text; None for other formats.
    """

    schema: pa.Schema
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    dialect: Dialect | None = None


@contextmanager
def reading(path: str, row: int) -> Iterator[None]:
    """Turn what the libraries raise on bad data into a ``DatasetError``."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, MemoryError, RecursionError) as error:
        if isinstance(error, DatasetError | OptionError):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise DatasetError(path, row, escape(clip(text))) from None


def layout(file: TableFile) -> Layout:
    """The columns of a file.

    Raises:
        DatasetError: it is not what its format says, or its columns cannot be told apart.
    """
    with reading(file.path, 0):
        found = _LAYOUTS[file.format](file)
        names = found.schema.names
        if len(set(names)) < len(names):
            raise ValueError("several columns share a name")
        if not names:
            raise ValueError("there are no columns in it")
        return found


def read(
    file: TableFile, found: Layout, columns: Sequence[str], *, rows: int = BATCH_ROWS
) -> Iterator[pa.RecordBatch]:
    """Rows of a file in order.

    Args:
        file: what to read.
        found: its columns, from ``layout``.
        columns: the columns wanted. One that a part of a JSON file lacks is all null there.
        rows: at most so many rows a batch.

    Raises:
        DatasetError: the rest cannot be read; everything before it was yielded.
    """
    wanted = list(dict.fromkeys(columns)) or found.schema.names[:1]
    batches = _READERS[file.format](file, found, wanted)
    done = 0
    while True:
        with reading(file.path, done):
            batch = next(batches, None)
        if batch is None:
            return
        for piece in _pieces(batch, rows):
            yield piece
            done += piece.num_rows


def count(file: TableFile, found: Layout) -> int:
    """Number of rows of a file.

    Raises:
        DatasetError: it cannot be read to the end.
    """
    if file.format == "parquet":
        with reading(file.path, 0), _parquet(file) as parquet:
            return int(parquet.metadata.num_rows)
    return sum(batch.num_rows for batch in read(file, found, found.schema.names[:1]))


def _pieces(batch: pa.RecordBatch, rows: int) -> Iterator[pa.RecordBatch]:
    each = max(1, BATCH_BYTES * max(batch.num_rows, 1) // max(batch.nbytes, 1))
    step = min(rows, each)
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


# parquet


@contextmanager
def _parquet(file: TableFile, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    with pa.OSFile(file.file, "rb") as source:
        yield pq.ParquetFile(
            source, read_dictionary=list(dictionaries), pre_buffer=False, buffer_size=CHUNK
        )


def _parquet_layout(file: TableFile) -> Layout:
    with _parquet(file) as parquet:
        return _declared(parquet.schema_arrow)


def _parquet_batches(
    file: TableFile, found: Layout, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    with _parquet(file) as parquet:
        leaves = [parquet.schema.column(i) for i in range(len(parquet.schema))]
        strings = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    with _parquet(file, strings) as parquet:
        _same_columns(parquet.schema_arrow, found)
        for group in range(parquet.num_row_groups):
            about = parquet.metadata.row_group(group)
            wide = about.total_byte_size // max(about.num_rows, 1)
            rows = max(1, min(BATCH_ROWS, BATCH_BYTES // max(wide, 1)))
            yield from parquet.iter_batches(rows, [group], columns=columns, use_threads=False)


def _same_columns(schema: pa.Schema, found: Layout) -> None:
    if schema.names != found.schema.names:
        raise ValueError("its columns changed since it was first opened")


# Arrow IPC


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


def _arrow_layout(file: TableFile) -> Layout:
    with _arrow(file) as (schema, _):
        return _declared(schema)


def _arrow_batches(
    file: TableFile, found: Layout, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    fields = sorted(found.schema.get_field_index(name) for name in columns)
    options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    with _arrow(file, options) as (_, batches):
        for batch in batches:
            # Offsets come from the file: unchecked ones would be followed anywhere in memory.
            batch.validate(full=True)
            yield batch.select(columns)


# Delimited text


def _csv_layout(file: TableFile) -> Layout:
    with Path(file.file).open("rb") as source:
        dialect = sniff(source.read(HEAD), Path(file.file).suffix)
    schema = pa.schema([(name, pa.string()) for name in dialect.names])
    found = Layout(schema, dialect=dialect)
    head = next(read(file, found, schema.names), None)
    if head is None:
        return found
    types = [_cell_type(head.column(i)) for i in range(head.num_columns)]
    return Layout(
        pa.schema(list(zip(schema.names, types, strict=True))), found.classes, (), dialect
    )


def _cell_type(cells: pa.Array) -> pa.DataType:
    """What the cells of a sample read as: integers, floating-point numbers or strings."""
    texts = [text for text in cells.unique().to_pylist() if text and text.strip()]
    if not texts or not all(map(is_number, texts)):
        return pa.string()
    return (
        pa.int64() if all(text.strip().lstrip("+-").isdigit() for text in texts) else pa.float64()
    )


def _csv_batches(
    file: TableFile, found: Layout, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    dialect = found.dialect
    if dialect is None:
        raise ValueError("its dialect is not known")
    with (
        pa.OSFile(file.file, "rb") as source,
        pa.csv.open_csv(
            source,
            read_options=pa.csv.ReadOptions(
                use_threads=False,
                block_size=MAX_RECORD,
                column_names=None if dialect.header else list(dialect.names),
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char='"' if dialect.quoted else False,
                newlines_in_values=dialect.quoted,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(dialect.names, pa.string()),
                strings_can_be_null=False,
                include_columns=list(columns),
            ),
        ) as reader,
    ):
        yield from reader


# JSON


def json_chunks(file: TableFile) -> Iterator[bytes]:
    """A file of JSON lines, or of one JSON array, as pieces that end at the end of a line.

    Raises:
        ValueError: a line longer than ``MAX_RECORD``, or an array longer than ``MAX_JSON``.
    """
    with Path(file.file).open("rb") as source:
        chunk = source.read(CHUNK).removeprefix(b"\xef\xbb\xbf")
        if chunk.lstrip()[:1] == b"[":
            yield from _array_chunks(chunk + source.read(MAX_JSON - len(chunk) + 1))
            return
        while chunk:
            if not chunk.endswith(b"\n"):
                chunk += source.readline(MAX_RECORD + 1)
                if len(chunk) > MAX_RECORD + CHUNK:
                    message = f"a line is longer than {MAX_RECORD:,} bytes"
                    raise ValueError(message)
            yield chunk
            chunk = source.read(CHUNK)


def json_table_rows(file: TableFile) -> Iterator[tuple[list[bytes], int]]:
    """Lines of each part of a file of JSON lines, and how many rows they hold.

    Nothing for one JSON array, whose rows are not lines.

    Raises:
        ValueError: it is not JSON from here on.
    """
    with Path(file.file).open("rb") as source:
        if source.read(CHUNK).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"[":
            return
    for chunk in json_chunks(file):
        rows = _parse(chunk, None).num_rows if chunk.strip() else 0
        yield chunk.removesuffix(b"\n").split(b"\n"), rows


def _array_chunks(text: bytes) -> Iterator[bytes]:
    if len(text) > MAX_JSON:
        message = f"one JSON array of more than {MAX_JSON:,} bytes; JSON lines have no such limit"
        raise ValueError(message)
    rows = json.loads(text)
    if rows and not isinstance(rows[0], dict):
        rows = [{"text": row} for row in rows]
    for start in range(0, len(rows), BATCH_ROWS):
        part = rows[start : start + BATCH_ROWS]
        yield "\n".join(map(json.dumps, part)).encode()


def _parse(chunk: bytes, schema: pa.Schema | None) -> pa.Table:
    options = pa.json.ReadOptions(use_threads=False, block_size=len(chunk) + 1)
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer")
    return pa.json.read_json(io.BytesIO(chunk), options, parse)


def _json_layout(file: TableFile) -> Layout:
    chunk = next((chunk for chunk in json_chunks(file) if chunk.strip()), b"")
    if not chunk:
        raise ValueError("there is no record in it")
    schema = _parse(chunk, None).schema
    # What looks like a time in one part of a file need not in the next: text stays text.
    fields = [(f.name, pa.string() if pa.types.is_temporal(f.type) else f.type) for f in schema]
    return Layout(pa.schema(fields))


def _json_batches(
    file: TableFile, found: Layout, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    # Numbers are left to each chunk (an integer column may hold its first fraction late).
    strings = pa.schema([f for f in found.schema if not _is_number(f.type)])
    for chunk in json_chunks(file):
        if not chunk.strip():
            continue
        try:
            table = _parse(chunk, strings)
        except pa.ArrowInvalid:
            table = _parse(chunk, None)
        yield from _selected(table, columns).to_batches()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def _selected(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    for name in columns:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows))
    return table.select(list(columns)).combine_chunks()


# What the ``datasets`` library writes about columns


def _declared(schema: pa.Schema) -> Layout:
    """Class names and picture columns from the ``huggingface`` key of the schema's metadata."""
    text = (schema.metadata or {}).get(b"huggingface", b"")
    bare = schema.remove_metadata()
    if not text or len(text) > MAX_SCHEMA:
        return Layout(bare)
    try:
        features = json.loads(text)["info"]["features"]
        kinds = {name: feature.get("_type") for name, feature in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Layout(bare)
    classes = {
        name: tuple(map(str, features[name]["names"]))
        for name, kind in kinds.items()
        if kind == "ClassLabel" and name in bare.names and features[name].get("names")
    }
    pictures = tuple(name for name, kind in kinds.items() if kind == "Image" and name in bare.names)
    return Layout(bare, classes, pictures)


def as_numbers(cells: pa.Array) -> pa.Array:
    """Cells as ``float64``: what does not read as a number becomes null."""
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if not pa.types.is_string(cells.type) and not pa.types.is_large_string(cells.type):
        return pc.cast(cells, pa.float64(), safe=False)
    trimmed = pc.utf8_trim_whitespace(cells)
    try:
        return pc.cast(trimmed, pa.float64())
    except pa.ArrowInvalid:
        pattern = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
        numeric = pc.match_substring_regex(trimmed, pattern)
        plain = pc.if_else(numeric, pc.utf8_ltrim(trimmed, "+"), pa.scalar(None, cells.type))
        return pc.cast(plain, pa.float64())


_LAYOUTS = {
    "parquet": _parquet_layout,
    "arrow": _arrow_layout,
    "csv": _csv_layout,
    "json": _json_layout,
}
_READERS = {
    "parquet": _parquet_batches,
    "arrow": _arrow_batches,
    "csv": _csv_batches,
    "json": _json_batches,
}
