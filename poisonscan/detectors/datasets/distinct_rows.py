"""What is kept of the rows that differ: a few numbers of each, its place and its label."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets.label_codes import LabelCodes
from poisonscan.limits import LimitReached

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Labels

Ints = NDArray[np.int64]


class Kept(NamedTuple):
    """The first row of each digest, in order of place.

    Attributes:
        numbers: of shape (rows, numbers of each).
        places: shard and position in the shard as one number, ``int64`` of shape (rows,).
        labels: codes into ``names``, ``int32`` of shape (rows,); -1 where there is none.
        names: labels in order; None when there were too many to be classes.
        seen: rows of each shard, copies too, ``int64``.
    """

    numbers: NDArray[Any]
    places: Ints
    labels: NDArray[np.int32]
    names: tuple[str, ...] | None
    seen: Ints


@dataclass(slots=True)
class DistinctRows:
    """Keeps numbers, digest, label and place of rows; nothing once they are too many.

    Attributes:
        numbers: of each row.
        kind: of these numbers, for numpy.
        most: rows that are kept.
        called: what rows are, for people.
        overflow: there were more.
    """

    numbers: int
    kind: type[np.number[Any]]
    most: int
    called: str
    overflow: bool = False
    _size: int = 0
    _labels: LabelCodes = field(default_factory=LabelCodes)
    _parts: list[tuple[NDArray[Any], NDArray[np.uint64], Ints, NDArray[np.int32]]] = field(
        default_factory=list
    )
    _seen: dict[int, int] = field(default_factory=dict)

    def coded(self, labels: Labels) -> NDArray[np.int32]:
        """Codes of the labels of a batch, for ``add``."""
        return self._labels.coded(labels)

    def count(self, shard: int, rows: int) -> None:
        """Count rows of a shard, whether they are kept or not."""
        self._seen[shard] = self._seen.get(shard, 0) + rows

    def add(
        self,
        numbers: NDArray[Any],
        digests: NDArray[np.uint64],
        places: Ints,
        codes: NDArray[np.int32],
    ) -> None:
        """Keep rows.

        Args:
            numbers: of shape (rows, numbers of each).
            digests: equal for rows that do not differ, of shape (rows,).
            places: shard and position in the shard as one number, of shape (rows,).
            codes: of labels, as ``coded`` gives them.
        """
        self._size += len(places)
        if self.overflow or self._size > self.most:
            self._forget()
        elif len(places):
            self._parts.append((numbers, digests, places, codes))

    def merge(self, other: DistinctRows) -> None:
        """Take in what ``other`` has seen."""
        lookup = self._labels.merged(other._labels)
        for shard, rows in other._seen.items():
            self.count(shard, rows)
        if other.overflow:
            self._forget()
        for numbers, digests, places, codes in other._parts:
            self.add(numbers, digests, places, lookup[codes])

    def first(self) -> Kept:
        """The first row of each digest.

        Raises:
            LimitReached: there were too many rows.
        """
        if self.overflow:
            message = f"more than {self.most:,} {self.called}: they were not compared"
            raise LimitReached(message)
        empty = (
            np.empty((0, self.numbers), self.kind), np.empty(0, np.uint64),
            np.empty(0, np.int64), np.empty(0, np.int32),
        )  # fmt: skip
        numbers, digests, places, labels = (
            np.concatenate(part) for part in zip(empty, *self._parts, strict=True)
        )
        order = np.lexsort((places, digests))
        new = np.ones(len(order), bool)
        new[1:] = digests[order[1:]] != digests[order[:-1]]
        kept = order[new]
        kept = kept[np.argsort(places[kept], kind="stable")]
        names, lookup = self._labels.ordered()
        seen = np.zeros(max(self._seen, default=-1) + 1, np.int64)
        for shard, rows in self._seen.items():
            seen[shard] = rows
        return Kept(numbers[kept], places[kept], lookup[labels[kept]], names, seen)

    def _forget(self) -> None:
        self.overflow = True
        self._parts.clear()
