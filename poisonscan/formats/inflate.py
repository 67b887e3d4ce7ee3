"""Decompression that never makes more bytes than its budget, and keeps what came before damage."""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from poisonscan.limits import Budget, LimitReached

STEP: Final = 1 << 20
"""Most bytes that come out of one call of a decompressor."""
_FEEDS: Final = (1 << 16, 1 << 10, 1 << 5, 1)
"""Bytes fed at a time: the first, and after damage ever fewer, to get all that stands before it."""
_DAMAGE: Final = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError)


class Decompressor(Protocol):
    """What ``zlib``, ``bz2`` and ``lzma`` decompressors share."""

    @property
    def eof(self) -> bool:
        """The end of the compressed stream was reached."""

    @property
    def unused_data(self) -> bytes | None:
        """Bytes behind the end of the compressed stream, of those that were fed."""

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes:
        """At most ``max_length`` bytes more."""


@dataclass(frozen=True, slots=True)
class Stream:
    """What became of one compressed stream.

    Attributes:
        taken: how many bytes of the packed data it took.
        reason: why what came out is not all of it; empty when it is.
        stopped: the limit that stopped it, to be raised once what came out is handed on.
    """

    taken: int
    reason: str = ""
    stopped: LimitReached | None = None


def inflate(
    make: Callable[[], Decompressor],
    packed: memoryview,
    budget: Budget,
    out: bytearray,
    header: bytes = b"",
    most: int | None = None,
) -> Stream:
    """Decompress one stream.

    Loaders take what they need and never see damage behind it, so all that comes before damage is
    kept: a decompressor that fails drops what it was about to give, so it is fed again more finely.

    Args:
        make: a fresh decompressor.
        packed: where the stream begins.
        budget: counts what comes out.
        out: what comes out is put behind what it holds.
        header: fed before ``packed``.
        most: bytes after which to stop, when only the beginning is wanted.
    """
    begin, spent = len(out), budget.unpacked
    whole, stream = 0, Stream(0)
    for feed in _FEEDS:
        del out[begin:]
        budget.unpacked = spent
        run = _Run(make(), packed, header, whole, feed)
        try:
            return run.through(budget, out, begin, most)
        except _DAMAGE as error:
            whole, stream = run.whole, Stream(run.position, f"compressed data is damaged: {error}")
    return stream


@dataclass(slots=True)
class _Run:
    """One attempt: coarse up to ``whole``, which is known to be sound, and then finer."""

    decompressor: Decompressor
    packed: memoryview
    pending: bytes
    whole: int
    feed: int
    position: int = 0

    def through(self, budget: Budget, out: bytearray, begin: int, most: int | None) -> Stream:
        """Decompress to the end of the stream, of the data, or of what is wanted."""
        full = False
        while not self.decompressor.eof:
            pending = self.pending or bytes(getattr(self.decompressor, "unconsumed_tail", b""))
            self.pending = b""
            if not pending and not full and getattr(self.decompressor, "needs_input", True):
                if self.position >= len(self.packed):
                    return Stream(self.position, "compressed data is cut short")
                pending = self._next()
            piece = self.decompressor.decompress(pending, STEP)
            full = len(piece) == STEP
            out += piece
            try:
                budget.take_unpacked(len(piece))
            except LimitReached as error:
                return Stream(self.position, f"limit reached: {error}", error)
            if most is not None and len(out) - begin >= most:
                return Stream(self.position)
        return Stream(self.position - len(self.decompressor.unused_data or b""))

    def _next(self) -> bytes:
        end = self.position + _FEEDS[0]
        if self.position < self.whole:
            end = min(end, self.whole)
        else:
            self.whole, end = self.position, self.position + self.feed
        piece = bytes(self.packed[self.position : end])
        self.position += len(piece)
        return piece


def gzip_member(packed: memoryview, budget: Budget, out: bytearray) -> Stream:
    """One member of a gzip file (RFC 1952), its header read as Python reads it.

    Python minds neither reserved flags nor the checksum of the header; a loader that stops before
    the end does not mind the checksum of the content either.
    """
    start = _gzip_header(packed)
    if start is None:
        return Stream(len(packed), "compressed data is cut short")
    begin = len(out)
    stream = inflate(lambda: zlib.decompressobj(-15), packed[start:], budget, out)
    taken, reason = start + stream.taken, stream.reason
    if not reason:
        trailer = bytes(packed[taken : taken + 8])
        taken += len(trailer)
        crc = zlib.crc32(memoryview(out)[begin:])
        if len(trailer) < 8:
            reason = "compressed data is cut short"
        elif struct.unpack("<II", trailer) != (crc, (len(out) - begin) & 0xFFFFFFFF):
            reason = "compressed data is damaged: its checksum does not fit its content"
    return Stream(taken, reason, stream.stopped)


def _gzip_header(packed: memoryview) -> int | None:
    """Where the deflated data begins; None if the header is cut short."""
    if len(packed) < 10:
        return None
    flags, position = packed[3], 10
    if flags & 4 and position + 2 <= len(packed):
        position += 2 + int.from_bytes(packed[position : position + 2], "little")
    for flag in (8, 16):  # the name, a comment
        if flags & flag:
            while position < len(packed) and packed[position]:
                position += 1
            position += 1
    position += 2 if flags & 2 else 0
    return position if position <= len(packed) else None
