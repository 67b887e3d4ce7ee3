"""A JSON document as a stream of tokens, read in place: nothing of it is built in memory.

Lenient: what is between tokens may be missing or wrong. A document that a strict reader refuses
does no harm; one that is read twice in two ways is told by its tokens all the same.
Grammar: RFC 8259.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from poisonscan.limits import LimitReached

DEPTH: Final = 1_000
"""Objects and lists within each other; parsers of model files give up long before."""

_LONGEST_TEXT: Final = 1 << 16
_LONGEST_LIST: Final = 1 << 26
_TOKEN: Final = re.compile(
    rb"[\s,]*+(?:"
    rb'(?P<key>"(?:[^"\\]++|\\.)*+"\s*+:)'
    rb'|(?P<text>"(?:[^"\\]++|\\.)*+")'
    rb"|(?P<numbers>\[[-+0-9.eE,\s]*+\])"
    rb"|(?P<open>[{\[])"
    rb"|(?P<close>[}\]])"
    rb'|(?P<word>[^\s,:"\[\]{}]++)'
    rb")",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_SHORT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, slots=True)
class Range:
    """A list of numbers: how many, and the lowest and highest of them (0 for none)."""

    count: int
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a document.

    Attributes:
        kind: ``open`` and ``close`` stand around the content of an object or list.
        key: under which an object has it, empty in lists.
        text: of a ``text`` (the first 65,536 bytes) or ``word`` (a number, true, false or null).
        numbers: of a list of numbers that was asked for.
        offset: of its first byte.
    """

    kind: Literal["open", "close", "text", "word", "numbers"]
    key: str = ""
    text: str = ""
    numbers: Range | None = None
    offset: int = 0


def json_tokens(view: memoryview, wanted: Container[str] = ()) -> Iterator[Token]:
    """The tokens of the document that begins here, up to its end.

    Args:
        view: the document.
        wanted: keys of the lists of numbers that are read.

    Raises:
        EOFError: the document has no end.
        ValueError: something in it is no JSON.
        LimitReached: nested too deep, or a list that is too long.
    """
    position, key, depth = 0, "", 0
    while True:
        match = _TOKEN.match(view, position)
        if match is None:
            rest = bytes(view[position : position + 64]).strip(b" \t\r\n,")
            if not rest or rest.startswith((b'"', b"[")):
                raise EOFError
            message = f"byte {position:,} is no part of a JSON document"
            raise ValueError(message)
        kind = str(match.lastgroup)
        start, position = match.start(kind), match.end()
        if kind == "key":
            key = _string(view, start, view_end(view, start, position))
            continue
        token = _token(view, kind, key, start, position, wanted)
        depth += (kind == "open") - (kind == "close")
        if depth > DEPTH:
            message = f"nested more than {DEPTH:,} deep"
            raise LimitReached(message)
        yield token
        key = ""
        if depth <= 0:
            return


def view_end(view: memoryview, start: int, end: int) -> int:
    """Where the string of a key ends: before the white space and the colon behind it."""
    behind = bytes(view[max(start, end - 64) : end]).rstrip(b": \t\r\n")
    return max(start, end - 64) + len(behind)


def _token(
    view: memoryview, kind: str, key: str, start: int, end: int, wanted: Container[str]
) -> Token:
    match kind:
        case "numbers":
            found = _range(view[start + 1 : end - 1]) if key in wanted else None
            return Token("numbers", key, numbers=found, offset=start)
        case "text":
            return Token("text", key, _string(view, start, end), offset=start)
        case "word":
            word = bytes(view[start : min(end, start + 64)]).decode("latin-1")
            return Token("word", key, word, offset=start)
        case "open":
            return Token("open", key, offset=start)
        case _:
            return Token("close", key, offset=start)


def _range(digits: memoryview) -> Range:
    if len(digits) > _LONGEST_LIST:
        message = f"a list of numbers of more than {_LONGEST_LIST:,} bytes"
        raise LimitReached(message)
    numbers = [float(item) for item in bytes(digits).split(b",") if item.strip()]
    return Range(len(numbers), min(numbers, default=0), max(numbers, default=0))


def _string(view: memoryview, start: int, end: int) -> str:
    """The content of a string literal, with its escapes resolved."""
    raw = bytes(view[start + 1 : min(end - 1, start + 1 + _LONGEST_TEXT)])
    text = raw.decode("utf-8", "replace")
    return _ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(match: re.Match[str]) -> str:
    code, letter = match.groups()
    return chr(int(code, 16)) if code else _SHORT.get(letter, letter)
