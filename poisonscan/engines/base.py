"""Engines: what runs one function over many files or shards, wherever the processes are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Result = TypeVar("Result")


class EngineError(ValueError):
    """An engine that cannot be had; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Failure(Generic[Item]):
    """An item whose process died, twice; the scan reports it as a gap.

    Attributes:
        item: what was being worked on.
        reason: how the process ended, for people.
        stuck: whether it was ended because it got no further, so that another try would be as long.
    """

    item: Item
    reason: str
    stuck: bool = False


class Engine(Protocol):
    """Runs a task over items, here or on other processes and machines."""

    def map(
        self, task: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result | Failure[Item]]:
        """The outcome of ``task`` for each item, in the order of the items.

        A process that dies costs only the item that it died of. An exception that the task raises
        ends the map and reaches the caller, so a task catches what hostile input may make it raise.

        Args:
            task: a function that pickles; so do its results.
            items: what to call it with; they pickle too.
        """
