"""Members of a tar archive, one after the other, from a file or a gzip stream.

Headers are read as the checks of tar archives read them (``formats.tar_headers``); contents are
read when asked for, up to a limit.
"""

from __future__ import annotations

import contextlib
import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from poisonscan.formats.tar_headers import BLOCK, Extended, extended_by, header_of, pax_records

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_RECORD = 1 << 20
_EXTENDING = (b"L", b"K", b"x", b"g", b"X")
_FILES = (b"0", b"\0", b"7")
_GZIP = b"\x1f\x8b"
_EMPTY = bytes(BLOCK)
_LARGEST = 1 << 60


@dataclass(slots=True)
class Member:
    """A regular file in an archive.

    Attributes:
        name: with forward slashes.
        size: bytes of its content.
    """

    name: str
    size: int
    _source: BinaryIO

    def read(self, limit: int) -> bytes | None:
        """Its content, once, before the next member is asked for; None if longer than ``limit``.

        Raises:
            ValueError: the archive ends before it does.
        """
        if self.size > limit:
            return None
        data = self._source.read(self.size)
        if len(data) != self.size:
            raise ValueError("the archive ends within a member")
        return data


def members(file: str) -> Iterator[Member]:
    """The regular files of an archive, in order.

    Raises:
        ValueError: a header is damaged, or the archive is cut short.
        OSError: it cannot be read.
    """
    with contextlib.ExitStack() as stack:
        source: BinaryIO = stack.enter_context(Path(file).open("rb"))
        packed = source.read(2) == _GZIP
        source.seek(0)
        if packed:
            source = cast("BinaryIO", stack.enter_context(gzip.GzipFile(fileobj=source)))
        try:
            yield from _members(source)
        except (EOFError, zlib.error) as error:
            raise ValueError(str(error)) from None


def _members(source: BinaryIO) -> Iterator[Member]:
    position = 0
    said, lasting = Extended(), dict[bytes, bytes]()
    while len(block := _at(source, position, BLOCK)) == BLOCK:
        if block == _EMPTY:
            return
        header = header_of(block)
        if header is None:
            message = f"damaged tar header at byte {position:,}"
            raise ValueError(message)
        position += BLOCK
        if header.kind in _EXTENDING:
            data = _at(source, position, min(header.size, _LONGEST_RECORD))
            records = pax_records(data)[0] if header.kind not in (b"L", b"K") else {}
            if header.kind == b"g":
                lasting |= records
            else:
                said = extended_by(header.kind, data, lasting | records, said)
            position += _padded(min(header.size, _LARGEST))
            continue
        if lasting and not said.name and said.size is None:
            said = extended_by(b"g", b"", lasting, said)
        name, size = said.name or header.name, header.size if said.size is None else said.size
        if size > _LARGEST or header.size > _LARGEST:
            message = f"the member at byte {position:,} is larger than any file"
            raise ValueError(message)
        if header.kind in _FILES and not said.sparse:
            _at(source, position, 0)
            yield Member(name, size, source)
        said = Extended()
        position += _padded(size) if header.kind not in (b"1", b"2", b"3", b"4", b"5", b"6") else 0
    raise ValueError("the archive has no end: it may be cut short")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _at(source: BinaryIO, position: int, count: int) -> bytes:
    """Bytes from a place that is not before where the stream is."""
    source.seek(position)
    return source.read(count)
