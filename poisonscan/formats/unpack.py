"""Compressed files as streams that never hold more than a piece, and end at a bound."""

from __future__ import annotations

import bz2
import lzma
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_UNPACKED = 1 << 30
"""Bytes that may always come out of a file."""
MAX_RATIO = 200
"""Times its size that may come out of a larger one; text seldom shrinks to less than a fiftieth."""
_PACKED = 64 << 10
_STEP = 1 << 20
_MEMORY = 1 << 28
"""Bytes of the dictionary of an xz stream."""
_WINDOW = 1 << 27
"""Bytes of the window of a zstandard frame."""
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def _lz4() -> _Decompressor:
    import lz4.frame

    decompressor: _Decompressor = lz4.frame.LZ4FrameDecompressor()
    return decompressor


class _Frame:
    """A zstandard frame, with the interface of the standard library's decompressors."""

    def __init__(self) -> None:
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._frame = decompressor.decompressobj(write_size=_STEP)

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:  # noqa: ARG002
        import zstandard

        try:
            return self._frame.decompress(data)
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from error


_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: zlib.decompressobj(31),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY),
    "zstandard": _Frame,
    "LZ4": _lz4,
}
CODECS = frozenset(_DECOMPRESSORS)
"""Kinds of compression that files of rows are read from, as ``formats.compressed`` names them."""
_DECOMPRESSORS |= {
    "deflate": lambda: zlib.decompressobj(-15),
    "zip lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, _MEMORY),
}
_FED = {"zstandard": 1 << 10}
"""Bytes fed at a time, of what does not bound what one call makes."""


@dataclass(slots=True)
class Unpacked:
    """What comes out of a compressed file, all of its streams one after another.

    Attributes:
        source: the file.
        codec: one of ``CODECS``.
        most: bytes that may come out.
        done: bytes that came out.
        several: whether other streams may follow the first; what else does is not looked at.
    """

    source: BinaryIO
    codec: str
    most: int
    done: int = 0
    several: bool = True
    _out: bytearray = field(default_factory=bytearray)
    _packed: bytes = b""
    _stream: _Decompressor | None = None
    _first: bool = True
    _full: bool = False
    _damage: ValueError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()

    def seek(self, place: int) -> int:
        """Only to where it stands: compressed files are read from start to end."""
        if place != self.done - len(self._out):
            raise ValueError("a compressed file cannot be read from its middle")
        return place

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, fewer only at the end.

        What comes before damage is handed out before the damage is told.

        Raises:
            ValueError: the file is damaged or cut short, or makes more bytes than ``most``.
        """
        while len(self._out) < size and self._damage is None:
            try:
                piece = self._step()
            except (ValueError, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError) as bad:
                self._damage = ValueError(f"compressed data cannot be read on: {bad}")
                break
            if piece is None:
                break
            self._out += piece
            self.done += len(piece)
            if self.done > self.most:
                what = f"limit reached: it decompresses to more than {self.most:,} bytes"
                self._damage = ValueError(what)
        if self._damage is not None and not self._out:
            raise self._damage
        out = bytes(self._out[:size])
        del self._out[:size]
        return out

    def _step(self) -> bytes | None:
        """Some more bytes; None at the end."""
        if self._stream is None:
            if not self._begin():
                return None
            self._stream = _DECOMPRESSORS[self.codec]()
        stream = self._stream
        packed = self._packed or bytes(getattr(stream, "unconsumed_tail", b""))
        self._packed = b""
        if not packed and not self._full and getattr(stream, "needs_input", True):
            packed = self.source.read(_FED.get(self.codec, _PACKED))
            if not packed:
                raise ValueError("it is cut short")
        elif len(packed) > (most := _FED.get(self.codec, len(packed))):
            packed, self._packed = packed[:most], packed[most:]
        piece = stream.decompress(packed, _STEP)
        self._full = len(piece) == _STEP  # then there may be more without more input
        if stream.eof:
            self._packed = bytes(stream.unused_data or b"") + self._packed
            self._stream, self._full = None, False
        return piece

    def _begin(self) -> bool:
        """Whether another stream follows; padding and skippable frames are stepped over."""
        if not self._first and not self.several:
            return False
        while True:
            self._packed += self.source.read(max(0, 8 - len(self._packed)))
            if not self._first:
                self._packed = self._packed.lstrip(b"\0")
                if not self._packed:
                    if not (more := self.source.read(_PACKED)):
                        return False
                    self._packed = more
                    continue
            self._first = False
            if int.from_bytes(self._packed[:4], "little") not in _SKIPPABLE:
                return bool(self._packed)
            self._skip(8 + int.from_bytes(self._packed[4:8], "little"))

    def _skip(self, size: int) -> None:
        behind = self._packed[size:]
        self.source.seek(max(0, size - len(self._packed)), 1)
        self._packed = behind


def most_of(size: int) -> int:
    """Bytes that may come out of a compressed file of ``size`` bytes."""
    return max(MIN_UNPACKED, MAX_RATIO * size)
