"""Count what a scan is to be compared with: opened and read like any dataset, never reported on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from poisonscan.finding import Gap

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Aggregate, Role
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.reference import Reference
    from poisonscan.detectors.base import DatasetDetector
    from poisonscan.finding import Fact, Finding

Runner = Callable[["Dataset", dict[str, "DatasetDetector"]], Iterable[Gap]]
"""Makes the passes over a dataset that a detector asks for; returns what could not be read."""


class _Count:
    """In place of a detector: keeps the label counts that it is sent."""

    needs: ClassVar[frozenset[Role]] = frozenset()

    def __init__(self) -> None:
        self.labels: Counter[str] | None = None

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        from poisonscan.datasets.batch import Role
        from poisonscan.detectors.datasets.label_counts import LabelCounts

        if Role.LABEL not in dataset.offers:
            return []
        counts: LabelCounts = yield LabelCounts(tuple(shard.split for shard in dataset.shards))
        table = counts.table(dataset.label_names)
        rows = table.counts.sum(axis=0).tolist()
        self.labels = Counter(dict(zip(table.names, rows, strict=True)))
        return []


def count(datasets: Sequence[Dataset], run: Runner) -> tuple[list[Reference], list[Gap]]:
    """Read references once.

    Args:
        datasets: what the user wants to compare with.
        run: makes passes.

    Returns:
        What is known of each, and what could not be read of them.
    """
    from poisonscan.datasets.reference import Reference

    references, gaps = [], []
    for dataset in datasets:
        counted = _Count()
        gaps += [
            dataclasses.replace(gap, reason=f"as a reference: {gap.reason}")
            for gap in run(dataset, {"references": counted})
        ]
        references.append(Reference(dataset.path, tuple(dataset.columns), counted.labels))
    return references, gaps


def matching(dataset: Dataset, references: Sequence[Reference]) -> Reference | None:
    """The reference of a dataset: the only one, or the one that shares the most columns."""
    if len(references) < 2:
        return next(iter(references), None)
    columns = set(dataset.columns)
    return max(references, key=lambda each: len(columns & set(each.columns)))
