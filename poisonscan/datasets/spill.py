"""Records that are grouped by key: in memory while they are few, then in files of a scratch folder.

A file holds one run of records, ordered by the first bits of their keys, so that all records of a
range of keys can be read from all runs without reading anything else. This is the map side of a
sort-merge shuffle (Dean and Ghemawat 2004, "MapReduce"), with ranges of hashes as partitions.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poisonscan.escape import quote
from poisonscan.limits import LimitReached

Table = NDArray[np.uint64]
"""Records, ``uint64`` of shape (records, width); the key, a hash, is the first column."""

MEMORY = 64 << 20
"""Bytes of records that a process keeps before it writes them to a file."""
PART = 64 << 20
"""Bytes of records that are grouped at a time; sorting them takes about four times as much."""
FREE = 1 << 30
"""Bytes that are left free on the disk of the scratch folder."""
MAX_FILES = 100_000
"""Runs of one request: a run has a table of where its partitions begin, of 2 kB."""
_BITS = 8
_PARTITIONS = 1 << _BITS
_READ = 8 << 20
_SHARED = 4 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """A file of records.

    Attributes:
        path: the file.
        starts: record with which each partition begins, and the end: ``int64`` of shape (257,).
    """

    path: str
    starts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """All records with a key in a range.

    Attributes:
        low: the smallest key.
        high: the largest key.
        width: numbers in a record.
        segments: file, first record and number of records that hold the range, and perhaps more.
        table: records in memory.
    """

    low: int
    high: int
    width: int
    segments: tuple[tuple[str, int, int], ...] = ()
    table: Table | None = None

    def read(self, thin: Callable[[Table], Table]) -> Table:
        """The records, in no particular order.

        Args:
            thin: called with what was read so far when it is more than ``PART`` bytes, as happens
                when many records have one key: returns which of them to keep.

        Raises:
            LimitReached: a file cannot be read, or what is to be kept is too much.
        """
        kept = [np.empty((0, self.width), np.uint64) if self.table is None else self.table]
        size, limit = kept[0].nbytes, 2 * PART
        for block in self._blocks():
            kept.append(block)
            size += block.nbytes
            if size > limit:
                kept = [thin(np.concatenate(kept))]
                size = kept[0].nbytes
                limit = max(2 * PART, size + PART)
                if size > 8 * PART:
                    raise LimitReached("too many records of one part are not alike")
        return np.concatenate(kept)

    def _blocks(self) -> Iterator[Table]:
        record = 8 * self.width
        step = max(1, _READ // record)
        for path, first, count in self.segments:
            try:
                with Path(path).open("rb") as file:
                    file.seek(first * record)
                    for start in range(0, count, step):
                        wanted = min(step, count - start) * record
                        data = file.read(wanted)
                        if len(data) != wanted:
                            raise LimitReached("a file in the scratch folder was cut short")
                        table = np.frombuffer(data, np.uint64).reshape(-1, self.width)
                        keys = table[:, 0]
                        inside = (keys >= np.uint64(self.low)) & (keys <= np.uint64(self.high))
                        yield table if inside.all() else table[inside]
            except OSError as error:
                what = "a file in the scratch folder cannot be read"
                raise _trouble(what, str(Path(path).parent), error) from error


@dataclass(slots=True)
class Records:
    """Collects records.

    Attributes:
        width: numbers in a record; the first is its key, a hash.
        count: records so far.
    """

    width: int
    count: int = 0
    _scratch: str = ""
    _problem: str = "there is no scratch folder"
    _chunks: list[Table] = field(default_factory=list)
    _waiting: int = 0
    _runs: list[Run] = field(default_factory=list)

    def use_scratch(self, folder: str, problem: str = "") -> None:
        """Set the folder to write to, or why there is none."""
        self._scratch = folder
        self._problem = problem or self._problem

    def add(self, table: Table) -> None:
        """Take in records.

        Raises:
            LimitReached: they fit neither into memory nor on disk.
        """
        if len(table):
            self._chunks.append(table)
            self._waiting += table.nbytes
            self.count += len(table)
        if self._waiting > MEMORY:
            self._write()

    def merge(self, other: Records) -> None:
        """Take in the records of ``other``.

        Raises:
            LimitReached: they fit neither into memory nor on disk.
        """
        self._runs += other._runs
        self.count += sum(int(run.starts[-1]) for run in other._runs)
        if len(self._runs) > MAX_FILES:
            message = f"more than {MAX_FILES:,} files in the scratch folder"
            raise LimitReached(message)
        for chunk in other._chunks:
            self.add(chunk)

    def drop(self) -> None:
        """Forget all records; files go with the scratch folder."""
        self._chunks.clear()
        for run in self._runs:
            Path(run.path).unlink(missing_ok=True)
        self._runs.clear()
        self.count = self._waiting = 0

    def parts(self) -> list[Part]:
        """All records, cut by their keys into parts of about ``PART`` bytes.

        Raises:
            LimitReached: the disk is full.
        """
        top = (1 << 64) - 1
        if not self._runs:
            table = np.concatenate([np.empty((0, self.width), np.uint64), *self._chunks])
            return [Part(0, top, self.width, (), table)]
        if self._chunks:
            self._write()
        sizes = np.sum([np.diff(run.starts) for run in self._runs], axis=0) * 8 * self.width
        made: list[Part] = []
        first = size = 0
        for partition in range(_PARTITIONS):
            size += int(sizes[partition])
            last = partition == _PARTITIONS - 1
            if not last and size + int(sizes[partition + 1]) <= PART:
                continue
            pieces = 1 << max(0, (size - 1) // PART).bit_length()
            made += self._cut(first, partition + 1, pieces)
            first, size = partition + 1, 0
        return made

    def _cut(self, first: int, stop: int, pieces: int) -> Iterator[Part]:
        """Parts for a range of partitions; several read the same segments."""
        shift = 64 - _BITS
        low, high = first << shift, (stop << shift) - 1
        segments = tuple(
            (run.path, int(run.starts[first]), int(run.starts[stop] - run.starts[first]))
            for run in self._runs
            if run.starts[stop] > run.starts[first]
        )
        step = (high + 1 - low) // pieces
        for piece in range(pieces):
            begin = low + piece * step
            end = high if piece == pieces - 1 else begin + step - 1
            yield Part(begin, end, self.width, segments)

    def _write(self) -> None:
        """Write all records in memory as one run."""
        if not self._scratch:
            message = f"{self.count:,} records do not fit into memory: {self._problem}"
            raise LimitReached(message)
        table = np.concatenate(self._chunks)
        partitions = (table[:, 0] >> np.uint64(64 - _BITS)).astype(np.uint8)
        table = table[np.argsort(partitions, kind="stable")]
        counts = np.bincount(partitions, minlength=_PARTITIONS)
        try:
            if shutil.disk_usage(self._scratch).free < FREE + table.nbytes:
                raise LimitReached("the disk of the scratch folder is nearly full")
            handle, path = tempfile.mkstemp(dir=self._scratch)
            with os.fdopen(handle, "wb") as file:
                table.tofile(file)
        except OSError as error:
            what = "the scratch folder cannot be written to"
            raise _trouble(what, self._scratch, error) from error
        self._runs.append(Run(path, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)))
        self._chunks.clear()
        self._waiting = 0

    def __getstate__(self) -> tuple[Any, ...]:
        # Once a process has written a file, what follows goes the same way and not through pipes.
        if self._runs and self._chunks:
            self._write()
        names = ("width", "count", "_scratch", "_problem", "_chunks", "_waiting", "_runs")
        return tuple(getattr(self, name) for name in names)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        names = ("width", "count", "_scratch", "_problem", "_chunks", "_waiting", "_runs")
        for name, value in zip(names, state, strict=True):
            setattr(self, name, value)


@dataclass(slots=True)
class SharedTable:
    """A table that every process reads; a big one goes through a file, not through every task."""

    _table: NDArray[Any] | None
    _path: str = ""
    _kind: str = ""
    _shape: tuple[int, ...] = ()

    @property
    def table(self) -> NDArray[Any]:
        """The table; not to be changed.

        Raises:
            LimitReached: its file cannot be read.
        """
        if self._table is not None:
            return self._table
        try:
            return np.memmap(self._path, np.dtype(self._kind), "r", shape=self._shape)
        except OSError as error:
            what = "a file in the scratch folder cannot be read"
            raise _trouble(what, str(Path(self._path).parent), error) from error

    def use_scratch(self, folder: str) -> None:
        """Move a big table to a file.

        Raises:
            LimitReached: the file cannot be written.
        """
        table = self._table
        if table is None or not folder or table.nbytes < _SHARED:
            return
        try:
            handle, self._path = tempfile.mkstemp(dir=folder)
            with os.fdopen(handle, "wb") as file:
                table.tofile(file)
        except OSError as error:
            raise _trouble("the scratch folder cannot be written to", folder, error) from error
        self._kind, self._shape, self._table = table.dtype.str, table.shape, None


def _trouble(what: str, folder: str, error: OSError) -> LimitReached:
    """What to say of an error; most of all that another machine made the folder."""
    if not Path(folder).is_dir():
        where = f"there is no scratch folder {quote(folder)} on the machine {quote(gethostname())}"
        return LimitReached(f"{where}: name one with --scratch that all machines see")
    return LimitReached(f"{what}: {error.strerror or error}")
