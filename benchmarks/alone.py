"""One detector by itself, over data in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast

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
    said = drive(detector.detect(cast("Dataset", data)), data)
    return [item for item in said if isinstance(item, Finding)]


def drive(steps: Any, data: InMemory) -> Any:
    """What a generator of requests returns once every request is filled by one pass."""
    try:
        request = next(steps)
        while True:
            for batch in data.batches():
                request.update(batch)
            request = steps.send(request)
    except StopIteration as end:
        return end.value
