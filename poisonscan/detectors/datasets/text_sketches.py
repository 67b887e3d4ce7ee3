"""Shingles of the rows that may be near copies, and the groups that they confirm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.content import hash_all
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.datasets.shingles import LONG_WIDTH, Shingles, shingles
from poisonscan.datasets.spill import Part, Records, SharedTable, Table
from poisonscan.detectors.datasets.label_hashes import LabelHashes
from poisonscan.detectors.datasets.similar_sets import LEVEL_BITS, Confirmed, confirm

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]

SKETCH = 1_024
"""Shingles of a text that are kept: all of them, or a sample of at most so many on average."""
_TOP = np.uint64(1 << 63)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows that may be near copies.

    Attributes:
        rows: shard and position in one number, and a key that is close to those of rows that the
            row may be a copy of: ``uint64`` of shape (n, 2), ordered by row.
        pairs: keys of two rows, ``uint64`` of shape (m, 2), ordered.
    """

    rows: Table
    pairs: Table


@dataclass(frozen=True, slots=True)
class Members:
    """Rows in groups of near copies, ordered by group and then by row.

    Attributes:
        rows: shard and position in the shard, ``int64`` of shape (n, 2).
        groups: group of each row, ``int64``, from 0 without holes.
        similarity: to the row that stands for the group, ``float32``, 0 to 1.
        texts: which of the group's different texts the row has, ``int64``: rows with the same
            number are equal to the character.
        labels: codes into ``names``, ``int32``; -1 where there is none.
        names: labels in order; empty if there were too many.
    """

    rows: Ints
    groups: Ints
    similarity: NDArray[np.float32]
    texts: Ints
    labels: NDArray[np.int32]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Task:
    part: Part
    pairs: Table
    thresholds: tuple[float, ...]


class TextSketches:
    """Collects the shingles of some rows and compares those of pairs.

    Args:
        candidates: the rows and pairs.
        thresholds: Jaccard similarities from which on texts are near copies; there are groups for
            each.
    """

    needs = frozenset({Role.TEXT, Role.LABEL})

    def __init__(self, candidates: Candidates, thresholds: tuple[float, ...]) -> None:
        self.thresholds = thresholds
        digest = hashlib.sha256(candidates.rows.tobytes())
        digest.update(candidates.pairs.tobytes())
        self._identity = (digest.hexdigest(), thresholds)
        self._rows = SharedTable(candidates.rows)
        self._pairs = SharedTable(candidates.pairs)
        self._records = Records(2)
        self._labels = LabelHashes()
        self._seen: list[Table] = []
        self._confirmed: list[list[Confirmed]] = []
        self._grouped = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextSketches) and other._identity == self._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def update(self, batch: Batch) -> None:
        """Take in a batch.

        Raises:
            LimitReached: the records fit neither into memory nor on disk.
        """
        base = numbered(batch.shard, batch.start)
        table = self._rows.table
        known = table[:, 0]
        low, high = np.searchsorted(known, np.array([base, base + batch.size], np.uint64))
        if low == high:
            return
        rows, keys = np.asarray(known[low:high]), np.asarray(table[low:high, 1])
        chosen = (rows - np.uint64(base)).astype(np.int64)
        texts = batch.texts
        used, of_row = np.unique(texts.indices[chosen], return_inverse=True)
        values = texts.values.take(pa.array(used))
        digests = hash_all(pc.cast(values, pa.binary()).to_pylist())[:, 0]
        labels = self._labels.hashed(batch.labels, chosen)
        self._seen.append(np.stack([rows, digests[of_row], labels], axis=1))
        order = np.argsort(of_row, kind="stable")
        bounds = np.searchsorted(of_row[order], np.arange(len(used) + 1))
        for block in shingles(values):
            found, docs = _sampled(block)
            docs += block.start
            # Each row of a text has the text's shingles.
            repeats = np.diff(bounds)[docs]
            of = np.repeat(np.arange(len(docs)), repeats)
            nth = np.arange(len(of)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
            row = order[bounds[docs[of]] + nth]
            self._records.add(np.stack([keys[row], found[of]], axis=1))

    def merge(self, other: TextSketches) -> None:
        """Take in what ``other`` has seen.

        Raises:
            LimitReached: the records fit neither into memory nor on disk.
        """
        self._labels.join(other._labels)
        self._seen += other._seen
        self._records.merge(other._records)

    def use_scratch(self, folder: str, problem: str = "") -> None:
        """Set the folder for what does not fit into memory."""
        self._records.use_scratch(folder, problem)
        self._rows.use_scratch(folder)
        self._pairs.use_scratch(folder)

    def parts(self) -> list[_Task]:
        """The records, by ranges of keys, with the pairs of each range."""
        pairs = self._pairs.table
        tasks = []
        for part in self._records.parts():
            low = np.searchsorted(pairs[:, 0], np.uint64(part.low))
            high = np.searchsorted(pairs[:, 0], np.uint64(part.high), "right")
            tasks.append(_Task(part, np.array(pairs[low:high]), self.thresholds))
        return tasks

    def grouping(self) -> Callable[[Any], list[Confirmed]]:
        """What compares the pairs."""
        return _confirmed

    def take(self, result: list[Confirmed]) -> None:
        """Take in the groups of a part."""
        self._confirmed.append(result)

    def finish(self) -> None:
        """Forget the records."""
        self._records.drop()
        self._grouped = True

    def members(self, threshold: float) -> Members:
        """The rows in groups under one of the thresholds."""
        if not self._grouped:
            for task in self.parts():
                self.take(_confirmed(task))
            self.finish()
        number = self.thresholds.index(threshold)
        groups = [several[number] for several in self._confirmed]
        keys = np.concatenate([np.empty(0, np.uint64), *(one.keys for one in groups)])
        leaders = np.concatenate([np.empty(0, np.uint64), *(one.leaders for one in groups)])
        similarity = np.concatenate([np.empty(0, np.float32), *(g.similarity for g in groups)])
        rows = _lookup(keys, self._rows.table[:, 1], self._rows.table[:, 0])
        first = _lookup(leaders, self._rows.table[:, 1], self._rows.table[:, 0])
        order = np.lexsort((rows, first))
        rows, first = rows[order], first[order]
        seen = np.concatenate([np.empty((0, 3), np.uint64), *self._seen])
        digests = _lookup(rows, seen[:, 0], seen[:, 1])
        labels = self._labels.numbers(_lookup(rows, seen[:, 0], seen[:, 2]))
        group = np.unique(first, return_inverse=True)[1].reshape(-1).astype(np.int64)
        return Members(
            located(rows),
            group,
            similarity[order],
            np.unique(digests, return_inverse=True)[1].reshape(-1).astype(np.int64),
            labels,
            self._labels.ordered()[0],
        )


def _lookup(
    wanted: NDArray[np.uint64], keys: NDArray[np.uint64], values: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """The value of each key, all of which are there."""
    order = np.argsort(keys)
    return np.asarray(values[order[np.searchsorted(keys[order], wanted)]])


def _confirmed(task: _Task) -> list[Confirmed]:
    return confirm(task.part.read(lambda table: table), task.pairs, task.thresholds)


def _sampled(block: Shingles) -> tuple[NDArray[np.uint64], Ints]:
    """Shingles as they are recorded, and the text of each.

    The highest bit tells the width, the lowest the level: at level n those hashes are kept that
    start with n zeros, which is the same sample for every text.
    """
    hashes, docs, counts = block.hashes, block.docs, block.counts
    if counts.max(initial=0) > SKETCH:
        order = np.lexsort((hashes, docs))
        hashes, docs = hashes[order], docs[order]
        new = np.ones(len(hashes), bool)
        new[1:] = (hashes[1:] != hashes[:-1]) | (docs[1:] != docs[:-1])
        hashes, docs = hashes[new], docs[new]
        counts = np.bincount(docs, minlength=block.size)
    level = np.ceil(np.log2(np.maximum(counts, 1) / SKETCH)).clip(0).astype(np.uint64)
    kept = np.flatnonzero((hashes >> (np.uint64(64) - level[docs]) == 0) | (level[docs] == 0))
    docs = docs[kept]
    found = (hashes[kept] >> np.uint64(1 + LEVEL_BITS)) << np.uint64(LEVEL_BITS)
    found |= level[docs]
    if block.width == LONG_WIDTH:
        found |= _TOP
    return found, docs
