"""All rows that a finding means, as numbers: there may be millions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from poisonscan.datasets.row_numbers import numbered
from poisonscan.finding import Row
from poisonscan.places import Held

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.shards import Shard

MAX_LISTED: Final = 10_000_000
"""Rows that the findings of a dataset list in all; each takes 16 bytes."""
_STRIDE = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class ListedRows:
    """Rows of a dataset, see ``poisonscan.finding.Places``.

    Attributes:
        shards: of the dataset.
        shard: index of the shard of each row, ``int32`` of shape (n,).
        position: of each row in its shard, ``int64`` of shape (n,).
        scores: of each row, ``float32`` of shape (n,); None: there are none.
        left_out: rows that are not listed.
        partial: only a sample of the rows was looked at.
    """

    shards: tuple[Shard, ...]
    shard: NDArray[np.int32]
    position: NDArray[np.int64]
    scores: NDArray[np.float32] | None
    left_out: int = 0
    partial: bool = False

    def __len__(self) -> int:
        """How many are listed."""
        return len(self.shard)

    def files(self) -> dict[str, Held]:
        """The files that hold them, by path."""
        out: dict[str, Held] = {}
        for number in np.unique(self.shard).tolist():
            shard = self.shards[number]
            if shard.by_file:
                rows = shard.rows_of(self.position[self.shard == number])
                out |= {shard.files[row].path: Held(whole=True) for row in rows.tolist()}
            else:
                dialect = None if shard.layout is None else shard.layout.dialect
                out[shard.path] = Held(whole=False, header=dialect and dialect.header)
        return out

    def numbers(self) -> NDArray[np.int64]:
        """Shard and position in the shard in one number, ``int64`` of shape (n,)."""
        return numbered(self.shard, self.position)

    def rows(self) -> Iterator[Row]:
        """The rows, in order."""
        for start in range(0, len(self), _STRIDE):
            numbers = self.shard[start : start + _STRIDE]
            rows = self.position[start : start + _STRIDE].copy()
            for number in np.unique(numbers).tolist():
                mine = numbers == number
                rows[mine] = self.shards[number].rows_of(rows[mine])
            for i, (number, row) in enumerate(zip(numbers.tolist(), rows.tolist(), strict=True)):
                shard = self.shards[number]
                path, index = shard.place(row)
                score = None if self.scores is None else float(self.scores[start + i])
                yield Row(path, index, shard.split, score=score, whole=shard.by_file)
