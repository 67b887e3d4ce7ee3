"""Decompression that never makes more bytes than its budget."""

from __future__ import annotations

import lzma
import zlib
from typing import Final, Protocol

from poisonscan.limits import Budget

_STEP: Final = 1 << 20


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


def inflate(
    decompressor: Decompressor, packed: memoryview, budget: Budget, header: bytes = b""
) -> tuple[bytearray, str, int]:
    """Decompress one stream.

    Returns:
        What came out, why that is not all (empty when it is), and how many bytes of ``packed`` the
        stream took.

    Raises:
        LimitReached: more comes out than allowed.
    """
    out = bytearray()  # grows in place: the content is never there twice
    position, pending = 0, header
    try:
        while not decompressor.eof:
            pending = pending or bytes(getattr(decompressor, "unconsumed_tail", b""))
            if not pending and getattr(decompressor, "needs_input", True):
                if position >= len(packed):
                    return out, "compressed data is cut short", position
                pending = bytes(packed[position : position + _STEP])
                position += len(pending)
            piece = decompressor.decompress(pending, _STEP)
            pending = b""
            budget.take_unpacked(len(piece))
            out += piece
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, RuntimeError) as error:
        return out, f"compressed data is damaged: {error}", position
    return out, "", position - len(decompressor.unused_data or b"")
