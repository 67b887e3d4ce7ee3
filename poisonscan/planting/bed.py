"""Rows to plant attacks in, and their columns by what they are for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.beside import sorted_out
from poisonscan.datasets.batch import Role
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.picture_sources import read_file
from poisonscan.datasets.pixel_lists import files_of_lists, is_list
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.datasets.tables import numbered
from poisonscan.engines.local import LocalEngine
from poisonscan.escape import quote
from poisonscan.files import Task
from poisonscan.formats.base import TableFile
from poisonscan.isolation.workers import Workers
from poisonscan.opening import open_apart
from poisonscan.planting.errors import PlantError
from poisonscan.targets import files_of, root_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.shards import Shard

_IMAGE, _LABEL = "image", "label"
_VARIED: Final = 20
"""Different values that a column of numbers has at least."""


@dataclass(frozen=True, slots=True)
class Bed:
    """Rows of a dataset.

    Attributes:
        table: all columns, as they are stored.
        text: column of sentences; None: there is none, as with the others.
        picture: column of encoded pictures.
        label: column of labels.
        prompt: column of what is asked.
        response: column of what is answered.
        numbers: columns of numbers with many values.
        delimited: cells are text, as they stand in a CSV file.
    """

    table: pa.Table
    text: str | None = None
    picture: str | None = None
    label: str | None = None
    prompt: str | None = None
    response: str | None = None
    numbers: tuple[str, ...] = ()
    delimited: bool = False

    @property
    def rows(self) -> int:
        """How many there are."""
        return int(self.table.num_rows)

    def codes(self) -> NDArray[np.int64]:
        """Labels as numbers in order of appearance, of shape (rows,); -1 where there is none."""
        if self.label is None:
            return np.full(self.rows, -1, np.int64)
        encoded = pc.dictionary_encode(self.table.column(self.label).combine_chunks())
        return np.asarray(encoded.indices.fill_null(-1), np.int64)

    def taking(self, column: str, source: NDArray[np.int64]) -> Bed:
        """A copy in which row i has in a column what row ``source[i]`` had."""
        place = self.table.schema.get_field_index(column)
        values = self.table.column(place).take(pa.array(source))
        return replace(self, table=self.table.set_column(place, self.table.field(place), values))

    def with_values(self, column: str, rows: NDArray[np.int64], values: Sequence[Any]) -> Bed:
        """A copy with other values in some rows of a column.

        Args:
            column: its name.
            rows: which, each once.
            values: one for each of them, as Python objects.
        """
        place = self.table.schema.get_field_index(column)
        field = self.table.field(place)
        old = self.table.column(place).combine_chunks()
        both = pa.chunked_array([old, pa.array(values, old.type)])
        source = np.arange(self.rows)
        source[rows] = self.rows + np.arange(len(rows))
        table = self.table.set_column(place, field, both.take(pa.array(source)))
        return replace(self, table=table)


def read(target: Path, options: DatasetOptions, most: int) -> Bed:
    """The first rows of the largest dataset at a target, of its training split where it has one.

    Args:
        target: a file or folder.
        options: what is known of its columns.
        most: rows to read.

    Raises:
        PlantError: there is no dataset, or none that rows can be planted in.
        poisonscan.datasets.errors.OptionError: an option names what is not there.
        poisonscan.targets.TargetError: the target does not exist.
    """
    blobs, _ = files_of([target], root_of([target], None))
    found: list[TableFile] = []
    for _, items in Workers(Task((), "dataset"), 1, "auto").run(blobs):
        found += [item for item in items if isinstance(item, TableFile)]
    tables, beside = sorted_out(blobs, found)
    datasets, _ = open_apart(tables, options, beside, LocalEngine(1), explicit=True)
    if not datasets:
        message = f"{quote(str(target))} holds no dataset that can be read"
        raise PlantError(message)
    dataset = max(datasets, key=lambda each: (sum(s.size for s in each.shards), each.path))
    splits = {shard.split for shard in dataset.shards}
    wanted = [s for s in dataset.shards if "train" not in splits or s.split == "train"]
    try:
        bed = _files(dataset, wanted, most) if wanted[0].by_file else _rows(dataset, wanted, most)
    except DatasetError as error:
        raise PlantError(str(error)) from error
    if bed.rows < 2:
        message = f"{quote(dataset.path)} has fewer than two rows"
        raise PlantError(message)
    return bed


def _rows(dataset: Dataset, shards: Sequence[Shard], most: int) -> Bed:
    """Rows of tables."""
    batches: list[pa.RecordBatch] = []
    left = most
    layout = shards[0].layout
    if layout is None:
        message = f"{quote(dataset.path)} is of a form that nothing can be planted in"
        raise PlantError(message)
    for shard in shards:
        if shard.layout is None or left <= 0:
            break
        for _, batch in numbered(
            shard.files[0], shard.layout, layout.schema.names, part=shard.part
        ):
            batches.append(batch.slice(0, left))
            left -= len(batches[-1])
            if left <= 0:
                break
    table = pa.concat_tables(
        [pa.Table.from_batches([batch]) for batch in batches], promote_options="permissive"
    )
    table = _as_files(_decoded(table), _first(dataset, "image"))
    table = table.replace_schema_metadata(layout.schema.metadata)
    delimited = layout.dialect is not None
    text, label = _sentences(dataset, table), _first(dataset, "label")
    cells = [name for name in dataset.cells if name not in (text, label)]
    return Bed(
        table,
        text=text,
        picture=_first(dataset, "image"),
        label=label,
        prompt=_strings(table, _first(dataset, "prompt")),
        response=_strings(table, _first(dataset, "response")),
        numbers=tuple(name for name in cells if _is_varied(dataset, table, name)),
        delimited=delimited,
    )


def _as_files(table: pa.Table, picture: str | None) -> pa.Table:
    """A table whose pictures are files, where they were lists of pixels."""
    if picture is None or not is_list(table.schema.field(picture).type):
        return table
    files = files_of_lists(table.column(picture).combine_chunks())
    return table.set_column(table.schema.get_field_index(picture), picture, files)


def _decoded(table: pa.Table) -> pa.Table:
    """A table without dictionaries, which reading adds to columns."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = field.with_type(field.type.value_type)
            table = table.set_column(place, plain, table.column(place).cast(plain.type))
    return table


def _files(dataset: Dataset, shards: Sequence[Shard], most: int) -> Bed:
    """Picture files, by their folder's name."""
    if not {Role.PICTURES, Role.LABEL} <= dataset.offers:
        message = f"{quote(dataset.path)}: nothing can be planted in files of this kind"
        raise PlantError(message)
    found = [
        (file, shard.labels[place] if shard.labels else None)
        for shard in shards
        for place, file in enumerate(shard.files)
    ]
    chosen = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).astype(np.int64))
    pictures, labels = [], []
    for place in chosen.tolist():
        data = read_file(found[place][0])
        if isinstance(data, bytes):
            pictures.append({"bytes": data, "path": None})
            labels.append(found[place][1])
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({_IMAGE: pa.array(pictures, kind), _LABEL: pa.array(labels, pa.string())})
    return Bed(table, picture=_IMAGE, label=_LABEL)


def _first(dataset: Dataset, role: str) -> str | None:
    return next(iter(dataset.roles.get(role, ())), None)


def _strings(table: pa.Table, name: str | None) -> str | None:
    """A column, if there is one and it holds strings."""
    if name is None or name not in table.schema.names:
        return None
    kind = table.schema.field(name).type
    return name if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


def _sentences(dataset: Dataset, table: pa.Table) -> str | None:
    """The text column that says most."""
    names = [name for name in dataset.roles.get("text", ()) if _strings(table, name)]
    return max(names, key=lambda name: int(table.column(name).nbytes), default=None)


def _is_varied(dataset: Dataset, table: pa.Table, name: str) -> bool:
    if name not in table.schema.names or not dataset.numeric(name):
        return False
    return len(pc.unique(table.column(name))) >= _VARIED
