"""The content of a zip member, by its compression method (APPNOTE.TXT 6.3.10, section 4.4.5)."""

from __future__ import annotations

import bz2
import functools
import lzma
import zlib
from typing import Final

from poisonscan.formats.inflate import Decompressor, Stream, inflate
from poisonscan.formats.zstandard_frames import zstandard_frame
from poisonscan.limits import Budget

STORED: Final = 0
_DEFLATED, _BZIP2, _LZMA, _ZSTANDARD_OLD, _ZSTANDARD, _XZ = 8, 12, 14, 20, 93, 95
CODECS: Final = {
    STORED: "", _DEFLATED: "deflate", _BZIP2: "bzip2", _LZMA: "zip lzma", _XZ: "xz",
    _ZSTANDARD: "zstandard", _ZSTANDARD_OLD: "zstandard",
}  # fmt: skip
"""The methods that members are read by, as ``unpack`` calls them."""
_NAMES: Final = {1: "shrunk", 6: "imploded", 9: "Deflate64", 96: "JPEG", 98: "PPMd", 99: "AES"}
_DICTIONARY: Final = 1 << 28
"""Bytes that an LZMA dictionary may take."""
_HEAD: Final = 1 << 16


def content(packed: memoryview, method: int, budget: Budget, out: bytearray) -> Stream:
    """Put what a member unpacks to behind ``out``."""
    return _unpack(packed, method, budget, out, None)


def head_of(packed: memoryview, method: int, budget: Budget, out: bytearray) -> str:
    """Put the first bytes of a member behind ``out``; says why there are none."""
    return _unpack(packed, method, budget, out, _HEAD).reason


def _unpack(
    packed: memoryview, method: int, budget: Budget, out: bytearray, most: int | None
) -> Stream:
    if method == _DEFLATED:
        return inflate(lambda: zlib.decompressobj(-15), packed, budget, out, most=most)
    if method == _BZIP2:
        return inflate(bz2.BZ2Decompressor, packed, budget, out, most=most)
    if method == _XZ:
        make = functools.partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, _DICTIONARY)
        return inflate(make, packed, budget, out, most=most)
    if method == _LZMA and len(packed) > 9:
        # Section 5.8.8: version, size of the properties, then lc/lp/pb and the dictionary size.
        header = bytes(packed[4:9]) + b"\xff" * 8
        return inflate(_alone, packed[9:], budget, out, header, most)
    if method in (_ZSTANDARD, _ZSTANDARD_OLD):
        return zstandard_frame(packed, budget, out)
    if method == STORED:
        out += packed[:most]
        return Stream(len(packed))
    name = f" ({_NAMES[method]})" if method in _NAMES else ""
    return Stream(0, f"compression method {method}{name} is not read")


def _alone() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE, _DICTIONARY)
