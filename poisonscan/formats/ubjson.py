"""Universal Binary JSON as a stream of tokens, as XGBoost writes it.

Layout: draft 12 of the specification at ubjson.org; numbers are big-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.formats.json_tokens import DEPTH, Range, Token
from poisonscan.limits import LimitReached

_NUMBERS: Final = {
    b"i": "b", b"U": "B", b"I": "h", b"l": "i", b"L": "q", b"d": "f", b"D": "d",
}  # fmt: skip
_WORDS: Final = {b"Z": "null", b"N": "", b"T": "true", b"F": "false"}
_LONGEST_TEXT: Final = 1 << 16
_LONGEST_LIST: Final = 1 << 23


@dataclass(slots=True)
class _Container:
    """An object or list that is being read; ``left`` items follow, -1 if a marker ends it."""

    is_object: bool
    left: int = -1
    of: bytes = b""


class _Reader:
    def __init__(self, view: memoryview, wanted: Container[str]) -> None:
        self.view = view
        self.wanted = wanted
        self.position = 0

    def take(self, size: int) -> memoryview:
        if not 0 <= size <= len(self.view) - self.position:
            message = (
                f"{size:,} bytes at byte {self.position:,} do not fit in {len(self.view):,} bytes"
            )
            raise ValueError(message) if size < 0 or size > 16 else EOFError(message)
        start, self.position = self.position, self.position + size
        return self.view[start : self.position]

    def byte(self) -> bytes:
        return bytes(self.take(1))

    def number(self, marker: bytes) -> float:
        code = _NUMBERS.get(marker)
        if code is None:
            message = f"the unknown type {marker!r} at byte {self.position - 1:,}"
            raise ValueError(message)
        (value,) = struct.unpack(f">{code}", self.take(struct.calcsize(code)))
        return float(value) if code in "fd" else int(value)

    def length(self) -> int:
        value = self.number(self.byte())
        if not isinstance(value, int) or value < 0:
            message = f"the length {value} at byte {self.position:,}"
            raise ValueError(message)
        return value

    def text(self) -> str:
        data = self.take(self.length())
        return bytes(data[:_LONGEST_TEXT]).decode("utf-8", "replace")

    def open(self, marker: bytes) -> _Container:
        """What follows an opening bracket: ``$`` and the type, ``#`` and the count, or nothing."""
        found = _Container(marker == b"{")
        if bytes(self.view[self.position : self.position + 1]) == b"$":
            self.take(1)
            found.of = self.byte()
            if self.byte() != b"#":
                message = f"a type without a count at byte {self.position - 1:,}"
                raise ValueError(message)
            found.left = self.length()
        elif bytes(self.view[self.position : self.position + 1]) == b"#":
            self.take(1)
            found.left = self.length()
        if found.left > len(self.view) - self.position and found.of not in _WORDS:
            message = (
                f"a list of {found.left:,} items at byte {self.position:,} is longer than the file"
            )
            raise ValueError(message)
        return found

    def packed(self, key: str, found: _Container) -> Range | None:
        """A list of numbers of one type, stored as they are."""
        code = _NUMBERS[found.of]
        data = self.take(found.left * struct.calcsize(code))
        if key not in self.wanted:
            return None
        if found.left > _LONGEST_LIST:
            message = f"a list of more than {_LONGEST_LIST:,} numbers"
            raise LimitReached(message)
        numbers = struct.unpack(f">{found.left}{code}", data)
        return Range(found.left, min(numbers, default=0), max(numbers, default=0))


def ubjson_tokens(view: memoryview, wanted: Container[str] = ()) -> Iterator[Token]:
    """The tokens of the document that begins here, up to its end.

    Args:
        view: the document.
        wanted: keys of the lists of numbers that are read.

    Raises:
        EOFError: the document has no end.
        ValueError: a length that reaches over the end, or an unknown type.
        LimitReached: nested too deep, or a list that is too long.
    """
    reader = _Reader(view, wanted)
    stack: list[_Container] = []
    while True:
        while stack and stack[-1].left == 0:
            stack.pop()
            yield Token("close", offset=reader.position)
        if not stack and reader.position:
            return
        key, marker = _next(reader, stack)
        start = reader.position
        if marker in (b"}", b"]"):
            if not stack or stack[-1].left >= 0:
                message = f"a bracket that closes nothing at byte {start - 1:,}"
                raise ValueError(message)
            stack.pop()
            yield Token("close", offset=start)
            continue
        if stack and stack[-1].left > 0:
            stack[-1].left -= 1
        if marker not in (b"{", b"["):
            yield _scalar(reader, key, marker)
            continue
        found = reader.open(marker)
        if not found.is_object and found.of in _NUMBERS:
            yield Token("numbers", key, numbers=reader.packed(key, found), offset=start)
            continue
        if found.of in _WORDS:
            found.left = 0  # a count of nothing: no bytes follow
        stack.append(found)
        if len(stack) > DEPTH:
            message = f"nested more than {DEPTH:,} deep"
            raise LimitReached(message)
        yield Token("open", key, offset=start)


def _next(reader: _Reader, stack: list[_Container]) -> tuple[str, bytes]:
    """The key and the type of the next value, or the bracket that ends the container."""
    if not stack:
        return "", reader.byte()
    top = stack[-1]
    here = bytes(reader.view[reader.position : reader.position + 1])
    while here == b"N":  # a filler
        reader.take(1)
        here = bytes(reader.view[reader.position : reader.position + 1])
    if top.left < 0 and here == (b"}" if top.is_object else b"]"):
        return "", reader.byte()
    key = reader.text() if top.is_object else ""
    return key, top.of or reader.byte()


def _scalar(reader: _Reader, key: str, marker: bytes) -> Token:
    start = reader.position
    if marker in (b"S", b"H"):
        return Token("text", key, reader.text(), offset=start)
    if marker == b"C":
        return Token("text", key, reader.byte().decode("latin-1"), offset=start)
    if marker in _WORDS:
        return Token("word", key, _WORDS[marker], offset=start)
    return Token("word", key, str(reader.number(marker)), offset=start)
