"""Rows by file and position in it, which no cutting of files into shards changes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.row_numbers import numbered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch
    from poisonscan.datasets.dataset import Dataset

Places = tuple[tuple[int, int], ...]
"""Of each shard the number of its file, and which row of the file is its first."""


def files(dataset: Dataset) -> tuple[str, ...]:
    """The files of a dataset in reading order; pictures count as one file per folder."""
    return tuple(dict.fromkeys(shard.path for shard in dataset.shards))


def places(dataset: Dataset) -> Places:
    """Where each shard starts."""
    numbers = {path: number for number, path in enumerate(files(dataset))}
    pictures: Counter[str] = Counter()
    found = []
    for shard in dataset.shards:
        start = shard.start
        if shard.layout is None:  # chunks of a folder: each counts its pictures from 0
            start = pictures[shard.path]
            pictures[shard.path] += shard.rows or 0
        found.append((numbers[shard.path], start))
    return tuple(found)


def packed(batch: Batch, where: Places) -> NDArray[np.int64]:
    """File and row of each row of a batch as one number, ``int64`` of shape (rows,)."""
    file, start = where[batch.shard]
    first = numbered(file, start + batch.start)
    return np.arange(first, first + batch.size, dtype=np.int64)


def starts(where: Places) -> NDArray[np.int64]:
    """The packed first row of each shard, ``int64`` of shape (shards,)."""
    table = np.array(where, np.int64).reshape(-1, 2)
    return numbered(table[:, 0], table[:, 1])


def unpacked(where: Places, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Shard and position in the shard of packed rows, ``int64`` of shape (n, 2)."""
    first = starts(where)
    order = np.argsort(first, kind="stable")
    shards = order[np.searchsorted(first[order], rows, side="right") - 1]
    return np.stack([shards, rows - first[shards]], axis=1)
