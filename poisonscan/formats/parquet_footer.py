"""The texts by name in a parquet file's footer; all else in it is passed over.

Layout: Apache Parquet 2.11, ``FileMetaData`` field 5; Apache Thrift, "Compact protocol encoding".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_MAGIC: Final = b"PAR1"
_KEY_VALUES: Final = 5
_BOOLEANS: Final = (1, 2)
_BINARY, _MAP, _STRUCT = 8, 11, 12
_INTEGERS: Final = (4, 5, 6)
_LISTS: Final = (9, 10)
_WIDTHS: Final = {1: 1, 2: 1, 3: 1, 7: 8, 13: 16}
"""Bytes of booleans (in lists), bytes, doubles and UUIDs."""
_DEEPEST: Final = 64
"""Structs and lists within each other; parquet's own have fewer than ten."""


def footer(view: memoryview) -> memoryview | None:
    """The footer, None if there is none: then no reader gets anywhere."""
    if len(view) < 12 or bytes(view[-4:]) != _MAGIC:
        return None
    length = int.from_bytes(view[-8:-4], "little")
    return view[-8 - length : -8] if length <= len(view) - 8 else None


def key_values(data: memoryview) -> list[tuple[bytes, memoryview]]:
    """Keys and values of the whole file.

    Raises:
        ValueError: it is not encoded as it should be.
    """
    reader = _Compact(data)
    pairs: list[tuple[bytes, memoryview]] = []
    number = 0
    while (head := reader.byte()) != 0:
        number = number + (head >> 4) if head >> 4 else reader.signed()
        if number == _KEY_VALUES and head & 15 in _LISTS:
            count, kind = reader.items()
            if kind != _STRUCT:
                raise ValueError("key_value_metadata holds no structs")
            pairs += [reader.pair() for _ in range(count)]
        else:
            reader.skip(head & 15)
    return pairs


@dataclass(slots=True)
class _Compact:
    data: memoryview
    place: int = 0

    def byte(self) -> int:
        if self.place >= len(self.data):
            raise ValueError("the footer ends too early")
        self.place += 1
        return self.data[self.place - 1]

    def varint(self) -> int:
        value = shift = 0
        while (byte := self.byte()) >= 128:
            value |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number in the footer is too long")
        return value | byte << shift

    def signed(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def advance(self, count: int) -> int:
        """Where bytes begin that are passed over."""
        if count > len(self.data) - self.place:
            raise ValueError("the footer ends too early")
        self.place += count
        return self.place - count

    def items(self) -> tuple[int, int]:
        """Length and type of the items of a list."""
        head = self.byte()
        count = head >> 4 if head >> 4 < 15 else self.varint()
        if count > len(self.data) - self.place:
            raise ValueError("a list in the footer is longer than the footer")
        return count, head & 15

    def pair(self) -> tuple[bytes, memoryview]:
        """A struct of a key and a value."""
        found: dict[int, memoryview] = {}
        number = 0
        while (head := self.byte()) != 0:
            number = number + (head >> 4) if head >> 4 else self.signed()
            if head & 15 == _BINARY:
                size = self.varint()
                start = self.advance(size)
                found[number] = self.data[start : start + size]
            else:
                self.skip(head & 15)
        return bytes(found.get(1, b"")), found.get(2, memoryview(b""))

    def skip(self, kind: int, depth: int = 0, *, item: bool = False) -> None:
        """Pass over a value; in a list, booleans take a byte of their own."""
        if depth > _DEEPEST:
            raise ValueError("the footer is nested too deeply")
        if kind in _INTEGERS:
            while self.byte() >= 128:
                pass
        elif kind == _BINARY:
            self.advance(self.varint())
        elif kind == _STRUCT:
            while (head := self.byte()) != 0:
                if not head >> 4:
                    self.varint()
                self.skip(head & 15, depth + 1)
        elif kind in _LISTS:
            count, of = self.items()
            for _ in range(count):
                self.skip(of, depth + 1, item=True)
        elif kind in _WIDTHS:
            self.advance(_WIDTHS[kind] if item or kind not in _BOOLEANS else 0)
        elif kind == _MAP:
            self._skip_map(depth)
        else:
            raise ValueError("a type in the footer is unknown")

    def _skip_map(self, depth: int) -> None:
        count = self.varint()
        if count > len(self.data) - self.place:
            raise ValueError("a map in the footer is longer than the footer")
        kinds = self.byte() if count else 0
        for _ in range(count):
            self.skip(kinds >> 4, depth + 1, item=True)
            self.skip(kinds & 15, depth + 1, item=True)
