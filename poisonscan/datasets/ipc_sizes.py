"""How much memory the batches of an Arrow IPC file would take, before any of them is read.

A batch may be compressed, and each of its buffers starts with the size that it unpacks to: the
reader allocates whatever stands there. The sizes are looked up in the file's own index (Arrow
columnar format 1.5, "IPC message format" and "compression"), read with the few lines of FlatBuffers
that this takes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BATCH = 1 << 30
"""Bytes of a batch in memory."""
MAX_METADATA = 64 << 20
_MAGIC = b"ARROW1"
_CONTINUED = 0xFFFFFFFF
_DICTIONARY, _RECORDS = 2, 3
_MESSAGE_KIND, _MESSAGE_HEADER, _MESSAGE_BODY = 1, 2, 3
_DICTIONARY_DATA = 1
_LENGTH, _BUFFERS, _COMPRESSION = 0, 2, 3
_FOOTER_DICTIONARIES, _FOOTER_RECORDS = 2, 3


@dataclass(frozen=True, slots=True)
class _Table:
    """A FlatBuffers table in ``data`` at ``place``."""

    data: bytes
    place: int

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, _number("<I", data, 0))

    def field(self, index: int) -> int:
        """Place of a field; 0 when it is absent."""
        vtable = self.place - _number("<i", self.data, self.place)
        entry = 4 + 2 * index
        if entry >= _number("<H", self.data, vtable):
            return 0
        offset = _number("<H", self.data, vtable + entry)
        return self.place + offset if offset else 0

    def table(self, index: int) -> _Table | None:
        """The table that a field refers to."""
        place = self.field(index)
        return _Table(self.data, place + _number("<I", self.data, place)) if place else None

    def structs(self, index: int, layout: str) -> Iterator[tuple[int, ...]]:
        """The items of a vector of structs."""
        place = self.field(index)
        if not place:
            return
        start = place + _number("<I", self.data, place)
        count = _number("<I", self.data, start)
        size = struct.calcsize(layout)
        if start + 4 + count * size > len(self.data):
            raise ValueError("a list in its index is longer than the index")
        yield from struct.iter_unpack(layout, self.data[start + 4 : start + 4 + count * size])


def _number(layout: str, data: bytes, place: int) -> int:
    if place < 0 or place + struct.calcsize(layout) > len(data):
        raise ValueError("its index points outside itself")
    value: int = struct.unpack_from(layout, data, place)[0]
    return value


@dataclass(frozen=True, slots=True)
class Batch:
    """A record batch of an Arrow file or stream.

    Attributes:
        rows: how many it says it holds.
        size: its bytes in memory.
        problem: why it must not be read; empty when it may be.
    """

    rows: int
    size: int
    problem: str


def record_batches(source: BinaryIO) -> list[Batch]:
    """The record batches of an Arrow file or stream, in order.

    Raises:
        ValueError: the index makes no sense, or a dictionary, which all batches need, has more than
            ``MAX_BATCH`` bytes.
    """
    is_file = source.read(6) == _MAGIC
    found: list[Batch] = []
    for message, body in _of_file(source) if is_file else _of_stream(source):
        try:
            kind, rows, size = _size(source, message, body)
            problem = ""
            if size > MAX_BATCH:
                problem = f"a batch of {size:,} bytes; at most {MAX_BATCH:,} are read at once"
        except ValueError as error:
            kind, rows, size, problem = _RECORDS, 0, 0, str(error)
        if kind == _RECORDS:
            found.append(Batch(rows, size, problem))
        elif problem:
            raise ValueError(problem)
    return found


def _of_file(source: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Message and place of its body for each batch that the footer lists."""
    end = source.seek(0, 2)
    source.seek(max(0, end - 10))
    tail = source.read(10)
    length = _number("<I", tail, 0)
    if tail[4:] != _MAGIC or length > min(MAX_METADATA, end - 10):
        raise ValueError("it has no footer")
    source.seek(end - 10 - length)
    footer = _Table.root(source.read(length))
    for index in (_FOOTER_DICTIONARIES, _FOOTER_RECORDS):
        for place, metadata, _, _ in footer.structs(index, "<qiiq"):
            source.seek(max(0, place))
            message = _message(source)
            # One that is not there still counts: the numbers of the others must not change.
            yield message or b"", place + metadata


def _of_stream(source: BinaryIO) -> Iterator[tuple[bytes, int]]:
    source.seek(0)
    while (message := _message(source)) is not None:
        body = source.tell()
        yield message, body
        place = _Table.root(message).field(_MESSAGE_BODY)
        source.seek(body + max(0, _number("<q", message, place) if place else 0))


def _message(source: BinaryIO) -> bytes | None:
    """The FlatBuffers part of the message that starts here; None at the end of a stream."""
    prefix = source.read(4)
    if prefix == struct.pack("<I", _CONTINUED):
        prefix = source.read(4)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 4 or not length:
        return None
    if length > MAX_METADATA:
        raise ValueError("the description of a batch is too long")
    return source.read(length)


def _size(source: BinaryIO, message: bytes, body: int) -> tuple[int, int, int]:
    """Kind of a message, its rows, and the bytes that it takes in memory."""
    root = _Table.root(message)
    place = root.field(_MESSAGE_KIND)
    kind = _number("<B", message, place) if place else 0
    batch = root.table(_MESSAGE_HEADER) if kind in {_DICTIONARY, _RECORDS} else None
    if batch is not None and kind == _DICTIONARY:
        batch = batch.table(_DICTIONARY_DATA)
    if batch is None:
        return kind, 0, 0
    place = batch.field(_LENGTH)
    rows = max(0, _number("<q", message, place)) if place else 0
    compressed = bool(batch.field(_COMPRESSION))
    total = 0
    for offset, length in batch.structs(_BUFFERS, "<qq"):
        size = length
        if compressed and length >= 8:
            source.seek(max(0, body + offset))
            size = max(length, int.from_bytes(source.read(8), "little", signed=True))
        total += max(0, size)
    return kind, rows, total
