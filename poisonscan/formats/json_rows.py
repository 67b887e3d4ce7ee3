"""Rows inside of a JSON object: ``{"data": [{...}, ...]}``, and tables turned on their side.

So are SQuAD and what web services return laid out; the ``datasets`` library reads one such array
when it is told its key (``field=``).
"""

from __future__ import annotations

import heapq
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.finding import Json

_SPACES: Final = 3
"""Blanks in a text that is no name."""
_ENOUGH: Final = 10
"""Objects that make an array rows; settings seldom list so many."""
_LONG: Final = 1 << 16
"""Bytes of an array that is rows however few objects it holds."""
_MANY: Final = 1_000
"""Objects that are rows however much else stands in the file."""
_KEPT: Final = 1_000
_KEY_BYTES: Final = 4096
_BLANK: Final = re.compile(rb"[^ \t\r\n\v\f]")
_BRACKET: Final = re.compile(
    rb'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+(?P<bracket>[\[\]{}])', re.DOTALL
)
_KEY: Final = re.compile(rb'("(?:[^"\\]++|\\.)*+")\s*:\s*\Z', re.DOTALL)
_ON_ITS_SIDE: Final = re.compile(
    rb'\s*\{\s*"(?:[^"\\]|\\.){0,1000}"\s*:\s*(?:\{\s*"0"\s*:|\[\s*["\d\[tfn-])', re.DOTALL
)

_LISTS: Final = re.compile(rb"\[\s*\[")
_TEXTS: Final = re.compile(rb'\[\s*"')


@dataclass(frozen=True, slots=True)
class Field:
    """An array in an object.

    Attributes:
        name: its key.
        start: where its bracket stands, in bytes.
        size: bytes from there to its end, or to the file's.
        objects: how many objects are elements of it.
    """

    name: str
    start: int
    size: int
    objects: int


def first_byte(view: memoryview) -> int:
    """Where the first byte stands that is not blank; the length where all are."""
    mark = 3 if bytes(view[:3]) == b"\xef\xbb\xbf" else 0
    match = _BLANK.search(view, mark)
    return len(view) if match is None else match.start()


def row_fields(view: memoryview) -> list[Field]:
    """The arrays of an object that are rows, the longest first; none where it is settings.

    Rows make up at least half of what the object holds in brackets: an added token stands beside a
    vocabulary. Long texts and blanks do not count, they may be there to hide rows.
    """
    if bytes(view[(start := first_byte(view)) : start + 1]) != b"{":
        return []
    in_arrays = in_all = 0
    found: list[tuple[int, int, int]] = []
    for start, size, objects in _inside(view):
        in_all += size
        in_arrays += size if objects else 0
        if objects >= _ENOUGH or (objects and size >= _LONG):
            found.append((size, start, objects))
        if len(found) > 2 * _KEPT:
            found = heapq.nlargest(_KEPT, found)
    half = 2 * in_arrays >= in_all
    return [
        Field(_name(view, start), start, size, objects)
        for size, start, objects in sorted(found, reverse=True)
        if half or objects >= _MANY
    ]


def _inside(view: memoryview) -> Iterator[tuple[int, int, int]]:
    """What is one level down: start, size, and how many objects an array has as elements.

    What has no end goes on to the end of the file.
    """
    position = depth = objects = 0
    start, is_array = -1, False
    while (match := _BRACKET.match(view, position)) is not None:
        position = match.end()
        bracket = match["bracket"]
        if bracket in b"[{":
            if depth == 1:
                start, objects, is_array = position - 1, 0, bracket == b"["
            objects += depth == 2 and is_array and bracket == b"{"
            depth += 1
            continue
        depth -= 1
        if depth == 1 and start >= 0:
            yield start, position - start, objects
            start = -1
        if depth <= 0:
            return
    if start >= 0:
        yield start, len(view) - start, objects


def _name(view: memoryview, start: int) -> str:
    match = _KEY.search(bytes(view[max(0, start - _KEY_BYTES) : start]))
    try:
        return str(json.loads(match[1])) if match is not None else ""
    except ValueError:
        return ""


def on_its_side(document: Json) -> str:
    """What table a document seems to be whose rows are no objects; empty for settings."""
    if isinstance(document, list):
        lists = len(document) >= _ENOUGH and all(_is_list(row) for row in document)
        widths = {len(row) for row in document} if lists else set()  # type: ignore[arg-type]
        return "rows as lists of values" if len(widths) == 1 else ""
    if not isinstance(document, dict) or not document:
        return ""
    columns, data = document.get("columns"), document.get("data")
    if _is_list(columns) and _is_list(data) and all(_is_list(row) for row in data):  # type: ignore[union-attr]
        return "names of columns beside lists of values"
    parts = list(document.values())
    if all(isinstance(part, dict) for part in parts):
        keys = [list(part) for part in parts]  # type: ignore[arg-type]
        numbered = [str(number) for number in range(_ENOUGH)]
        if keys[0][:_ENOUGH] == numbered and all(each == keys[0] for each in keys):
            return "columns of values by the number of their row"
        if list(document)[:_ENOUGH] == numbered and all(each == keys[0] for each in keys):
            return "rows by their number"
    elif all(_is_list(part) for part in parts) and len(parts) > 1:
        if all(is_prose(part) for part in parts):
            return "texts in a list for each label"
        lengths = {len(part) for part in parts}  # type: ignore[arg-type]
        if len(lengths) == 1 and lengths.pop() >= _ENOUGH:
            return "columns as lists of equal length"
    return ""


def is_prose(document: Json) -> bool:
    """Whether a document is a list of texts, most of them of several words, not of names."""
    if not isinstance(document, list) or len(document) < _ENOUGH:
        return False
    texts = [item for item in document if isinstance(item, str)]
    spaced = sum(item.count(" ") >= _SPACES for item in texts)
    return len(texts) == len(document) and 2 * spaced > len(texts)


def begins_on_its_side(view: memoryview) -> str:
    """The same of a document too big to be parsed, by how it begins."""
    begin = _front(view)
    if _ON_ITS_SIDE.match(begin) is not None:
        return "columns of values"
    return "rows as lists of values" if _LISTS.match(begin) is not None else ""


def begins_as_texts(view: memoryview) -> bool:
    """Whether a document too big to be parsed begins as a list of texts."""
    return _TEXTS.match(_front(view)) is not None


def _front(view: memoryview) -> bytes:
    start = first_byte(view)
    return bytes(view[start : start + _KEY_BYTES])


def _is_list(value: Json) -> bool:
    return isinstance(value, list)
