"""The texts of some rows, and of a few others to compare them with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import numbered
from poisonscan.datasets.shingles import mix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch

LETTERS = 8_000
"""Letters that are kept of a text."""
OTHERS = 2_048
"""Other texts that are kept: those with the smallest hash of their place."""


@dataclass(slots=True, unsafe_hash=True)
class TextsAt:
    """Keeps the texts of the rows that are wanted, and a sample of the others.

    Attributes:
        wanted: places, shard and position in one number, ascending: the bytes of ``uint64``.
        found: the texts of wanted rows by place.
        others: texts of further rows by the hash of their place.
    """

    wanted: bytes
    needs: frozenset[Role] = field(default=frozenset({Role.TEXT}), init=False, compare=False)
    found: dict[int, str] = field(default_factory=dict, init=False, compare=False)
    others: dict[int, str] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        places = np.uint64(numbered(batch.shard, batch.start)) + np.arange(
            batch.size, dtype=np.uint64
        )
        filled = batch.texts.indices >= 0
        wanted = np.isin(places, np.frombuffer(self.wanted, np.uint64))
        for row, text in _texts(batch, np.flatnonzero(filled & wanted)):
            self.found[int(places[row])] = text
        hashes = mix(places + np.uint64(1))
        rest = np.flatnonzero(filled & ~wanted)
        if len(self.others) == OTHERS:
            rest = rest[hashes[rest] < np.uint64(max(self.others))]
        rest = rest[np.argsort(hashes[rest])[:OTHERS]]
        self._keep({int(hashes[row]): text for row, text in _texts(batch, rest)})

    def merge(self, other: TextsAt) -> None:
        """Take in what ``other`` has seen."""
        self.found.update(other.found)
        self._keep(other.others)

    def _keep(self, others: dict[int, str]) -> None:
        self.others.update(others)
        if len(self.others) > OTHERS:
            self.others = {key: self.others[key] for key in sorted(self.others)[:OTHERS]}


def _texts(batch: Batch, rows: NDArray[np.intp]) -> list[tuple[int, str]]:
    """The start of the texts of some rows, all of which have one."""
    values = batch.texts.values.take(pa.array(batch.texts.indices[rows]))
    starts = pc.utf8_slice_codeunits(values, 0, LETTERS)
    return list(zip(rows.tolist(), starts.to_pylist(), strict=True))
