"""What reads rows that do not stand in one file as a table: folders, archives, pairs of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.layouts import Layout
    from poisonscan.datasets.shards import Shard
    from poisonscan.finding import Json


class Reader(Protocol):
    """Makes rows. Small; it pickles to workers as a part of the layout."""

    @property
    def reading(self) -> dict[str, Json]:
        """What reports are to say about how it is read, such as what is not looked at."""

    def shards(self, shard: Shard, found: Layout) -> Iterator[Shard]:
        """The parts that workers read by themselves.

        Args:
            shard: path, split, size and file of the whole.
            found: the layout that holds this reader.
        """

    def batches(self, columns: Sequence[str], problem: Sink) -> Iterator[pa.RecordBatch]:
        """Rows in order, with the columns named and in that order.

        Args:
            columns: at least one.
            problem: told about what is left out.

        Raises:
            ValueError, OSError: the rest cannot be read; what came before stays.
        """
