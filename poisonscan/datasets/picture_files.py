"""Picture files as files: where the picture ends, who wrote it, and what else is inside.

Only the outline is read: chunks of PNG (ISO/IEC 15948), segments of JPEG (ITU-T T.81), blocks of
GIF, and the lengths that BMP and WebP declare. What stands behind the end of a picture, or in its
metadata, is no part of what a model sees, and may be another file: such a file is a *polyglot*.
"""

from __future__ import annotations

import functools
import re
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_PARTS = 100_000
"""Chunks, segments or blocks of a picture that are walked."""
MAX_SEARCHED = 4 << 20
"""Bytes of metadata, and of what follows the end, that are searched, from the start of each."""

_PICTURE_CHUNKS: Final = frozenset({
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD",
    b"pHYs", b"tIME", b"hIST", b"acTL", b"fcTL", b"fdAT", b"cICP", b"mDCV", b"cLLI",
})  # fmt: skip
_MARKER: Final = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]", re.DOTALL)
_STANDALONE: Final = frozenset({0x01, 0xD8})
_DQT, _SOS, _EOI, _COM = 0xDB, 0xDA, 0xD9, 0xFE
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_LEVELS: Final = ("fastest", "fast", "default", "best")
_STANDARD_MEAN: Final = 57.625
"""Mean of the luminance table of ITU-T T.81, Annex K, which encoders scale by a quality."""

# What other files are known by. A zip's first header must make sense, as four bytes may occur.
_FILES: Final = re.compile(
    rb"(?P<zip>PK\x03\x04[\x0a-\x3f]\0..[\0\x08\x09\x0c\x0e\x5d]\0.{16}[\x01-\xff][\0-\x03]|PK\x05\x06\0{18})"
    rb"|(?P<pdf>%PDF-[12]\.\d)"
    rb"|(?P<elf>\x7fELF[\x01\x02][\x01\x02]\x01)"
    rb"|(?P<exe>This program cannot be run in DOS mode)"
    rb"|(?P<php><\?php\s)"
    rb"|(?P<script><script[\s>]|\*/\s{0,9}=\s{0,9}[\w'\"])"
    rb"|(?P<shell>#!\s{0,9}/(?:usr/)?bin/)"
    rb"|(?P<pickle>\x80[\x02-\x05].{0,40}?(?:c|\x8c.)(?:os|posix|nt|builtins|__builtin__|subprocess)"
    rb"[\n\x8c\x94])"
    rb"|(?P<code>\b__import__\s{0,9}\(|\bos\.system\s{0,9}\(|\bsubprocess\.[a-z_]+\("
    rb"|\beval\s{0,9}\(|powershell(?:\.exe)?\s+-)",
    re.DOTALL | re.IGNORECASE,
)
_STARTS: Final = (
    (b"Rar!\x1a\x07", "rar"), (b"7z\xbc\xaf\x27\x1c", "7z"), (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"MZ", "exe"),
    (b"\xca\xfe\xba\xbe", "class"), (b"<html", "script"), (b"<!DOCTYPE html", "script"),
)  # fmt: skip
_PICKLE: Final = re.compile(rb"\x80[\x02-\x05][\x95\(\[\]\}\x8c\x8dcX]")
_NAMES: Final = {
    "zip": "a zip archive", "pdf": "a PDF document", "elf": "a Linux program",
    "exe": "a Windows program", "php": "PHP code", "script": "a script of web pages",
    "shell": "a shell script", "pickle": "a pickle", "code": "program code",
    "rar": "a RAR archive", "7z": "a 7-Zip archive", "gzip": "gzip-compressed data",
    "xz": "xz-compressed data", "bzip2": "bzip2-compressed data", "zstd": "zstd-compressed data",
    "class": "a Java class or Mach-O program",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outline:
    """A picture file without its pixels.

    Attributes:
        end: first byte behind the picture; None where the format does not tell.
        encoder: traces of the program that wrote it, for people.
        metadata: what is stored beside the picture.
    """

    end: int | None
    encoder: str
    metadata: tuple[bytes, ...] = ()


def outline(data: bytes) -> Outline:
    """Read the outline of a picture that decodes; never raises."""
    try:
        if data.startswith(b"\x89PNG"):
            return _png(data)
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data.startswith(b"GIF8"):
            return _gif(data)
        if data.startswith(b"BM"):
            size = int.from_bytes(data[2:6], "little")
            return Outline(size if 26 <= size <= len(data) else None, "")
        if data.startswith(b"RIFF"):
            return _webp(data)
    except (struct.error, IndexError):
        pass  # the decoder was more lenient than the format is
    return Outline(None, "")


def carried(data: bytes, found: Outline) -> str:
    """What a picture file carries beside the picture, in words; empty if nothing is known there."""
    if found.end is not None and found.end < len(data):
        behind = data[found.end : found.end + MAX_SEARCHED]
        if kind := _starts(behind) or _anywhere(behind):
            return f"{_NAMES[kind]} behind the end of the picture"
    for part in found.metadata:
        if kind := _anywhere(part[:MAX_SEARCHED]):
            return f"{_NAMES[kind]} in its metadata"
    tail = data[-65_557:] if found.end is None or found.end < len(data) else b""
    at = tail.rfind(b"PK\x05\x06")
    if 0 <= at <= len(tail) - 22:
        size, start = struct.unpack_from("<II", tail, at + 12)
        if size >= 46 and start + size <= len(data):
            return f"{_NAMES['zip']} at the end of the file"
    return ""


def _starts(behind: bytes) -> str:
    start = behind[:4096].lstrip(b"\0\r\n ")
    for magic, kind in _STARTS:
        if start.startswith(magic) and (kind != "exe" or b"PE\0\0" in behind[:4096]):
            return kind
    return "pickle" if _PICKLE.match(start) and start else ""


def _anywhere(part: bytes) -> str:
    match = _FILES.search(part)
    return (match.lastgroup or "") if match else ""


def _png(data: bytes) -> Outline:
    """Chunks up to IEND; the level that zlib's header says, and which chunks come first."""
    position, level, interlaced = 8, "", ""
    names: list[bytes] = []
    metadata = []
    for _ in range(MAX_PARTS):
        size, name = struct.unpack_from(">I4s", data, position)
        body = position + 8
        position = body + size + 4
        if name == b"IDAT":
            level = level or _LEVELS[data[body + 1] >> 6]
        elif name == b"IHDR":
            interlaced = ", interlaced" if data[body + 12] else ""
        elif name == b"IEND":
            break
        else:
            names.append(name)
            if name not in _PICTURE_CHUNKS:
                metadata.append(_inflated(name, data[body : body + size]))
    else:
        return Outline(None, "many chunks", tuple(metadata))
    others = ", ".join(sorted({name.decode("latin-1") for name in names}))
    encoder = f"{level} compression{interlaced}" + (f", with {others}" if others else "")
    return Outline(position, encoder, tuple(metadata))


def _inflated(name: bytes, body: bytes) -> bytes:
    """A chunk's text, decompressed up to ``MAX_SEARCHED`` where it is compressed."""
    start = 0
    if name in (b"zTXt", b"iCCP"):
        start = body.find(b"\0") + 2
    elif name == b"iTXt" and b"\0\x01\0" in body:
        start = body.find(b"\0\x01\0") + 3
        start = body.find(b"\0", body.find(b"\0", start) + 1) + 1
    if start:
        try:
            return zlib.decompressobj().decompress(body[start:], MAX_SEARCHED)
        except zlib.error:
            return body
    return body


def _jpeg(data: bytes) -> Outline:
    """Segments up to EOI. Coded data holds no marker: a byte of 255 is followed by 0 there."""
    position, tables, frame = 0, b"", b""
    metadata: list[bytes] = []
    apps: list[int] = []
    for _ in range(MAX_PARTS):
        match = _MARKER.search(data, position)
        if match is None:
            return Outline(None, _jpeg_encoder(tables, frame, tuple(apps)), tuple(metadata))
        marker, position = data[match.end() - 1], match.end()
        if marker == _EOI:
            break
        if marker in _STANDALONE:
            continue
        (size,) = struct.unpack_from(">H", data, position)
        body = data[position + 2 : position + size]
        position += size
        if marker == _DQT:
            tables += body[:130]
        elif marker in _FRAMES:
            frame = bytes([marker]) + body[7::3]
        elif marker == _COM or 0xE0 <= marker <= 0xEF:
            apps.append(marker)
            if marker != 0xE0:
                metadata.append(body)
    encoder = _jpeg_encoder(tables[:1024], frame, tuple(dict.fromkeys(apps)))
    return Outline(position, encoder, tuple(metadata))


@functools.lru_cache(4096)
def _jpeg_encoder(tables: bytes, frame: bytes, apps: tuple[int, ...]) -> str:
    """Quantisation tables, as a quality if they are the standard's, and how the file is built."""
    mean = sum(tables[1:65]) / 64 if tables else 0
    scale = 100 * mean / _STANDARD_MEAN
    quality = round((200 - scale) / 2 if scale <= 100 else 5000 / scale) if mean else 0
    code = zlib.crc32(tables) & 0xFFFF
    kind = "progressive" if frame[:1] == b"\xc2" else "baseline"
    sampling = frame[1:].hex() or "?"
    named = ", ".join("COM" if app == _COM else f"APP{app - 0xE0}" for app in apps[:16])
    return f"quality about {quality} (tables {code:04x}), {kind}, sampling {sampling}, {named}"


def _gif(data: bytes) -> Outline:
    """Blocks up to the trailer."""
    flags = data[10]
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    metadata: list[bytes] = []
    budget = MAX_PARTS
    while budget:
        kind = data[position]
        position += 1
        if kind == 0x3B:
            return Outline(position, data[3:6].decode("latin-1"), tuple(metadata))
        told = kind == 0x21 and data[position] in (0xFE, 0xFF, 0x01)
        if kind == 0x21:
            position += 1
        elif kind == 0x2C:
            flags = data[position + 8]
            position += 9 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0) + 1
        else:
            break
        parts = []
        while (size := data[position]) and budget:
            if told:
                parts.append(data[position + 1 : position + 1 + size])
            position += 1 + size
            budget -= 1
        position += 1
        budget -= bool(budget)
        metadata += [b"".join(parts)] if parts else []
    return Outline(None, data[3:6].decode("latin-1"), tuple(metadata))


def _webp(data: bytes) -> Outline:
    """Chunks of the declared length."""
    end = 8 + int.from_bytes(data[4:8], "little")
    end += end & 1
    position = 12
    metadata: list[bytes] = []
    names: list[bytes] = []
    while position + 8 <= min(end, len(data)) and len(names) < MAX_PARTS:
        name, size = struct.unpack_from("<4sI", data, position)
        names.append(name)
        if name not in (b"VP8 ", b"VP8L", b"ALPH", b"ANMF"):
            metadata.append(data[position + 8 : position + 8 + size])
        position += 8 + size + (size & 1)
    encoder = ", ".join(sorted({name.decode("latin-1").strip() for name in names})[:8])
    return Outline(end if end <= len(data) else None, encoder, tuple(metadata))


def looks_like_picture(values: Sequence[bytes]) -> bool:
    """Whether bytes start like a picture, all of them."""
    starts = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    return bool(values) and all(
        value.startswith(starts) or (value[:4] == b"RIFF" and value[8:12] == b"WEBP")
        for value in values
    )
