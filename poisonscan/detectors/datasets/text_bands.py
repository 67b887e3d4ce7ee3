"""Rows whose texts share a band of their signatures: pairs that may be near copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.minhash import bands
from poisonscan.datasets.row_numbers import numbered
from poisonscan.datasets.shingles import mix
from poisonscan.datasets.spill import Part, Records, Table
from poisonscan.detectors.datasets.label_hashes import LabelHashes

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]

MAX_CROWD = 10_000
"""Rows with one band that are paired, a sample if there are more."""
MAX_PAIRS = 20_000_000
"""Pairs that are kept, 24 bytes each."""
_COMPACT = 2_000_000


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows that may be near copies.

    Attributes:
        pairs: rows, the smaller first, and in how many bands they were paired: ``int64`` of shape
            (n, 3), in order.
        crowd: rows of the largest band that was too large to pair all its rows; 0 if none was.
        dropped: pairs beyond ``MAX_PAIRS``.
    """

    pairs: Ints
    crowd: int = 0
    dropped: int = 0


@dataclass(slots=True, unsafe_hash=True)
class TextBands:
    """Groups rows by the bands of their texts' signatures.

    Attributes:
        labels: labels of all rows, with a text or without.
        rows: rows of each shard that have a text with shingles.
    """

    needs: frozenset[Role] = field(
        default=frozenset({Role.TEXT, Role.LABEL}), init=False, compare=False
    )
    labels: LabelHashes = field(default_factory=LabelHashes, init=False, compare=False)
    rows: Counter[int] = field(default_factory=Counter, init=False, compare=False)
    _records: Records = field(default_factory=lambda: Records(2), init=False, compare=False)
    _pairs: list[Pairs] = field(default_factory=list, init=False, compare=False)
    _grouped: bool = field(default=False, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch.

        Raises:
            LimitReached: the records fit neither into memory nor on disk.
        """
        self.labels.hashed(batch.labels, np.arange(batch.size))
        texts = batch.texts
        some = np.zeros(len(texts.values) + 1, bool)
        base = numbered(batch.shard, batch.start)
        for which, keys in bands(texts.values):
            lookup = np.full(len(texts.values) + 1, -1)  # the last entry serves rows without text
            lookup[which] = np.arange(len(which))
            some[which] = True
            of_row = lookup[texts.indices]
            rows = np.flatnonzero(of_row >= 0)
            table = np.empty((len(rows), keys.shape[1], 2), np.uint64)
            table[:, :, 0] = keys[of_row[rows]]
            table[:, :, 1] = (base + rows)[:, None]
            self._records.add(table.reshape(-1, 2))
        if count := int(some[texts.indices].sum()):
            self.rows[batch.shard] += count

    def merge(self, other: TextBands) -> None:
        """Take in what ``other`` has seen.

        Raises:
            LimitReached: the records fit neither into memory nor on disk.
        """
        self.labels.join(other.labels)
        self.rows.update(other.rows)
        self._records.merge(other._records)

    def use_scratch(self, folder: str, problem: str = "") -> None:
        """Set the folder for records that do not fit into memory."""
        self._records.use_scratch(folder, problem)

    def parts(self) -> list[Part]:
        """The records, by ranges of keys."""
        return self._records.parts()

    def grouping(self) -> Callable[[Part], Pairs]:
        """What pairs rows that share a key."""
        return _paired

    def take(self, result: Pairs) -> None:
        """Take in the pairs of a part."""
        self._pairs.append(result)
        if sum(len(one.pairs) for one in self._pairs[1:]) > _COMPACT:
            self._pairs = [_united(self._pairs)]

    def finish(self) -> None:
        """Forget the records."""
        self._records.drop()
        self._grouped = True

    def pairs(self) -> Pairs:
        """All pairs."""
        if not self._grouped:
            for part in self.parts():
                self.take(_paired(part))
            self.finish()
        return _united(self._pairs)


def _united(several: list[Pairs]) -> Pairs:
    pairs = np.concatenate([one.pairs for one in several])
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    starts = _starts(pairs[:, :2])
    united = pairs[starts]
    if len(starts):
        united[:, 2] = np.add.reduceat(pairs[:, 2], starts)
    dropped = sum(one.dropped for one in several) + max(0, len(united) - MAX_PAIRS)
    return Pairs(united[:MAX_PAIRS], max(one.crowd for one in several), dropped)


def _starts(ordered: NDArray[np.int64] | Table) -> NDArray[np.intp]:
    """Where in ordered records, of shape (n, columns), a different one begins."""
    new = np.ones(len(ordered), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return np.flatnonzero(new)


def _paired(part: Part) -> Pairs:
    """Each row with the first row of its key, and with the one before it.

    Pairs grow with the rows of a key, not with their square. Rows of one key that are alike in
    truth share more than one key, so that a bad first row does not hide them.
    """
    left: Counter[int] = Counter()

    def thin(table: Table) -> Table:
        """Of each key at most ``MAX_CROWD`` rows, the same ones for every key."""
        table = table[np.lexsort((mix(table[:, 1]), table[:, 0]))]
        starts = _starts(table[:, :1])
        counts = np.diff(np.append(starts, len(table)))
        for crowd in np.flatnonzero(counts > MAX_CROWD).tolist():
            left[int(table[starts[crowd], 0])] += int(counts[crowd]) - MAX_CROWD
        return table[np.arange(len(table)) - np.repeat(starts, counts) < MAX_CROWD]

    table = part.read(thin)
    order = np.argsort(table[:, 0])
    keys = table[order, 0]
    again = np.zeros(len(keys) + 1, bool)
    again[1:-1] = keys[1:] == keys[:-1]
    table = thin(table[order[again[1:] | again[:-1]]])
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    rows = table[:, 1].astype(np.int64)
    starts = _starts(table[:, :1])
    first = np.repeat(starts, np.diff(np.append(starts, len(rows))))
    later = np.flatnonzero(first != np.arange(len(rows)))
    nearby = later[later - 1 != first[later]]
    pairs = np.empty((len(later) + len(nearby), 3), np.int64)
    pairs[:, 0] = rows[np.concatenate([first[later], nearby - 1])]
    pairs[:, 1] = rows[np.concatenate([later, nearby])]
    pairs[:, 2] = 1
    return _united([Pairs(pairs, max(left.values(), default=-MAX_CROWD) + MAX_CROWD)])
