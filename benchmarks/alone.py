"""One detector by itself, over data in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.base import DatasetDetector
from poisonscan.finding import Finding, Row, Rows


class Readable(Protocol):
    """What fills requests."""

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""


class InMemory:
    """What a benchmark has in place of a dataset, by default of one shard."""

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""
        raise NotImplementedError

    def describe(
        self, rows: NDArray[np.int64], scores: Sequence[float] | None = None
    ) -> tuple[Row, ...]:
        """Rows by their number."""
        known = [None] * len(rows) if scores is None else scores
        return tuple(Row("data", int(i), score=s) for (_, i), s in zip(rows, known, strict=True))

    def named(
        self,
        rows: NDArray[np.int64],
        scores: Sequence[float] | NDArray[Any] | None = None,
        *,
        count: int | None = None,
        shown: int | None = None,
        **_: Any,
    ) -> Rows:
        """Rows of a finding: all of them, since what is measured is which rows are named."""
        first = None if scores is None else np.asarray(scores[:shown], float).tolist()
        return Rows(self.describe(rows[:shown], first), len(rows) if count is None else count)


def findings(detector: DatasetDetector, data: Readable) -> list[Finding]:
    """What a detector finds; every request is filled by one pass."""
    said = drive(detector.detect(cast("Dataset", data)), data)
    return [item for item in said if isinstance(item, Finding)]


def drive(steps: Any, data: Readable) -> Any:
    """What a generator of requests returns once every request is filled by one pass."""
    try:
        request = next(steps)
        while True:
            for batch in data.batches():
                request.update(batch)
            request = steps.send(request)
    except StopIteration as end:
        return end.value
