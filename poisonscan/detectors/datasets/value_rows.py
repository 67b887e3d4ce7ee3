"""All rows of a dataset that have certain values in certain columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.places import Places, packed
from poisonscan.detectors.datasets.row_sample import NAME, bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch

MOST = 5_000_000
"""Rows that are kept for each question, the first ones."""


class Question(NamedTuple):
    """Which rows are asked for.

    Attributes:
        columns: name and kind of each, see ``row_sample``.
        values: the bits of the value in each.
        label: its first ``NAME`` characters.
    """

    columns: tuple[tuple[str, str], ...]
    values: tuple[int, ...]
    label: str


@dataclass(slots=True, unsafe_hash=True)
class ValueRows:
    """Keeps the rows with some values and a label, and counts those with any label.

    Attributes:
        places: file and first row of each shard.
        questions: which rows are asked for.
        most: rows that are kept for each.
        counts: labelled rows with the values, for each question.
        hits: those of them with the label.
    """

    places: Places
    questions: tuple[Question, ...]
    most: int = MOST
    needs: frozenset[Role] = field(
        default=frozenset({Role.CELLS, Role.LABEL}), init=False, compare=False
    )
    counts: list[int] = field(default_factory=list, init=False, compare=False)
    hits: list[int] = field(default_factory=list, init=False, compare=False)
    _rows: list[list[NDArray[np.int64]]] = field(default_factory=list, init=False, compare=False)
    _kept: list[int] = field(default_factory=list, init=False, compare=False)

    def __post_init__(self) -> None:
        self.counts = [0] * len(self.questions)
        self.hits = [0] * len(self.questions)
        self._rows = [[] for _ in self.questions]
        self._kept = [0] * len(self.questions)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        names = np.array([name[:NAME] for name in batch.labels.names] + [""], object)
        labelled = batch.labels.codes >= 0
        every = packed(batch, self.places)
        known: dict[tuple[str, str], NDArray[np.uint64]] = {}
        for at, question in enumerate(self.questions):
            rows = labelled.copy()
            for column, value in zip(question.columns, question.values, strict=True):
                if column not in known:
                    known[column] = bits(batch.cells[column[0]], column[1])
                rows &= known[column] == np.uint64(value)
            own = rows & (names == question.label)[batch.labels.codes]
            self.counts[at] += int(rows.sum())
            self.hits[at] += int(own.sum())
            if own.any():
                self._take(at, every[own])

    def merge(self, other: ValueRows) -> None:
        """Take in what ``other`` has seen."""
        for at in range(len(self.questions)):
            self.counts[at] += other.counts[at]
            self.hits[at] += other.hits[at]
            self._take(at, other.rows(at))

    def rows(self, question: int) -> NDArray[np.int64]:
        """Packed places of the first ``most`` rows with the values and the label, in order."""
        first = np.sort(np.concatenate([np.empty(0, np.int64), *self._rows[question]]))[: self.most]
        self._rows[question], self._kept[question] = [first], len(first)
        return first

    def _take(self, question: int, rows: NDArray[np.int64]) -> None:
        """Keep rows, which are sorted only once they are twice as many as are kept."""
        self._rows[question].append(rows)
        self._kept[question] += len(rows)
        if self._kept[question] > 2 * self.most:
            self.rows(question)
