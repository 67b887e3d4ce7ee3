"""Text files as blocks of whole records, and the parts that several workers may read.

A block ends where a record ends, so any block can be parsed by itself. Quotes are followed as
RFC 4180 and the parsers have it: a quote opens a cell only where the cell begins, and closes it
unless another quote follows. Where every quote of a piece stands as writers put them, counting them
is enough; other pieces are walked quote by quote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import pyarrow as pa

from poisonscan.datasets.flaws import flaw
from poisonscan.datasets.layouts import CHUNK, MAX_RECORD, PIECE_BYTES, Span
from poisonscan.engines import patience
from poisonscan.formats.members import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.flaws import Sink
    from poisonscan.formats.base import TableFile

PART = 64 << 20
"""Bytes of a text file from which it is cut into parts."""
_QUOTE, _FEED, _RETURN = b'"\n\r'
_BREAK = re.compile(rb"\n|\r\n|\r(?!\Z)")
_CELL = re.compile(rb'[^"]*+(?:""[^"]*+)*+')
"""What a quoted cell holds, from behind its first quote."""
_STRAY = re.compile("[\udc80-\udcff]")
TOO_LONG = f"left out, of more than {MAX_RECORD:,} bytes"
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records.

    Attributes:
        data: their bytes.
        offset: of the first byte in the file, unpacked.
        line: number of the first line, from 1.
    """

    data: bytes
    offset: int
    line: int


class Scanner(Protocol):
    """Finds where records end in pieces that are given one after another."""

    def ends(self, piece: bytes, *, first: bool) -> tuple[int, int]:
        """Where the first record and the last one end in a piece; 0 for none.

        Args:
            piece: what follows the pieces before.
            first: whether the first is asked for; otherwise it may be that of the last.
        """

    def lines(self, data: bytes) -> int:
        """Line breaks in whole records."""


class Lines:
    """Every line is a record."""

    def ends(self, piece: bytes, *, first: bool) -> tuple[int, int]:
        """By line feeds."""
        last = piece.rfind(b"\n") + 1
        return (piece.find(b"\n") + 1 if first else last), last

    def lines(self, data: bytes) -> int:
        """Line feeds."""
        return data.count(b"\n")


@dataclass(slots=True)
class Records:
    """Records of delimited text end at line feeds and carriage returns outside of quotes.

    Attributes:
        delimiter: of cells.
        quoted: whether quotes mean anything.
    """

    delimiter: str
    quoted: bool
    _inside: bool = False
    _before: int = -1
    """The last byte of the piece before; 0 for a quote that is no more than a character, -1 at the
    start of the file."""
    _opens: re.Pattern[bytes] = field(init=False)
    _around: NDArray[np.bool_] = field(init=False)
    """Bytes that stand before a quote that opens, or behind one that closes."""

    def __post_init__(self) -> None:
        mark = re.escape(self.delimiter.encode())
        self._opens = re.compile(rb'(?<=[\r\n])"|(?<=' + mark + rb')"')
        self._around = np.zeros(256, bool)
        self._around[[*b'\r\n"', *self.delimiter.encode()[-1:]]] = True

    def ends(self, piece: bytes, *, first: bool) -> tuple[int, int]:
        """By line breaks outside of quotes."""
        if self._before < 0:
            self._before = ord("\n")
            if piece.startswith(BOM):  # which stands before the first cell and is no part of it
                piece = self.delimiter.encode() * len(BOM) + piece[len(BOM) :]
        quotes = self._quotes(piece) if self.quoted else np.zeros(0, np.int64)
        inside, self._inside = self._inside, self._inside ^ bool(len(quotes) & 1)
        if not len(quotes):
            return (0, 0) if inside else self._breaks(piece, first=first)
        last = max(piece.rfind(b"\n"), piece.rfind(b"\r", 0, -1))
        if last >= 0 and not first and not (np.searchsorted(quotes, last) + inside) & 1:
            return last + 1, last + 1
        data = np.frombuffer(piece, np.uint8)
        is_end = data == _FEED
        # A carriage return at the end of a piece may be half of a line break.
        is_end[:-1] |= (data[:-1] == _RETURN) & (data[1:] != _FEED)
        places = np.flatnonzero(is_end)
        places = places[(np.searchsorted(quotes, places) + inside) & 1 == 0]
        return (int(places[0]) + 1, int(places[-1]) + 1) if len(places) else (0, 0)

    def _breaks(self, piece: bytes, *, first: bool) -> tuple[int, int]:
        """Ends of records where nothing stands in quotes."""
        last = max(piece.rfind(b"\n"), piece.rfind(b"\r", 0, -1)) + 1
        if not first or not last:
            return last, last
        match = _BREAK.search(piece)
        return match.end() if match else 0, last

    def lines(self, data: bytes) -> int:
        """Line feeds and carriage returns, the two together counting once."""
        returns = data.count(b"\r")
        return data.count(b"\n") + (returns - data.count(b"\r\n") if returns else 0)

    def _quotes(self, piece: bytes) -> NDArray[np.int64]:
        """Where quotes open and close; those that follow one another at once may be left out."""
        before, self._before = self._before, piece[-1]
        if b'"' not in piece:
            if self._inside:
                self._before = 0
            return np.zeros(0, np.int64)
        data = np.frombuffer(piece, np.uint8)
        quotes = np.flatnonzero(data == _QUOTE)
        inside = int(self._inside)
        around = np.concatenate([[before], data, [_QUOTE]])
        opening, closing = quotes[inside::2], quotes[1 - inside :: 2]
        # Between two pieces: what closes at the end may be the first half of a double quote.
        if self._around[around[opening]].all() and self._around[around[closing + 2]].all():
            if (len(quotes) + inside) & 1:
                self._before = 0
            return quotes
        return self._walked(piece, before)

    def _walked(self, piece: bytes, before: int) -> NDArray[np.int64]:
        found: list[int] = []
        place, inside = 0, self._inside
        if not inside and piece[0] == _QUOTE and self._around[before]:
            found.append(0)
            place, inside = 1, True
        while True:
            if inside:
                cell = _CELL.match(piece, place)
                place = cell.end() if cell else len(piece)
                if place == len(piece):
                    self._before = 0
                    break
            else:
                match = self._opens.search(piece, place)
                if match is None:
                    if piece[-1] == _QUOTE and (not found or found[-1] != len(piece) - 1):
                        self._before = 0
                    break
                place = match.start()
            found.append(place)
            place, inside = place + 1, not inside
        return np.array(found, np.int64)


def block_size(columns: int) -> int:
    """Bytes of a block: more where there are many columns, which cost something for each block."""
    return CHUNK * min(1 + columns // 512, PIECE_BYTES // CHUNK)


def blocks(
    file: TableFile,
    scanner: Scanner,
    problem: Sink,
    span: Span | None = None,
    size: int | None = None,
) -> Iterator[Block]:
    """The records of a file in blocks of about ``size`` bytes.

    The blocks of two parts of a file, one after another, are those of both together.

    Args:
        file: text, perhaps compressed.
        scanner: a fresh one.
        problem: told about records longer than ``MAX_RECORD``, which are left out.
        span: the part to read; None: all.
        size: see ``block_size``; None: that of few columns.
    """
    span = span or Span(0, -1, 1)
    offset, line = span.start, span.line
    pending: list[bytes] = []
    held, skipping = 0, False
    for piece in _pieces(file, span, size or CHUNK):
        patience.sign()
        first, last = scanner.ends(piece, first=skipping or held + len(piece) > MAX_RECORD)
        if first and (skipping or held + first > MAX_RECORD):
            if not skipping:
                problem(flaw(TOO_LONG, "record", [line]))
            line += scanner.lines(b"".join([*pending, piece[:first]]))
            offset += held + first
            pending, held, skipping = [], 0, False
            piece, last = piece[first:], last - first  # noqa: PLW2901
        if last:
            data = b"".join([*pending, piece[:last]])
            yield Block(data, offset, line)
            line += scanner.lines(data)
            offset += len(data)
            pending, held = [], 0
            piece = piece[last:]  # noqa: PLW2901
        pending.append(piece)
        held += len(piece)
        if held > MAX_RECORD:
            if not skipping:
                problem(flaw(TOO_LONG, "record", [line]))
            whole = b"".join(pending)
            kept = b"\r" if whole.endswith(b"\r") else b""  # half of a line break, perhaps
            line += scanner.lines(whole) - scanner.lines(kept)
            offset += held - len(kept)
            pending, held, skipping = [kept], len(kept), True
    if held and not skipping:
        yield Block(b"".join(pending), offset, line)


def _pieces(file: TableFile, span: Span, most: int) -> Iterator[bytes]:
    """Bytes of a part, cut at multiples of ``most``."""
    with opened(file) as source:
        place = span.start
        if place:
            source.seek(place)
        while True:
            size = most - place % most
            if span.end >= 0:
                size = min(size, span.end - place)
            piece = source.read(size) if size > 0 else b""
            if not piece:
                return
            yield piece
            place += len(piece)


def spans(file: TableFile, scanner: Scanner, size: int = PART) -> list[Span]:
    """A text file in parts of about ``size`` bytes that begin where a record begins.

    Args:
        file: text on disk; compressed text is one part.
        scanner: a fresh one.
        size: bytes.
    """
    found: list[Span] = []
    start, line = 0, 1
    if not file.codec and file.size > size + size // 2:
        for block in blocks(file, scanner, lambda _: None):
            end = block.offset + len(block.data)
            # Behind a carriage return alone the end of a part would read as half a line break.
            fits = end - start >= size and file.size - end >= size // 2
            if fits and block.data.endswith(b"\n"):
                found.append(Span(start, end, line))
                start, line = end, block.line + scanner.lines(block.data)
    return [*found, Span(start, -1, line)]


def readable(block: Block, problem: Sink, escape: str = "\\") -> bytes:
    r"""The bytes of a block as valid UTF-8: bytes that are not are written as ``\xe9``.

    Args:
        block: whole records.
        problem: told which lines have such bytes.
        escape: what stands for a backslash.
    """
    data = block.data
    if data.isascii() or _is_utf8(data):
        return data
    text = data.decode("utf-8", "surrogateescape")
    lines = [n for n, part in enumerate(text.split("\n"), block.line) if _STRAY.search(part)]
    problem(flaw("with bytes that are not UTF-8, read as they stand", "line", lines))
    return _STRAY.sub(lambda m: f"{escape}x{ord(m[0]) - 0xDC00:02x}", text).encode()


def _is_utf8(data: bytes) -> bool:
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    try:
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
