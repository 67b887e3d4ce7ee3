"""Rows on their way to detectors: columns by role, a batch at a time."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from poisonscan.datasets.joined_columns import JoinedColumns
    from poisonscan.datasets.pictures import Encoded, Pixels


class Role(enum.StrEnum):
    """What a column is for.

    A batch holds, for the roles that were asked for:

    * ``LABEL``: ``Labels``.
    * ``CONTENT``: a 128-bit digest of all that a row says apart from label and id,
      ``uint64`` of shape (rows, 2).
    * ``TEXT``: ``Texts``: what the text columns say, a line for each.
    * ``FEATURES``: the row as a vector, ``float32`` of shape (rows, d); all NaN where it has none.
    * ``CELLS``: what columns say, Arrow arrays by name: all columns but pictures and vectors, as
      they are stored. Those of delimited text are strings; strings may be dictionary-encoded.
    * ``PICTURES``: ``Pixels``: the decoded pictures.
    * ``ENCODED``: ``Encoded``: the pictures undecoded, for a pass that wants few of them.
    * ``VALUES``: all columns as they are stored, Arrow arrays by name; of files that are rows, the
      SHA-256 of each as ``file`` and its class as ``label``.
    """

    LABEL = "label"
    CONTENT = "content"
    TEXT = "text"
    FEATURES = "features"
    CELLS = "cells"
    PICTURES = "pictures"
    ENCODED = "encoded"
    VALUES = "values"


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a batch, as codes into its own list of names.

    Attributes:
        codes: ``int32`` of shape (rows,); -1 where the label is missing.
        names: label text by code. Two batches may number the same names differently.
    """

    codes: NDArray[np.int32]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of a batch: rows may share a long one, so each is there once.

    Attributes:
        indices: text of each row, ``int64`` of shape (rows,); -1 where there is none.
        values: different texts, an Arrow array of strings without nulls.
    """

    indices: NDArray[np.int64]
    values: pa.Array


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of one shard.

    Attributes:
        shard: index into ``Dataset.shards``.
        start: position in the shard of the first row, from 0.
        size: number of rows.
        columns: values by role.
    """

    shard: int
    start: int
    size: int
    columns: Mapping[Role, Any]
    _strings: dict[str, Texts] = field(default_factory=dict, compare=False, repr=False)
    _searched: list[JoinedColumns] = field(default_factory=list, compare=False, repr=False)

    @property
    def labels(self) -> Labels:
        """The labels; every label missing when the dataset has none."""
        if Role.LABEL not in self.columns:
            return Labels(np.full(self.size, -1, np.int32), ())
        return cast("Labels", self.columns[Role.LABEL])

    @property
    def features(self) -> NDArray[np.float32]:
        """Row vectors, ``float32`` of shape (rows, d)."""
        return cast("NDArray[np.float32]", self.columns[Role.FEATURES])

    @property
    def texts(self) -> Texts:
        """What the text columns say."""
        return cast("Texts", self.columns[Role.TEXT])

    @property
    def cells(self) -> Mapping[str, pa.Array]:
        """Columns by name."""
        return cast("Mapping[str, pa.Array]", self.columns[Role.CELLS])

    @property
    def strings(self) -> Mapping[str, Texts]:
        """Columns of ``cells`` that hold strings, also inside of lists and structs (joined).

        Made once for all that ask.
        """
        if not self._strings:
            from poisonscan.datasets.words import distinct_texts, holds_text

            for name, column in self.cells.items():
                if holds_text(column.type):
                    self._strings[name] = distinct_texts([column])
        return self._strings

    @property
    def searched(self) -> Sequence[JoinedColumns]:
        """The values of ``strings``, to be searched, and what a glance at them shows.

        Made once for all that ask.
        """
        if not self._searched:
            from poisonscan.datasets.joined_columns import joined

            self._searched.extend(joined(self.strings))
        return self._searched

    @property
    def pictures(self) -> Pixels:
        """The decoded pictures."""
        return cast("Pixels", self.columns[Role.PICTURES])

    @property
    def undecoded(self) -> Encoded:
        """The pictures, of which some may be decoded."""
        return cast("Encoded", self.columns[Role.ENCODED])

    @property
    def values(self) -> Mapping[str, pa.Array]:
        """All columns as they are stored, by name."""
        return cast("Mapping[str, pa.Array]", self.columns[Role.VALUES])

    @property
    def content(self) -> NDArray[np.uint64]:
        """Row digests, ``uint64`` of shape (rows, 2)."""
        return cast("NDArray[np.uint64]", self.columns[Role.CONTENT])

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row identifiers, ``int64`` of shape (rows, 2): shard and position in the shard."""
        ids = np.empty((self.size, 2), np.int64)
        ids[:, 0] = self.shard
        ids[:, 1] = np.arange(self.start, self.start + self.size)
        return ids


class Aggregate(Protocol):
    """What a detector asks of one pass over the data.

    A commutative monoid: any cutting of the rows into batches and shards, merged in any order,
    gives an equal aggregate (for floating point: within rounding). Aggregates travel between
    processes, so they pickle. Equal requests of several detectors are computed once, so an
    unfilled aggregate compares and hashes by its parameters.
    """

    needs: frozenset[Role]

    def update(self, batch: Batch) -> None:
        """Take in a batch."""

    def merge(self, other: Self) -> None:
        """Take in what ``other`` has seen, which the caller gives up."""
