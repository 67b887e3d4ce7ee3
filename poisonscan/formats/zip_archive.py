"""Zip archives, read from both their central directory and their local headers.

Loaders disagree with each other about damaged archives: some believe the directory, some the local
headers, some ignore flags and checksums. So every member is read the way the most tolerant loader
reads it, and where two readings differ both are scanned and the difference is an anomaly.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import (
    Archive,
    Artifact,
    Expansion,
    Numbers,
    Reference,
    References,
    TableFile,
)
from poisonscan.formats.member_names import link_leaves_folder
from poisonscan.formats.pickle_stream import begins_pickle, stored_pickle
from poisonscan.formats.tables import table_in
from poisonscan.formats.zip_content import CODECS, STORED, content, head_of
from poisonscan.formats.zip_directory import SUFFIXES, Entry, find_ends
from poisonscan.formats.zip_views import Member, Views
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob, Step

_SELF_RUNNING: Final = (".pyz", ".pyzw", ".exe", ".sh", ".run", ".pex", ".xpi", ".crx")
"""Archives that have a program in front by design."""
_CHECKED: Final = 64 << 20
"""Bytes of a stored member up to which its checksum is computed, and four times that in total."""
_ENCRYPTION_HEADER: Final = 12
"""Bytes that encryption puts in front of a member (APPNOTE.TXT, section 6.1)."""
_TEXT_RATIO: Final = 50
"""Times its packed size that text seldom exceeds."""
_STEPWISE: Final = frozenset({"deflate", "bzip2", "xz", "zip lzma"})
"""Methods by which the first bytes come out alone."""
_LONGEST_TARGET: Final = 4096
_PLAIN_PATH: Final = re.compile(rb"[\w./+@~-]+")
"""Targets of links in which nothing can be hidden: a pickle needs line ends or control bytes to
name anything, a script needs spaces or brackets."""
_CONTAINER: Final = re.compile(
    rb"PK(?:\x03\x04|\x05\x06)|\x89HDF\r\n\x1a\n|\x1f\x8b\x08[\0-\x1f]|BZh[1-9]|\xfd7zXZ\0"
    rb"|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|\x93NUMPY|\x7fELF|GGUF"
    rb"|PAR1|ARROW1|#!|.{257}ustar",
    re.DOTALL,
)
"""First bytes of what is no array of numbers."""


class Zip:
    """Zip archives: torch checkpoints, npz, Keras, skops, plain zips."""

    name = "zip"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the first local header, or the end record of an empty or prefixed archive."""
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return True
        return blob.suffix in SUFFIXES and bool(find_ends(blob.open()))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The archive with its anomalies, then every member of either view."""
        views = Views(view, budget)
        members = views.members()
        kind = _kind({member.entry.name for member in members})
        views.compare_names(torch=kind.startswith("torch") or kind == "TorchScript")
        if blob.suffix not in _SELF_RUNNING:
            views.note_bytes_in_front()
        reader = _Reader(blob, view, budget, views, members)
        items, stopped = reader.read()
        yield Archive(blob.path, kind, len(members), tuple(views.anomalies), blob.base)
        yield Expansion(blob.path, kind, len(view), reader.unpacked)
        for reason in views.gaps:
            yield Gap(blob.path, reason)
        if reader.links:
            yield References(blob.path, "zip", tuple(reader.links))
        yield from items
        if stopped is not None:
            raise stopped
        if views.trailing is not None:
            base = None if blob.base is None else blob.base + views.trailing
            yield blob.part("trailing", view[views.trailing :], base)


def _kind(names: set[str]) -> str:
    if any(name.endswith("constants.pkl") for name in names):
        return "TorchScript"
    if any(name.endswith("/archive_format") for name in names):
        return "torch export"
    if any(name.endswith("/data.pkl") for name in names):
        return "torch zip"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return "zip"


def _storage_names(names: list[str]) -> re.Pattern[str]:
    """Members that torch reads as raw numbers: ``<root>/data/<key>`` beside ``<root>/data.pkl``.

    Only names that torch gives them: ``_save`` of ``torch/serialization.py`` counts, and so does
    TorchScript; ``WEIGHT_FILENAME_PREFIX`` and ``TENSOR_CONSTANT_FILENAME_PREFIX`` of
    ``torch/export/pt2_archive/constants.py`` stand in front of a number as well.
    """
    roots = {name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl")}
    roots |= {name[: -len("constants.pkl")] for name in names if name.endswith("constants.pkl")}
    exported = any(name.endswith("/archive_format") for name in names)
    more = r"|[^/]+/data/(?:weights/weight|constants/tensor)_[0-9]+\Z" if exported else ""
    joined = "|".join(re.escape(root) for root in sorted(roots)[:64])
    return re.compile((rf"(?:{joined})(?:data|constants)/[0-9]+\Z" if joined else r"(?!)") + more)


class _Reader:
    """Takes the content of the members out."""

    def __init__(
        self, blob: Blob, view: memoryview, budget: Budget, views: Views, members: list[Member]
    ) -> None:
        self.blob, self.view, self.budget, self.views = blob, view, budget, views
        self.members = members
        self.links: list[Reference] = []
        self.unpacked = 0
        names = [member.entry.name for member in members]
        self._names = {name.rstrip("/") for name in names}
        self._storages = _storage_names(names)
        self._read: set[tuple[int, int, int, bool]] = set()
        self._stored = 0
        # torch.serialization.set_crc32_options(False) leaves every checksum out.
        self._checks = any(member.entry.crc for member in members)
        self._left = 4 * _CHECKED

    def read(self) -> tuple[list[Blob | Artifact | Gap], LimitReached | None]:
        """What all members hold, as far as limits allow."""
        items: list[Blob | Artifact | Gap] = []
        try:
            for member in self.members:
                for reading in member.readings(len(self.view)):
                    items += self._content(member, reading)
        except LimitReached as error:
            return items, error
        return items, None

    def _content(self, member: Member, entry: Entry) -> Iterator[Blob | Artifact | Gap]:
        name = entry.name or f"@{entry.header}"
        storage = self._storages.match(name) is not None
        key = (entry.data, entry.packed, entry.method, storage)
        if key in self._read or (name.endswith("/") and not entry.packed and not entry.unpacked):
            return
        self._read.add(key)
        packed = self.view[entry.data : entry.data + entry.packed]
        self._count_overlap(len(packed))
        if storage and (numbers := self._storage(name, packed, entry)) is not None:
            yield numbers
            return
        known = CODECS.get(entry.method)
        step = None if known is None else Step(entry.data, len(packed), known)
        if entry.method == STORED:
            base = None if self.blob.base is None else self.blob.base + entry.data
            child, reason = self.blob.part(name, packed, base, step), ""
        elif not member.encrypted and (table := self._rows(name, packed, entry, step)):
            yield table
            return
        else:
            out = bytearray()
            stream = content(packed, entry.method, self.budget, out)
            self.unpacked += len(out)
            reason = stream.reason
            child = self.blob.part(name, memoryview(out), None, step)
            if stream.stopped is not None:
                yield child
                raise stream.stopped
        fits = self._check(entry, child, reason)
        if member.encrypted and not fits and not begins_pickle(child.open()):
            yield Gap(child.path, "is encrypted: not checked")
            return
        if member.encrypted:
            self.views.note("encrypted", entry, "is marked as encrypted and is not")
        if reason:
            yield Gap(child.path, reason)
        if entry.link and self._is_link(name, child):
            return
        if child.size or entry.method == STORED:
            yield child

    def _rows(
        self, name: str, packed: memoryview, entry: Entry, step: Step | None
    ) -> Artifact | None:
        """A table of text that would unpack to more than is left, by its first bytes.

        It is read as a stream later on. What shrank more than text does is no such table.
        """
        left = self.budget.limits.unpacked - self.budget.unpacked
        if step is None or step.codec not in _STEPWISE:
            return None
        if not left < entry.unpacked <= _TEXT_RATIO * len(packed):
            return None
        from poisonscan.formats.registry import identify  # which imports this module

        out = bytearray()
        head_of(packed, entry.method, self.budget, out)
        front = self.blob.part(name, memoryview(out), None, step)
        kinds = [kind.name for kind in identify(front, front.open())] if out else []
        if kinds not in (["csv"], ["json"]):
            return None
        table = table_in(front, kinds[0])
        return replace(table, size=entry.unpacked) if isinstance(table, TableFile) else None

    def _is_link(self, name: str, child: Blob) -> bool:
        """Whether a member is a link to another one, and nothing else.

        Loaders may take its content for a file's, whatever its mode says, and who makes the archive
        chooses the names in it.
        """
        if child.size > _LONGEST_TARGET:
            return False
        content = bytes(child.open())
        target = content.decode("utf-8", "backslashreplace")
        if link_leaves_folder(name, target):
            self.links.append(Reference(target, f"symbolic link {name!a}", None))
        joined = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        return _PLAIN_PATH.fullmatch(content) is not None and joined in self._names

    def _storage(self, name: str, packed: memoryview, entry: Entry) -> Artifact | Gap | None:
        """Raw numbers are stepped over, but for a look whether they begin as a pickle.

        None if they begin as a container, which is read like any other member.
        """
        base = None
        if entry.method == STORED:
            base = None if self.blob.base is None else self.blob.base + entry.data
        else:
            out = bytearray()
            reason = head_of(packed, entry.method, self.budget, out)
            if reason and not out:
                return Gap(f"{self.blob.path}!/{name}", reason)
            packed = memoryview(out)
        if _CONTAINER.match(packed):
            return None
        child = self.blob.part(name, packed, base)
        return stored_pickle(child, packed, self.budget) or Numbers(child.path, "torch storage")

    def _count_overlap(self, size: int) -> None:
        """Members that share bytes may be many times as much as the file: that costs as well."""
        self._stored += size
        if self._stored > len(self.view):
            self.budget.take_unpacked(self._stored - len(self.view))
            self._stored = len(self.view)

    def _check(self, entry: Entry, child: Blob, reason: str) -> bool:
        """Whether the content has the stated checksum, as far as it is computed."""
        if entry.packed - entry.unpacked == _ENCRYPTION_HEADER and not entry.crc:
            return False  # an empty file that is encrypted: no checksum tells it
        if reason or not self._checks or child.size > min(_CHECKED, self._left):
            return not reason
        self._left -= child.size
        return self.views.compare_checksum(entry, child.open())
