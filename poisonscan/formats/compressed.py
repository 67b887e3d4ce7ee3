"""Single compressed files: gzip, bzip2, xz, lzma, zlib and LZ4, as joblib and shells write them."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Archive, Artifact
from poisonscan.formats.inflate import Decompressor, inflate
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob


@dataclass(frozen=True, slots=True)
class Compressed:
    """One compressed stream, or several one after another (as gzip allows).

    Attributes:
        name: of the format.
        magics: what the file begins with.
        suffixes: taken off the name of the content.
        make: a fresh decompressor.
    """

    name: str
    magics: tuple[bytes, ...]
    suffixes: tuple[str, ...]
    make: Callable[[], Decompressor]

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By magic bytes; zlib and lzma have weak ones, so their first bytes must decompress."""
        if not head.startswith(self.magics):
            return False
        if self.name not in ("zlib", "lzma"):
            return True
        try:
            return len(self.make().decompress(head, 1)) > 0
        except (zlib.error, lzma.LZMAError):
            return False

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The content."""
        budget.take_member()
        out, reason, rest = b"", "", view
        while len(rest) and not reason:
            decompressor = self.make()
            piece, reason = inflate(decompressor, rest, budget)
            out += piece
            rest = (
                rest[len(rest) - len(decompressor.unused_data or b"") :] if not reason else rest[:0]
            )
            if len(rest) and not bytes(rest[:16]).startswith(self.magics):
                break
        name = blob.name
        for suffix in self.suffixes:
            name = name.removesuffix(suffix)
        yield Archive(blob.path, self.name, 1, (), blob.base)
        if len(rest) and bytes(rest[:64]).strip(b"\0"):
            tail = blob.part(f"{name}.trailing", rest, None)
            yield tail
        if reason:
            yield Gap(blob.path, reason)
        if out:
            yield blob.part(name or "content", memoryview(out), None)


def _lz4() -> Decompressor:
    import lz4.frame

    decompressor: Decompressor = lz4.frame.LZ4FrameDecompressor()
    return decompressor


_XZ_MEMORY: Final = 1 << 28
"""Bytes that a dictionary may take; without a bound a header of a few bytes asks for gigabytes."""


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)


def _lzma() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, _XZ_MEMORY)


_ZLIB: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")

COMPRESSED: Final[tuple[Compressed, ...]] = (
    Compressed("gzip", (b"\x1f\x8b\x08",), (".gz", ".gzip"), lambda: zlib.decompressobj(31)),
    Compressed("bzip2", (b"BZh",), (".bz2",), bz2.BZ2Decompressor),
    Compressed("xz", (b"\xfd7zXZ\0",), (".xz",), _xz),
    Compressed("lzma", (b"]\0\0",), (".lzma",), _lzma),
    Compressed("zlib", _ZLIB, (".z", ".zlib"), zlib.decompressobj),
    Compressed("LZ4", (b"\x04\x22\x4d\x18",), (".lz4",), _lz4),
)
