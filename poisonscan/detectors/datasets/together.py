"""Several aggregates of one detector that are filled in the same pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from poisonscan.datasets.batch import Aggregate, Batch, Role


@dataclass(slots=True, unsafe_hash=True)
class Together:
    """Aggregates that a detector asks for at once.

    Attributes:
        parts: the aggregates, which see every batch.
    """

    parts: tuple[Aggregate, ...]
    needs: frozenset[Role] = field(default=frozenset(), init=False, compare=False)

    def __post_init__(self) -> None:
        self.needs = frozenset().union(*(part.needs for part in self.parts))

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        for part in self.parts:
            part.update(batch)

    def merge(self, other: Together) -> None:
        """Take in what ``other`` has seen."""
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            mine.merge(theirs)
