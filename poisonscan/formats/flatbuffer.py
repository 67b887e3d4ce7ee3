"""Flatbuffers read in place: every offset is checked against the bytes that there are.

Layout: https://flatbuffers.dev/internals/ (a table begins with a signed offset back to its vtable,
which says where each field is; strings and vectors begin with a 32-bit count).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.limits import Budget

_U16: Final = struct.Struct("<H")
_I32: Final = struct.Struct("<i")
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_BY_WIDTH: Final = {1: struct.Struct("<b"), 2: _U16, 4: _I32, 8: _U64}


class FlatbufferError(ValueError):
    """An offset or a count that does not fit; the message says where."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table at ``position``, with the offsets of its fields from there (0: absent)."""

    view: memoryview
    position: int
    offsets: tuple[int, ...]

    def place(self, field: int, width: int) -> int | None:
        """Where the ``width`` bytes of a field are; None if it is absent.

        Raises:
            FlatbufferError: they are not in the file.
        """
        offset = self.offsets[field] if field < len(self.offsets) else 0
        if not offset:
            return None
        position = self.position + offset
        if position + width > len(self.view):
            _refuse("a field", position)
        return position

    def number(self, field: int, width: int, default: int = 0) -> int:
        """A whole number: signed for 1 and 4 bytes, unsigned for 2 and 8."""
        position = self.place(field, width)
        if position is None:
            return default
        return int(_BY_WIDTH[width].unpack_from(self.view, position)[0])

    def target(self, field: int) -> int | None:
        """What an offset field points at; None if it is absent."""
        position = self.place(field, 4)
        return None if position is None else _follow(self.view, position)

    def table(self, field: int) -> Table | None:
        """A table in a field."""
        position = self.target(field)
        return None if position is None else table_at(self.view, position)

    def span(self, field: int, width: int = 1) -> tuple[int, int]:
        """First byte and number of elements of a vector of ``width`` bytes each.

        Raises:
            FlatbufferError: it reaches over the end.
        """
        position = self.target(field)
        if position is None:
            return 0, 0
        if position + 4 > len(self.view):
            _refuse("a vector", position)
        (count,) = _U32.unpack_from(self.view, position)
        if position + 4 + count * width > len(self.view):
            _refuse(f"a vector of {count:,} elements", position)
        return position + 4, count

    def text(self, field: int, limit: int = 4096) -> str:
        """A string; at most ``limit`` bytes of it, what is no UTF-8 replaced."""
        start, count = self.span(field)
        return bytes(self.view[start : start + min(count, limit)]).decode("utf-8", "replace")

    def numbers(self, field: int, budget: Budget) -> Iterator[int]:
        """The elements of a vector of 32-bit signed numbers."""
        start, count = self.span(field, 4)
        for position in range(start, start + 4 * count, 4):
            budget.take_field()
            yield int(_I32.unpack_from(self.view, position)[0])

    def tables(self, field: int, budget: Budget) -> Iterator[Table]:
        """The tables of a vector."""
        start, count = self.span(field, 4)
        for position in range(start, start + 4 * count, 4):
            budget.take_field()
            yield table_at(self.view, _follow(self.view, position))


def root(view: memoryview) -> Table:
    """The outermost table.

    Raises:
        FlatbufferError: there is none.
    """
    if len(view) < 8:
        _refuse("the root", 0)
    return table_at(view, _follow(view, 0))


def table_at(view: memoryview, position: int) -> Table:
    """The table at a position.

    Raises:
        FlatbufferError: it, or its vtable, is not in the file.
    """
    if not 0 <= position <= len(view) - 4:
        _refuse("a table", position)
    vtable = position - int(_I32.unpack_from(view, position)[0])
    if not 0 <= vtable <= len(view) - 4:
        _refuse("a vtable", vtable)
    (size,) = _U16.unpack_from(view, vtable)
    if size < 4 or size % 2 or vtable + size > len(view):
        _refuse(f"a vtable of {size} bytes", vtable)
    offsets = struct.unpack_from(f"<{size // 2 - 2}H", view, vtable + 4)
    return Table(view, position, offsets)


def _follow(view: memoryview, position: int) -> int:
    (offset,) = _U32.unpack_from(view, position)
    if not 0 < offset < len(view) - position:
        _refuse(f"an offset of {offset:,} bytes", position)
    return position + int(offset)


def _refuse(what: str, at: int) -> None:
    message = f"{what} at byte {at:,} that is not in the file"
    raise FlatbufferError(message)
