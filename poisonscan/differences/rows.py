"""Rows that were added, removed or relabelled between two versions of a dataset.

A row's content is a digest of all its columns but label and id, so that a row that is there in both
with another label is told as such. Records of both versions are sorted by content together, a part
of the digests at a time, on disk when they are many.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.datasets.spill import Records, Table
from poisonscan.detectors.datasets.label_hashes import MISSING, LabelHashes, hash_of
from poisonscan.locking.values import rows as row_bytes

if TYPE_CHECKING:
    from collections.abc import Generator

    from poisonscan.datasets.batch import Aggregate, Batch, Labels
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Fact, Finding, Gap

NAMED: Final = 100
"""Rows of each kind that are named."""
_SIDE: Final = 1 << 63


@dataclass(slots=True, unsafe_hash=True)
class RowRecords:
    """Records of content, label and place of every row.

    Attributes:
        leave_out: columns that are no content.
        side: 0 for the old version, 1 for the new one.
        folder: for records that do not fit into memory.
    """

    leave_out: frozenset[str]
    side: int
    folder: str
    needs: frozenset[Role] = field(
        default=frozenset({Role.VALUES, Role.LABEL}), init=False, compare=False
    )
    labels: LabelHashes = field(default_factory=LabelHashes, init=False, compare=False)
    records: Records = field(default_factory=lambda: Records(4), init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch.

        Raises:
            LimitReached: the records fit neither into memory nor on disk.
        """
        self.records.use_scratch(self.folder)
        columns = {n: c for n, c in batch.values.items() if n not in self.leave_out}
        content = row_bytes(columns) if columns else [b""] * batch.size
        digests = b"".join(hashlib.sha256(row).digest()[:16] for row in content)
        ids = batch.rows
        table = np.empty((batch.size, 4), np.uint64)
        table[:, :2] = np.frombuffer(digests, "<u8").reshape(-1, 2)
        self.labels.hashed(batch.labels, np.arange(batch.size))
        table[:, 2] = _label_hashes(batch.labels)
        table[:, 3] = numbered(ids[:, 0], ids[:, 1])
        table[:, 3] |= np.uint64(self.side * _SIDE)
        self.records.add(table)

    def merge(self, other: RowRecords) -> None:
        """Take in what ``other`` has seen.

        Raises:
            LimitReached: the records fit neither into memory nor on disk.
        """
        self.labels.join(other.labels)
        self.records.merge(other.records)


def _label_hashes(labels: Labels) -> NDArray[np.uint64]:
    """The hash of each row's label, however many labels there are: only their names are bounded."""
    lookup = np.full(len(labels.names) + 1, MISSING, np.uint64)  # the last entry serves -1
    for number in np.unique(labels.codes[labels.codes >= 0]).tolist():
        lookup[number] = hash_of(labels.names[number])
    return lookup[labels.codes]


class Asks:
    """In place of a detector: keeps the records that it is sent."""

    needs: ClassVar[frozenset[Role]] = frozenset()

    def __init__(self, request: RowRecords) -> None:
        self.request = request
        self.answer: RowRecords | None = None

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:  # noqa: ARG002
        """Ask for one pass."""
        self.answer = yield self.request
        return []


@dataclass(slots=True)
class RowChanges:
    """What became of rows.

    Attributes:
        added: how many are new.
        removed: how many are gone.
        relabelled: how many have another label, by hashes of the old and the new one.
        moved: how many are in another split.
        first_added: the first of each, as shard and position: ``int64`` of shape (n, 2).
        first_removed: the same.
        first_relabelled: shard and position before and now, ``int64`` of shape (n, 4).
        first_moved: the same.
    """

    added: int = 0
    removed: int = 0
    relabelled: Counter[tuple[int, int]] = field(default_factory=Counter)
    moved: int = 0
    first_added: list[int] = field(default_factory=list)
    first_removed: list[int] = field(default_factory=list)
    first_relabelled: list[tuple[int, int]] = field(default_factory=list)
    first_moved: list[tuple[int, int]] = field(default_factory=list)


def compare(records: Records, splits: tuple[NDArray[np.int64], NDArray[np.int64]]) -> RowChanges:
    """Compare the records of both versions.

    Args:
        records: of both, merged.
        splits: number of the split of each shard, of the old and of the new version.

    Raises:
        LimitReached: the records cannot be read back, or too many rows are alike.
    """
    changes = RowChanges()
    for part in records.parts():
        _part(part.read(lambda table: table), splits, changes)
    return changes


def place_of(place: int) -> tuple[int, int]:
    """Shard and position of a record's place."""
    shard, position = located(np.array([place & (_SIDE - 1)]))[0].tolist()
    return shard, position


def _part(
    table: Table, splits: tuple[NDArray[np.int64], NDArray[np.int64]], changes: RowChanges
) -> None:
    if not len(table):
        return
    new = table[:, 3] >= np.uint64(_SIDE)
    shard = located(table[:, 3] & np.uint64(_SIDE - 1))[:, 0]
    split = np.where(new, splits[1][np.where(new, shard, 0)], splits[0][np.where(new, 0, shard)])
    order = np.lexsort((table[:, 3], split, table[:, 2], table[:, 1], table[:, 0]))
    table, new, split = table[order], new[order], split[order]
    fresh = np.ones(len(table), bool)
    fresh[1:] = (table[1:, :3] != table[:-1, :3]).any(axis=1) | (split[1:] != split[:-1])
    group = np.cumsum(fresh) - 1
    counts = np.bincount(group, weights=np.where(new, 1, -1)).astype(np.int64)
    # Of rows that are alike, the last ones are those too many; the new ones stand behind the old.
    starts = np.flatnonzero(fresh)
    olds = np.bincount(group, weights=~new).astype(np.int64)
    within = np.arange(len(table)) - starts[group]
    extra_new = new & (counts[group] > 0) & (within >= 2 * olds[group])
    extra_old = ~new & (counts[group] < 0) & (within >= (olds + counts)[group])
    left = np.flatnonzero(extra_new | extra_old)
    _settle(table[left], split[left], new[left], changes)


def _settle(
    table: Table, split: NDArray[np.int64], new: NDArray[np.bool_], changes: RowChanges
) -> None:
    """Pair rows of one content that are left on both sides; others are added or removed."""
    if not len(table):
        return
    fresh = np.ones(len(table), bool)
    fresh[1:] = (table[1:, :2] != table[:-1, :2]).any(axis=1)
    group = np.cumsum(fresh) - 1
    size = np.bincount(group)
    news = np.bincount(group, weights=new).astype(np.int64)
    both = ((news > 0) & (news < size))[group]
    alone = table[~both, 3]
    _keep_alone(alone[~new[~both]].tolist(), alone[new[~both]].tolist(), changes)
    starts = np.append(np.flatnonzero(fresh), len(table)).tolist()
    for number in np.flatnonzero((news > 0) & (news < size)).tolist():
        begin, end = starts[number], starts[number + 1]
        rows = list(zip(
            table[begin:end, 2].tolist(), split[begin:end].tolist(),
            table[begin:end, 3].tolist(), strict=True,
        ))  # fmt: skip
        _pair([r for r in rows if r[2] < _SIDE], [r for r in rows if r[2] >= _SIDE], changes)


Left = tuple[int, int, int]
"""Label, split and place of a row that is left."""


def _pair(old: list[Left], new: list[Left], changes: RowChanges) -> None:
    """Rows of one content: moved where the label is the same, else relabelled."""
    by_label: dict[int, list[Left]] = {}
    for row in new:
        by_label.setdefault(row[0], []).append(row)
    rest: list[Left] = []
    for row in old:
        same = by_label.get(row[0])
        if same:
            _keep(changes.first_moved, (row[2], same.pop(0)[2]))
            changes.moved += 1
        else:
            rest.append(row)
    others = sorted((row for rows in by_label.values() for row in rows), key=lambda row: row[2])
    for was, now in zip(rest, others, strict=False):
        changes.relabelled[was[0], now[0]] += 1
        _keep(changes.first_relabelled, (was[2], now[2]))
    both = min(len(rest), len(others))
    _keep_alone([row[2] for row in rest[both:]], [row[2] for row in others[both:]], changes)


def _keep(kept: list[tuple[int, int]], pair: tuple[int, int]) -> None:
    """Keep the pair if it is among the first by its place in the new version."""
    kept.append(pair)
    if len(kept) > 2 * NAMED:
        kept.sort(key=lambda one: one[1])
        del kept[NAMED:]


def _keep_alone(removed: list[int], added: list[int], changes: RowChanges) -> None:
    changes.removed += len(removed)
    changes.added += len(added)
    changes.first_removed = sorted(changes.first_removed + removed)[:NAMED]
    changes.first_added = sorted(changes.first_added + added)[:NAMED]
