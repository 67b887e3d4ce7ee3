"""Data encoded as text (base64, hexadecimal, percent signs, escapes), and what it decodes to.

Only the head of a blob is decoded, and a compressed head at most to ``HEAD`` bytes: nothing is
unpickled, run or unpacked further.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
import zlib
from collections.abc import Iterator

HEAD = 4_096
"""Characters of a blob that are decoded, and bytes that these may unpack to."""
MAX_BLOBS = 20
"""Blobs of one text that are decoded from its start; programs are searched in these."""
_BASE64 = re.compile(
    rb"(?<![A-Za-z0-9+/_-])(?=[A-Za-z0-9+/_\r\n%=-]{40})[A-Za-z0-9+/_-]++"
    rb"(?:(?:\r?\n(?=\S{40})|%2[BbFf])[A-Za-z0-9+/_-]*+)*+={0,2}"
)
_UNIT = re.compile(rb"\r\n|%2[BbFf]|=")
_LEAST = 40
"""Letters of base64, each line break and each escape for one."""
_HEX = re.compile(rb"(?<![0-9A-Fa-f])(?:0x)?(?:[0-9A-Fa-f]{2}){100,}(?![0-9A-Fa-f])")
_ESCAPES = re.compile(rb"(?:(?:\\x|%|\\u00|0x|&#x)[0-9A-Fa-f]{2};?,? ?){32,}")
_MARKS = (b"\\x", b"%", b"\\u00", b"0x", b"&#x")
_ESCAPED = 32
"""Escapes in a row."""
_TWO = re.compile(rb"(?:\\x|%|\\u00|0x|&#x)([0-9A-Fa-f]{2})")
_DATA_URL = re.compile(rb"data:([a-z]+)/[\w.+-]+[^,\s]{0,80};base64,\Z")
_HEADS = (
    (b"\x7fELF", "program"),
    (b"\xca\xfe\xba\xbe", "program"),
    (b"\xfe\xed\xfa", "program"),
    (b"\xcf\xfa\xed\xfe", "program"),
    (b"\x00asm\x01", "program"),
    (b"\x1bLua", "program"),
    (b"PK\x03\x04", "archive"),
    (b"\x1f\x8b\x08", "archive"),
    (b"BZh", "archive"),
    (b"\xfd7zXZ\x00", "archive"),
    (b"7z\xbc\xaf\x27\x1c", "archive"),
    (b"\x28\xb5\x2f\xfd", "archive"),
    (b"Rar!\x1a", "archive"),
    (b"\x89PNG", "media"),
    (b"\xff\xd8\xff", "media"),
    (b"GIF8", "media"),
    (b"RIFF", "media"),
    (b"%PDF-", "media"),
    (b"OggS", "media"),
    (b"ID3", "media"),
    (b"fLaC", "media"),
    (b"wOF", "media"),
    (b"<svg", "media"),
)
_PICKLE = re.compile(rb"\x80(?:[\x04\x05]\x95.{6}\x00\x00|[\x02\x03][\]}(cXK)}N])", re.DOTALL)
_PICKLE_0 = re.compile(rb"c(?:os|nt|posix|subprocess|builtins|__builtin__)\n\w+\n")
_SCRIPT = re.compile(
    rb"^#!/|\b(?:import (?:os|sys|subprocess|socket|base64)\b|os\.system|subprocess\.|exec\(|eval\("
    rb"|__import__|powershell|Invoke-|IEX\b|DownloadString|cmd\.exe|/bin/(?:ba)?sh|wget |"
    rb"curl .{0,80}\||"
    rb"child_process|document\.cookie|<script|<\?php|WScript\.|CreateObject)",
    re.IGNORECASE,
)
_CAPITALS, _SMALL = bytes(range(65, 91)), bytes(range(97, 123))
_FIGURES = b"0123456789"
_PRINTABLE = bytes([9, 10, 13, *range(32, 127)])
_LONG = 120
"""Letters from which base64 that decodes to nothing known is worth a word."""
_DIGITS = 8
"""Different hexadecimal digits that data has at the least."""


def kind(data: bytes) -> str:
    """What the head of some bytes is: program, pickle, script, archive, media, text or bytes."""
    if data[:2] == b"MZ" and (b"PE\0\0" in data or b"DOS mode" in data or data[2:4] == b"\x90\0"):
        return "program"
    if _PICKLE.match(data) or _PICKLE_0.search(data[:512]):
        return "pickle"
    for head, name in _HEADS:
        if data.startswith(head):
            inner = _inflated(data, 31) if head == b"\x1f\x8b\x08" else b""
            return _inner(inner, name)
    if data[:2] in (b"x\x01", b"x\x9c", b"x\xda", b"x\x5e"):
        inner = _inflated(data, 15)
        if inner:
            return _inner(inner, "archive")
    plain = data.replace(b"\0", b"") if data[1:40:2].count(0) > 8 else data  # UTF-16
    if _is_text(plain):
        return "script" if _SCRIPT.search(plain) else "text"
    return "bytes"


def _inner(inner: bytes, outer: str) -> str:
    """Programs, pickles and scripts show through compression."""
    if not inner:
        return outer
    found = kind(inner) if inner[:2] not in (b"\x1f\x8b", b"x\x9c", b"x\xda") else outer
    return found if found in ("program", "pickle", "script") else outer


def _inflated(data: bytes, window: int) -> bytes:
    try:
        return zlib.decompressobj(window).decompress(data, HEAD)
    except zlib.error:
        return b""


def _is_text(data: bytes) -> bool:
    others = len(data[:512].translate(None, _PRINTABLE))
    return len(data) >= 8 and others <= 0.05 * len(data[:512])


def blobs(text: str) -> Iterator[tuple[str, str, int]]:
    """Encoded data in a text: how it is encoded, what it is, and its length in characters."""
    data = text.encode("utf-8", "replace")
    if _PICKLE_0.search(data):
        yield "no encoding", "pickle", len(data)
    for encoding, pattern in (("escapes", _ESCAPES), ("hexadecimal", _HEX), ("base64", _BASE64)):
        if encoding == "escapes" and sum(map(data.count, _MARKS)) < _ESCAPED:
            continue
        for match in itertools.islice(_long_enough(encoding, pattern, data), MAX_BLOBS):
            found = _blob(encoding, match, data)
            if found:
                yield encoding, found, len(match.group())


def _long_enough(
    encoding: str, pattern: re.Pattern[bytes], data: bytes
) -> Iterator[re.Match[bytes]]:
    """What has the form of an encoding and its least length."""
    for match in pattern.finditer(data):
        size = match.end() - match.start()
        if encoding == "base64":
            if size >= _LEAST:
                size = len(_UNIT.sub(_as_one, match.group()))
            if size < _LEAST:
                continue
        yield match


def _as_one(match: re.Match[bytes]) -> bytes:
    return b"" if match.group() == b"=" else b"\n"


def _blob(encoding: str, match: re.Match[bytes], data: bytes) -> str:
    """What a blob is; nothing if it may as well be no blob."""
    head = match.group()[: HEAD * 2]
    if encoding == "escapes":
        found = kind(bytes(int(pair, 16) for pair in _TWO.findall(head)))
        # Percent signs in addresses encode text of other languages.
        return found if found in ("program", "pickle", "script") or head[:1] != b"%" else ""
    if encoding == "hexadecimal":
        digits = head.removeprefix(b"0x")
        found = kind(bytes.fromhex(digits[: len(digits) // 2 * 2].decode()))
        return found if found != "bytes" or len(set(digits)) >= _DIGITS else ""
    if not head[:200].translate(None, _FIGURES + b"abcdefABCDEF"):
        return ""
    if _DATA_URL.search(data[max(0, match.start() - 120) : match.start()]):
        media = _DATA_URL.search(data[max(0, match.start() - 120) : match.start()])
        if media and media.group(1) in (b"image", b"audio", b"video", b"font"):
            return "media" if _decoded(head) not in ("program", "pickle") else _decoded(head)
    found = _decoded(head)
    if found == "bytes":
        return found if len(head) >= _LONG and _is_random(head) else ""
    if found == "text" and len(head) < _LONG:
        return ""
    return found


def _decoded(head: bytes) -> str:
    letters = re.sub(rb"\s|=", b"", head).replace(b"-", b"+").replace(b"_", b"/")
    letters = re.sub(rb"%2[Bb]", b"+", re.sub(rb"%2[Ff]", b"/", letters))
    try:
        return kind(base64.b64decode(letters[: len(letters) // 4 * 4]))
    except (ValueError, binascii.Error):
        return ""


def _is_random(head: bytes) -> bool:
    """Whether letters and digits are as frequent as in base64, not as in paths and names.

    Random data has 41 % capitals, 41 % small letters, 16 % digits and 3 % others.
    """
    size = len(head)
    capitals, small, digits = (
        size - len(head.translate(None, letters)) for letters in (_CAPITALS, _SMALL, _FIGURES)
    )
    others = size - capitals - small - digits
    return min(capitals, small) >= size / 5 and digits >= size / 20 and others <= size / 10
