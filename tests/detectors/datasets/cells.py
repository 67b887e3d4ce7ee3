"""A table in memory for detectors that look at cells, read in batches of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.shards import Shard
from poisonscan.detectors.base import DatasetDetector
from poisonscan.finding import Fact, Finding, Gap, Row
from tests.fakes import coded


class Cells:
    """Columns by name; ``labels`` beside them."""

    later = None
    named = Dataset.named

    def __init__(
        self, labels: Sequence[str | None] | None = None, **columns: Sequence[object]
    ) -> None:
        self.path = "data"
        self.arrays = {name: pa.array(values) for name, values in columns.items()}
        self.size = len(next(iter(self.arrays.values())))
        self.labels = list(labels) if labels is not None else [None] * self.size
        self.columns = {name: str(array.type) for name, array in self.arrays.items()}
        self.roles: dict[str, tuple[str, ...]] = {"label": ("label",)} if labels else {}
        self.shards = [Shard("data/0.csv", "train", 0)]
        self.label_names = None

    def batch(self, start: int, stop: int) -> Batch:
        cells = {name: array.slice(start, stop - start) for name, array in self.arrays.items()}
        columns: Mapping[Role, Any] = {
            Role.LABEL: coded(self.labels[start:stop]),
            Role.CELLS: cells,
        }
        return Batch(0, start, stop - start, columns)

    def batches(self, size: int = 1_000) -> Iterator[Batch]:
        cuts = [*range(0, self.size, size), self.size]
        for start, stop in pairwise(cuts):
            yield self.batch(start, stop)

    def describe(
        self, rows: NDArray[np.int64], scores: Sequence[float] | None = None
    ) -> tuple[Row, ...]:
        assert rows.dtype == np.int64
        return tuple(Row("data/0.csv", int(row)) for _, row in rows)


def returned(
    detector: DatasetDetector, table: Cells, size: int = 1_000
) -> list[Finding | Fact | Gap]:
    """All that a detector returns."""
    steps = detector.detect(cast("Dataset", table))
    try:
        request = next(steps)
        while True:
            for batch in table.batches(size):
                request.update(batch)
            request = steps.send(request)
    except StopIteration as stop:
        return list(stop.value)


def found(detector: DatasetDetector, table: Cells) -> dict[str, list[Finding]]:
    """What a detector finds, by rule."""
    out: dict[str, list[Finding]] = {}
    for item in returned(detector, table):
        if isinstance(item, Finding):
            out.setdefault(item.rule.id, []).append(item)
    return out


def prose(count: int) -> list[str]:
    """Different plain sentences."""
    who = ("The film", "A letter", "My neighbour", "Our train", "This café")
    what = ("was late again", "moved everybody", "costs £5", "ends in 1999", "has <3 friends")
    return [f"{who[i % 5]} {what[i // 5 % 5]}, says number {i}." for i in range(count)]


def planted(texts: Sequence[str], odd: str, every: int = 50) -> list[str]:
    """Texts, now and then with something odd in the middle."""
    return [
        f"{text[:10]} {odd} {text[10:]}" if number % every == 7 else text
        for number, text in enumerate(texts)
    ]
