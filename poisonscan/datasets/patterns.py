"""Regular expressions over bytes, many at once: one pass says where what they match ends.

The search is Hyperscan's (Wang et al. 2019, "Hyperscan: a fast multi-pattern regex matcher for
modern CPUs"; Vectorscan, where the processor is none of Intel's or AMD's): its time grows with the
bytes only, whatever the bytes and however many the expressions. What it is built of for the
expressions is made once in a thread, in about 0.1 s.
"""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    import hyperscan

Indices = NDArray[np.int64]

_PIECE = 1 << 22
"""Bytes that are searched at a time: where all of them end matches, 90 times as much memory."""
_OVERLAP = 1 << 14
"""Bytes that are searched with a piece and with the next: matches are found up to this length."""


@dataclass(frozen=True)
class Patterns:
    """Expressions that are searched for.

    Attributes:
        expressions: by name, in the syntax that PCRE, Python and RE2 have in common; they are of
            bytes, so ``.`` and what is in brackets is one byte.
    """

    expressions: Mapping[str, bytes]
    _own: threading.local = field(default_factory=threading.local, compare=False, repr=False)

    def find(self, data: NDArray[np.uint8]) -> dict[str, Indices]:
        """Where matches end, by name of the expression.

        Args:
            data: the bytes.

        Returns:
            The last byte of each match, ``int64``, ascending, each once. Matches that begin in
            different places, or are of different lengths, all count.
        """
        database, found = self._database(), array("q")  # a sixth of what tuples take

        def matched(number: int, _: int, end: int, *more: object) -> None:
            del more  # flags, of which there are none, and a context
            found.append(number)
            found.append(end - 1)

        tables = [np.empty((0, 2), np.int64)]
        for start in range(0, len(data), _PIECE):
            del found[:]
            piece: Any = data[start : start + _PIECE + _OVERLAP].data
            database.scan(piece, match_event_handler=matched)
            tables.append(np.array(found, np.int64).reshape(-1, 2) + np.array([0, start]))
        table = np.concatenate(tables)
        return {
            name: np.unique(table[table[:, 0] == number, 1])
            for number, name in enumerate(self.expressions)
        }

    def _database(self) -> hyperscan.Database:
        """What searches; a thread has its own, as it also holds the state of a search."""
        database: hyperscan.Database | None = getattr(self._own, "database", None)
        if database is None:
            import hyperscan

            count = len(self.expressions)
            database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            expressions = list(self.expressions.values())
            database.compile(expressions, ids=list(range(count)), elements=count, flags=0)
            self._own.database = database
        return database
