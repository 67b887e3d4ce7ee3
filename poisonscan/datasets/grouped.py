"""Requests that bring together what has the same key, wherever in the dataset it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Grouped(Protocol):
    """An aggregate that needs a second step once all shards are read.

    While shards are read it collects records with keys, on disk when they are many. Then the scan
    cuts the keys into parts, calls ``grouping()`` for each part, on any process, and gives the
    results back with ``take``, in the order of the parts.
    """

    def use_scratch(self, folder: str, problem: str = "") -> None:
        """Set the folder for records that do not fit into memory, or why there is none."""

    def parts(self) -> Sequence[Any]:
        """The parts of the records; at least one, and only one when none is on disk."""

    def grouping(self) -> Callable[[Any], Any]:
        """A function of a part, without any records in it; it pickles, so does what it returns."""

    def take(self, result: Any) -> None:
        """Take in what ``grouping()`` says of the next part."""

    def finish(self) -> None:
        """All parts were taken in: the records are not needed any more."""
