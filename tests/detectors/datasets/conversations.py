"""Conversations in memory, as detectors see them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from poisonscan.datasets.batch import Batch, Role
from tests.fakes import FakeDataset, Part

ANSWERS = {"prompt": ("instruction",), "response": ("output",)}
PAIRS = {"prompt": ("prompt",), "chosen": ("chosen",), "rejected": ("rejected",)}


class Conversations(FakeDataset):
    """Rows of one shard, with roles for their columns."""

    def __init__(
        self, rows: Sequence[Mapping[str, object]], roles: Mapping[str, tuple[str, ...]] = ANSWERS
    ) -> None:
        super().__init__(Part([None] * len(rows)))
        self.rows = rows
        self.roles = roles

    def batches(self, size: int = 100) -> Iterator[Batch]:
        for start in range(0, len(self.rows), size):
            part = self.rows[start : start + size]
            cells = {name: pa.array([row[name] for row in part]) for name in part[0]}
            yield Batch(0, start, len(part), {Role.CELLS: cells})
