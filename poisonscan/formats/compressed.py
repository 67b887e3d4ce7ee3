"""Single compressed files: gzip, bzip2, xz, lzma, zlib, zstandard and LZ4.

This is how joblib, shells and data sets pack one file. Every stream of a file counts, as it does
for the tools; what stands behind the last one is looked at by itself.
"""

from __future__ import annotations

import bz2
import functools
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Archive, Artifact, Expansion, TableFile
from poisonscan.formats.inflate import Decompressor, Stream, gzip_member, inflate
from poisonscan.formats.tables import is_text
from poisonscan.formats.unpack import CODECS, Unpacked
from poisonscan.formats.zstandard_frames import (
    ZSTANDARD,
    behind_skippable,
    skippable,
    zstandard_frame,
)
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob, Step

_LZMA_HEAD: Final = 13
_FRONT: Final = 1 << 20
"""Bytes by which rows are told from everything else."""
_BZIP2: Final = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")
"""The header and the magic number of its first block, or of the end of an empty file."""


@dataclass(frozen=True, slots=True)
class Compressed:
    """One compressed stream, or several one after another (as gzip allows).

    Attributes:
        name: of the format.
        suffixes: taken off the name of the content.
        begins: whether bytes begin a stream.
        read: takes one stream from the front of a view and puts what comes out behind ``out``.
    """

    name: str
    suffixes: tuple[str, ...]
    begins: Callable[[memoryview], bool]
    read: Callable[[memoryview, Budget, bytearray], Stream]

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By magic bytes; where they are weak, the first bytes must decompress."""
        return self.begins(behind_skippable(blob.open()))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The content; rows on disk are left packed, to be read as a stream."""
        if blob.file is not None and (kind := self._rows(blob, view)):
            yield Archive(blob.path, self.name, 1, (), blob.base)
            yield TableFile(blob.path, blob.file, kind, blob.size, self.name)
            return
        out = bytearray()  # grows in place: the content is never there twice
        rest, stream = view, Stream(0)
        try:
            while len(rest) and not stream.reason and (rest is view or self._goes_on(rest)):
                budget.take_member()
                stream = self.read(rest, budget, out)
                rest = _behind_padding(rest[stream.taken :])
        except LimitReached as error:
            stream = Stream(0, f"limit reached: {error}", error)
        name = self._inner(blob)
        yield Archive(blob.path, self.name, 1, (), blob.base)
        yield Expansion(blob.path, self.name, len(view), len(out))
        if stream.reason and stream.stopped is None:
            yield Gap(blob.path, stream.reason)
        elif len(rest) and stream.stopped is None:
            yield blob.part(f"{name}.trailing", rest, None)
        if out:
            step = Step(0, -1, self.name) if self.name in CODECS else None
            yield blob.part(name or "content", memoryview(out), None, step)
        if stream.stopped is not None:
            raise stream.stopped

    def _rows(self, blob: Blob, view: memoryview) -> str:
        """The format of a table in text, by the first bytes of it; empty for anything else."""
        if self.name not in CODECS:
            return ""
        source = io.BytesIO(bytes(view[:_FRONT]))
        try:
            out = Unpacked(source, self.name, _FRONT).read(_FRONT)
        except ValueError:
            return ""
        from poisonscan.formats.registry import identify  # which imports this module

        inner = Blob(self._inner(blob), len(out), lambda: memoryview(out))

        found = identify(inner, memoryview(out)) if out else ()
        names = [kind.name for kind in found]
        return names[0] if len(names) == 1 and names[0] in {"csv", "json"} else ""

    def _inner(self, blob: Blob) -> str:
        name = blob.name
        for suffix in self.suffixes:
            name = name.removesuffix(suffix)
        return name

    def _goes_on(self, rest: memoryview) -> bool:
        return bool(skippable(rest)) or self.begins(rest)


def _behind_padding(rest: memoryview) -> memoryview:
    """Loaders step over zeros between two streams and behind the last."""
    match = _NO_ZERO.search(rest)
    return rest[:0] if match is None else rest[match.start() :]


_NO_ZERO: Final = re.compile(rb"[^\0]")
_XZ_MEMORY: Final = 1 << 28
"""Bytes that a dictionary may take; without a bound a header of a few bytes asks for gigabytes."""


def _lz4() -> Decompressor:
    import lz4.frame

    decompressor: Decompressor = lz4.frame.LZ4FrameDecompressor()
    return decompressor


def _lz4_frame(packed: memoryview, budget: Budget, out: bytearray) -> Stream:
    length = skippable(packed)
    return Stream(length) if length else inflate(_lz4, packed, budget, out)


def _xz() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)


def _lzma() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, _XZ_MEMORY)


def _zlib_stream(packed: memoryview, budget: Budget, out: bytearray) -> Stream:
    if packed[1] & 0x20:
        return Stream(len(packed), "needs a preset dictionary, which is not in the file")
    return inflate(zlib.decompressobj, packed, budget, out)


def _gives(make: Callable[[], Decompressor], head: bytes) -> bool:
    """Whether at least one byte comes out."""
    try:
        return len(make().decompress(head, 1)) > 0
    except (zlib.error, lzma.LZMAError):
        return False


def _begins_zlib(view: memoryview) -> bool:
    """By header (RFC 1950): the window that every encoder writes, and a checksum of five bits."""
    if len(view) < 3 or view[0] != 0x78 or int.from_bytes(view[:2], "big") % 31:
        return False
    if view[1] & 0x20:  # with a dictionary it cannot be tried; "x " may also begin a text
        return not is_text(bytes(view[:256]))
    return _gives(zlib.decompressobj, bytes(view[:4096]))


def _begins_lzma(view: memoryview) -> bool:
    """By the properties, dictionary and size that encoders write; there is no magic number."""
    if len(view) <= _LZMA_HEAD or view[0] >= 9 * 5 * 5 or view[_LZMA_HEAD] != 0:
        return False
    dictionary = int.from_bytes(view[1:5], "little")
    size = int.from_bytes(view[5:_LZMA_HEAD], "little")
    usual = dictionary == 0xFFFFFFFF or _rounded(dictionary)
    known = size == 2**64 - 1 or size < 1 << 38
    return (usual or bytes(view[:3]) == b"]\0\0") and known and _gives(_lzma, bytes(view[:4096]))


def _rounded(dictionary: int) -> bool:
    """Whether a dictionary's size is a power of two, or half as much again."""
    lowest = dictionary & -dictionary
    return dictionary >= 4096 and dictionary in (lowest, 3 * lowest)


def _starts(magic: bytes) -> Callable[[memoryview], bool]:
    return lambda view: bytes(view[: len(magic)]) == magic


COMPRESSED: Final[tuple[Compressed, ...]] = (
    Compressed("gzip", (".gz", ".gzip"), _starts(b"\x1f\x8b\x08"), gzip_member),
    Compressed(
        "bzip2",
        (".bz2",),
        lambda view: _BZIP2.match(view[:10]) is not None,
        functools.partial(inflate, bz2.BZ2Decompressor),
    ),
    Compressed("xz", (".xz",), _starts(b"\xfd7zXZ\0"), functools.partial(inflate, _xz)),
    Compressed("lzma", (".lzma",), _begins_lzma, functools.partial(inflate, _lzma)),
    Compressed("zlib", (".z", ".zlib"), _begins_zlib, _zlib_stream),
    Compressed("zstandard", (".zst", ".zstd"), _starts(ZSTANDARD), zstandard_frame),
    Compressed("LZ4", (".lz4",), _starts(b"\x04\x22\x4d\x18"), _lz4_frame),
)
