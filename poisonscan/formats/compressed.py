"""Single compressed files: gzip, bzip2, xz, lzma, zlib and LZ4, as joblib and shells write them."""

from __future__ import annotations

import bz2
import lzma
import re
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
        out: list[bytearray] = []
        reason, rest = "", view
        while len(rest) and not reason and (not out or self._begins(rest)):
            budget.take_member()
            piece, reason, taken = inflate(self.make(), rest, budget)
            out.append(piece)
            rest = _behind_padding(rest[taken:])
        name = blob.name
        for suffix in self.suffixes:
            name = name.removesuffix(suffix)
        yield Archive(blob.path, self.name, 1, (), blob.base)
        if reason:
            yield Gap(blob.path, reason)
        elif len(rest):
            yield blob.part(f"{name}.trailing", rest, None)
        content = out[0] if len(out) == 1 else b"".join(out)
        if content:
            yield blob.part(name or "content", memoryview(content), None)

    def _begins(self, rest: memoryview) -> bool:
        return bytes(rest[:16]).startswith(self.magics)


def _behind_padding(rest: memoryview) -> memoryview:
    """Loaders step over zeros between two streams and behind the last."""
    match = _NO_ZERO.search(rest)
    return rest[:0] if match is None else rest[match.start() :]


def _lz4() -> Decompressor:
    import lz4.frame

    decompressor: Decompressor = lz4.frame.LZ4FrameDecompressor()
    return decompressor


_NO_ZERO: Final = re.compile(rb"[^\0]")
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
