"""What reads rows that do not stand in one file as a table: folders, archives, pairs of arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from poisonscan.datasets.shards import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.layouts import Layout
    from poisonscan.finding import Json
    from poisonscan.formats.base import TableFile


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


class FileReader(Reader, Protocol):
    """Makes a row of each file."""

    @property
    def root(self) -> str:
        """Path of the folder, as reports call it."""

    @property
    def files(self) -> tuple[TableFile, ...]:
        """The files."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The class of each; empty without classes."""

    def of(self, files: tuple[TableFile, ...], labels: tuple[str, ...]) -> Reader:
        """One of some of the files."""


def in_chunks(reader: FileReader, size: int, shard: Shard, found: Layout) -> Iterator[Shard]:
    """The shards of a reader of files, so many files each.

    Args:
        reader: of all files.
        size: files.
        shard: the whole.
        found: the layout that holds the reader.
    """
    for start in range(0, len(reader.files), size):
        files, labels = reader.files[start : start + size], reader.labels[start : start + size]
        part = replace(found, reader=reader.of(files, labels))
        bytes_ = sum(file.size for file in files)
        yield Shard(reader.root, shard.split, bytes_, files, layout=part, rows=len(files))
