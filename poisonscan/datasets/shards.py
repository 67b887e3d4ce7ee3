"""The parts that a dataset is read in, and what the user said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poisonscan.datasets.layouts import Layout, Span
    from poisonscan.datasets.own_model import OwnModel
    from poisonscan.datasets.sampling import Sample
    from poisonscan.datasets.tables import Part
    from poisonscan.formats.base import TableFile


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What the user said about the columns; None: inferred.

    Attributes:
        header: whether delimited text has a first line with the names of its columns.
    """

    label_column: str | None = None
    text_column: str | None = None
    image_column: str | None = None
    features_column: str | None = None
    prompt_column: str | None = None
    response_column: str | None = None
    header: bool | None = None
    activations: str | None = None
    model: OwnModel | None = None
    split: str | None = None
    config: str | None = None
    max_rows: int | None = None
    sample: int | None = None
    seed: int = 0

    @property
    def named(self) -> frozenset[str]:
        """Columns that the user named."""
        names = (
            self.label_column, self.text_column, self.image_column, self.features_column,
            self.prompt_column, self.response_column,
        )  # fmt: skip
        return frozenset(name for name in names if name is not None)


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a dataset that one worker reads from start to end.

    Attributes:
        path: the file, or for pictures their folder, as reports call it.
        split: ``train``, ``validation`` or ``test``.
        size: bytes.
        files: the one file of a table; the files of a chunk of a picture folder.
        labels: label of each picture file; empty for tables and for folders without classes.
        layout: the columns of a table; None for pictures.
        groups: row groups of a big parquet file, or record batches of an Arrow file, that are
            read; None: the whole file.
        span: the bytes of a big text file that are read; None: the whole file.
        start: row of the file that is the first of the shard.
        rows: how many it holds, where that is known without reading it.
        first: rows in the shards before this one; None when not counted.
        limit: rows after which reading stops; None: all.
        sample: which rows are looked at; positions then count only those. None: all.
    """

    path: str
    split: str
    size: int
    files: tuple[TableFile, ...] = ()
    labels: tuple[str, ...] = ()
    layout: Layout | None = None
    groups: tuple[int, ...] | None = None
    span: Span | None = None
    start: int = 0
    rows: int | None = None
    first: int | None = None
    limit: int | None = None
    sample: Sample | None = None

    @property
    def part(self) -> Part:
        """The part of the file that is read."""
        from poisonscan.datasets.tables import Part

        return Part(self.groups, self.span, self.start, size=self.size)

    def rows_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the part of the file that stand at positions in the shard."""
        return positions if self.sample is None else self.sample.rows(positions)

    @property
    def by_file(self) -> bool:
        """Whether each row is a file of its own."""
        return self.layout is None or len(self.files) > 1

    def place(self, row: int) -> tuple[str, int]:
        """File that holds a row of the part, as reports call it, and the row's index there."""
        return (self.files[row].path, 0) if self.by_file else (self.path, self.start + row)
