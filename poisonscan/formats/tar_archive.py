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
_LONGEST_NAME: Final = 4096
_PAX_PATH: Final = re.compile(rb"\d+ path=([^\n]*)\n")
_FILES: Final = (b"0", b"\0", b"7", b"S")


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
    position, long_name = 0, ""
    while position + _BLOCK <= len(view):
        header = bytes(view[position : position + _BLOCK])
        if not header.strip(b"\0"):
            return members, anomalies, ""
        size = _number(header[124:136])
        if size is None or not _checksum_holds(header):
            return members, anomalies, f"damaged tar header at byte {position:,}"
        budget.take_member()
        start = position + _BLOCK
        kind = header[156:157]
        if start + size > len(view):
            size, cut = len(view) - start, True
        else:
            cut = False
        if kind in (b"L", b"x"):
            long_name = _long_name(bytes(view[start : start + min(size, _LONGEST_NAME)]), kind)
        else:
            name = long_name or _name(header)
            long_name = ""
            if kind in _FILES and size:
                members.append((name, start, size))
            if name.startswith("/") or ".." in name.split("/"):
                what = "leaves the folder that the archive is unpacked in"
                anomalies.append(Anomaly("path-leaves-folder", what, position, name))
        if cut:
            return members, anomalies, f"the member at byte {position:,} reaches over the end"
        position = start + -(-size // _BLOCK) * _BLOCK
    return members, anomalies, "" if position >= len(view) else "tar archive without an end"


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


def _long_name(data: bytes, kind: bytes) -> str:
    if kind == b"x":
        match = _PAX_PATH.search(data)
        data = match.group(1) if match else b""
    return data.split(b"\0")[0].decode("utf-8", "backslashreplace")
