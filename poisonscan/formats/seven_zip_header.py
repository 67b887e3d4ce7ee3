"""The headers of 7z archives, with every count checked against the bytes that are left.

Layout: 7zFormat.txt of the LZMA SDK, which is in the public domain.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

SIGNATURE: Final = b"7z\xbc\xaf\x27\x1c"
START: Final = 32
"""Bytes of the signature header; offsets count from behind it."""

_END, _HEADER, _ARCHIVE, _ADDITIONAL, _MAIN, _FILES = 0, 1, 2, 3, 4, 5
_PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC, _FOLDER = 6, 7, 8, 9, 10, 11
_UNPACK_SIZES, _STREAM_COUNTS, _EMPTY_STREAM, _NAMES = 12, 13, 14, 17
ENCODED: Final = 23
_CODERS: Final = 32
"""Coders of one folder; 7-Zip itself takes no more."""
_STREAMS: Final = 64
_NAME_END: Final = b"\0\0"


class HeaderError(ValueError):
    """A header that contradicts itself or its format."""


@dataclass(frozen=True, slots=True)
class Coder:
    """One step of unpacking: a method, its properties, and how many streams go in and out."""

    method: bytes
    properties: bytes
    inputs: int
    outputs: int


@dataclass(slots=True)
class Folder:
    """A chain of coders whose last output is the content of some files in a row.

    Attributes:
        coders: as they stand.
        pairs: input and output that are connected.
        packed: inputs that come from the file.
        sizes: bytes of each output.
        crc: of the content, None if it is not stated.
        streams: sizes of the files in it.
        checksums: of these files.
    """

    coders: list[Coder]
    pairs: list[tuple[int, int]]
    packed: list[int]
    sizes: list[int] = field(default_factory=list)
    crc: int | None = None
    streams: list[int] = field(default_factory=list)
    checksums: list[int | None] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the content: of the output that no other coder takes."""
        taken = {output for _, output in self.pairs}
        last = [index for index in range(len(self.sizes)) if index not in taken]
        if len(last) != 1:
            message = "a folder has no single last coder"
            raise HeaderError(message)
        return self.sizes[last[0]]


@dataclass(slots=True)
class Streams:
    """Where the packed streams are, and the folders that unpack them."""

    position: int = 0
    sizes: list[int] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)


@dataclass(slots=True)
class Contents:
    """A header: streams, and the names of the files, each with whether it has a stream."""

    streams: Streams = field(default_factory=Streams)
    names: list[str] = field(default_factory=list)
    filled: list[bool] = field(default_factory=list)


class Cursor:
    """Reads a header from its front."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes that are left."""
        return len(self.view) - self.position

    def take(self, size: int) -> memoryview:
        """The next ``size`` bytes.

        Raises:
            HeaderError: there are fewer.
        """
        if size > self.left:
            message = "the header ends too soon"
            raise HeaderError(message)
        self.position += size
        return self.view[self.position - size : self.position]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """A number of one to nine bytes; the ones in front of the first byte say how many."""
        first = self.byte()
        more = 8
        while more and first >> (8 - more) != (1 << more) - 1:
            more -= 1
        low = int.from_bytes(self.take(more), "little")
        return low + ((first & ((1 << (7 - more)) - 1)) << (8 * more) if more < 7 else 0)

    def count(self, least: int) -> int:
        """A number of things that take at least ``least`` bits each of what is left."""
        number = self.number()
        if number * least > self.left * 8:
            message = f"the header states {number:,} items and has {self.left:,} bytes left"
            raise HeaderError(message)
        return number

    def bits(self, count: int) -> list[bool]:
        """A vector of bits, the highest of each byte first."""
        raw = self.take((count + 7) // 8)
        return [bool(raw[index >> 3] & 0x80 >> (index & 7)) for index in range(count)]

    def optional_bits(self, count: int) -> list[bool]:
        """A vector of bits behind a byte that says whether all of them are set."""
        return [True] * count if self.byte() else self.bits(count)

    def checksums(self, count: int) -> list[int | None]:
        """Checksums, where they are defined."""
        defined = self.optional_bits(count)
        return [struct.unpack("<I", self.take(4))[0] if known else None for known in defined]


def read_header(view: memoryview) -> Contents:
    """A plain header.

    Raises:
        HeaderError: it is damaged, or of a kind that is not read.
    """
    cursor = Cursor(view)
    if cursor.byte() != _HEADER:
        message = "the header is of an unknown kind"
        raise HeaderError(message)
    contents = Contents()
    while (kind := cursor.byte()) != _END:
        if kind == _ARCHIVE:
            while cursor.number() != _END:
                cursor.take(cursor.number())
        elif kind == _ADDITIONAL:
            read_streams(cursor)
        elif kind == _MAIN:
            contents.streams = read_streams(cursor)
        elif kind == _FILES:
            _read_files(cursor, contents)
        else:
            raise HeaderError(_unknown(kind))
    return contents


def read_streams(cursor: Cursor) -> Streams:
    """The section that describes packed streams and folders."""
    streams = Streams()
    while (kind := cursor.byte()) != _END:
        if kind == _PACK:
            _read_packed(cursor, streams)
        elif kind == _UNPACK:
            _read_folders(cursor, streams)
        elif kind == _SUBSTREAMS:
            _read_substreams(cursor, streams.folders)
        else:
            raise HeaderError(_unknown(kind))
    for folder in streams.folders:
        if not folder.streams and not folder.checksums:
            folder.streams, folder.checksums = [folder.size], [folder.crc]
    return streams


def _read_packed(cursor: Cursor, streams: Streams) -> None:
    streams.position = cursor.number()
    count = cursor.count(8)
    while (kind := cursor.byte()) != _END:
        if kind == _SIZE:
            streams.sizes = [cursor.number() for _ in range(count)]
        elif kind == _CRC:
            cursor.checksums(count)
        else:
            raise HeaderError(_unknown(kind))


def _read_folders(cursor: Cursor, streams: Streams) -> None:
    _expect(cursor, _FOLDER)
    count = cursor.count(16)
    _refuse_external(cursor)
    streams.folders = [_read_folder(cursor) for _ in range(count)]
    _expect(cursor, _UNPACK_SIZES)
    for folder in streams.folders:
        outputs = sum(coder.outputs for coder in folder.coders)
        folder.sizes = [cursor.number() for _ in range(outputs)]
    while (kind := cursor.byte()) != _END:
        if kind != _CRC:
            raise HeaderError(_unknown(kind))
        checksums = cursor.checksums(count)
        for folder, crc in zip(streams.folders, checksums, strict=True):
            folder.crc = crc


def _read_folder(cursor: Cursor) -> Folder:
    count = cursor.number()
    if not 0 < count <= _CODERS:
        message = f"a folder has {count:,} coders"
        raise HeaderError(message)
    coders = []
    for _ in range(count):
        flags = cursor.byte()
        method = bytes(cursor.take(flags & 0x0F))
        inputs, outputs = (cursor.number(), cursor.number()) if flags & 0x10 else (1, 1)
        if not (0 < inputs <= _STREAMS and 0 < outputs <= _STREAMS) or flags & 0xC0:
            message = "a coder is not valid"
            raise HeaderError(message)
        properties = bytes(cursor.take(cursor.number())) if flags & 0x20 else b""
        coders.append(Coder(method, properties, inputs, outputs))
    inputs = sum(coder.inputs for coder in coders)
    outputs = sum(coder.outputs for coder in coders)
    pairs = [(cursor.number(), cursor.number()) for _ in range(outputs - 1)]
    loose = inputs - len(pairs)
    if loose < 1:
        message = "a folder takes nothing from the file"
        raise HeaderError(message)
    taken = {pair[0] for pair in pairs}
    free = [index for index in range(inputs) if index not in taken]
    packed = free[:1] if loose == 1 else [cursor.number() for _ in range(loose)]
    return Folder(coders, pairs, packed)


def _read_substreams(cursor: Cursor, folders: Sequence[Folder]) -> None:
    counts = [1] * len(folders)
    kind = cursor.byte()
    if kind == _STREAM_COUNTS:
        counts = [cursor.number() for _ in folders]
        kind = cursor.byte()
    # A size takes a byte at least; the last of each folder follows from the others.
    if sum(max(count - 1, 0) for count in counts) > cursor.left:
        message = "the header states more files than it has bytes"
        raise HeaderError(message)
    for folder, count in zip(folders, counts, strict=True):
        sizes = [cursor.number() for _ in range(count - 1)] if kind == _SIZE else []
        folder.streams = [*sizes, folder.size - sum(sizes)] if count else []
    if kind == _SIZE:
        kind = cursor.byte()
    while kind != _END:
        if kind != _CRC:
            raise HeaderError(_unknown(kind))
        # The only file of a folder has its checksum there already.
        open_ = [one for one in folders if len(one.streams) != 1 or one.crc is None]
        found = iter(cursor.checksums(sum(len(folder.streams) for folder in open_)))
        for folder in open_:
            folder.checksums = [next(found) for _ in folder.streams]
        kind = cursor.byte()
    for folder in folders:
        _complete(folder)


def _complete(folder: Folder) -> None:
    """What the substreams leave unsaid; a folder without files is looked at all the same."""
    if not folder.streams:
        folder.streams, folder.checksums = [folder.size], [folder.crc]
    elif len(folder.checksums) != len(folder.streams):
        only = len(folder.streams) == 1
        folder.checksums = [folder.crc] if only else [None] * len(folder.streams)
    if folder.streams[-1] < 0:
        message = "the files of a folder are larger than the folder"
        raise HeaderError(message)


def _read_files(cursor: Cursor, contents: Contents) -> None:
    count = cursor.count(1)
    contents.filled = [True] * count
    while (kind := cursor.number()) != _END:
        body = Cursor(cursor.take(cursor.number()))
        if kind == _EMPTY_STREAM:
            contents.filled = [not empty for empty in body.bits(count)]
        elif kind == _NAMES:
            _refuse_external(body)
            contents.names = _read_names(bytes(body.take(body.left)), count)


def _read_names(raw: bytes, count: int) -> list[str]:
    names: list[str] = []
    start = 0
    while len(names) < count and start + 1 < len(raw):
        end = raw.find(_NAME_END, start)
        while end >= 0 and (end - start) % 2:
            end = raw.find(_NAME_END, end + 1)
        end = len(raw) if end < 0 else end
        names.append(raw[start:end].decode("utf-16-le", "backslashreplace"))
        start = end + 2
    return names


def _expect(cursor: Cursor, wanted: int) -> None:
    kind = cursor.byte()
    if kind != wanted:
        raise HeaderError(_unknown(kind))


def _refuse_external(cursor: Cursor) -> None:
    if cursor.byte():
        message = "a part of the header is kept elsewhere"
        raise HeaderError(message)


def _unknown(kind: int) -> str:
    return f"the header has an unexpected part of kind {kind}"
