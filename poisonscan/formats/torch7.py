"""Torch7 files (``.t7``), binary and ASCII, as Lua's ``torch.save`` writes them.

A function stands in them as Lua bytecode, and reading it gives it to ``loadstring``; classes are
made by name. Layout: ``File.lua`` of torch7, ``writeObject`` and ``readObject``; tensors and
storages: ``generic/Tensor.c`` and ``generic/Storage.c``.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Artifact
from poisonscan.formats.serialized import walked
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_NIL, _NUMBER, _STRING, _TABLE, _OBJECT, _BOOLEAN = range(6)
_FUNCTIONS: Final = {6: "function", 7: "function with upvalues", 8: "function with upvalues"}
_BINARY: Final = re.compile(
    rb"\x04\0\0\0\x01\0\0\0\x03\0\0\0V 1"  # an object
    rb"|[\x06-\x08]\0\0\0(?:\x01\0\0\0)?....\x1bL"  # a function
    rb"|\x03\0\0\0\x01\0\0\0..\0\0[\x01-\x08]\0\0\0",  # a table, with its first key
    re.DOTALL,
)
_ASCII: Final = re.compile(rb"4\n1\n3\nV 1\n|[678]\n(?:1\n)?\d+\n\x1bL|3\n1\n\d+\n[1-8]\n")
_SUFFIXES: Final = (".t7", ".th", ".net", ".t7b")
_NUMBERS: Final = {
    "Byte": 1, "Char": 1, "Short": 2, "Int": 4, "Long": 8, "Float": 4, "Double": 8, "Half": 2,
    "Cuda": 4, "CudaByte": 1, "CudaChar": 1, "CudaShort": 2, "CudaInt": 4, "CudaLong": 8,
    "CudaDouble": 8, "CudaHalf": 2,
}  # fmt: skip
_TENSOR: Final = re.compile(r"torch\.(\w+?)(Tensor|Storage)")
_WORD: Final = re.compile(rb"\s*+(\S++)\s")
_LONGEST_NAME: Final = 256
_OBJECTS: Final = 5_000_000


class Torch7:
    """Objects of Lua."""

    name = "Torch7"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By the way an object or a function begins; for tables the suffix counts as well."""
        if head[:1] in (b"\3", b"3") and blob.suffix not in _SUFFIXES:
            return False
        return _BINARY.match(head) is not None or _ASCII.match(head) is not None

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The functions in the file, as far as it can be read."""
        return walked(blob, self.name, _Walk(view))


class _Walk:
    """One pass over a file, without recursion: ``todo`` counts the objects that follow."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.position = 0
        self.acts: list[Anomaly] = []
        self.ascii = _ASCII.match(view) is not None
        self.known: set[int] = set()

    def run(self) -> None:
        """Read all objects.

        Raises:
            EOFError: the file is cut short.
            ValueError: an object whose layout is not known.
            LimitReached: too many objects.
        """
        todo, done = 1, 0
        while todo:
            done += 1
            if done > _OBJECTS:
                message = f"more than {_OBJECTS:,} objects"
                raise LimitReached(message)
            todo += self._object() - 1

    def _object(self) -> int:
        """Read one object up to what it holds; gives how many objects that is."""
        start = self.position
        kind = self._integer()
        if kind == _NUMBER:
            self._skip(8, 1)
        elif kind == _STRING:
            self._text()
        elif kind == _BOOLEAN:
            self._integer()
        elif kind in _FUNCTIONS:
            return self._function(kind, start)
        elif kind in (_TABLE, _OBJECT):
            if self._is_known():
                return 0
            return self._class() if kind == _OBJECT else self._pairs()
        elif kind != _NIL:
            message = f"an object of the unknown type {kind}"
            raise ValueError(message)
        return 0

    def _is_known(self) -> bool:
        index = self._integer()
        known = index in self.known
        self.known.add(index)
        return known

    def _pairs(self) -> int:
        count = self._integer()
        if not 0 <= count <= len(self.view) - self.position:
            message = f"a table of {count:,} entries"
            raise ValueError(message)
        return 2 * count

    def _function(self, kind: int, start: int) -> int:
        """Bytecode, then a table of upvalues; type 6 is older and has no index."""
        if kind != 6 and self._is_known():
            return 0
        what = f"a {_FUNCTIONS[kind]} as Lua bytecode, which reading hands to loadstring"
        if len(self.acts) < 1_000:
            self.acts.append(Anomaly("function", what, start))
        self._text()
        return 1

    def _class(self) -> int:
        name = self._text()
        if name.startswith("V "):
            name = self._text()
        numbers = _TENSOR.fullmatch(name)
        if numbers is None or numbers[1] not in _NUMBERS:
            return 1  # other classes are a table of their fields, but for those of extensions
        if numbers[2] == "Storage":
            self._skip(_NUMBERS[numbers[1]], self._long())
            return 0
        dimensions = self._integer()
        self._skip(8, 2 * dimensions + 1)
        return 1

    def _take(self, size: int) -> int:
        start = self.position
        if size < 0:
            message = f"a length of {size:,}"
            raise ValueError(message)
        if size > len(self.view) - start:
            raise EOFError
        self.position += size
        return start

    def _integer(self) -> int:
        if self.ascii:
            return int(self._word())
        return int(struct.unpack_from("<i", self.view, self._take(4))[0])

    def _long(self) -> int:
        if self.ascii:
            return int(self._word())
        return int(struct.unpack_from("<q", self.view, self._take(8))[0])

    def _skip(self, width: int, count: int) -> None:
        if not self.ascii:
            self._take(width * count)
            return
        if not 0 <= count <= len(self.view) - self.position:
            message = f"{count:,} numbers"
            raise ValueError(message)
        for _ in range(count):
            self._word()

    def _word(self) -> bytes:
        match = _WORD.match(self.view, self.position)
        if match is None:
            raise EOFError
        self.position = match.end()
        return bytes(match[1][:64])

    def _text(self) -> str:
        length = self._integer()
        if self.ascii:
            self._take(1)  # the line's end
        start = self._take(length)
        return bytes(self.view[start : start + min(length, _LONGEST_NAME)]).decode("latin-1")
