"""Content digests of all rows, and the rows among them that say exactly the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.label_counts import MAX_CHARACTERS, MAX_LABELS
from poisonscan.limits import LimitReached

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]

MAX_ROWS = 50_000_000
"""Rows whose digests are kept, 28 bytes each; a larger dataset is not searched for copies."""
_ROW_BITS = 40


@dataclass(frozen=True, slots=True)
class Copies:
    """Rows whose content occurs more than once, ordered by content and then by place.

    Attributes:
        rows: shard and position in the shard, ``int64`` of shape (n, 2).
        groups: which content each row has, ``int64`` of shape (n,), from 0 without holes.
        labels: codes into ``names``, ``int32`` of shape (n,); -1 where there is none.
        names: labels in order; None when there were too many to be classes.
        rows_per_shard: rows with content in each shard, copied or not, ``int64``.
    """

    rows: Ints
    groups: Ints
    labels: NDArray[np.int32]
    names: tuple[str, ...] | None
    rows_per_shard: Ints

    @property
    def sizes(self) -> Ints:
        """Rows of each content, ``int64`` of shape (contents,)."""
        return np.bincount(self.groups)

    @property
    def surplus(self) -> int:
        """Rows beyond the first of each content."""
        return len(self.groups) - len(self.sizes)


@dataclass(slots=True, unsafe_hash=True)
class RowKeys:
    """Keeps every row's content digest, label and place; rows without content are left out.

    Attributes:
        overflow: there were more than ``MAX_ROWS`` rows; then nothing is kept.
        size: rows kept.
    """

    needs: frozenset[Role] = field(
        default=frozenset({Role.CONTENT, Role.LABEL}), init=False, compare=False
    )
    overflow: bool = field(default=False, init=False, compare=False)
    size: int = field(default=0, init=False, compare=False)
    _digests: list[NDArray[np.uint64]] = field(default_factory=list, init=False, compare=False)
    _places: list[Ints] = field(default_factory=list, init=False, compare=False)
    _labels: list[NDArray[np.int32]] = field(default_factory=list, init=False, compare=False)
    # Code of each label; None once there are more labels than classes can have.
    _names: dict[str, int] | None = field(default_factory=dict, init=False, compare=False)
    _characters: int = field(default=0, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels, ids = batch.labels, batch.rows
        used = np.flatnonzero(batch.content.any(axis=1))  # a digest of zero: nothing there
        codes = labels.codes[used]
        present = np.unique(codes[codes >= 0])
        lookup = np.full(len(labels.names) + 1, -1, np.int32)  # the last entry serves code -1
        lookup[present] = self._codes([labels.names[code] for code in present.tolist()])
        self._take(
            batch.content[used],
            (ids[used, 0] << _ROW_BITS) | ids[used, 1],
            lookup[codes],
        )

    def merge(self, other: RowKeys) -> None:
        """Take in what ``other`` has seen."""
        if other._names is None:
            self._names = None
        lookup = np.append(self._codes(list(other._names or ())), np.int32(-1))
        if other.overflow:
            self._forget()
        for digests, places, labels in zip(
            other._digests, other._places, other._labels, strict=True
        ):
            known = lookup[labels] if other._names is not None else labels
            self._take(digests, places, known)

    def copies(self) -> Copies:
        """Rows whose content occurs more than once.

        Raises:
            LimitReached: too many rows.
        """
        if self.overflow:
            message = f"more than {MAX_ROWS:,} rows: they were not searched for copies"
            raise LimitReached(message)
        digests = np.concatenate([np.empty((0, 2), np.uint64), *self._digests])
        places = np.concatenate([np.empty(0, np.int64), *self._places])
        labels = np.concatenate([np.empty(0, np.int32), *self._labels])
        rows_per_shard = np.bincount(places >> _ROW_BITS)
        kept = _repeated(digests[:, 0])
        digests, places, labels = digests[kept], places[kept], labels[kept]
        order = np.lexsort((places, digests[:, 1], digests[:, 0]))
        digests = digests[order]
        new = np.ones(len(order), bool)
        new[1:] = (digests[1:] != digests[:-1]).any(axis=1)
        groups = np.cumsum(new) - 1
        twice = np.bincount(groups, minlength=1)[groups] > 1
        order, groups = order[twice], np.cumsum(new[twice]) - 1
        rows = np.stack([places[order] >> _ROW_BITS, places[order] % (1 << _ROW_BITS)], axis=1)
        names = None if self._names is None else tuple(sorted(self._names))
        return Copies(rows, groups, self._in_order(labels[order], names), names, rows_per_shard)

    def _in_order(
        self, labels: NDArray[np.int32], names: tuple[str, ...] | None
    ) -> NDArray[np.int32]:
        """Codes into the sorted names, in place of codes by first appearance."""
        if names is None or self._names is None:
            return np.full_like(labels, -1)
        lookup = np.full(len(names) + 1, -1, np.int32)
        for code, name in enumerate(names):
            lookup[self._names[name]] = code
        return lookup[labels]

    def _codes(self, names: list[str]) -> NDArray[np.int32]:
        """Codes of labels, new ones included; all -1 once there are too many."""
        for name in names:
            if self._names is None:
                break
            if name not in self._names:
                self._names[name] = len(self._names)
                self._characters += len(name)
            if len(self._names) > MAX_LABELS or self._characters > MAX_CHARACTERS:
                self._names = None
        if self._names is None:
            return np.full(len(names), -1, np.int32)
        return np.array([self._names[name] for name in names], np.int32)

    def _take(self, digests: NDArray[np.uint64], places: Ints, labels: NDArray[np.int32]) -> None:
        self.size += len(places)
        if self.overflow or self.size > MAX_ROWS:
            self._forget()
        elif len(places):
            self._digests.append(digests)
            self._places.append(places)
            self._labels.append(labels)

    def _forget(self) -> None:
        self.overflow = True
        for chunks in (self._digests, self._places, self._labels):
            chunks.clear()


def _repeated(halves: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Positions of values that occur more than once: what is worth sorting by whole digests."""
    ordered = np.sort(halves)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(again):
        return np.empty(0, np.intp)
    at = np.minimum(np.searchsorted(again, halves), len(again) - 1)
    return np.flatnonzero(again[at] == halves)
