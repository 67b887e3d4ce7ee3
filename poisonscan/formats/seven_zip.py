"""7z archives: solid blocks, chains of coders, compressed headers; unpacked in memory only."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Archive, Artifact, Expansion
from poisonscan.formats.inflate import Stream
from poisonscan.formats.member_names import leaves_folder
from poisonscan.formats.seven_zip_coders import unpack
from poisonscan.formats.seven_zip_header import (
    ENCODED,
    SIGNATURE,
    START,
    Contents,
    Cursor,
    Folder,
    HeaderError,
    Streams,
    read_header,
    read_streams,
)
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_ENCODINGS: Final = 4
"""Headers packed within packed headers; 7-Zip writes one."""
_ANOMALIES_KEPT: Final = 20
"""Of each kind."""


class SevenZip:
    """7z archives."""

    name = "7z"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its signature."""
        return head.startswith(SIGNATURE)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Every file in it."""
        archive = _Archive(blob, view, budget)
        items, stopped = archive.read()
        yield Archive(blob.path, self.name, archive.files, tuple(archive.anomalies), blob.base)
        yield Expansion(blob.path, self.name, len(view), archive.unpacked)
        yield from items
        if stopped is not None:
            raise stopped


class _Archive:
    """One archive and what comes out of it."""

    def __init__(self, blob: Blob, view: memoryview, budget: Budget) -> None:
        self.blob, self.view, self.budget = blob, view, budget
        self.anomalies: list[Anomaly] = []
        self.files = 0
        self.unpacked = 0
        self._items: list[Blob | Artifact | Gap] = []

    def read(self) -> tuple[list[Blob | Artifact | Gap], LimitReached | None]:
        """All that could be read, and the limit that stopped it."""
        try:
            contents = self._header()
            if contents is not None:
                self.files = len(contents.filled)
                self._folders(contents)
        except HeaderError as error:
            self._gap(f"damaged 7z archive: {error}")
        except LimitReached as error:
            return self._items, error
        return self._items, None

    def _gap(self, reason: str, name: str = "") -> None:
        self._items.append(Gap(f"{self.blob.path}!/{name}" if name else self.blob.path, reason))

    def _header(self) -> Contents | None:
        """The header, unpacked if it is packed; None for an empty archive."""
        if len(self.view) < START:
            message = "it is cut short"
            raise HeaderError(message)
        crc, offset, size, header_crc = struct.unpack_from("<IQQI", self.view, 8)
        if zlib.crc32(self.view[12:START]) != crc:
            self._note("wrong-checksum", "has a wrong checksum of its first header")
        end = START + offset + size
        if end > len(self.view):
            message = f"its header is at byte {START + offset:,}, behind the end"
            raise HeaderError(message)
        rest = self.view[end:]
        if len(rest) and bytes(rest[:4096]).strip(b"\0"):
            base = None if self.blob.base is None else self.blob.base + end
            self._items.append(self.blob.part("trailing", rest, base))
        if not size:
            return None
        header = self.view[START + offset : end]
        if zlib.crc32(header) != header_crc:
            self._note("wrong-checksum", "has a wrong checksum of its header")
        for _ in range(_ENCODINGS):
            if header[0] != ENCODED:
                return read_header(header)
            header = self._packed_header(read_streams(Cursor(header[1:])))
        message = "its header is packed too many times"
        raise HeaderError(message)

    def _packed_header(self, streams: Streams) -> memoryview:
        if not streams.folders:
            message = "its packed header has no content"
            raise HeaderError(message)
        out, reason, stopped = self._unpack(
            streams, streams.folders[0], 0, START + streams.position
        )
        if stopped is not None:
            raise stopped
        if reason or not out:
            message = f"its header {reason or 'is empty'}"
            raise HeaderError(message)
        return memoryview(out)

    def _folders(self, contents: Contents) -> None:
        streams = contents.streams
        names = iter(self._names(contents))
        stream, position = 0, START + streams.position
        for folder in streams.folders:
            out, reason, stopped = self._unpack(streams, folder, stream, position)
            taken = streams.sizes[stream : stream + len(folder.packed)]
            stream, position = stream + len(folder.packed), position + sum(taken)
            self.unpacked += len(out)
            self._split(folder, memoryview(out), names, reason)
            if stopped is not None:
                raise stopped

    def _names(self, contents: Contents) -> Iterator[str]:
        """The names of the files that have content."""
        for number, filled in enumerate(contents.filled):
            name = contents.names[number] if number < len(contents.names) else f"@{number}"
            if leaves_folder(name):
                what = "leaves the folder that the archive is unpacked in"
                self._note("path-leaves-folder", what, name)
            if filled:
                yield name

    def _split(self, folder: Folder, out: memoryview, names: Iterator[str], reason: str) -> None:
        """The files of a solid block, as far as they came out."""
        start = 0
        for number, (size, crc) in enumerate(zip(folder.streams, folder.checksums, strict=True)):
            self.budget.take_member()
            name = next(names, f"@{number}")
            part = out[start : start + size]
            start += size
            if len(part) < size or (reason and number == len(folder.streams) - 1):
                self._gap(reason or "is cut short", name)
            elif crc is not None and zlib.crc32(part) != crc:
                self._note("wrong-checksum", "has a wrong checksum", name)
            if len(part):
                self._items.append(self.blob.part(name, part, None))

    def _unpack(
        self, streams: Streams, folder: Folder, stream: int, position: int
    ) -> tuple[bytearray, str, LimitReached | None]:
        """Run a folder's coders, from the one that reads the file to the last."""
        if any(coder.inputs != 1 or coder.outputs != 1 for coder in folder.coders):
            return bytearray(), "is packed with a coder of several streams, such as BCJ2", None
        if stream + 1 > len(streams.sizes):
            message = "a folder has no packed stream"
            raise HeaderError(message)
        size = streams.sizes[stream]
        data = self.view[position : position + size]
        reason = "" if len(data) == size else "is cut short"
        out = bytearray()
        for index in self._order(folder):
            out = bytearray()
            result = self._run(folder, index, data, out)
            if result.stopped is not None:
                return out, result.reason, result.stopped
            reason = reason or result.reason
            data = memoryview(out)
        return out, reason, None

    def _run(self, folder: Folder, index: int, data: memoryview, out: bytearray) -> Stream:
        try:
            return unpack(folder.coders[index], data, folder.sizes[index], self.budget, out)
        except LimitReached as error:
            return Stream(0, str(error), error)

    def _order(self, folder: Folder) -> list[int]:
        """Coders in the order in which data go through them."""
        follows = {output: taker for taker, output in folder.pairs}
        order = [folder.packed[0]]
        while (taker := follows.get(order[-1])) is not None and len(order) < len(folder.coders):
            order.append(taker)
        if len(order) != len(folder.coders) or max(order) >= len(folder.coders):
            message = "the coders of a folder are no chain"
            raise HeaderError(message)
        return order

    def _note(self, kind: str, what: str, name: str = "") -> None:
        if sum(one.kind == kind for one in self.anomalies) < _ANOMALIES_KEPT:
            self.anomalies.append(Anomaly(kind, what, 0, name))
