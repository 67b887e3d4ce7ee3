"""Labels counted per split, and where the first rows of a label are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.limits import LimitReached

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch

MAX_LABELS = 10_000
"""Different labels, counted once in each split; a column with more does not hold classes."""
MAX_CHARACTERS = 1_000_000
"""Characters that these labels may have together."""
KEPT_ROWS = 100
"""Rows that are named for a label."""

Pair = tuple[str, str | None]
"""A split and a label; the label is None where it is missing."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MANY_NUMBERS = 20


@dataclass(frozen=True, slots=True)
class LabelTable:
    """Rows by split and label.

    Attributes:
        splits: in order of their names.
        names: labels, in order.
        counts: ``int64`` of shape (splits, names).
        missing: rows without a label, ``int64`` of shape (splits,).
    """

    splits: tuple[str, ...]
    names: tuple[str, ...]
    counts: NDArray[np.int64]
    missing: NDArray[np.int64]


@dataclass(slots=True, unsafe_hash=True)
class LabelCounts:
    """Counts rows by split and label.

    Attributes:
        splits: the split of each shard.
        overflow: there were more labels than ``MAX_LABELS`` or ``MAX_CHARACTERS`` allow; then
            nothing is kept.
        rows: number of rows of each pair.
        characters: length of all labels in ``rows``.
    """

    splits: tuple[str, ...]
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL}), init=False, compare=False)
    overflow: bool = field(default=False, init=False, compare=False)
    rows: Counter[Pair] = field(default_factory=Counter, init=False, compare=False)
    characters: int = field(default=0, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels, split = batch.labels, self.splits[batch.shard]
        # Code -1, a missing label, comes first.
        counts = np.bincount(labels.codes + 1, minlength=len(labels.names) + 1).tolist()
        for name, count in zip((None, *labels.names), counts, strict=True):
            if count:
                self._add((split, name), count)

    def merge(self, other: LabelCounts) -> None:
        """Take in what ``other`` has seen."""
        if other.overflow:
            self._forget()
        for pair, count in other.rows.items():
            self._add(pair, count)

    def table(self, declared: Sequence[str] | None = None) -> LabelTable:
        """The counts in an order that does not depend on how the rows were read.

        Args:
            declared: class names; if there are any, the number -1 is a missing label, as it is
                where Hub datasets leave out the labels of a test set.

        Raises:
            LimitReached: too many labels.
        """
        if self.overflow:
            message = (
                f"more than {MAX_LABELS:,} different labels, or labels of more than "
                f"{MAX_CHARACTERS:,} characters together: they were not checked as classes"
            )
            raise LimitReached(message)
        absent = {"-1"} if declared and "-1" not in declared else set()
        splits = tuple(sorted(set(self.splits)))
        names = tuple(sorted({name for _, name in self.rows if name is not None} - absent))
        columns = {name: column for column, name in enumerate(names)}
        counts = np.zeros((len(splits), len(names)), np.int64)
        missing = np.zeros(len(splits), np.int64)
        for (split, name), count in self.rows.items():
            if name in absent or name is None:
                missing[splits.index(split)] += count
            else:
                counts[splits.index(split), columns[name]] += count
        return LabelTable(splits, names, counts, missing)

    def _add(self, pair: Pair, count: int) -> None:
        if self.overflow:
            return
        if pair not in self.rows:
            self.characters += len(pair[1] or "")
        self.rows[pair] += count
        if len(self.rows) > MAX_LABELS or self.characters > MAX_CHARACTERS:
            self._forget()

    def _forget(self) -> None:
        self.overflow, self.characters = True, 0
        self.rows.clear()


@dataclass(slots=True, unsafe_hash=True)
class FirstRows:
    """The first rows, in reading order, of some labels.

    Attributes:
        splits: the split of each shard.
        wanted: splits and labels to look for.
        keep: rows to keep of each.
        rows: shard and position in the shard, ``int64`` of shape (at most ``keep``, 2), in order.
    """

    splits: tuple[str, ...]
    wanted: frozenset[Pair]
    keep: int = KEPT_ROWS
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL}), init=False, compare=False)
    rows: dict[Pair, NDArray[np.int64]] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels, split, ids = batch.labels, self.splits[batch.shard], batch.rows
        order = np.argsort(labels.codes, kind="stable")
        codes = np.arange(-1, len(labels.names) + 1)
        starts = np.searchsorted(labels.codes[order], codes).tolist()
        for code, name in enumerate((None, *labels.names)):
            found = order[starts[code] : starts[code + 1]][: self.keep]
            if len(found) and (split, name) in self.wanted:
                self._add((split, name), ids[found])

    def merge(self, other: FirstRows) -> None:
        """Take in what ``other`` has seen."""
        for pair, ids in other.rows.items():
            self._add(pair, ids)

    def _add(self, pair: Pair, ids: NDArray[np.int64]) -> None:
        if pair in self.rows:
            ids = np.concatenate([self.rows[pair], ids])
        self.rows[pair] = ids[np.lexsort((ids[:, 1], ids[:, 0]))][: self.keep]


def is_number(name: str) -> bool:
    """Whether a label is a finite decimal number."""
    return _NUMBER.fullmatch(name) is not None


def is_continuous(names: Sequence[str]) -> bool:
    """Whether labels look like measurements, to be predicted as numbers, rather than classes.

    They do if all are numbers and some have a fraction, or if there are many that are not just
    counted from 0 or 1.
    """
    if not names or not all(map(is_number, names)):
        return False
    values = sorted(map(float, names))
    if not all(value.is_integer() for value in values):
        return len(values) > 2
    counted = values[0] in (0, 1) and values[-1] - values[0] == len(values) - 1
    return len(values) > _MANY_NUMBERS and not counted
