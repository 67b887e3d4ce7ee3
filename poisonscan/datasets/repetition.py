"""The longest row of a parquet column of lists, from its repetition levels alone.

Apache Parquet format 2.11, "Encodings": run-length and bit-packed hybrid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from poisonscan.datasets.thrift import Compact


def _octet(levels: int) -> tuple[int, int, int]:
    """Of eight levels of one bit: how many before the first 0, between two, from the last on."""
    starts = [place for place in range(8) if not levels >> place & 1]
    if not starts:
        return 8, 0, -1
    return starts[0], max(np.diff(starts).tolist(), default=0), 8 - starts[-1]


_OCTETS = [_octet(levels) for levels in range(256)]


@dataclass(slots=True)
class Runs:
    """Rows as runs of repetition levels: a level of 0 starts a row.

    Attributes:
        left: how many more runs are looked at.
        current: values of the row so far.
        longest: values of the longest row.
    """

    left: int
    current: int = 0
    longest: int = 0

    def take(self, data: bytes, count: int, width: int) -> None:
        """Take in a page's levels: runs of one level, and levels packed by eights.

        Args:
            data: the levels, encoded.
            count: how many there are.
            width: bits of a level.
        """
        levels = Compact(data)
        while count > 0:
            self.left -= 1
            if self.left < 0:
                raise ValueError("a row group of lists has too many runs of levels")
            head = levels.varint()
            size = head >> 1
            if not head & 1:
                self._repeated(levels.take((width + 7) // 8), min(size, count))
                count -= size
            elif size == 1 == width and count >= 8:
                self._rows(*_OCTETS[levels.byte()])
                count -= 8
            else:
                self._packed(levels.take(size * width), width, count)
                count -= size * 8

    def _repeated(self, level: bytes, count: int) -> None:
        if any(level) or not count:
            self.current += count
        else:
            self.longest = max(self.longest, self.current, 1)
            self.current = 1

    def _packed(self, levels: bytes, width: int, count: int) -> None:
        bits = np.unpackbits(np.frombuffer(levels, np.uint8), bitorder="little")
        starts = np.flatnonzero(~bits.reshape(-1, width)[:count].any(axis=1))
        size = min(count, len(bits) // width)
        if not len(starts):
            self._rows(size, 0, -1)
            return
        self._rows(int(starts[0]), int(np.diff(starts).max(initial=0)), size - int(starts[-1]))

    def _rows(self, before: int, between: int, after: int) -> None:
        """How many levels come before a start, between two, from the last on (-1: no start)."""
        if after < 0:
            self.current += before
            return
        self.longest = max(self.longest, self.current + before, between)
        self.current = after
