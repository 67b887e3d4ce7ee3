"""The bytes of files and of members of archives: as a stream, or to be read in any order.

A member is reached by the steps that the check of its archive took (``sources.base.Step``). What is
stored as it is, is read in place. What is packed is unpacked as a stream; where other bytes than
the next are asked for, or an archive is packed as a whole, what comes out is set aside in a file
without a name. No name in an archive is ever a path on disk.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from poisonscan.formats.unpack import Unpacked, most_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from poisonscan.formats.base import TableFile
    from poisonscan.sources.base import Step
from poisonscan.sources.partial import Guarded

ASIDE = 1 << 30
"""Bytes that a process sets aside at once, on disk."""
_PIECE = 1 << 20
_LZMA_HEAD = 9
"""Bytes in front of an LZMA stream in a zip archive (APPNOTE.TXT 6.3.10, section 5.8.8)."""
_UNKNOWN_SIZE = b"\xff" * 8
_LARGEST = 1 << 62


@dataclass(slots=True)
class _Store:
    """Bytes on disk that several readers share; closed when the last of them is gone.

    Attributes:
        file: open; nobody but this minds where it stands.
        damage: why there are no more bytes; empty when these are all.
    """

    file: BinaryIO
    damage: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __del__(self) -> None:
        self.file.close()

    @property
    def size(self) -> int:
        """How many bytes there are, or would be but for damage."""
        with self._lock:
            return _LARGEST if self.damage else self.file.seek(0, io.SEEK_END)

    def at(self, place: int, count: int) -> bytes:
        """Bytes from a place on, at least one.

        Raises:
            ValueError: they are lost.
        """
        with self._lock:
            self.file.seek(place)
            data = self.file.read(count)
        if not data:
            raise ValueError(self.damage or "the archive ends within a member")
        return data


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of a store.

    Attributes:
        store: where it is.
        start: its first byte there.
        size: bytes.
        shared: whether others may read the store as well, so that it stays open.
    """

    store: _Store
    start: int
    size: int
    shared: bool

    def part(self, step: Step) -> _Place:
        """A part of it."""
        size = self.size - step.start if step.size < 0 else step.size
        return _Place(self.store, self.start + step.start, size, self.shared)


class _Range(io.RawIOBase):
    """A place as a file."""

    def __init__(self, place: _Place) -> None:
        super().__init__()
        self.store, self.start, self.size = place.store, place.start, place.size
        self._shared = place.shared
        self._place = 0

    def close(self) -> None:
        if not self.closed and not self._shared:
            self.store.file.close()
        super().close()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        self._place = max(0, place + (0, self._place, self.size)[whence])
        return self._place

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        count = min(len(view), self.size - self._place)
        if count <= 0:
            return 0
        data = self.store.at(self.start + self._place, count)
        view[: len(data)] = data
        self._place += len(data)
        return len(data)


def opened(file: TableFile) -> BinaryIO | Unpacked:
    """The bytes of a file or member from start to end, unpacked where it is compressed.

    Raises:
        OSError: it cannot be opened, or nothing can be set aside.
        ValueError: what is in front of it cannot be unpacked.
    """
    if file.steps:
        return _stepped(file, file.steps)
    plain = Path(file.file).open("rb")  # noqa: SIM115 - the caller closes it
    if not file.codec:
        return plain
    return Unpacked(plain, file.codec, most_of(file.size))


def seekable(file: TableFile) -> BinaryIO:
    """The bytes of a file that is not compressed, or of any member, in any order.

    Raises:
        OSError: it cannot be opened, or nothing can be set aside.
        ValueError: it cannot be unpacked, or to more than ``ASIDE`` bytes.
    """
    if file.present is not None and not file.steps:
        return cast("BinaryIO", io.BufferedReader(Guarded(file.file, file.present), _PIECE))
    if not file.steps:
        return Path(file.file).open("rb")
    place = _in_any_order(file, file.steps)
    if place.store.damage and file.steps[-1].codec:
        raise ValueError(place.store.damage)
    return _buffered(place)


def _buffered(place: _Place) -> BinaryIO:
    return cast("BinaryIO", io.BufferedReader(_Range(place), _PIECE))


def _stepped(file: TableFile, steps: tuple[Step, ...]) -> BinaryIO | Unpacked:
    """What the last step leads to."""
    *outer, last = steps
    packed = _in_any_order(file, tuple(outer)).part(last)
    source = _buffered(packed)
    if not last.codec:
        return source
    head = b""
    if last.codec == "zip lzma":
        head = source.read(_LZMA_HEAD)[4:] + _UNKNOWN_SIZE
    return Unpacked(source, last.codec, most_of(packed.size), several=last.size < 0, _packed=head)


def _in_any_order(file: TableFile, steps: tuple[Step, ...]) -> _Place:
    if not steps:
        store = _Store(Path(file.file).open("rb"))  # noqa: SIM115 - its reader closes it
        return _Place(store, 0, store.size, shared=False)
    if not steps[-1].codec:
        return _in_any_order(file, steps[:-1]).part(steps[-1])
    store = _aside.of(file, steps)
    return _Place(store, 0, store.size, shared=True)


class _Aside:
    """What was unpacked last. Each process has its own: a forked one must not move another's."""

    def __init__(self) -> None:
        self._stores: OrderedDict[tuple[object, ...], tuple[_Store, int]] = OrderedDict()
        self._process = os.getpid()
        self._lock = threading.RLock()  # what is inside of what was unpacked is unpacked

    def of(self, file: TableFile, steps: tuple[Step, ...]) -> _Store:
        """What the steps lead to, as far as it can be unpacked."""
        about = Path(file.file).stat()
        key = (file.file, about.st_size, about.st_mtime_ns, steps)
        with self._lock:
            if self._process != os.getpid():
                self._stores.clear()
                self._process = os.getpid()
            if key in self._stores:
                self._stores.move_to_end(key)
                return self._stores[key][0]
            store, size = _unpacked(file, steps)
            self._stores[key] = store, size
            while len(self._stores) > 1 and sum(s for _, s in self._stores.values()) > ASIDE:
                self._stores.popitem(last=False)  # closed when its last reader is gone
            return store


def _unpacked(file: TableFile, steps: tuple[Step, ...]) -> tuple[_Store, int]:
    """Unpack to a file without a name."""
    nameless = tempfile.TemporaryFile(dir=file.scratch or None)  # noqa: SIM115 - its store closes it
    store = _Store(cast("BinaryIO", nameless))
    size = 0
    with _stepped(file, steps) as source:
        while True:
            try:
                piece = source.read(_PIECE)
            except ValueError as error:
                store.damage = str(error)
                break
            if not piece:
                break
            if size + len(piece) > ASIDE:
                what = f"limit reached: it unpacks to more than {ASIDE:,} bytes, which must be"
                store.damage = f"{what} set aside to be read"
                break
            store.file.write(piece)
            size += len(piece)
    store.file.flush()
    return store, size


_aside = _Aside()
