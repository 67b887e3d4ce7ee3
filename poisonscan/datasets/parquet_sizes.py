"""How much memory the rows of a parquet file would take, before any of them is decoded.

A list of sixty million equal numbers fits in some hundred bytes, and the reader makes whole rows.
What a row group would take is looked up where the reader gets it from: in the headers of its pages,
not in the footer's totals, which may say anything. Where a row group is large, the repetition
levels tell the longest row (Apache Parquet format 2.11, "Metadata", "Data pages", "Encodings").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeGuard

import pyarrow as pa

from poisonscan.datasets.layouts import BATCH_ROWS
from poisonscan.datasets.repetition import Runs
from poisonscan.datasets.thrift import Compact, Fields, ShortError, integer, structure
from poisonscan.escape import quote
from poisonscan.formats.members import seekable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow.parquet as pq

    from poisonscan.formats.base import TableFile

MAX_DECODED = 256 << 20
"""Bytes that a batch of rows may take, decoded; a row group below it is not looked into further."""
MAX_PAGES = 1 << 30
"""Bytes that the largest page of every column read may take together, decompressed."""
MAX_FOOTER = 64 << 20
MAX_HEADER = 1 << 20
"""Bytes of a page's header."""
MAX_PAGE_COUNT = 1 << 20
"""Pages of a column of a row group."""
MAX_RUNS = 16 << 20
"""Runs of repetition levels of a row group that are looked at."""
MAX_DICTIONARY = 4 << 20
"""Bytes of a dictionary whose values are looked at; writers stop at 1 or 2 MiB."""
MAX_VALUE = 256 << 10
"""Bytes of a value of a dictionary that rows may repeat as it is."""
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
_LEVELS = 4
"""Bytes of the definition and the repetition level of a value."""
_CODECS = {0: None, 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_PLAIN, _DELTA_BYTES = 0, 7
_CODED = frozenset({2, 8})
"""Encodings of pages that refer to the dictionary."""
_RLE = 3
_LENGTH = struct.Struct("<I")
_ROW_GROUPS = 4


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of a column: its kind, its header's fields, where its data lies and how long it is."""

    kind: int
    header: Fields
    start: int
    stored: int
    unpacked: int

    @property
    def values(self) -> int:
        return integer(self.header, 1)

    @property
    def encoding(self) -> int:
        return integer(self.header, 4 if self.kind == _DATA_V2 else 2)


@dataclass(slots=True)
class _Column:
    """What a column of a row group takes.

    Attributes:
        name: its path, as parquet writes it.
        levels: how many lists are around a value.
        each: bytes of a value, decoded.
        codec: number of its compression.
        pages: its data pages.
        largest: bytes of its largest page and of its dictionary, decompressed.
        stays: whether it is to stay dictionary-encoded.
        damage: why the pages behind these cannot be looked at; empty if there are none.
    """

    name: str
    levels: int
    each: int
    codec: int
    pages: list[_Page]
    largest: int
    stays: bool
    damage: str = ""

    @property
    def values(self) -> int:
        """How many values its pages hold."""
        return sum(page.values for page in self.pages)

    @property
    def total(self) -> int:
        """Bytes of all its values, decoded."""
        return self.each * self.values


@dataclass(frozen=True, slots=True)
class Plan:
    """How a row group is read.

    Attributes:
        rows: how many rows may be decoded at once, 1 to ``BATCH_ROWS``.
        dictionaries: columns of strings that are to stay dictionary-encoded: those that are so in
            the file from end to end, and those whose long values rows may repeat without bound. To
            encode others costs half of the speed.
        readable: rows that stand before the first damaged page; None: nothing seems damaged.
        damage: what is wrong there.
    """

    rows: int
    dictionaries: tuple[str, ...]
    readable: int | None = None
    damage: str = ""


def plan_group(
    file: TableFile, parquet: pq.ParquetFile, group: int, columns: Sequence[str]
) -> Plan:
    """How to read a row group without taking more memory than is meant.

    Args:
        file: the file.
        parquet: the same, open.
        group: number of the row group.
        columns: the columns that are read.

    Raises:
        ValueError: a row takes more than ``MAX_DECODED``, the pages that are held at once take more
            than ``MAX_PAGES``, or the file's description of itself makes no sense.
    """
    with seekable(file) as source:
        found = _columns(source, file, parquet, group, columns)
        held = sum(column.largest for column in found)
        if held > MAX_PAGES:
            message = f"row group {group}: pages of {held:,} bytes; at most {MAX_PAGES:,} are read"
            raise ValueError(message)
        dictionaries = tuple(column.name for column in found if column.stays)
        damaged = min((c for c in found if c.damage), key=lambda c: c.values, default=None)
        readable = damaged.values if damaged is not None else None
        damage = f"column {quote(damaged.name)}: {damaged.damage}" if damaged is not None else ""
        if sum(column.total for column in found) <= MAX_DECODED:
            return Plan(BATCH_ROWS, dictionaries, readable, damage)
        runs = Runs(MAX_RUNS)
        row = 0
        for column in found:
            longest = _longest_row(source, column, runs) if column.levels else 1
            row += longest * column.each
            if row > MAX_DECODED:
                message = (
                    f"row group {group}, column {quote(column.name)}: a row may take {row:,} bytes;"
                    f" at most {MAX_DECODED:,} are read at once"
                )
                raise ValueError(message)
    most = max(1, min(BATCH_ROWS, MAX_DECODED // max(row, 1)))
    return Plan(most, dictionaries, readable, damage)


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a row group lies, from its first byte to behind its last one, and its rows."""

    begin: int
    end: int
    rows: int


def extents(file: TableFile) -> list[Extent]:
    """Where the row groups of a file are, as its footer says.

    Raises:
        ValueError: the file's description of itself makes no sense.
        OSError: it cannot be read.
    """
    stat = Path(file.file).stat()
    places = _row_groups(file, stat.st_size, stat.st_mtime_ns)
    with seekable(file) as source:
        footer = _footer(source)
    found = []
    for place in places:
        group = Compact(footer, place).struct()
        chunks = group.get(1)
        spans = [_span(structure(chunk, 3)) for chunk in chunks] if _is_list(chunks) else []
        begin = max(0, min((begin for begin, _ in spans), default=0))
        end = min(max((end for _, end in spans), default=0), file.size)
        found.append(Extent(begin, max(begin, end), max(0, integer(group, 3))))
    return found


def _is_list(chunks: object) -> TypeGuard[list[Fields]]:
    return isinstance(chunks, list) and all(isinstance(chunk, dict) for chunk in chunks)


def _span(about: Fields) -> tuple[int, int]:
    """Where the pages of a column lie."""
    first, dictionary = integer(about, 9), integer(about, 11)
    place = min(first, dictionary) if dictionary > 0 else first
    return place, place + integer(about, 7)


def _columns(
    source: BinaryIO, file: TableFile, parquet: pq.ParquetFile, group: int, columns: Sequence[str]
) -> list[_Column]:
    stat = Path(file.file).stat()
    places = _row_groups(file, stat.st_size, stat.st_mtime_ns)
    schema = parquet.schema
    if group >= len(places):
        raise ValueError("a row group is not described")
    chunks = Compact(_footer(source), places[group]).struct().get(1)
    if not isinstance(chunks, list) or len(chunks) != len(schema):
        raise ValueError("a row group does not have the columns of the file")
    found = []
    for number in range(len(schema)):
        leaf = schema.column(number)
        if any(leaf.path == name or leaf.path.startswith(name + ".") for name in columns):
            found.append(_column(source, leaf, chunks[number]))
    return found


def _column(source: BinaryIO, leaf: Any, chunk: Any) -> _Column:
    about = structure(chunk, 3) if isinstance(chunk, dict) else {}
    dictionaries: list[_Page] = []
    pages: list[_Page] = []
    each = 0
    is_bytes = leaf.physical_type == "BYTE_ARRAY"
    found, damage = _pages_to_damage(source, about)
    if damage and leaf.max_repetition_level:  # which rows stand before it is not known
        raise ValueError(damage)
    for page in found:
        (dictionaries if page.kind == _DICTIONARY else pages).append(page)
        # What a value takes in the mean of its page: rows that fill pages cannot take more, and of
        # the two pages that they may fill in part none is larger than the largest. Values that are
        # written as what differs from the one before may each be as long as the page.
        if is_bytes and page.values:
            alone = page.encoding == _DELTA_BYTES and page.kind != _DICTIONARY
            each = max(each, page.unpacked // (1 if alone else page.values))
    stays = False
    if is_bytes and any(page.encoding in _CODED for page in pages):
        codec = integer(about, 4)
        longest = _longest_value(source, dictionaries, codec) if _mixed(pages) else MAX_VALUE + 1
        stays = longest > MAX_VALUE
        each = each if stays else max(each, longest)
    width = _WIDTHS.get(leaf.physical_type, 4 + each)
    if leaf.physical_type == "FIXED_LEN_BYTE_ARRAY":
        width = leaf.length
    levels = leaf.max_repetition_level
    each = width + (_LEVELS if levels else 0)
    largest = sum(max((p.unpacked for p in group), default=0) for group in (dictionaries, pages))
    return _Column(leaf.path, levels, each, integer(about, 4), pages, largest, stays, damage)


def _pages_to_damage(source: BinaryIO, about: Fields) -> tuple[list[_Page], str]:
    """The pages of a column up to one whose header cannot be read, and why it cannot be."""
    found: list[_Page] = []
    pages = _pages(source, about)
    while True:
        try:
            page = next(pages, None)
        except ValueError as error:
            return found, str(error)
        if page is None:
            return found, ""
        found.append(page)


def _mixed(pages: Sequence[_Page]) -> bool:
    """Whether pages hold values as well as references to the dictionary."""
    return not all(page.encoding in _CODED for page in pages if page.values)


def _longest_value(source: BinaryIO, dictionaries: Sequence[_Page], number: int) -> int:
    """Bytes of the longest string of a dictionary; more than ``MAX_VALUE`` if that is not known."""
    codec = _CODECS.get(number, "")
    unknown = MAX_VALUE + 1
    if len(dictionaries) != 1 or codec == "":
        return unknown
    (page,) = dictionaries
    if page.unpacked > MAX_DICTIONARY or page.encoding not in {_PLAIN, *_CODED}:
        return unknown
    source.seek(page.start)
    data = source.read(page.stored)
    try:
        if codec is not None:
            data = pa.Codec(codec).decompress(data, page.unpacked, asbytes=True)
    except (pa.ArrowException, OSError):
        return unknown
    longest = place = 0
    end, length_at = len(data) - 4, _LENGTH.unpack_from
    while place <= end:
        (length,) = length_at(data, place)
        if length > longest:
            longest = length
        place += 4 + length
    return longest


@lru_cache(maxsize=8)
def _row_groups(file: TableFile, _size: int, _changed: int) -> tuple[int, ...]:
    """Where in the footer each row group is described."""
    with seekable(file) as source:
        footer = Compact(_footer(source))
    places: list[int] = []
    for number, kind in footer.fields():
        if number != _ROW_GROUPS or kind != 9:
            footer.value(kind)
            continue
        places.clear()
        for _ in range(footer.items()[0]):
            places.append(footer.place)
            footer.struct()
    return tuple(places)


def _footer(source: BinaryIO) -> bytes:
    end = source.seek(0, 2)
    source.seek(max(0, end - 8))
    length = int.from_bytes(source.read(4), "little")
    if length > min(MAX_FOOTER, end - 8):
        raise ValueError("its footer is too long")
    source.seek(end - 8 - length)
    return source.read(length)


def _pages(source: BinaryIO, about: Fields) -> Iterator[_Page]:
    """The pages of a column, up to the one that completes it: where the reader stops."""
    place, end = _span(about)
    left = integer(about, 5)
    for _ in range(MAX_PAGE_COUNT):
        if left <= 0 or place >= end:
            return
        page = _page(source, place)
        yield page
        if page.kind != _DICTIONARY:
            left -= page.values
        place = page.start + page.stored
    raise ValueError("a column has too many pages")


def _page(source: BinaryIO, place: int) -> _Page:
    size = 256
    while True:
        source.seek(max(0, place))
        reader = Compact(source.read(size))
        try:
            header = reader.struct()
            break
        except ShortError:
            if size >= MAX_HEADER:
                raise
            size *= 8
    kind, unpacked, stored = (integer(header, number) for number in (1, 2, 3))
    about = structure(header, {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}.get(kind, 0))
    page = _Page(kind, about, place + reader.place, stored, unpacked)
    if unpacked < 0 or stored < 0 or page.values < 0:
        raise ValueError("a page's header makes no sense")
    return page


def _longest_row(source: BinaryIO, column: _Column, runs: Runs) -> int:
    """Values of the longest row of a column."""
    runs.current = runs.longest = 0
    for page in (page for page in column.pages if page.values):
        runs.take(_level_bytes(source, column, page), page.values, column.levels.bit_length())
    return max(runs.longest, runs.current)


def _level_bytes(source: BinaryIO, column: _Column, page: _Page) -> bytes:
    """The repetition levels of a page, encoded."""
    source.seek(page.start)
    if page.kind == _DATA_V2:
        return source.read(max(0, min(integer(page.header, 6), page.stored)))
    codec = _CODECS.get(column.codec, "")
    if codec == "" or integer(page.header, 4) != _RLE:
        raise ValueError("a large row group of lists in an encoding that is not looked into")
    data = source.read(page.stored)
    if codec is not None:
        data = pa.Codec(codec).decompress(data, page.unpacked, asbytes=True)
    return data[4 : 4 + int.from_bytes(data[:4], "little")]
