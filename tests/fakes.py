"""A dataset in memory, and the passes over it that the scan would make."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Labels, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.shards import Shard
from poisonscan.datasets.words import distinct_texts
from poisonscan.detectors.base import DatasetDetector
from poisonscan.finding import Fact, Finding, Gap, Row
from poisonscan.verdict import ClassTest


@dataclass
class Part:
    """A shard: a label, a content and a text for each row; None where there is none."""

    labels: Sequence[str | None]
    contents: Sequence[object] = ()
    split: str = "train"
    features: NDArray[np.float32] | None = None
    texts: Sequence[str] = ()


def digests(contents: Sequence[object]) -> NDArray[np.uint64]:
    """Numbers in place of hashes: equal for equal contents, zero for None."""
    known = {content: number for number, content in enumerate(dict.fromkeys(contents), 1)}
    words = [(_spread(c), known[c]) if c is not None else (0, 0) for c in contents]
    return np.array(words, np.uint64).reshape(-1, 2)


def _spread(content: object) -> int:
    """The same in every process, unlike ``hash``: samples and folds are drawn by it."""
    return int.from_bytes(hashlib.blake2b(repr(content).encode(), digest_size=8).digest(), "big")


def coded(labels: Sequence[str | None]) -> Labels:
    names = tuple(dict.fromkeys(label for label in labels if label is not None))
    codes = [names.index(label) if label is not None else -1 for label in labels]
    return Labels(np.array(codes, np.int32), names)


class FakeDataset:
    """Ten lines of ``Dataset``, enough for detectors."""

    vectors: object = None
    later = None
    named = Dataset.named

    def __init__(self, *parts: Part, declared: Sequence[str] | None = None) -> None:
        self.parts = parts
        self.path = "data"
        self.shards = [Shard(f"data/{i}.csv", part.split, 0) for i, part in enumerate(parts)]
        self.label_names = None if declared is None else tuple(declared)
        self.digests = digests([c for part in parts for c in part.contents])

    def describe(
        self, rows: NDArray[np.int64], scores: Sequence[float] | None = None
    ) -> tuple[Row, ...]:
        assert rows.dtype == np.int64
        assert rows.ndim == 2
        numbers = scores if scores is not None else [None] * len(rows)
        return tuple(
            Row(f"data/{s}.csv", i, self.shards[s].split, None, self.parts[s].labels[i], score)
            for (s, i), score in zip(rows.tolist(), numbers, strict=True)
        )

    def batches(self, size: int = 1_000) -> Iterator[Batch]:
        first = 0
        for shard, part in enumerate(self.parts):
            for start in range(0, len(part.labels), size):
                stop = min(start + size, len(part.labels))
                columns: dict[Role, Any] = {Role.LABEL: coded(part.labels[start:stop])}
                if part.contents:
                    columns[Role.CONTENT] = self.digests[first + start : first + stop]
                if part.texts:
                    columns[Role.TEXT] = distinct_texts(
                        [pa.array(part.texts[start:stop], pa.string())]
                    )
                if part.features is not None:
                    columns[Role.FEATURES] = part.features[start:stop]
                yield Batch(shard, start, stop - start, columns)
            first += len(part.contents)


def run(detector: DatasetDetector, dataset: FakeDataset) -> list[Finding]:
    """What a detector finds."""
    return [item for item in returned(detector, dataset) if isinstance(item, Finding)]


def returned(
    detector: DatasetDetector, dataset: FakeDataset
) -> list[Finding | Fact | Gap | ClassTest]:
    """All that a detector returns; every request is filled by one pass."""
    steps = detector.detect(cast("Dataset", dataset))
    try:
        request = next(steps)
        while True:
            for batch in dataset.batches():
                request.update(batch)
            request = steps.send(request)
    except StopIteration as stop:
        return list(stop.value)
