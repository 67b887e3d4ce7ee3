"""From files to datasets: which files belong together, and what their columns are for."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from poisonscan.datasets.activations import Activations
from poisonscan.datasets.dataset import Dataset, DatasetOptions, Shard
from poisonscan.datasets.errors import DatasetError, OptionError
from poisonscan.datasets.folders import open_folders
from poisonscan.datasets.layouts import BATCH_BYTES, Layout, reading
from poisonscan.datasets.naming import SPLITS, family, split_of
from poisonscan.datasets.numbers import Embedding, Numbers
from poisonscan.datasets.pictures import Pictures
from poisonscan.datasets.roles import Roles, assign, vector_length
from poisonscan.datasets.tables import count, layout, parts, read
from poisonscan.datasets.words import Words
from poisonscan.escape import quote
from poisonscan.finding import Gap, Json
from poisonscan.formats.base import TableFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poisonscan.datasets.dataset import Vectors

SAMPLE = 2_048
"""Rows from which roles and scales are inferred."""
_ORDER = ("train", "validation", "test")

Group = list[tuple[TableFile, Layout]]


def open_datasets(
    files: Sequence[TableFile], options: DatasetOptions
) -> tuple[list[Dataset], list[Gap]]:
    """Group files into datasets and find out what their columns are for.

    Tables belong together when folder, format, columns and name are the same apart from split
    words, shard numbers and folders named after a split. Pictures belong together when they share
    a folder, or a folder of class folders.

    Args:
        files: tables and pictures.
        options: what the user said. A column that only some datasets lack leaves a gap there.

    Returns:
        The datasets by path, and a gap for each file or dataset that cannot be opened.

    Raises:
        OptionError: an option fits no dataset: an unknown column, a split that is not there,
            activations that do not match the rows.
    """
    chosen = SPLITS.get(options.split or "", options.split)
    tables = [file for file in files if file.format != "image"]
    groups, gaps = _grouped([file for file in tables if chosen in {None, split_of(file.path)}])
    found = [
        dataset
        for dataset in open_folders([file for file in files if file.format == "image"], chosen)
        if _fits_pictures(dataset, options, gaps)
    ]
    unfit: list[OptionError] = []
    for group in groups:
        try:
            found.append(_open_table(group, options))
        except DatasetError as error:
            gaps += [Gap(file.path, f"cannot be opened: {error.reason}") for file, _ in group]
        except OptionError as error:
            unfit.append(error)
            gaps += [Gap(file.path, str(error)) for file, _ in group]
    if unfit and not found:
        raise unfit[0]
    if chosen is not None and files and not found and not gaps:
        splits = ", ".join(sorted({split_of(file.path) for file in files}))
        message = f"there is no split {quote(options.split)}; splits: {splits}"
        raise OptionError(message)
    if options.activations is not None:
        found = [_with_activations(found, options.activations)]
    return sorted(_named(found), key=lambda dataset: dataset.path), gaps


def _fits_pictures(dataset: Dataset, options: DatasetOptions, gaps: list[Gap]) -> bool:
    named = (options.text_column, options.image_column, options.features_column)
    if options.label_column is None and all(name is None for name in named):
        return True
    gaps.append(Gap(dataset.path, "a folder of pictures has no columns to choose"))
    return False


def _grouped(files: Sequence[TableFile]) -> tuple[list[Group], list[Gap]]:
    groups: dict[tuple[object, ...], Group] = defaultdict(list)
    gaps = []
    for file in sorted(files, key=lambda f: f.path):
        try:
            found = layout(file)
        except DatasetError as error:
            gaps.append(Gap(file.path, f"cannot be opened: {error.reason}"))
            continue
        typed = file.format in {"parquet", "arrow"}
        columns = tuple(map(str, found.schema)) if typed else tuple(sorted(found.schema.names))
        classes = tuple(sorted(found.classes.items()))
        groups[family(file.path), file.format, columns, classes].append((file, found))
    return list(groups.values()), gaps


def _open_table(group: Group, options: DatasetOptions) -> Dataset:
    group = sorted(group, key=lambda entry: _reading_order(entry[0]))
    first, found = group[0]
    merged = Layout(
        _merged([each.schema for _, each in group]), found.classes, found.pictures, found.dialect
    )
    sample = _sample(group, merged)
    with reading(first.path, 0):
        roles = assign(merged, sample, options)
        vectors = _vectors(sample, roles)
    shards = [shard for file, each in group for shard in _shards(file, each)]
    label = next(iter(roles.columns.get("label", ())), "")
    return Dataset(
        path=first.path if len(group) == 1 else "",
        format=first.format,
        shards=tuple(shards),
        columns={field.name: str(field.type) for field in merged.schema},
        roles=roles.columns,
        inferred=roles.inferred,
        label_names=found.classes.get(label),
        vectors=vectors,
        reading=_reading(found),
    )


def _shards(file: TableFile, found: Layout) -> list[Shard]:
    """The whole file, or parts of a big parquet file."""
    whole = Shard(file.path, split_of(file.path), file.size, (file,), layout=found)
    if file.format != "parquet":
        return [whole]
    found_parts = parts(file)
    total = max(1, sum(part.size for part in found_parts))
    shards, start = [], 0
    for part in found_parts:
        size = file.size * part.size // total
        shards.append(replace(whole, size=size, groups=part.groups, start=start, rows=part.rows))
        start += part.rows
    return shards


def _reading_order(file: TableFile) -> tuple[int, str]:
    split = split_of(file.path)
    return (_ORDER.index(split) if split in _ORDER else len(_ORDER), file.path)


def _merged(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """One type for each column; numbers written differently widen, other differences are text."""
    fields = []
    for name in schemas[0].names:
        kinds = {schema.field(name).type for schema in schemas} - {pa.null()}
        if len(kinds) == 1:
            kind = kinds.pop()
        elif all(pa.types.is_integer(k) or pa.types.is_floating(k) for k in kinds):
            kind = pa.float64() if kinds else pa.null()
        else:
            kind = pa.string()
        fields.append((name, kind))
    return pa.schema(fields)


def _sample(group: Group, merged: Layout) -> pa.Table:
    """The first rows of the first file that has any, each column in one chunk."""
    for file, found in group:
        batches: list[pa.RecordBatch] = []
        rows = size = 0
        # What cannot be read is reported when the file is scanned.
        with suppress(DatasetError):
            for batch in read(file, found, merged.schema.names):
                batches.append(batch)
                rows += batch.num_rows
                size += batch.nbytes
                if rows >= SAMPLE or size >= BATCH_BYTES:
                    break
        if batches:
            tables = [pa.Table.from_batches([batch]) for batch in batches]
            return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    return merged.schema.empty_table()


def _vectors(sample: pa.Table, roles: Roles) -> Vectors | None:
    """The most telling source of vectors that there is."""
    columns = roles.columns
    if "features" in columns:
        name = columns["features"][0]
        length = vector_length(_one(sample, name), 0.9 if "features" in roles.inferred else 0.0)
        if length:
            return Embedding(name, length)
        if "features" not in roles.inferred:
            message = f"column {quote(name)} does not hold lists of numbers"
            raise OptionError(message)
    if "image" in columns:
        return Pictures(columns["image"])
    if "text" in columns:
        return Words(columns["text"])
    if "numeric" in columns:
        names = columns["numeric"]
        return Numbers.fit(names, [_one(sample, name) for name in names])
    return None


def _one(sample: pa.Table, name: str) -> pa.Array:
    column = sample.column(name)
    return column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)


def _reading(found: Layout) -> dict[str, Json]:
    dialect = found.dialect
    if dialect is None:
        return {}
    unusual: dict[str, Json] = {}
    if dialect.delimiter != ",":
        unusual["delimiter"] = "tab" if dialect.delimiter == "\t" else dialect.delimiter
    if not dialect.header:
        unusual["header"] = "none: columns are numbered"
    if not dialect.quoted:
        unusual["quotes"] = "part of the cells"
    return unusual


def _with_activations(found: Sequence[Dataset], file: str) -> Dataset:
    """Pair a matrix with the one dataset whose rows it describes.

    Raises:
        OptionError: several datasets, or another number of rows.
    """
    if len(found) != 1:
        message = f"activations belong to one dataset; there are {len(found)} here"
        raise OptionError(message)
    dataset = found[0]
    vectors = Activations.open(file)
    shards, rows = [], 0
    for shard in dataset.shards:
        here = shard.rows
        if here is None and shard.layout is not None:
            try:
                here = count(shard.files[0], shard.layout)
            except DatasetError as error:
                message = f"activations cannot be matched to rows: {error}"
                raise OptionError(message) from None
        shards.append(replace(shard, first=rows, rows=here))
        rows += here or 0
    if rows != vectors.rows:
        message = f"{quote(file)} has {vectors.rows:,} rows, the dataset {rows:,}"
        raise OptionError(message)
    return replace(dataset, shards=tuple(shards), vectors=vectors)


def _named(found: Sequence[Dataset]) -> list[Dataset]:
    """Name datasets of several files by their folder, or by a pattern where that is not unique."""
    families = [family(dataset.shards[0].path) for dataset in found]
    folders = Counter(
        folder for (folder, _), dataset in zip(families, found, strict=True) if not dataset.path
    )
    out = []
    for (folder, words), dataset in zip(families, found, strict=True):
        path = dataset.path
        if not path:
            suffix = PurePosixPath(dataset.shards[0].path).suffix
            pattern = f"{'-'.join(words)}*{suffix}"
            path = folder if folders[folder] == 1 else str(PurePosixPath(folder, pattern))
        out.append(replace(dataset, path=path))
    return out
