"""A file of rows, with what the files around it say about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from poisonscan.datasets.naming import SPLITS, split_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from poisonscan.datasets.layouts import Layout
    from poisonscan.formats.base import TableFile


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a part of one, and the dataset that it belongs to.

    Attributes:
        file: the file.
        split: the split that its rows are of.
        home: folder of the dataset that lists the file; None: names tell which files belong
            together.
        config: the configuration that lists it; empty when there is but one.
        classes: class names by column that are declared outside of the file.
        pictures: columns declared outside of the file to hold pictures.
        layout: its columns, where the file alone does not tell.
        beside: paths of other files that are read with it.
    """

    file: TableFile
    split: str
    home: str | None = None
    config: str = ""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()
    layout: Layout | None = None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Features:
    """What a dataset declares about its columns.

    Attributes:
        classes: class names by column.
        pictures: columns of pictures.
    """

    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()


def by_name(file: TableFile) -> Entry:
    """A file about which nothing is known but its name."""
    return Entry(file, split_of(file.path))


def split_called(name: str) -> str:
    """The split of that name; names of which nothing is known are splits of their own."""
    return SPLITS.get(name.lower(), name)
