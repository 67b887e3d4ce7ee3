"""Numeric columns in passing: what is missing, how far they reach, and which are the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from poisonscan.datasets.batch import Role
from poisonscan.datasets.delimited import as_numbers
from poisonscan.detectors.datasets.places import Places, packed
from poisonscan.detectors.datasets.row_sample import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch

TAIL = 60
"""Smallest and largest numbers of a column that are kept."""

Bounds = tuple[float, float]


@dataclass(slots=True)
class ColumnSummary:
    """One numeric column.

    Attributes:
        numbers: cells that hold a finite number.
        missing: cells that hold nothing or no number.
        nan: cells that say *not a number*.
        infinite: cells that say infinity.
        beyond: numbers below and above the bounds that were asked for.
        digest: equal for columns that say the same in the same rows.
        low: the smallest numbers in order, ``float64`` of shape (at most ``TAIL``,).
        high: the largest numbers, the largest first.
        low_rows: their packed places, ``int64``; the first rows of equal numbers.
        high_rows: the same of the largest.
    """

    numbers: int = 0
    missing: int = 0
    nan: int = 0
    infinite: int = 0
    beyond: tuple[int, int] = (0, 0)
    digest: int = 0
    low: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    high: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    low_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    high_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, values: NDArray[np.float64], rows: NDArray[np.int64]) -> None:
        """Take in finite numbers and their places."""
        self.low, self.low_rows = _smallest(self.low, self.low_rows, values, rows)
        high, self.high_rows = _smallest(-self.high, self.high_rows, -values, rows)
        self.high = -high

    def merge(self, other: ColumnSummary) -> None:
        """Take in what ``other`` has seen."""
        self.numbers += other.numbers
        self.missing += other.missing
        self.nan += other.nan
        self.infinite += other.infinite
        self.beyond = (self.beyond[0] + other.beyond[0], self.beyond[1] + other.beyond[1])
        self.digest = (self.digest + other.digest) % (1 << 64)
        self.low, self.low_rows = _smallest(self.low, self.low_rows, other.low, other.low_rows)
        high, self.high_rows = _smallest(-self.high, self.high_rows, -other.high, other.high_rows)
        self.high = -high


def _smallest(
    old: NDArray[np.float64],
    old_rows: NDArray[np.int64],
    new: NDArray[np.float64],
    new_rows: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if len(new) > TAIL:
        limit = np.partition(new, TAIL - 1)[TAIL - 1]
        if len(old) == TAIL:
            limit = min(limit, old[-1])
        near = new <= limit
        new, new_rows = new[near], new_rows[near]
    values, rows = np.concatenate([old, new]), np.concatenate([old_rows, new_rows])
    order = np.lexsort((rows, values))[:TAIL]
    return values[order], rows[order]


@dataclass(slots=True, unsafe_hash=True)
class NumberSummary:
    """Sums up numeric columns; its size depends on their number only.

    Attributes:
        places: file and first row of each shard.
        columns: name of each column and the bounds beyond which its numbers are counted.
        found: the summary of each column.
    """

    places: Places
    columns: tuple[tuple[str, Bounds], ...]
    needs: frozenset[Role] = field(default=frozenset({Role.CELLS}), init=False, compare=False)
    found: list[ColumnSummary] = field(default_factory=list, init=False, compare=False)

    def __post_init__(self) -> None:
        self.found = [ColumnSummary() for _ in self.columns]

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        rows = packed(batch, self.places)
        keys = mixed(rows)
        for (name, (least, most)), summary in zip(self.columns, self.found, strict=True):
            cells = as_numbers(batch.cells[name])
            summary.missing += cells.null_count
            values = np.asarray(pc.fill_null(cells, np.nan), np.float64) + 0.0
            blank = int(np.isnan(values).sum())
            summary.nan += blank - cells.null_count
            values[np.isnan(values)] = np.nan
            digest = int(mixed((values.view(np.uint64) ^ keys).view(np.int64)).sum(dtype=np.uint64))
            summary.digest = (summary.digest + digest) % (1 << 64)
            finite = np.isfinite(values)
            summary.infinite += len(values) - blank - int(finite.sum())
            values = values[finite]
            summary.numbers += len(values)
            low, high = summary.beyond
            summary.beyond = (
                low + int((values < least).sum()),
                high + int((values > most).sum()),
            )
            summary.add(values, rows[finite])

    def merge(self, other: NumberSummary) -> None:
        """Take in what ``other`` has seen."""
        for mine, theirs in zip(self.found, other.found, strict=True):
            mine.merge(theirs)
