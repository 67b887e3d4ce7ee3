"""The coders of 7z archives: what each makes of its input.

Method numbers: Methods.txt of the LZMA SDK; zstandard's is that of 7-Zip ZS. BCJ2, PPMd, Deflate64
and AES are not read.
"""

from __future__ import annotations

import bz2
import functools
import lzma
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from poisonscan.formats.inflate import Decompressor, Stream, inflate
from poisonscan.formats.seven_zip_header import Coder
from poisonscan.formats.zstandard_frames import zstandard_frame
from poisonscan.limits import Budget

_COPY: Final = b"\x00"
_LZMA: Final = b"\x03\x01\x01"
_LZMA2: Final = b"\x21"
_DEFLATE: Final = b"\x04\x01\x08"
_BZIP2: Final = b"\x04\x02\x02"
_ZSTANDARD: Final = b"\x04\xf7\x11\x01"
_DELTA: Final = b"\x03"
_BRANCHES: Final[Mapping[bytes, int]] = {
    b"\x04": lzma.FILTER_X86, b"\x03\x03\x01\x03": lzma.FILTER_X86,
    b"\x05": lzma.FILTER_POWERPC, b"\x03\x03\x02\x05": lzma.FILTER_POWERPC,
    b"\x06": lzma.FILTER_IA64, b"\x03\x03\x04\x01": lzma.FILTER_IA64,
    b"\x07": lzma.FILTER_ARM, b"\x03\x03\x05\x01": lzma.FILTER_ARM,
    b"\x08": lzma.FILTER_ARMTHUMB, b"\x03\x03\x07\x01": lzma.FILTER_ARMTHUMB,
    b"\x09": lzma.FILTER_SPARC, b"\x03\x03\x08\x05": lzma.FILTER_SPARC,
}  # fmt: skip
_UNREAD: Final[Mapping[bytes, str]] = {
    b"\x0a": "the ARM64 filter",
    b"\x0b": "the RISC-V filter",
    b"\x03\x03\x01\x1b": "BCJ2",
    b"\x03\x04\x01": "PPMd",
    b"\x04\x01\x09": "Deflate64",
    b"\x04\xf7\x11\x02": "Brotli",
    b"\x04\xf7\x11\x04": "LZ4",
    b"\x06\xf1\x07\x01": "AES",
}
_SMALLEST_DICTIONARY: Final = 1 << 12
_CHUNK: Final = 1 << 16


def unpack(coder: Coder, packed: memoryview, size: int, budget: Budget, out: bytearray) -> Stream:
    """Put ``size`` bytes that a coder makes behind ``out``.

    A dictionary larger than what comes out is of no use, so it is never made larger than that:
    memory follows what really comes out.
    """
    method, properties = coder.method, coder.properties
    if method == _COPY:
        budget.take_unpacked(min(size, len(packed)))
        out += packed[:size]
        return _enough(Stream(len(packed)), len(out), size)
    if method == _LZMA and len(properties) >= 5 and properties[0] < 9 * 5 * 5:
        header = properties[:1] + _dictionary(int.from_bytes(properties[1:5], "little"), size)
        header += size.to_bytes(8, "little")
        return inflate(_alone, packed, budget, out, header, size)
    if method == _LZMA2 and properties and properties[0] <= 40:
        bits = properties[0]
        dictionary = 0xFFFFFFFF if bits == 40 else (2 | bits & 1) << (bits // 2 + 11)
        smaller = int.from_bytes(_dictionary(dictionary, size), "little")
        chain = [{"id": lzma.FILTER_LZMA2, "dict_size": smaller}]
        return _enough(inflate(lambda: _raw(chain), packed, budget, out), len(out), size)
    if method == _DEFLATE:
        return inflate(lambda: zlib.decompressobj(-15), packed, budget, out, most=size)
    if method == _BZIP2:
        return _in_a_row(functools.partial(inflate, bz2.BZ2Decompressor), packed, size, budget, out)
    if method == _ZSTANDARD:
        return _in_a_row(zstandard_frame, packed, size, budget, out)
    if method in _BRANCHES or method == _DELTA:
        budget.take_unpacked(len(packed))
        out += _filtered(coder, packed)
        return Stream(len(packed))
    return Stream(0, f"is packed with {_UNREAD.get(method, f'method {method.hex()}')}, not read")


def _enough(stream: Stream, made: int, size: int) -> Stream:
    if made < size and not stream.reason:
        return Stream(stream.taken, "compressed data is cut short")
    return stream


def _in_a_row(
    read: Callable[[memoryview, Budget, bytearray], Stream],
    packed: memoryview,
    size: int,
    budget: Budget,
    out: bytearray,
) -> Stream:
    """Several streams one after another, as is written with several threads."""
    stream = Stream(0)
    while len(out) < size and len(packed) and not stream.reason:
        stream = read(packed, budget, out)
        packed = packed[max(stream.taken, 1) :]
    return _enough(stream, len(out), size)


def _dictionary(stated: int, size: int) -> bytes:
    return max(min(stated, size), _SMALLEST_DICTIONARY).to_bytes(4, "little")


def _alone() -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_ALONE)


def _raw(chain: list[dict[str, Any]]) -> Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)


def _filtered(coder: Coder, packed: memoryview) -> bytearray:
    """Undo a filter.

    The library does so only in front of LZMA, so the bytes are put into LZMA2 chunks that are not
    compressed, the last of which tells the filter that no more will come.
    """
    if coder.method == _DELTA:
        distance = coder.properties[0] + 1 if coder.properties else 1
        first: dict[str, Any] = {"id": lzma.FILTER_DELTA, "dist": distance}
    else:
        first = {"id": _BRANCHES[coder.method]}
    chain = [first, {"id": lzma.FILTER_LZMA2, "dict_size": _CHUNK}]
    decompressor, out = _raw(chain), bytearray()
    for start in range(0, len(packed), _CHUNK):
        piece = packed[start : start + _CHUNK]
        head = bytes([2 if start else 1]) + (len(piece) - 1).to_bytes(2, "big")
        out += decompressor.decompress(head + bytes(piece))
    out += decompressor.decompress(b"\0")
    return out
