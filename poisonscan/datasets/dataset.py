"""A dataset as detectors see it: shards of rows, columns with roles, rows as vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from poisonscan.datasets.batch import Batch, Role
from poisonscan.finding import Json, Row


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What the user said about the columns; None: inferred."""

    label_column: str | None = None
    text_column: str | None = None
    image_column: str | None = None
    features_column: str | None = None
    activations: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a dataset that one worker reads from start to end."""

    path: str
    split: str
    size: int


class Dataset:
    """TO BE WRITTEN: see the brief."""
