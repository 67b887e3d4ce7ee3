"""Zip archives, read from both their central directory and their local headers.

Loaders disagree with each other about damaged archives: some believe the directory, some the local
headers, some ignore flags and checksums. So every member is read the way the most tolerant loader
reads it, and where the two views differ both are scanned and the difference is an anomaly.
Layout: APPNOTE.TXT 6.3.10 by PKWARE, sections 4.3 and 4.4.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Archive, Artifact, Numbers
from poisonscan.formats.inflate import inflate
from poisonscan.formats.pickle_stream import stored_pickle
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_END: Final = b"PK\x05\x06"
_END64: Final = b"PK\x06\x06"
_LOCATOR64: Final = b"PK\x06\x07"
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_LOCAL_MAGIC: Final = re.compile(rb"PK\x03\x04")
_TAIL: Final = 65_557
_ENCRYPTED: Final = 1
_DESCRIPTOR: Final = 8
_ANOMALIES_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """A member as one of the two views describes it. ``header`` is the local header's offset."""

    name: str
    header: int
    method: int
    flags: int
    packed: int
    unpacked: int
    data: int = 0


def find_end(view: memoryview) -> int:
    """Offset of the end-of-directory record, -1 if there is none."""
    start = max(0, len(view) - _TAIL)
    found = bytes(view[start:]).rfind(_END)
    return found + start if found >= 0 else -1


def ends_as_zip(view: memoryview) -> bool:
    """Whether the last bytes are the end record of a zip archive, with its directory before it."""
    end = find_end(view)
    if end < 0 or end + 22 > len(view):
        return False
    size, _offset, comment = struct.unpack_from("<IIH", view, end + 12)
    directory = bytes(view[max(end - size, 0) : max(end - size, 0) + 4])
    return bool(end + 22 + comment == len(view) and size and directory == b"PK\x01\x02")


class Zip:
    """Zip archives: torch checkpoints, npz, Keras, skops, plain zips."""

    name = "zip"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the first local header, or the end record of an empty or prefixed archive."""
        if head.startswith((b"PK\x03\x04", _END)):
            return True
        if blob.suffix not in (".zip", ".npz", ".pt", ".pth", ".ckpt", ".keras"):
            return False
        return find_end(blob.open()) >= 0

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The archive with its anomalies, then every member of either view."""
        archive = _Archive(view)
        entries = archive.entries(budget)
        kind = _kind(entries)
        yield Archive(blob.path, kind, len(entries), tuple(archive.anomalies), blob.base)
        for reason in archive.gaps:
            yield Gap(blob.path, reason)
        storages = _storage_names(entries)
        for entry in entries:
            if entry.name.endswith("/") and entry.unpacked == 0:
                continue
            yield from _member(blob, view, entry, budget, storage=bool(storages.match(entry.name)))


def _kind(entries: list[Entry]) -> str:
    names = {entry.name for entry in entries}
    if any(name.endswith("constants.pkl") for name in names):
        return "TorchScript"
    if any(name.endswith("/archive_format") for name in names):
        return "torch export"
    if any(name.endswith("/data.pkl") for name in names):
        return "torch zip"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return "zip"


def _storage_names(entries: list[Entry]) -> re.Pattern[str]:
    """Members that torch reads as raw numbers: ``<root>/data/<key>`` beside ``<root>/data.pkl``."""
    roots = {e.name[: -len("data.pkl")] for e in entries if e.name.endswith("/data.pkl")}
    roots |= {e.name[: -len("constants.pkl")] for e in entries if e.name.endswith("constants.pkl")}
    exported = any(entry.name.endswith("/archive_format") for entry in entries)
    more = r"|[^/]+/data/(?:weights|constants)/[^/]+\Z" if exported else ""
    joined = "|".join(re.escape(root) for root in sorted(roots)[:64])
    return re.compile(
        (rf"(?:{joined})(?:data|constants|\.data)/[^/]+\Z" if joined else r"(?!)") + more
    )


def _member(
    blob: Blob, view: memoryview, entry: Entry, budget: Budget, *, storage: bool
) -> Iterator[Blob | Artifact | Gap]:
    name = entry.name or f"@{entry.header}"
    packed = view[entry.data : entry.data + entry.packed]
    if entry.method == 0:
        base = None if blob.base is None else blob.base + entry.data
        child = blob.part(name, packed, base)
        if storage:
            pickled = stored_pickle(child, packed, budget)
            yield pickled or Numbers(child.path, "torch storage")
            return
    else:
        data, reason, _ = _unpack(packed, entry, budget)
        child = blob.part(name, memoryview(data), None)
        if reason:
            yield Gap(child.path, reason)
        if not data:
            return
    yield child


def _unpack(packed: memoryview, entry: Entry, budget: Budget) -> tuple[bytearray, str, int]:
    """A member's content, and why it is not whole."""
    if entry.method == zlib.DEFLATED:
        return inflate(zlib.decompressobj(-15), packed, budget)
    if entry.method == 12:
        return inflate(bz2.BZ2Decompressor(), packed, budget)
    if entry.method == 14 and len(packed) > 9:
        # Section 5.8.8: version, size of the properties, then lc/lp/pb and the dictionary size.
        header = bytes(packed[4:9]) + b"\xff" * 8
        return inflate(lzma.LZMADecompressor(lzma.FORMAT_ALONE), packed[9:], budget, header)
    return bytearray(), f"compression method {entry.method} is not read", 0


class _Archive:
    """The two views of an archive, and where they differ."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.anomalies: list[Anomaly] = []
        self.gaps: list[str] = []
        self._directory = True

    def entries(self, budget: Budget) -> list[Entry]:
        """Members of the central directory, then those that only local headers show."""
        found: list[Entry] = []
        covered: list[tuple[int, int]] = []
        names: set[str] = set()
        for entry in self._central(budget):
            if entry.name in names:
                self._note("duplicate-name", entry, "stands in the directory more than once")
            names.add(entry.name)
            local = self._local(entry.header, entry)
            if local is None:
                self.gaps.append(f"member {entry.name!a} has no local header")
                continue
            self._compare(entry, local)
            whole = Entry(
                entry.name, entry.header, entry.method, entry.flags,
                min(entry.packed, len(self.view) - local.data), entry.unpacked, local.data,
            )  # fmt: skip
            found.append(whole)
            covered.append((entry.header, local.data + entry.packed))
        for header in self._hidden(covered):
            budget.take_member()
            hidden = self._local(header, None)
            if hidden is not None:
                if self._directory:  # else the local headers are all there is
                    self._note("hidden-member", hidden, "is not in the directory")
                found.append(hidden)
        return found

    def _note(self, kind: str, entry: Entry, what: str) -> None:
        if len(self.anomalies) < _ANOMALIES_KEPT:
            self.anomalies.append(Anomaly(kind, what, entry.header, entry.name))

    def _compare(self, entry: Entry, local: Entry) -> None:
        if entry.name != local.name:
            what = f"is called {ascii(local.name)[:120]} in its local header"
            self._note("name-mismatch", entry, what)
        if entry.method != local.method:
            self._note(
                "method-mismatch", entry, "has another compression method in its local header"
            )
        if (entry.flags | local.flags) & _ENCRYPTED:
            self._note("encrypted", entry, "is marked as encrypted, which some loaders ignore")
        sizes = (entry.packed, entry.unpacked)
        if not local.flags & _DESCRIPTOR and (local.packed, local.unpacked) != sizes:
            self._note("size-mismatch", entry, "has another size in its local header")

    def _central(self, budget: Budget) -> Iterator[Entry]:
        end = find_end(self.view)
        if end < 0 or end + 22 > len(self.view):
            self.gaps.append("zip archive without an end record: read from its local headers")
            self._directory = False
            return
        count, size, offset = struct.unpack_from("<HII", self.view, end + 10)
        start = end - size
        if bytes(self.view[end - 20 : end - 16]) == _LOCATOR64:
            (record,) = struct.unpack_from("<Q", self.view, end - 12)
            if record + 56 <= end and bytes(self.view[record : record + 4]) == _END64:
                count, size, offset = struct.unpack_from("<QQQ", self.view, record + 32)
                start = record - size
        # Bytes in front of the archive shift every offset; tolerant loaders correct for that.
        if start < 0 or bytes(self.view[start : start + 4]) not in (b"PK\x01\x02", _END, _END64):
            start = offset
        shift = start - offset
        for _ in range(count):
            if start + _CENTRAL.size > len(self.view):
                self.gaps.append("the directory of the zip archive is cut short")
                return
            fields = _CENTRAL.unpack_from(self.view, start)
            if fields[0] != b"PK\x01\x02":
                self.gaps.append("the directory of the zip archive is damaged")
                return
            budget.take_member()
            names, extra, comment = fields[10:13]
            name = bytes(self.view[start + 46 : start + 46 + names])
            more = bytes(self.view[start + 46 + names : start + 46 + names + extra])
            packed, unpacked, header = _zip64(more, fields[8], fields[9], fields[16])
            yield Entry(_text(name), header + shift, fields[4], fields[3], packed, unpacked)
            start += 46 + names + extra + comment

    def _local(self, header: int, entry: Entry | None) -> Entry | None:
        if not 0 <= header <= len(self.view) - _LOCAL.size:
            return None
        fields = _LOCAL.unpack_from(self.view, header)
        if fields[0] != b"PK\x03\x04":
            return None
        _, _, flags, method, _, _, _, packed, unpacked, names, extra = fields
        data = header + _LOCAL.size + names + extra
        if data > len(self.view):
            return None
        more = bytes(self.view[data - extra : data])
        unpacked, packed = _sizes64(more, unpacked, packed)
        if entry is None and flags & _DESCRIPTOR and packed == 0:
            packed = len(self.view) - data
        name = _text(bytes(self.view[header + 30 : header + 30 + names]))
        return Entry(
            name, header, method, flags, min(packed, len(self.view) - data), unpacked, data
        )

    def _hidden(self, covered: list[tuple[int, int]]) -> Iterator[int]:
        """Local headers outside of all members that the directory lists."""
        position = 0
        for begin, end in [*sorted(covered), (len(self.view), len(self.view))]:
            if position < begin:
                for match in _LOCAL_MAGIC.finditer(self.view, position, begin):
                    yield match.start()
            position = max(position, end)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def _sizes64(extra: bytes, unpacked: int, packed: int) -> tuple[int, int]:
    values = _extra64(extra)
    if unpacked == 0xFFFFFFFF and values:
        unpacked = values.pop(0)
    if packed == 0xFFFFFFFF and values:
        packed = values.pop(0)
    return unpacked, packed


def _zip64(extra: bytes, packed: int, unpacked: int, header: int) -> tuple[int, int, int]:
    values = _extra64(extra)
    wide = [unpacked, packed, header]
    for index, value in enumerate(wide):
        if value == 0xFFFFFFFF and values:
            wide[index] = values.pop(0)
    return wide[1], wide[0], wide[2]


def _extra64(extra: bytes) -> list[int]:
    position = 0
    while position + 4 <= len(extra):
        tag, size = struct.unpack_from("<HH", extra, position)
        body = extra[position + 4 : position + 4 + size]
        if tag == 1:
            whole = body[: len(body) // 8 * 8]
            return list(struct.unpack(f"<{len(whole) // 8}Q", whole))
        position += 4 + size
    return []
