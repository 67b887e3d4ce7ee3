"""Tar archives, walked in 512-byte steps; nothing is ever written to disk.

Layout: POSIX.1-2001 pax and ustar, and GNU's long names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Archive, Artifact
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_BLOCK: Final = 512
_LONGEST_RECORD: Final = 1 << 16
_PAX_PATH: Final = re.compile(rb"\d+ path=([^\n]*)\n")
_PAX_SIZE: Final = re.compile(rb"\d+ size=(\d{1,18})\n")
_NO_ZERO: Final = re.compile(rb"[^\0]")
_EXTENDING: Final = (b"L", b"K", b"x", b"g", b"X")
"""Headers that say something about the next member, or all that follow."""
_WITHOUT_DATA: Final = (b"1", b"2", b"3", b"4", b"5", b"6")
"""Links, devices, folders and pipes. Every other type is unpacked as a file."""


class Tar:
    """Tar archives, also the oldest torch checkpoints and NeMo models."""

    name = "tar"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By the magic of the first header, or by its checksum where there is no magic."""
        if len(head) < _BLOCK:
            return False
        return head[257:262] == b"ustar" or (head[0] != 0 and _checksum_holds(head[:_BLOCK]))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Every regular file in it."""
        members, anomalies, reason = _walk(view, budget)
        yield Archive(blob.path, self.name, len(members), tuple(anomalies), blob.base)
        if reason:
            yield Gap(blob.path, reason)
        for name, start, size in members:
            base = None if blob.base is None else blob.base + start
            yield blob.part(name, view[start : start + size], base)


def _walk(
    view: memoryview, budget: Budget
) -> tuple[list[tuple[str, int, int]], list[Anomaly], str]:
    members: list[tuple[str, int, int]] = []
    anomalies: list[Anomaly] = []
    position, long_name, long_size = 0, "", None
    while position + _BLOCK <= len(view):
        header = bytes(view[position : position + _BLOCK])
        if not header.strip(b"\0"):
            _behind_end(view, position, members, anomalies)
            return members, anomalies, ""
        size = _number(header[124:136])
        if size is None or not _checksum_holds(header):
            members.append((f"@{position}", position, len(view) - position))
            return members, anomalies, f"damaged tar header at byte {position:,}"
        budget.take_member()
        start, kind = position + _BLOCK, header[156:157]
        if kind in _EXTENDING:
            data = bytes(view[start : start + min(size, _LONGEST_RECORD)])
            long_name, long_size = _extended(data, kind, long_name, long_size)
        else:
            size = size if long_size is None or kind in _WITHOUT_DATA else long_size
            name = long_name or _name(header)
            long_name, long_size = "", None
            if kind not in _WITHOUT_DATA and size:
                members.append((name, start, min(size, len(view) - start)))
            if name.startswith("/") or ".." in name.split("/"):
                what = "leaves the folder that the archive is unpacked in"
                anomalies.append(Anomaly("path-leaves-folder", what, position, name))
            if kind in _WITHOUT_DATA:
                size = 0
        if start + size > len(view):
            return members, anomalies, f"the member at byte {position:,} reaches over the end"
        position = start + -(-size // _BLOCK) * _BLOCK
    return members, anomalies, "" if position >= len(view) else "tar archive without an end"


def _behind_end(
    view: memoryview,
    position: int,
    members: list[tuple[str, int, int]],
    anomalies: list[Anomaly],
) -> None:
    """Loaders stop at the first block of zeros, unless they are told to go on."""
    match = _NO_ZERO.search(view, position)
    if match is not None:
        what = "stands behind the end of the archive"
        anomalies.append(Anomaly("data-behind-end", what, match.start(), f"@{match.start()}"))
        start = match.start() // _BLOCK * _BLOCK
        members.append((f"@{start}", start, len(view) - start))


def _extended(data: bytes, kind: bytes, name: str, size: int | None) -> tuple[str, int | None]:
    """Name and size of the next member, as a header before it states them."""
    if kind in (b"x", b"X"):
        path, length = _PAX_PATH.search(data), _PAX_SIZE.search(data)
        if path is not None:
            name = path.group(1).split(b"\0")[0].decode("utf-8", "backslashreplace")
        if length is not None:
            size = int(length.group(1))
    elif kind == b"L":
        name = data.split(b"\0")[0].decode("utf-8", "backslashreplace")
    return name, size


def _number(field: bytes) -> int | None:
    if field[0] & 0x80:
        value = int.from_bytes(field[1:], "big")
        return None if field[0] != 0x80 or value >> 62 else value
    text = field.strip(b" \0")
    return int(text, 8) if re.fullmatch(rb"[0-7]+", text) else (0 if not text else None)


def _checksum_holds(header: bytes) -> bool:
    stated = _number(header[148:156])
    return stated == sum(header) - sum(header[148:156]) + 8 * 0x20


def _name(header: bytes) -> str:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return (prefix + b"/" + name if prefix else name).decode("utf-8", "backslashreplace")
