"""Vectors that somebody brings in place of ours: activations, a column, or a network's."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.activations import Activations
from poisonscan.datasets.batch import Role
from poisonscan.datasets.errors import DatasetError, OptionError
from poisonscan.datasets.network import Network, taken
from poisonscan.datasets.numbers import Embedding
from poisonscan.datasets.tables import count
from poisonscan.engines.local import usable_cores
from poisonscan.escape import quote
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from poisonscan.datasets.dataset import Dataset, Vectors
    from poisonscan.datasets.own_model import OwnModel

NO_ACTIVATIONS = "with activations that are infinite or not a number: left out where they count"
NO_VECTOR = (
    "with a vector of another length, or with a number in it that is missing, infinite or none: "
    "left out where vectors count"
)


def with_activations(found: Sequence[Dataset], file: str) -> Dataset:
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
                here = count(shard.files[0], shard.layout, shard.part)
            except DatasetError as error:
                message = f"activations cannot be matched to rows: {error}"
                raise OptionError(message) from None
        shards.append(replace(shard, first=rows, rows=here))
        rows += here or 0
    if rows != vectors.rows:
        message = f"{quote(file)} has {plural(vectors.rows, 'row')}, the dataset {rows:,}"
        raise OptionError(message)
    return replace(dataset, shards=tuple(shards), vectors=vectors)


def seen_by(found: Sequence[Dataset], model: OwnModel) -> list[Dataset]:
    """Let a network look at the pictures or texts of all datasets that have what it takes.

    Raises:
        OptionError: none has, or the network cannot be used.
    """
    # A torch that was used before may have threads that a forked process would wait for.
    cores = 1 if "torch" in sys.modules else usable_cores()
    out = []
    for dataset in found:
        columns: dict[str, tuple[str, ...]] = {}
        if Role.ENCODED in dataset.offers:
            columns["pictures"] = dataset.roles.get("image", ())[:1]
        if Role.TEXT in dataset.offers:
            columns["texts"] = dataset.roles["text"]
        # Parts are read in processes of their own; where there is one, torch has all cores.
        threads = cores if len(dataset.shards) == 1 else 1
        network = Network.open(model, columns, threads) if columns else None
        out.append(dataset if network is None else replace(dataset, vectors=network))
    if not any(isinstance(dataset.vectors, Network) for dataset in out):
        message = f"the model is given {' or '.join(taken(model))}, and there are none"
        raise OptionError(message)
    return out


def unusable(
    source: Vectors | None, vectors: NDArray[np.float32], table: pa.RecordBatch | None
) -> tuple[NDArray[np.intp], str]:
    """Rows that vectors say nothing of though they should, and what is wrong with them.

    A row without any vector is not among them: it says so itself. That a picture or a text has no
    vector is told where it is read.

    Args:
        source: of the vectors.
        vectors: shape (rows, dimension), all NaN where there is none.
        table: the same rows; None where they are files.
    """
    if isinstance(source, Activations):
        return np.flatnonzero(np.isnan(vectors[:, 0])), NO_ACTIVATIONS
    if isinstance(source, Embedding) and table is not None:
        given = np.asarray(table.column(source.column).is_valid(), bool)
        return np.flatnonzero(np.isnan(vectors[:, 0]) & given), NO_VECTOR
    return np.empty(0, np.intp), ""
