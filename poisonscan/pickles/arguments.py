"""The arguments of opcodes: numbers, lines, text and bytes, as they stand behind an opcode."""

from __future__ import annotations

import re
from typing import Final

from poisonscan.pickles.literals import MalformedError, decode
from poisonscan.pickles.values import Long

_TEXT_KEPT: Final = 4096
_HEAD_KEPT: Final = 80
_NEWLINE: Final = re.compile(b"\n")


class Arguments:
    """Takes arguments from a stream. Long ones are left where they are.

    Attributes:
        data: the stream.
        position: of the next byte.
    """

    data: memoryview
    position: int

    def uint(self, size: int) -> int:
        """An unsigned little-endian argument."""
        start = self.position
        self.position = start + size
        if size == 1:
            return self.data[start]
        if self.position > len(self.data):
            raise MalformedError("an argument reaches over the end")
        return int.from_bytes(self.data[start : start + size], "little")

    def argument(self, size: int) -> bytes:
        """An argument of few bytes."""
        start = self.skip(size)
        return bytes(self.data[start : start + size])

    def skip(self, size: int) -> int:
        """Step over an argument; returns where it begins."""
        start = self.position
        if size > len(self.data) - start:
            raise MalformedError(f"an argument of {size:,} bytes reaches over the end")
        self.position = start + size
        return start

    def line(self) -> bytes:
        """An argument that ends with a newline; a very long one is cut and marked as no name."""
        match = _NEWLINE.search(self.data, self.position)
        if match is None:
            raise MalformedError("a line reaches over the end")
        start, self.position = self.position, match.end()
        length = match.start() - start
        if length > _TEXT_KEPT:  # the end is kept: whether it is a quote decides about the rest
            last = bytes(self.data[match.start() - 2 : match.start()])
            return bytes(self.data[start : start + _TEXT_KEPT]) + b" ... " + last
        return bytes(self.data[start : start + length])

    def text(self, size: int) -> object:
        """A string argument; a long one is left where it is."""
        start = self.skip(size)
        if size > _TEXT_KEPT:
            return Long("text", start, size, self._head(start))
        return decode(bytes(self.data[start : start + size]))

    def constant(self, kind: str, size: int) -> object:
        """A binary argument; a long one is left where it is."""
        start = self.skip(size)
        if size > _TEXT_KEPT:
            return Long(kind, start, size, self._head(start))
        return bytes(self.data[start : start + size])

    def _head(self, start: int) -> bytes:
        return bytes(self.data[start : start + _HEAD_KEPT])
