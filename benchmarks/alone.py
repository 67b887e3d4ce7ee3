"""One detector by itself, over data in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

from poisonscan.datasets.batch import Batch
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.base import DatasetDetector
from poisonscan.finding import Finding


class InMemory(Protocol):
    """What a benchmark has in place of a dataset."""

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""


def findings(detector: DatasetDetector, data: InMemory) -> list[Finding]:
    """What a detector finds; every request is filled by one pass."""
    steps = detector.detect(cast("Dataset", data))
    try:
        request = next(steps)
        while True:
            for batch in data.batches():
                request.update(batch)
            request = steps.send(request)
    except StopIteration as end:
        return [item for item in end.value if isinstance(item, Finding)]
