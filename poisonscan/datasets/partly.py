"""Which bytes of parquet files have to be there to read the first rows of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poisonscan.datasets.gather import SAMPLE
from poisonscan.datasets.parquet_sizes import Extent, extents
from poisonscan.sources.partial import holes, lacking, united

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.formats.base import TableFile
    from poisonscan.sources.base import Spans


def missing(datasets: Iterable[Dataset]) -> dict[str, Spans]:
    """What is read of files of which parts are missing, and is not there; by path.

    What a file says of itself may be wrong. Then too little is fetched, and what is not there
    cannot be read.
    """
    found: dict[str, Spans] = {}
    known: dict[TableFile, list[Extent]] = {}
    for dataset in datasets:
        for number, shard in enumerate(dataset.shards):
            if shard.layout is None or not shard.files or shard.files[0].present is None:
                continue
            file = shard.files[0]
            if file not in known:
                known[file] = _extents(file)
            rows = shard.rows if shard.limit is None else shard.limit
            spans = _unread(file, known[file], rows, shard.groups)
            if number == 0:  # which is looked at to tell what its columns are for
                spans += _unread(file, known[file], SAMPLE)
            if spans:
                found[shard.path] = (*found.get(shard.path, ()), *spans)
    return {path: united(spans) for path, spans in found.items()}


def unread(file: TableFile, rows: int) -> Spans:
    """What is not there of the first row groups of a file that hold so many rows.

    Args:
        file: a parquet file of which parts may be missing.
        rows: how many are read.
    """
    return _unread(file, _extents(file), rows)


def _extents(file: TableFile) -> list[Extent]:
    try:
        return [] if file.present is None else extents(file)
    except (OSError, ValueError):  # told when it is read
        return []


def _unread(
    file: TableFile,
    about: Sequence[Extent],
    rows: int | None,
    groups: Sequence[int] | None = None,
) -> Spans:
    """What is not there of row groups of a file.

    Args:
        file: the file.
        about: where its row groups are.
        rows: how many are read; None: all.
        groups: those of the row groups that are read; None: all.
    """
    spans = []
    left = rows
    for number in range(len(about)) if groups is None else groups:
        if number >= len(about) or (left is not None and left <= 0):
            break
        spans.append((about[number].begin, about[number].end))
        left = None if left is None else left - about[number].rows
    return lacking(spans, holes(file.size, file.present or ()))
