"""Content digests of all rows, and the rows among them that say exactly the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.datasets.spill import Part, Records, Table
from poisonscan.detectors.datasets.label_hashes import LabelHashes

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]

MAX_COPIES = 10_000_000
"""Rows that are kept as copies of others, 32 bytes each; those beyond are counted only."""
MAX_ALIKE = 1_000_000
"""Rows of one content that are kept; those beyond are counted only."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows whose content occurs more than once, ordered by content and then by place.

    Attributes:
        rows: shard and position in the shard, ``int64`` of shape (n, 2).
        groups: which content each row has, ``int64`` of shape (n,), from 0 without holes.
        labels: codes into ``names``, ``int32`` of shape (n,); -1 where there is none.
        names: labels in order; None when there were too many to be classes.
        rows_per_shard: rows with content in each shard, copied or not, ``int64``.
        unlisted: rows that are copies and counted only, as there are too many.
    """

    rows: Ints
    groups: Ints
    labels: NDArray[np.int32]
    names: tuple[str, ...] | None
    rows_per_shard: Ints
    unlisted: int = 0

    @property
    def sizes(self) -> Ints:
        """Rows of each content, ``int64`` of shape (contents,)."""
        return np.bincount(self.groups)

    @property
    def surplus(self) -> int:
        """Rows beyond the first of each content."""
        return len(self.groups) - len(self.sizes) + self.unlisted

    def without(self, positions: Ints) -> Copies:
        """The copies that are left when some rows are not looked at."""
        kept = np.ones(len(self.groups), bool)
        kept[positions] = False
        kept &= np.bincount(self.groups[kept], minlength=len(self.sizes))[self.groups] > 1
        groups = np.unique(self.groups[kept], return_inverse=True)[1].reshape(-1)
        return replace(self, rows=self.rows[kept], groups=groups, labels=self.labels[kept])


@dataclass(frozen=True, slots=True)
class _Repeated:
    """Records of contents that occur more than once in a part, and rows that are not kept."""

    table: Table
    unlisted: int


@dataclass(slots=True, unsafe_hash=True)
class RowKeys:
    """Groups rows by content digest, with label and place; rows without content are left out."""

    needs: frozenset[Role] = field(
        default=frozenset({Role.CONTENT, Role.LABEL}), init=False, compare=False
    )
    _labels: LabelHashes = field(default_factory=LabelHashes, init=False, compare=False)
    _rows: Counter[int] = field(default_factory=Counter, init=False, compare=False)
    _records: Records = field(default_factory=lambda: Records(4), init=False, compare=False)
    _repeated: list[_Repeated] = field(default_factory=list, init=False, compare=False)
    _grouped: bool = field(default=False, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch.

        Raises:
            LimitReached: the records fit neither into memory nor on disk.
        """
        ids = batch.rows
        used = np.flatnonzero(batch.content.any(axis=1))  # a digest of zero: nothing there
        if not len(used):
            return
        table = np.empty((len(used), 4), np.uint64)
        table[:, :2] = batch.content[used]
        table[:, 2] = numbered(ids[used, 0], ids[used, 1])
        table[:, 3] = self._labels.hashed(batch.labels, used)
        self._rows[batch.shard] += len(used)
        self._records.add(table)

    def merge(self, other: RowKeys) -> None:
        """Take in what ``other`` has seen.

        Raises:
            LimitReached: the records fit neither into memory nor on disk.
        """
        self._labels.join(other._labels)
        self._rows.update(other._rows)
        self._records.merge(other._records)

    def use_scratch(self, folder: str, problem: str = "") -> None:
        """Set the folder for records that do not fit into memory."""
        self._records.use_scratch(folder, problem)

    def parts(self) -> list[Part]:
        """The records, by ranges of digests."""
        return self._records.parts()

    def grouping(self) -> Callable[[Part], _Repeated]:
        """What finds the contents that repeat."""
        return _repeated

    def take(self, result: _Repeated) -> None:
        """Take in the contents of a part that repeat."""
        kept = sum(len(one.table) for one in self._repeated)
        if kept + len(result.table) > MAX_COPIES:
            contents = int(_firsts(result.table).sum())
            empty = np.empty((0, 4), np.uint64)
            result = _Repeated(empty, result.unlisted + len(result.table) - contents)
        self._repeated.append(result)

    def finish(self) -> None:
        """Forget the records."""
        self._records.drop()
        self._grouped = True

    def copies(self) -> Copies:
        """Rows whose content occurs more than once."""
        if not self._grouped:
            for part in self.parts():
                self.take(_repeated(part))
            self.finish()
        table = np.concatenate([one.table for one in self._repeated])
        groups = np.cumsum(_firsts(table)) - 1
        rows = located(table[:, 2])
        names = None if self._labels.names is None else self._labels.ordered()[0]
        rows_per_shard = np.zeros(max(self._rows, default=-1) + 1, np.int64)
        for shard, count in self._rows.items():
            rows_per_shard[shard] = count
        labels = self._labels.numbers(table[:, 3])
        unlisted = sum(one.unlisted for one in self._repeated)
        return Copies(rows, groups, labels, names, rows_per_shard, unlisted)


def _firsts(table: Table) -> NDArray[np.bool_]:
    """Whether a record is the first of its content, in records ordered by content."""
    new = np.ones(len(table), bool)
    new[1:] = (table[1:, :2] != table[:-1, :2]).any(axis=1)
    return new


def _repeated(part: Part) -> _Repeated:
    """Records whose content occurs more than once, by content and place."""
    unlisted = 0

    def thin(table: Table) -> Table:
        """Of each content the first ``MAX_ALIKE`` rows."""
        nonlocal unlisted
        table = table[np.lexsort((table[:, 2], table[:, 1], table[:, 0]))]
        starts = np.flatnonzero(_firsts(table))
        counts = np.diff(np.append(starts, len(table)))
        kept = np.arange(len(table)) - np.repeat(starts, counts) < MAX_ALIKE
        unlisted += len(table) - int(kept.sum())
        return table[kept]

    table = part.read(thin)
    table = thin(table[_in_twos(table[:, 0])])
    new = _firsts(table)
    groups = np.cumsum(new) - 1
    twice = np.bincount(groups, minlength=1)[groups] > 1
    return _Repeated(table[twice], unlisted)


def _in_twos(halves: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Positions of values that occur more than once: what is worth sorting by whole digests."""
    ordered = np.sort(halves)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(again):
        return np.empty(0, np.intp)
    at = np.minimum(np.searchsorted(again, halves), len(again) - 1)
    return np.flatnonzero(again[at] == halves)
