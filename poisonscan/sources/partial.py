"""Files of which only parts are here: the kernel tells which of the others somebody looked at.

The parts that are here are mapped, and between them lies memory that nothing was ever written to.
A look at a page of it leaves a mark in the table of pages, which ``/proc/self/pagemap`` shows
(Linux, Documentation/admin-guide/mm/pagemap.rst). Pages of zeros that only were read are never
taken back, so no look goes unnoticed: what was made of a file without such marks is what would have
been made of all of it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import io
import mmap
import os
import re
import sys
import weakref
from collections.abc import Iterable
from typing import Any, Final

from poisonscan.sources.base import Spans

BLOCK: Final = 1 << 16
"""Parts begin and end at multiples of it, or with the file: no system has larger pages."""
_PAGEMAP: Final = "/proc/self/pagemap"
_READ: Final = 1  # PROT_READ
_PRIVATE: Final = 0x02  # MAP_PRIVATE
_FIXED: Final = 0x10  # MAP_FIXED
_NOTHING: Final = 0x20 | 0x4000  # MAP_ANONYMOUS | MAP_NORESERVE
_SMALL_PAGES: Final = 15  # MADV_NOHUGEPAGE
_FAILED: Final = ctypes.c_void_p(-1).value
_ENTRY: Final = 8
"""Bytes of an entry of the page map; the two highest bits say that a page is there, or is away."""
_SEEN: Final = re.compile(rb"[\x40-\xff]+")
_PIECE: Final = 1 << 20
_MOST: Final = 10_000
"""Spans that are told apart; where there are more, all of the file is wanted."""


@functools.cache
def can_watch() -> bool:
    """Whether this system tells what was looked at."""
    if sys.platform != "linux" or mmap.PAGESIZE > BLOCK:
        return False
    try:
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123
            watched = Watched(nothing.fileno(), 4 * BLOCK, ())
        with contextlib.closing(watched):
            looked = watched.view[BLOCK]
            return watched.missed() == ((BLOCK, BLOCK + mmap.PAGESIZE),) and looked == 0
    except (OSError, ValueError, AttributeError):
        return False


class Watched:
    """A view of a file of which parts are missing.

    Args:
        descriptor: of the file, which has its full size; it may be closed afterwards.
        size: of the file in bytes.
        present: the parts that are in it, in order; the others read as zeros.

    Raises:
        OSError: the system has no memory for it, or does not tell what was looked at.

    Attributes:
        view: all bytes, read-only.
    """

    def __init__(self, descriptor: int, size: int, present: Spans) -> None:
        self._holes = holes(size, present)
        library = ctypes.CDLL(None, use_errno=True)
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
            ctypes.c_long,
        ]  # fmt: skip
        library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        start = library.mmap(None, size, _READ, _PRIVATE | _NOTHING, -1, 0)
        if start is None or start == _FAILED:
            raise OSError(ctypes.get_errno(), "cannot be mapped")
        block = (ctypes.c_char * size).from_address(start)
        # Gone with the last view of it.
        weakref.finalize(block, library.munmap, start, size)
        # Without small pages a look would count for everything in two megabytes around.
        library.madvise(start, size, _SMALL_PAGES)
        for begin, end in present:
            where = library.mmap(
                start + begin, end - begin, _READ, _PRIVATE | _FIXED, descriptor, begin
            )
            if where != start + begin:
                raise OSError(ctypes.get_errno(), "cannot be mapped")
        self._start = start
        self._size = size
        self._map = _PageMap()
        self.view = memoryview(block).cast("B").toreadonly()

    def missed(self) -> Spans:
        """What was looked at since and is missing, as pages, in order.

        Raises:
            OSError: it cannot be known.
        """
        found: list[tuple[int, int]] = []
        for begin, end in self._holes:
            for first, last in self._map.seen(self._start + begin, self._start + end):
                found.append((first - self._start, min(last - self._start, self._size)))
                if len(found) > _MOST:
                    return ((0, self._size),)
        return tuple(found)

    def close(self) -> None:
        """Watch no longer; the view stays."""
        self._map.close()


class _PageMap:
    """The page map of this process, opened while it still may open files."""

    def __init__(self) -> None:
        self._file = open(_PAGEMAP, "rb", buffering=0)  # noqa: PTH123, SIM115

    def close(self) -> None:
        self._file.close()

    def seen(self, begin: int, end: int) -> Iterable[tuple[int, int]]:
        """Runs of pages that were looked at, by their addresses."""
        page = begin // mmap.PAGESIZE
        last = -(-end // mmap.PAGESIZE)
        while page < last:
            data = os.pread(self._file.fileno(), min(_PIECE, (last - page) * _ENTRY), page * _ENTRY)
            if not data or len(data) % _ENTRY:
                raise OSError("the page map ends early")
            for run in _SEEN.finditer(data[_ENTRY - 1 :: _ENTRY]):
                yield (page + run.start()) * mmap.PAGESIZE, (page + run.end()) * mmap.PAGESIZE
            page += len(data) // _ENTRY


class Guarded(io.RawIOBase):
    """A file of which parts are missing, for whoever reads it from disk: those cannot be read.

    Args:
        file: where it is.
        present: the parts that are in it, in order.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, file: str, present: Spans) -> None:
        self._file = open(file, "rb", buffering=0)  # noqa: PTH123, SIM115 - closed with it
        self._holes = holes(os.fstat(self._file.fileno()).st_size, present)

    def readable(self) -> bool:
        """What is there can be read."""
        return True

    def seekable(self) -> bool:
        """Anywhere."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file."""
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int | None:
        """As of any file.

        Raises:
            OSError: it is asked for what is missing.
        """
        place = self._file.tell()
        view = memoryview(buffer).cast("B")
        for begin, end in self._holes:
            if begin <= place < end:
                message = f"the bytes from {place:,} on were not fetched"
                raise OSError(message)
            if place < begin:
                view = view[: begin - place]
                break
        return self._file.readinto(view)

    def close(self) -> None:
        """As of any file."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self._file.close()
        super().close()


def holes(size: int, present: Iterable[tuple[int, int]]) -> Spans:
    """What lies between spans that are in order, and behind them up to ``size``."""
    found = []
    place = 0
    for begin, end in present:
        if place < begin:
            found.append((place, begin))
        place = max(place, end)
    if place < size:
        found.append((place, size))
    return tuple(found)


def united(spans: Iterable[tuple[int, int]], apart: int = 0) -> Spans:
    """The same spans in order, those that are not further apart than that as one."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if found and begin <= found[-1][1] + apart:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return tuple(found)


def lacking(wanted: Iterable[tuple[int, int]], missing: Spans) -> Spans:
    """What of some spans is missing.

    Args:
        wanted: in any order.
        missing: in order.
    """
    found = []
    number = 0
    for begin, end in united(wanted):
        while number < len(missing) and missing[number][1] <= begin:
            number += 1
        for first, last in missing[number:]:
            if first >= end:
                break
            found.append((max(begin, first), min(end, last)))
    return tuple(found)
