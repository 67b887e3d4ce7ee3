"""Labels counted along each file, in blocks of rows, and rows of a stretch looked up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.detectors.datasets.places import Places, packed
from poisonscan.limits import LimitReached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch

BLOCK = 16
"""Rows of a block, before blocks are joined."""
CELLS = 2_000_000
"""Counts that are kept, 4 bytes each; blocks are joined in pairs until no more are needed."""
CLASSES = 1_000
"""Labels; a column with more is not looked at."""

Stretch = tuple[int, int, int, str]
"""A file, its first and last row plus one, and a label."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Labels along the files.

    Attributes:
        rows: rows of a block.
        names: labels in order.
        counts: of each file by number, ``int64`` of shape (blocks, names).
    """

    rows: int
    names: tuple[str, ...]
    counts: dict[int, NDArray[np.int64]]


@dataclass(slots=True, unsafe_hash=True)
class LabelBlocks:
    """Counts labels in blocks of rows of each file, however the file is read.

    Attributes:
        places: file and first row of each shard.
        overflow: there were more labels or files than can be kept; then nothing is.
        level: how often blocks were joined in pairs.
    """

    places: Places
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL}), init=False, compare=False)
    overflow: bool = field(default=False, init=False, compare=False)
    level: int = field(default=0, init=False, compare=False)
    _names: dict[str, int] = field(default_factory=dict, init=False, compare=False)
    _counts: dict[int, NDArray[np.int32]] = field(default_factory=dict, init=False, compare=False)
    _used: dict[int, int] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels = batch.labels
        there = np.flatnonzero(labels.codes >= 0)
        if self.overflow or not len(there):
            return
        used = np.unique(labels.codes[there])
        lookup = np.zeros(len(labels.names), np.int64)
        codes = self._codes([labels.names[code] for code in used.tolist()])
        if codes is None:
            return
        lookup[used] = codes
        rows = located(packed(batch, self.places)[there])
        file = int(rows[0, 0])
        blocks = rows[:, 1] // (BLOCK << self.level)
        first, last = int(blocks[0]), int(blocks[-1])
        width = len(self._names)
        counts = np.bincount(
            (blocks - first) * width + lookup[labels.codes[there]],
            minlength=(last - first + 1) * width,
        )
        self._add(file, first, counts.reshape(-1, width).astype(np.int32))

    def merge(self, other: LabelBlocks) -> None:
        """Take in what ``other`` has seen."""
        if self.overflow or other.overflow:
            self._forget()
            return
        codes = self._codes(list(other._names))
        if codes is None:
            return
        for file, counts in other._counts.items():
            while self.level < other.level and not self.overflow:
                self._join()
            if not self._names:  # nothing is kept
                return
            theirs = _widened(counts[: other._used[file]], len(codes))
            for _ in range(self.level - other.level):
                theirs = _joined(theirs)
            mine = np.zeros((len(theirs), len(self._names)), np.int32)
            mine[:, codes] = theirs
            self._add(file, 0, mine)

    def blocks(self) -> Blocks:
        """The counts in an order that does not depend on how the rows were read.

        Raises:
            LimitReached: too many labels or files.
        """
        if self.overflow:
            message = (
                f"more than {CLASSES:,} different labels, or more than {CELLS:,} labels and files: "
                "the order of the labels was not checked"
            )
            raise LimitReached(message)
        names = tuple(sorted(self._names))
        order = [self._names[name] for name in names]
        counts = {
            file: _widened(self._counts[file], len(names))[: self._used[file], order].astype(
                np.int64
            )
            for file in sorted(self._counts)
        }
        return Blocks(BLOCK << self.level, names, counts)

    def _codes(self, names: list[str]) -> NDArray[np.int64] | None:
        for name in names:
            self._names.setdefault(name, len(self._names))
        if len(self._names) > CLASSES:
            self._forget()
            return None
        return np.array([self._names[name] for name in names], np.int64)

    def _add(self, file: int, first: int, counts: NDArray[np.int32]) -> None:
        if self.overflow:  # since a moment ago
            return
        last = first + len(counts)
        mine = self._counts.get(file, np.zeros((0, 0), np.int32))
        mine = _widened(mine, len(self._names))
        if last > len(mine):
            longer = np.zeros((max(last, len(mine) * 3 // 2), len(self._names)), np.int32)
            longer[: len(mine)] = mine
            mine = longer
        mine[first:last, : counts.shape[1]] += counts
        self._counts[file] = mine
        self._used[file] = max(last, self._used.get(file, 0))
        while not self.overflow and sum(self._used.values()) * len(self._names) > CELLS:
            self._join()

    def _join(self) -> None:
        """Join blocks in pairs."""
        if len(self._used) * len(self._names) > CELLS:
            self._forget()
            return
        self.level += 1
        for file, counts in self._counts.items():
            self._counts[file] = _joined(counts[: self._used[file]])
            self._used[file] = len(self._counts[file])

    def _forget(self) -> None:
        self.overflow = True
        for kept in (self._names, self._counts, self._used):
            kept.clear()


def _widened(counts: NDArray[np.int32], width: int) -> NDArray[np.int32]:
    if counts.shape[1] == width:
        return counts
    out = np.zeros((len(counts), width), np.int32)
    out[:, : counts.shape[1]] = counts
    return out


def _joined(counts: NDArray[np.int32]) -> NDArray[np.int32]:
    even = np.concatenate([counts, np.zeros((len(counts) % 2, counts.shape[1]), np.int32)])
    pairs: NDArray[np.int32] = even.reshape(-1, 2, counts.shape[1]).sum(axis=1, dtype=np.int32)
    return pairs


@dataclass(slots=True, unsafe_hash=True)
class RowsWithin:
    """The first rows, in reading order, that have a label in a stretch of a file.

    Attributes:
        places: file and first row of each shard.
        wanted: what to look for.
        keep: rows to keep of each.
        found: their packed places, ``int64``, in order.
        counts: how many there are.
    """

    places: Places
    wanted: tuple[Stretch, ...]
    keep: int = 100
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL}), init=False, compare=False)
    found: list[NDArray[np.int64]] = field(default_factory=list, init=False, compare=False)
    counts: list[int] = field(default_factory=list, init=False, compare=False)

    def __post_init__(self) -> None:
        self.found = [np.empty(0, np.int64) for _ in self.wanted]
        self.counts = [0 for _ in self.wanted]

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels = batch.labels
        rows = packed(batch, self.places)
        for index, (file, first, last, name) in enumerate(self.wanted):
            low, high = numbered(file, first), numbered(file, last)
            if name not in labels.names or not ((rows >= low) & (rows < high)).any():
                continue
            code = labels.names.index(name)
            here = rows[(labels.codes == code) & (rows >= low) & (rows < high)]
            self._add(index, here, len(here))

    def merge(self, other: RowsWithin) -> None:
        """Take in what ``other`` has seen."""
        for index, (rows, count) in enumerate(zip(other.found, other.counts, strict=True)):
            self._add(index, rows, count)

    def _add(self, index: int, rows: NDArray[np.int64], count: int) -> None:
        self.found[index] = np.sort(np.concatenate([self.found[index], rows]))[: self.keep]
        self.counts[index] += count
