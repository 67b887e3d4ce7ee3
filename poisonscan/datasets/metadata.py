"""Folders of pictures or recordings with a table that says more about each: ``metadata.csv``.

As the ``datasets`` library reads them: the rows are those of the table, its column ``file_name``
(or one whose name ends so) has the file of each row, and the names of folders are no labels.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.candidates import DESCRIBING
from poisonscan.datasets.encoding import encoded
from poisonscan.datasets.entries import Entry
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.flaws import Place, flaw
from poisonscan.datasets.layouts import Layout
from poisonscan.datasets.naming import split_of
from poisonscan.datasets.sound import AUDIO, NOT_HEARD, digest_of, unheard
from poisonscan.datasets.tables import layout, read
from poisonscan.escape import quote
from poisonscan.finding import Gap, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.flaws import Sink
    from poisonscan.datasets.shards import Shard
    from poisonscan.finding import Json
    from poisonscan.formats.base import TableFile

MAX_NAMES = 5_000_000
"""Files that a table may name for those that it does not name to be counted."""
_COLUMN = re.compile(r"(?:.+_)?file_name")


@dataclass(frozen=True, slots=True)
class Described:
    """Recordings as a table names them: its columns, and the digest of each file.

    Attributes:
        file: the table.
        table: its own columns.
        column: the one with the names of the files.
    """

    file: TableFile
    table: Layout
    column: str

    @property
    def reading(self) -> dict[str, Json]:
        """What reports say about how it is read."""
        return {"audio": NOT_HEARD}

    def shards(self, shard: Shard, found: Layout) -> Iterator[Shard]:  # noqa: ARG002
        """The whole table."""
        yield shard

    def batches(self, columns: Sequence[str], problem: Sink) -> Iterator[pa.RecordBatch]:
        """Rows in order. A recording that cannot be read leaves its row without content."""
        own = [name for name in columns if name != AUDIO]
        wanted = list(dict.fromkeys([*own, *([self.column] if AUDIO in columns else [])]))
        for batch in read(self.file, self.table, wanted, problem, rows=256):
            made = {name: batch.column(name) for name in own}
            if AUDIO in columns:
                made[AUDIO] = self._digests(batch.column(self.column), problem)
            yield pa.RecordBatch.from_pydict({name: made[name] for name in columns})

    def _digests(self, names: pa.Array, problem: Sink) -> pa.Array:
        folder = Path(self.file.file).parent.resolve()
        which, values = encoded(names)
        digests: list[bytes | None] = []
        for name in values.cast(pa.binary()).to_pylist():
            digest = _inside(folder, name)
            if digest is None:
                named = quote(name.decode("utf-8", "replace"))
                what = "named that cannot be read inside of the folder"
                problem(flaw(what, "file", [Place(0, named)]))
                digest = unheard(name.decode("utf-8", "replace"))
            digests.append(digest)
        found = pa.array([*digests, None], pa.binary())
        return found.take(pa.array([int(i) if i >= 0 else len(digests) for i in which]))


def _inside(folder: Path, name: bytes) -> bytes | None:
    try:
        target = (folder / name.decode()).resolve()
    except (ValueError, OSError, RuntimeError):  # the last: links in circles, before Python 3.13
        return None
    return digest_of(target) if target.is_relative_to(folder) else None


def described(
    tables: Sequence[TableFile], media: Sequence[TableFile]
) -> tuple[list[Entry], set[str], list[Gap | Skipped]]:
    """Entries of the tables that describe pictures or recordings.

    Args:
        tables: files of rows.
        media: pictures and recordings.

    Returns:
        The entries; the paths of all that is described, and of the tables; and what to tell.
    """
    by_folder: dict[PurePosixPath, TableFile] = {}
    for table in tables:
        pure = PurePosixPath(table.path)
        if pure.name in DESCRIBING:
            by_folder.setdefault(pure.parent, table)
    below: dict[PurePosixPath, list[TableFile]] = defaultdict(list)
    for file in media:
        nearest = next((f for f in PurePosixPath(file.path).parents if f in by_folder), None)
        if nearest is not None:
            below[nearest].append(file)
    entries: list[Entry] = []
    taken: set[str] = set()
    notes: list[Gap | Skipped] = []
    for folder, files in sorted(below.items()):
        table = by_folder[folder]
        try:
            entry = _entry(table, files)
            if entry is None:
                continue
            notes += _unnamed(entry, folder, files)
        except DatasetError as error:
            notes.append(Gap(table.path, f"cannot be opened: {error.reason}"))
            taken.add(table.path)
            continue
        entries.append(entry)
        taken |= {table.path} | {file.path for file in files}
    return entries, taken, notes


def _entry(table: TableFile, files: Sequence[TableFile]) -> Entry | None:
    """The table with its pictures or recordings; None when no column names files."""
    found = layout(table)
    column = _file_column(found)
    if column is None:
        return None
    split = split_of(table.path)
    if files[0].format == "image":
        return Entry(table, split, layout=replace(found, pictures=(column,)))
    schema = pa.schema([(AUDIO, pa.binary()), *((f.name, f.type) for f in found.schema)])
    whole = Layout(schema, found.classes, reader=Described(table, found, column))
    return Entry(table, split, layout=whole)


def _file_column(found: Layout) -> str | None:
    names = [
        field.name
        for field in found.schema
        if _COLUMN.fullmatch(field.name)
        and (pa.types.is_string(field.type) or pa.types.is_large_string(field.type))
    ]
    return "file_name" if "file_name" in names else next(iter(names), None)


def _unnamed(
    entry: Entry, folder: PurePosixPath, files: Sequence[TableFile]
) -> list[Gap | Skipped]:
    """Say how many files the table does not name: they are not read."""
    found = entry.layout
    if found is None:
        return []
    reader = found.reader
    base = reader.table if isinstance(reader, Described) else found
    columns = [f.name for f in base.schema if _COLUMN.fullmatch(f.name)]
    named: set[str] = set()
    for batch in read(entry.file, replace(base, reader=None), columns):
        for name in columns:
            values = encoded(batch.column(name))[1]
            named.update(_plain(value) for value in pc.cast(values, pa.binary()).to_pylist())
        if len(named) > MAX_NAMES:
            return []
    left = [f for f in files if _relative(f.path, folder) not in named]
    if not left:
        return []
    what = f"{len(left):,} of {len(files):,} files here are not named in"
    return [Skipped(left[0].path, f"{what} {PurePosixPath(entry.file.path).name}: not loaded")]


def _relative(path: str, folder: PurePosixPath) -> str:
    return str(PurePosixPath(path).relative_to(folder))


def _plain(value: bytes) -> str:
    return str(PurePosixPath(value.decode("utf-8", "replace")))
