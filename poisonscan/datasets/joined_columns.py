"""Columns whose strings are searched together.

A search costs as much for a column of ten words as for 100 kB of text, so that a table of thousands
of columns would take minutes for each megabyte if every column were searched by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.text_scan import Screen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Texts

SMALL = 1 << 16
"""Bytes of a column up to which it is put together with others: a larger one is not copied."""
TOGETHER = 4 << 20
"""Bytes of columns that are put together."""


@dataclass(frozen=True, slots=True)
class JoinedColumns:
    """Columns of a batch, one after the other.

    Attributes:
        columns: their names.
        starts: number of the first string of each, and of all, ``int64`` of shape (columns + 1,).
        screen: what a glance at their strings shows.
    """

    columns: tuple[str, ...]
    starts: NDArray[np.int64]
    screen: Screen

    def by_column(
        self, strings: NDArray[np.int64]
    ) -> Iterator[tuple[str, NDArray[np.intp], NDArray[np.int64]]]:
        """Some strings, by their numbers in ``screen``, for each column that has any.

        Returns:
            The column, which of the strings are in it, and their numbers there.
        """
        order = np.argsort(strings, kind="stable")
        bounds = np.searchsorted(strings[order], self.starts)
        for at in np.flatnonzero(np.diff(bounds)).tolist():
            mine = order[bounds[at] : bounds[at + 1]]
            yield self.columns[at], mine, strings[mine] - self.starts[at]


def joined(texts: Mapping[str, Texts]) -> Iterator[JoinedColumns]:
    """All columns, the small ones together.

    Args:
        texts: strings of each column, by name.
    """
    small: list[str] = []
    size = 0
    for name, each in texts.items():
        if each.values.nbytes > SMALL or not pa.types.is_string(each.values.type):
            yield _joined([name], texts)
            continue
        if size + each.values.nbytes > TOGETHER:
            yield _joined(small, texts)
            small, size = [], 0
        small.append(name)
        size += each.values.nbytes
    if small:
        yield _joined(small, texts)


def _joined(names: list[str], texts: Mapping[str, Texts]) -> JoinedColumns:
    values = [texts[name].values for name in names]
    starts = np.cumsum([0, *map(len, values)], dtype=np.int64)
    whole = values[0] if len(values) == 1 else pa.concat_arrays(values)
    return JoinedColumns(tuple(names), starts, Screen(whole))
