"""Protocol buffers on the wire, walked in place: no schema compiler, no copies, linear time.

Encoding: https://protobuf.dev/programming-guides/encoding/ (varints of up to 10 bytes, wire types
0 to 5, groups that nest). Repeated messages of a field that should stand once are merged by every
parser, so callers read all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from poisonscan.limits import Budget, LimitReached

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
_GROUP: Final = 3
_END_GROUP: Final = 4
FIXED32: Final = 5
DEPTH: Final = 100
"""Messages within messages: where the official parsers stop."""
_LONGEST_VARINT: Final = 10
_LARGEST_FIELD: Final = (1 << 29) - 1
_SNIFFED: Final = 100_000
"""Fields that are looked at to tell what a file is."""


class ProtobufError(ValueError):
    """Bytes that are no protocol buffer; the message says where."""


class Message(NamedTuple):
    """A message's bytes, ``start`` to ``end`` of the file, ``depth`` messages below the first."""

    start: int
    end: int
    depth: int = 0


class Field(NamedTuple):
    """A field as it stands on the wire.

    Attributes:
        number: of the field in its message.
        wire: ``VARINT``, ``FIXED64``, ``BYTES`` or ``FIXED32``.
        value: the number of a varint, unsigned; 0 for the other wire types.
        start: offset of the first byte of its content.
        end: offset behind the last one.
        depth: of the message in it, if it is one.
    """

    number: int
    wire: int
    value: int
    start: int
    end: int
    depth: int

    @property
    def message(self) -> Message:
        """The content as a message.

        Raises:
            ProtobufError: it is a number, or nested too deep.
        """
        if self.wire != BYTES:
            message = f"field {self.number} at byte {self.start:,} is a number and no message"
            raise ProtobufError(message)
        if self.depth > DEPTH:
            message = f"messages nested more than {DEPTH} deep at byte {self.start:,}"
            raise ProtobufError(message)
        return Message(self.start, self.end, self.depth)


def varint(view: memoryview, position: int, end: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits, and the position behind it.

    Raises:
        ProtobufError: it is cut short or too long.
    """
    if position < end and view[position] < 0x80:  # most have one byte
        return view[position], position + 1
    value = shift = 0
    for index in range(position, min(end, position + _LONGEST_VARINT)):
        byte = view[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, index + 1
        shift += 7
    message = f"a number at byte {position:,} does not end"
    raise ProtobufError(message)


def fields(view: memoryview, message: Message, budget: Budget | None = None) -> Iterator[Field]:
    """The fields of a message in the order of the file; those in groups are stepped over.

    Raises:
        ProtobufError: the bytes are no message.
        LimitReached: more fields than the budget allows.
    """
    position, end, depth = message
    groups: list[int] = []
    while position < end:
        if budget is not None:
            budget.take_field()
        at = position
        key, position = varint(view, position, end)
        number, wire = key >> 3, key & 7
        if not 0 < number <= _LARGEST_FIELD:
            _refuse(f"a field with the number {number:,}", at)
        value, start = 0, position
        if wire == VARINT:
            value, position = varint(view, position, end)
        elif wire == BYTES:
            length, start = varint(view, position, end)
            position = start + length
        elif wire in (FIXED64, FIXED32):
            position += 8 if wire == FIXED64 else 4
        elif wire == _GROUP and len(groups) < DEPTH:
            groups.append(number)
        elif wire != _END_GROUP or not groups or groups.pop() != number:
            _refuse(f"wire type {wire}", at)
        if position > end:
            _refuse(f"field {number} of {position - start:,} bytes reaches over the end", at)
        if not groups and wire not in (_GROUP, _END_GROUP):
            yield Field(number, wire, value, start, position, depth + 1)
    if groups:
        _refuse("a group that does not end", end)


def _refuse(what: str, at: int) -> None:
    message = f"{what} at byte {at:,}"
    raise ProtobufError(message)


def text(view: memoryview, field: Field, limit: int = 4096) -> str:
    """A string field; at most ``limit`` bytes of it, what is no UTF-8 replaced."""
    return bytes(view[field.start : min(field.end, field.start + limit)]).decode("utf-8", "replace")


def numbers(view: memoryview, field: Field) -> Iterator[int]:
    """The numbers of a repeated varint field, packed or one by one, unsigned.

    Raises:
        ProtobufError: a number is cut short.
    """
    if field.wire == VARINT:
        yield field.value
        return
    position = field.start
    while position < field.end:
        value, position = varint(view, position, field.end)
        yield value


def signed(value: int) -> int:
    """A 64-bit number as int64."""
    return value - (1 << 64) if value >> 63 else value


def shape(view: memoryview, schema: Mapping[int, int]) -> dict[int, list[Field]] | None:
    """The fields of a whole file if it follows a schema, for formats that have no magic bytes.

    Args:
        view: the file.
        schema: wire type of each field that the format's outermost message can have.

    Returns:
        Up to 1,000 fields for each number; None if one is not as the schema says, or bytes are left
        that are none. In a file of very many fields, the first ones decide.
    """
    found: dict[int, list[Field]] = {}
    try:
        for index, field in enumerate(fields(view, Message(0, len(view)))):
            if schema.get(field.number) != field.wire:
                return None
            if index >= _SNIFFED:
                break
            same = found.setdefault(field.number, [])
            if len(same) < 1000:
                same.append(field)
    except ProtobufError:
        return None
    return found


def failure(read: Callable[[], None]) -> str:
    """Read something; why that stopped before its end, empty if it did not."""
    try:
        read()
    except ProtobufError as error:
        return f"damaged from here on: {error}"
    except LimitReached as error:
        return f"limit reached: {error}"
    return ""
