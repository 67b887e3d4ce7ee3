"""Numeric columns and columns of numbers as vectors."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.delimited import as_numbers
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SERIES, _NEARLY_ALL = 16, 0.9
"""Columns are parts of one vector if names of so many count up, and of nearly all. Measures with
names of their own are none, however many: customers or patients form groups in them."""
_MANY = 64
"""Columns from which several such series are parts of one, and columns without a name as well."""
_GENERATED = "col"
"""How columns without a name are called."""
_NUMBERED = re.compile(r"(.*?)[\W_]*\d+(?:[x_.,-]\d+)*\D?")
_NORMAL_IQR = 1.349
"""Interquartile range of a standard normal distribution."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numeric columns side by side, each scaled by the median and spread of a sample.

    Attributes:
        columns: their names.
        centers: medians.
        scales: interquartile ranges over that of a normal distribution; the standard deviation
            where that is 0, and 1 where that is 0 too.
    """

    columns: tuple[str, ...]
    centers: tuple[float, ...]
    scales: tuple[float, ...]

    @property
    def source(self) -> str:
        """What the vectors are made of, for people."""
        return plural(len(self.columns), "numeric column")

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return len(self.columns)

    @property
    def is_vector(self) -> bool:
        """Whether the columns are parts of one thing, like pixels, and not each its own measure."""
        stems = Counter(m[1] for name in self.columns if (m := _NUMBERED.fullmatch(name)))
        many = len(self.columns) >= _MANY
        if not many:
            stems.pop(_GENERATED, None)
        series = [count for count in stems.values() if count >= _SERIES]
        counted = sum(series) if many else max(series, default=0)
        return counted >= _NEARLY_ALL * len(self.columns) > 0

    @classmethod
    def fit(cls, names: Sequence[str], sample: Sequence[pa.Array]) -> Numbers:
        """Take centers and scales from a sample of rows."""
        centers, scales = [], []
        for column in sample:
            values = _floats(column)
            values = values[np.isfinite(values)]
            low, center, high = np.percentile(values, (25, 50, 75)) if values.size else (0, 0, 0)
            spread = (high - low) / _NORMAL_IQR or (float(values.std()) if values.size else 0.0)
            centers.append(float(center))
            scales.append(float(spread) if np.isfinite(spread) and spread > 0 else 1.0)
        return cls(tuple(names), tuple(centers), tuple(scales))

    def vectors(self, columns: Sequence[pa.Array]) -> NDArray[np.float32]:
        """Scaled rows, ``float32`` of shape (rows, columns); what is missing is 0, the center."""
        values = np.stack([_floats(column) for column in columns], axis=1)
        scaled = (values - np.array(self.centers)) / np.array(self.scales)
        limit = np.finfo(np.float32).max
        return np.where(np.isfinite(scaled), scaled, 0.0).clip(-limit, limit).astype(np.float32)


def _floats(column: pa.Array) -> NDArray[np.float64]:
    return np.asarray(pc.fill_null(as_numbers(column), np.nan), np.float64)


@dataclass(frozen=True, slots=True)
class Embedding:
    """A column that holds a vector in each row."""

    column: str
    dimension: int

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (self.column,)

    @property
    def source(self) -> str:
        """What the vectors are made of, for people."""
        return f"embedding column '{self.column}' ({plural(self.dimension, 'number')})"

    def vectors(self, columns: Sequence[pa.Array]) -> NDArray[np.float32]:
        """The vectors, ``float32`` of shape (rows, dimension).

        Returns:
            All NaN for a row that has none, one of another length, or one with a number that is
            missing, infinite or not a number.
        """
        lists = columns[0]
        out = np.full((len(lists), self.dimension), np.nan, np.float32)
        lengths = list_lengths(lists)
        right = lengths == self.dimension
        if right.any():
            chosen = lists.filter(pa.array(right))
            flat = np.asarray(pc.fill_null(pc.cast(chosen.flatten(), pa.float32()), np.nan))
            out[right] = flat.reshape(-1, self.dimension)
        out[~np.isfinite(out).all(axis=1)] = np.nan
        return out


def list_lengths(lists: pa.Array) -> NDArray[np.int64]:
    """Number of items of each list, 0 for null."""
    if pa.types.is_fixed_size_list(lists.type):
        return np.where(np.asarray(lists.is_valid(), bool), lists.type.list_size, 0).astype(
            np.int64
        )
    if not pa.types.is_list(lists.type) and not pa.types.is_large_list(lists.type):
        return np.zeros(len(lists), np.int64)
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
