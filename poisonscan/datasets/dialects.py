"""The dialect of a delimited text file, from its first 64 KiB: delimiter, quoting, header."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Reader
    from collections.abc import Iterable, Sequence

HEAD = 64 << 10
MAX_COLUMNS = 100_000
_ROWS, _TEXT = 8, 10
"""Records that a header is compared with at least, and words of a cell that is no name."""
_MARKS = frozenset("./\\:@!?")
_DELIMITERS = (",", "\t", ";", "|")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file separates its cells.

    Attributes:
        delimiter: one character.
        quoted: whether cells may stand in double quotes. False for tab-separated text whose quotes
            are plain characters.
        names: column names, from the header or made up (``col_0`` …) when there is none.
        header: whether the first record holds the names.
    """

    delimiter: str
    quoted: bool
    names: tuple[str, ...]
    header: bool


def sniff(head: bytes, suffix: str = "", header: bool | None = None) -> Dialect:
    """Recognise the dialect of a file.

    There is no header when the first record has a numeric cell over a numeric cell, has a cell
    twice and again below, or is like those below in two columns, one of which has few different
    words, and unlike them in none of those: the columns are then called ``col_0``, ``col_1``, ….
    Of columns that share a name, those behind the first get a number, as pandas has it: ``a``,
    ``a.1``.

    Args:
        head: the first bytes of the file, at most ``HEAD``.
        suffix: of its name, such as ``.tsv``: breaks ties between delimiters.
        header: whether there is a header, where that is known.

    Raises:
        ValueError: no record, or too many columns.
    """
    text = _text(head)
    delimiter = _delimiter(text, suffix)
    quoted = delimiter != "\t" or _uses_quotes(text)
    records = _records(text, delimiter, quoted=quoted)
    if not records:
        raise ValueError("there is no record in it")
    first = records[0]
    if len(first) > MAX_COLUMNS:
        message = f"more than {MAX_COLUMNS:,} columns"
        raise ValueError(message)
    if header is None:
        header = _is_header(first, records[1:])
    names = _distinct(first) if header else tuple(f"col_{i}" for i in range(len(first)))
    return Dialect(delimiter, quoted, names, header)


def reader(lines: Iterable[str], delimiter: str, *, quoted: bool) -> Reader:
    """The standard library's reader for a dialect."""
    if quoted:
        return csv.reader(lines, delimiter=delimiter)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)


def is_number(cell: str) -> bool:
    """Whether a cell reads as a number (infinities and NaN do not count)."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.strip().lower().lstrip("+-") not in {"nan", "inf", "infinity"} and "_" not in cell


def _text(head: bytes) -> str:
    if len(head) >= HEAD:
        # The cut may fall inside a character; only whole lines are looked at, if there are any.
        end = head.rfind(b"\n")
        if end > 0:
            head = head[: end + 1]
        else:
            return head.decode("utf-8-sig", "replace")
    return head.decode("utf-8-sig", "replace")


def _records(text: str, delimiter: str, *, quoted: bool) -> list[list[str]]:
    lines = io.StringIO(text, newline="")
    try:
        return [row for row in reader(lines, delimiter, quoted=quoted) if row]
    except csv.Error:  # a field above the module's limit, or a NUL
        return [line.split(delimiter) for line in text.splitlines() if line]


def _delimiter(text: str, suffix: str) -> str:
    best, best_share = ",", 0.0
    preferred = "\t" if suffix.lower() in {".tsv", ".tab"} else ","
    for delimiter in sorted(_DELIMITERS, key=lambda d: d != preferred):
        share = _regularity(text, delimiter, quoted=True)
        if share > best_share + (0.05 if best_share else 0.0):
            best, best_share = delimiter, share
    return best


def _regularity(text: str, delimiter: str, *, quoted: bool) -> float:
    """Share of the records that have the most common number of cells; 0 when that is one."""
    widths = Counter(len(row) for row in _records(text, delimiter, quoted=quoted))
    if not widths:
        return 0.0
    width, count = widths.most_common(1)[0]
    return count / widths.total() if width > 1 else 0.0


def _uses_quotes(text: str) -> bool:
    """Whether cells of tab-separated text stand in quotes.

    Such text is often written without any quoting; read with quoting, a cell that starts with a
    quote character would then swallow the lines after it.
    """
    return _regularity(text, "\t", quoted=True) >= _regularity(text, "\t", quoted=False)


def _is_header(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    if len(set(first)) < len(first) and not _names_twice(first, others):
        return False
    second = others[0] if others else ()
    if len(second) != len(first):
        return not any(is_number(cell) for cell in first)
    if any(is_number(a) and is_number(b) for a, b in zip(first, second, strict=True)):
        return False
    return not _is_a_row(first, [other for other in others if list(other) != list(first)])


def _is_a_row(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether a record without numbers looks like those below, by its words and its texts.

    A word over numbers is a name, whatever else there is, and so is a word that is not again in a
    column with few different words. Else the record is a row if two of its cells at least are like
    those below: one is such a word, which may be a name by chance (``spam`` over ``spam`` and
    ``ham``), and another as well, or a text or an address, which may be the question of a survey.
    """
    rows = [other for other in others if len(other) == len(first)]
    if len(rows) < _ROWS:
        return False
    again = alike = 0
    for cell, below in zip(first, zip(*rows, strict=True), strict=True):
        if sum(map(is_number, below)) * 2 > len(below) and not is_number(cell):
            return False
        counts = Counter(below)
        if len(counts) * 2 > len(below):
            alike += _is_alike(cell, below)
        elif counts[cell] > 1:
            again += cell != ""
        elif cell:
            return False
    return again > 0 and again + alike > 1


def _is_alike(cell: str, below: Sequence[str]) -> bool:
    """Whether a cell is a text like others, or has marks that most of them have and names have not.

    Args:
        cell: of the first record.
        below: cells of its column, most of them different.
    """
    half = len(below) // 2
    if len(cell.split()) >= _TEXT:
        return 2 * sorted(map(len, below))[half] >= len(cell)
    return any(sum(mark in other for other in below) > half for mark in _MARKS.intersection(cell))


def _names_twice(first: Sequence[str], others: Sequence[Sequence[str]]) -> bool:
    """Whether a record with a cell twice holds names: no numbers, and nothing that comes again."""
    if not others or any(is_number(cell) for cell in first):
        return False
    return not any(a == b != "" for record in others for a, b in zip(first, record, strict=False))


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names of which none is there twice."""
    taken, seen, blank = set(names), Counter[str](), names.count("")
    out = []
    for number, name in enumerate(names):
        own = name if name or blank == 1 else f"Unnamed: {number}"
        if seen[own]:
            while f"{own}.{seen[own]}" in taken:
                seen[own] += 1
            own, plain = f"{own}.{seen[own]}", own
            seen[plain] += 1
        seen[own] += 1
        out.append(own)
    return tuple(out)
