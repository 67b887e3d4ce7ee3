"""From files to datasets: which files belong together, and what their columns are for."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow as pa

from poisonscan.datasets.arrange import Arranged, arrange, as_documentation
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.delimited import begins_with
from poisonscan.datasets.documentation import is_documentation
from poisonscan.datasets.entries import split_called
from poisonscan.datasets.errors import DatasetError, OptionError
from poisonscan.datasets.folders import open_folders
from poisonscan.datasets.layouts import BATCH_BYTES, Layout, reading
from poisonscan.datasets.naming import called, family, split_of
from poisonscan.datasets.numbers import Embedding, Numbers
from poisonscan.datasets.own_vectors import seen_by, with_activations
from poisonscan.datasets.pictures import Pictures
from poisonscan.datasets.roles import Roles, assign, may_be_labels
from poisonscan.datasets.sampled_column import vector_length
from poisonscan.datasets.sampling import limited
from poisonscan.datasets.shards import DatasetOptions, Shard
from poisonscan.datasets.tables import layout, parts, read
from poisonscan.datasets.unseen_pictures import unseen_pictures
from poisonscan.datasets.words import Words
from poisonscan.escape import quote
from poisonscan.finding import Gap, Json, Skipped
from poisonscan.formats.base import TableFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poisonscan.datasets.dataset import Vectors
    from poisonscan.datasets.entries import Entry

SAMPLE = 2_048
"""Rows from which roles and scales are inferred."""
_ORDER = ("train", "validation", "test")

Group = list[tuple["Entry", Layout]]


def open_datasets(
    files: Sequence[TableFile],
    options: DatasetOptions,
    beside: Sequence[TableFile] = (),
    *,
    explicit: bool = False,
) -> tuple[list[Dataset], list[Gap | Skipped]]:
    """Group files into datasets and find out what their columns are for.

    Files belong together when a card, or the library that saved them, says so; else when folder,
    format, columns and name are the same apart from split words, shard numbers and folders named
    after a split. Pictures belong together when they share a folder, or a folder of class folders.

    Args:
        files: tables, pictures and recordings.
        options: what the user said. A column that only some datasets lack leaves a gap there.
        beside: all other files: what they say of the tables is heeded, and archives, arrays and
            text of the right names and content are read as well.
        explicit: only datasets were asked for.

    Returns:
        The datasets by path; a gap for each file or dataset that cannot be opened, and what is
        left out.

    Raises:
        OptionError: an option fits no dataset: an unknown column, a split or configuration that
            is not there, activations that do not match the rows.
    """
    chosen = split_called(options.split) if options.split else None
    files = [_headed(file, options) for file in files]
    arranged = arrange(files, beside, explicit=explicit)
    notes = arranged.notes
    groups, gaps = _grouped(_chosen(arranged.entries, chosen, options.config))
    notes += gaps
    found = _pictures(arranged, options, chosen, explicit=explicit)
    unfit: list[OptionError] = []
    for group in groups:
        try:
            dataset, unread = _open_table(group, options)
            found.append(dataset)
            notes += unread
        except DatasetError as error:
            reason = f"cannot be opened: {error.reason}"
            notes += [Gap(entry.file.path, reason) for entry, _ in group]
        except OptionError as error:
            unfit.append(error)
            notes += [Gap(entry.file.path, str(error)) for entry, _ in group]
    if unfit and not found:
        raise unfit[0]
    any_gap = any(isinstance(note, Gap) for note in notes)
    if chosen is not None and files and not found and not any_gap:
        own = {entry.split for entry in arranged.entries}
        splits = ", ".join(sorted(own | {split_of(file.path) for file in arranged.pictures}))
        message = f"there is no split {quote(options.split)}; splits: {splits}"
        raise OptionError(message)
    found = [limited(dataset, options) for dataset in found]
    if options.activations is not None and options.model is not None:
        raise OptionError("activations are given already: leave out the model, or them")
    if options.activations is not None:
        found = [with_activations(found, options.activations)]
    if options.model is not None and found:
        found = seen_by(found, options.model)
    return sorted(_named(found), key=lambda dataset: dataset.path), notes


def _headed(file: TableFile, options: DatasetOptions) -> TableFile:
    """A file with what the user said of its first line, which may be to name a column there."""
    if file.format != "csv" or (options.header is None and not options.named):
        return file
    header = options.header
    if header is None:
        with suppress(DatasetError):  # that it cannot be read is told when its columns are
            header = begins_with(file, options.named) or None
    return replace(file, header=header)


def _chosen(entries: Sequence[Entry], split: str | None, config: str | None) -> list[Entry]:
    """The entries of a split and a configuration; None: of all."""
    if config is not None:
        known = {entry.config for entry in entries if entry.config}
        if config not in known:
            names = ", ".join(quote(name, 60) for name in sorted(known)[:50]) or "none"
            message = f"there is no configuration {quote(config)}; configurations: {names}"
            raise OptionError(message)
        entries = [entry for entry in entries if entry.config == config]
    return [entry for entry in entries if split in {None, entry.split}]


def _pictures(
    arranged: Arranged, options: DatasetOptions, split: str | None, *, explicit: bool
) -> list[Dataset]:
    """The folders of pictures that are datasets; what they are not is noted."""
    found: list[Dataset] = []
    if options.config is not None:
        return found
    folders = open_folders(arranged.pictures, split)
    alone = explicit and not arranged.entries and len(folders) == 1
    for dataset in folders:
        files = [file for shard in dataset.shards for file in shard.files]
        classes = "label" in dataset.roles
        documented = () if alone else arranged.documented
        if is_documentation(dataset.path, files, documented, classes=classes):
            arranged.notes.append(as_documentation(dataset.path, len(files), "pictures"))
        elif _fits_pictures(dataset, options, arranged.notes):
            found.append(dataset)
    return found


def _fits_pictures(dataset: Dataset, options: DatasetOptions, gaps: list[Gap | Skipped]) -> bool:
    if not options.named:
        return True
    gaps.append(Gap(dataset.path, "a folder of pictures has no columns to choose"))
    return False


def _grouped(entries: Sequence[Entry]) -> tuple[list[Group], list[Gap]]:
    groups: dict[tuple[object, ...], Group] = defaultdict(list)
    gaps = []
    for entry in sorted(entries, key=lambda e: (e.file.path, e.config, e.split)):
        file = entry.file
        try:
            found = _declared(entry, entry.layout or layout(file))
        except DatasetError as error:
            gap = Gap(file.path, f"cannot be opened: {error.reason}")
            gaps += [gap] if gap not in gaps else []
            continue
        typed = file.format in {"parquet", "arrow"}
        columns = tuple(map(str, found.schema)) if typed else tuple(sorted(found.schema.names))
        classes = tuple(sorted(found.classes.items()))
        place = family(file.path) if entry.home is None else (entry.home, entry.config)
        form = (file.format, file.field)
        groups[place, entry.home is None, form, columns, classes].append((entry, found))
    return list(groups.values()), gaps


def _declared(entry: Entry, found: Layout) -> Layout:
    """A layout with what stands outside of the file about its columns."""
    names = set(found.schema.names)
    classes = {name: of for name, of in entry.classes.items() if name in names}
    pictures = tuple(name for name in entry.pictures if name in names)
    return replace(
        found,
        classes={**found.classes, **classes},
        pictures=tuple(dict.fromkeys((*found.pictures, *pictures))),
    )


def _open_table(group: Group, options: DatasetOptions) -> tuple[Dataset, list[Gap]]:
    group = sorted(group, key=lambda each: _reading_order(each[0]))
    entry, found = group[0]
    first = entry.file
    merged = Layout(
        _merged([each.schema for _, each in group]), found.classes, found.pictures, found.dialect
    )
    sample = _sample(group, merged)
    with reading(first.path, 0):
        roles = assign(merged, sample, options)
        unseen = unseen_pictures(merged, sample, roles)
        perhaps = may_be_labels(merged, sample, roles)
        vectors = _vectors(sample, roles)
    shards = [shard for one, each in group for shard in _placed(one, each)]
    label = next(iter(roles.columns.get("label", ())), "")
    dataset = Dataset(
        path=first.path if len(group) == 1 else _home(entry),
        format=first.format,
        shards=tuple(shards),
        columns={field.name: str(field.type) for field in merged.schema},
        roles=roles.columns,
        inferred=roles.inferred,
        label_names=found.classes.get(label),
        vectors=vectors,
        beside=tuple(path for one, _ in group for path in one.beside),
        reading=_reading(found)
        | ({"rows": f"the objects in field {quote(first.field, 60)}"} if first.start else {})
        | ({"configuration": entry.config} if entry.config else {})
        | ({"may be labels": list(perhaps)} if perhaps else {}),
    )
    return dataset, [Gap(first.path, reason) for reason in unseen]


def _home(entry: Entry) -> str:
    """What a dataset of several files is called where its folder is known; empty where not."""
    if entry.home is None or not entry.config:
        return entry.home or ""
    return str(PurePosixPath(entry.home, f"[{entry.config}]"))


def _placed(entry: Entry, found: Layout) -> list[Shard]:
    """The shards of an entry."""
    if found.reader is None:
        shards = _shards(entry.file, found)
    else:
        whole = Shard(entry.file.path, entry.split, entry.file.size, (entry.file,), layout=found)
        shards = list(found.reader.shards(whole, found))
    return [replace(shard, split=entry.split) for shard in shards]


def _shards(file: TableFile, found: Layout) -> list[Shard]:
    """The whole file, or parts of a big one."""
    whole = Shard(file.path, split_of(file.path), file.size, (file,), layout=found)
    return [
        replace(
            whole, size=part.size, groups=part.groups, span=part.span, start=part.start,
            rows=part.rows,
        )
        for part in parts(file, found)
    ]  # fmt: skip


def _reading_order(entry: Entry) -> tuple[int, str]:
    order = _ORDER.index(entry.split) if entry.split in _ORDER else len(_ORDER)
    return order, entry.file.path


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
    """The first rows of the first file that has any, each column in one chunk.

    Raises:
        DatasetError: no file has rows that can be read, and this is why.
    """
    unread: DatasetError | None = None
    for entry, found in group:
        batches: list[pa.RecordBatch] = []
        rows = size = 0
        try:
            for batch in read(entry.file, found, merged.schema.names):
                batches.append(batch)
                rows += batch.num_rows
                size += batch.nbytes
                if rows >= SAMPLE or size >= BATCH_BYTES:
                    break
        except DatasetError as error:  # where others can, it is told when the file is scanned
            unread = error
        if batches:
            tables = [pa.Table.from_batches([batch]) for batch in batches]
            return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    if unread is not None:
        raise unread
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
        return Pictures(columns["image"][:1])
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
    unusual: dict[str, Json] = {}
    if found.reader is not None:
        unusual |= found.reader.reading
    if dialect is None:
        return unusual
    if dialect.delimiter != ",":
        unusual["delimiter"] = "tab" if dialect.delimiter == "\t" else dialect.delimiter
    if not dialect.header:
        unusual["header"] = "none: the first line is a row, columns are numbered"
    if not dialect.quoted:
        unusual["quotes"] = "part of the cells"
    return unusual


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
            alone = folders[folder] == 1
            inside = any(file.steps for file in dataset.shards[0].files)
            path = str(PurePosixPath(folder, pattern))
            path = called(folder, inside=inside) if alone else path
        out.append(replace(dataset, path=path))
    return out
