"""Read structs of Thrift's compact protocol, as parquet describes itself with.

Only what that takes: integers, lists and structs; everything else is passed over. (Apache Thrift,
"Thrift Compact protocol encoding".)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Fields = dict[int, Any]
"""A struct: its fields by number."""
MAX_NESTING = 16
_NONSENSE = "its description makes no sense"
_BOOLEANS, _INTEGERS, _LISTS = {1, 2}, {4, 5, 6}, {9, 10}
_BINARY, _STRUCT = 8, 12
_SIZES = {3: 1, 7: 8}
"""Bytes of the other types: a byte, a double."""


class ShortError(ValueError):
    """The data ends within a value."""


@dataclass(slots=True)
class Compact:
    """Values from ``place`` on, each read once.

    Raises:
        ShortError: the data ends within a value.
        ValueError: it makes no sense.
    """

    data: bytes
    place: int = 0

    def byte(self) -> int:
        """One byte."""
        if self.place >= len(self.data):
            raise ShortError("its description ends too early")
        self.place += 1
        return self.data[self.place - 1]

    def varint(self) -> int:
        """A number of seven bits a byte (ULEB128), of at most 64 bits."""
        value = self.byte()
        if value < 128:
            return value
        value, shift = value & 127, 7
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number in its description is too long")

    def signed(self) -> int:
        """A number with its sign in the lowest bit."""
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def take(self, count: int) -> bytes:
        """Bytes."""
        if count > len(self.data) - self.place:
            raise ShortError("its description ends too early")
        self.place += count
        return self.data[self.place - count : self.place]

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and type of each field of a struct; the caller takes its value in between."""
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.signed()
            yield number, head & 15

    def items(self) -> tuple[int, int]:
        """Length and type of the items of a list."""
        head = self.byte()
        count = head >> 4 if head >> 4 < 15 else self.varint()
        if count > len(self.data) - self.place:
            raise ShortError("a list in its description is longer than the description")
        return count, head & 15

    def struct(self, depth: int = 0) -> Fields:
        """A struct as its fields by number: integers, lists and structs; None for the rest."""
        return {number: self.value(kind, depth + 1) for number, kind in self.fields()}

    def value(self, kind: int, depth: int = 0, *, item: bool = False) -> Any:
        """A value of a type; in a list, booleans take a byte of their own."""
        if depth > MAX_NESTING:
            raise ValueError("its description is nested too deeply")
        if kind in _BOOLEANS:
            return (self.byte() == 1) if item else kind == 1
        if kind in _INTEGERS:
            return self.signed()
        if kind in _LISTS:
            count, of = self.items()
            return [self.value(of, depth + 1, item=True) for _ in range(count)]
        if kind == _STRUCT:
            return self.struct(depth)
        if kind not in _SIZES and kind != _BINARY:
            raise ValueError(_NONSENSE)
        self.take(_SIZES[kind] if kind in _SIZES else self.varint())
        return None


def integer(fields: Fields, number: int) -> int:
    """A field that holds an integer; 0 when it is absent."""
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise ValueError(_NONSENSE)
    return value


def structure(fields: Fields, number: int) -> Fields:
    """A field that holds a struct; empty when it is absent."""
    value = fields.get(number, {})
    if not isinstance(value, dict):
        raise ValueError(_NONSENSE)
    return value
