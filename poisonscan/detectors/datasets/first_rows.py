"""The first rows of many, with bounded memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_KEPT: Final = 4_000_000
"""Rows that all that is looked for in one pass keeps in each process; each takes 16 bytes."""
_LEAST = 4_096


@dataclass(slots=True)
class FirstRows:
    """The first rows, in order, of those that are given in any order.

    Attributes:
        limit: rows that are kept.
    """

    limit: int
    _parts: list[NDArray[np.int64]] = field(default_factory=list)
    _waiting: int = 0

    def add(self, rows: NDArray[np.int64]) -> None:
        """Take in rows: shard and position, ``int64`` of shape (n, 2)."""
        self._parts.append(rows)
        self._waiting += len(rows)
        if self._waiting > max(_LEAST, len(self._parts[0])):  # sorted rarely, so that it is cheap
            self.all()

    def all(self) -> NDArray[np.int64]:
        """What is kept, ascending, ``int64`` of shape (at most ``limit``, 2)."""
        rows = np.concatenate([np.empty((0, 2), np.int64), *self._parts])
        rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))][: self.limit]
        self._parts, self._waiting = [rows], 0
        return rows
