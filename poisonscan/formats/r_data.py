"""R objects: ``.rds``, ``.rda`` and ``.RData``, once whatever compresses them is taken off.

The stream is walked with a stack of its own, and only what can act is kept. Honest files hold
code: fitted models keep their call, formulas and families keep functions. What they do not hold
is a promise in plain data (CVE-2024-27322: reading the object evaluates it; R before 4.4.0).

Layout: R Internals 1.8 and ``src/main/serialize.c``, versions 2 and 3 of the format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Anomaly, Artifact
from poisonscan.formats.r_stream import Ascii, Stream
from poisonscan.formats.serialized import walked
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_MAGIC: Final = re.compile(rb"(?:RD([XAB])[23]\n)?([XAB])\n")
_SYMBOL, _PAIRLIST, _CLOSURE, _ENVIRONMENT, _PROMISE, _CALL = 1, 2, 3, 4, 5, 6
_SPECIAL, _BUILTIN, _CHARS, _DOTS, _STRINGS, _LIST, _EXPRESSION = 7, 8, 9, 17, 16, 19, 20
_BYTECODE, _POINTER, _WEAK, _S4 = 21, 22, 23, 25
_WIDTHS: Final = {10: 4, 13: 4, 14: 8, 15: 16, 24: 1}  # logical, integer, double, complex, raw
_REFERENCE, _NAMED = 255, (247, 248, 249)
_ALTREP, _ATTR_LIST, _ATTR_CALL, _BC_REF, _BC_DEF = 238, 239, 240, 243, 244
_UNBOUND: Final = 252
_CONSTANTS: Final = frozenset({0, 241, 242, 250, 251, 252, 253, 254})
_LATE_ATTRIBUTES: Final = frozenset({
    *_WIDTHS, _CHARS, _STRINGS, _LIST, _EXPRESSION, _BYTECODE, _POINTER, _WEAK, _S4,
    _SPECIAL, _BUILTIN,
})  # fmt: skip
_ATTRIBUTES, _TAG = 0x200, 0x400
_ITEMS: Final = 20_000_000
_ACTS_KEPT: Final = 1_000

COMMANDS: Final = frozenset({
    "system", "system2", "shell", "shell.exec", "pipe", "dyn.load", "socketConnection",
    "download.file", "source", "sys.source",
})  # fmt: skip
"""Functions that run commands or foreign code, or that fetch it."""

HOOKS: Final = frozenset({".First", ".First.sys", ".Last", ".Last.sys"})
"""Functions that R calls by name when a session begins or ends with the workspace loaded."""

# Tasks of the walk: what to read next. A count of how often stands beside them.
_ITEM, _HEAD, _NAME, _CELL, _HEAD_CELL, _BC, _CONSTANT_LIST, _CONSTANT, _LEAVE = range(9)


class RData:
    """A stream of R objects."""

    name = "R data"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By magic bytes and the version that follows."""
        match = _MAGIC.match(head)
        if match is None:
            return False
        if match[2] == b"A":
            return re.match(rb"[23]\n\d+\n\d+\n", head[match.end() :]) is not None
        return head[match.end() : match.end() + 4] in (
            b"\0\0\0\2", b"\0\0\0\3", b"\2\0\0\0", b"\3\0\0\0",
        )  # fmt: skip

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """What in the stream can act, as far as it can be read."""
        return walked(blob, self.name, _Walk(view))


class _Walk:
    """One pass over a stream, without recursion."""

    def __init__(self, view: memoryview) -> None:
        match = _MAGIC.match(view)
        if match is None:
            message = "no R stream"
            raise ValueError(message)
        self.workspace = match[1] is not None
        self.acts: list[Anomaly] = []
        self.references: list[str] = []
        self.environments = 0  # how many of them are open around what is read
        self.last = ""  # the name that was read last
        self.qualified = 0  # names until the one that `pkg::name` calls
        self.todo: list[tuple[int, int]] = []
        end = match.end()
        if match[2] == b"A":
            self.stream: Stream = Ascii(view, end)
        else:
            little = match[2] == b"B" and bytes(view[end : end + 1]) != b"\0"
            self.stream = Stream(view, end, "<" if little else ">")

    @property
    def view(self) -> memoryview:
        """The stream."""
        return self.stream.view

    @property
    def position(self) -> int:
        """The first byte that was not read."""
        return self.stream.position

    def run(self) -> None:
        """Read the header and the object.

        Raises:
            EOFError: it is cut short.
            ValueError: something in it is no R object.
        """
        version = self.stream.integer()
        self.stream.skip(4, 2)  # who wrote it, and who may read it
        if version == 3:
            self.stream.text(self.stream.integer())
        elif version != 2:
            message = f"version {version} of the format"
            raise ValueError(message)
        self._push(_ITEM)
        items = 0
        while self.todo:
            items += 1
            if items > _ITEMS:
                message = f"more than {_ITEMS:,} R objects"
                raise LimitReached(message)
            self._step(*self.todo.pop())

    def _push(self, task: int, count: int = 1) -> None:
        if count > 0:
            self.todo.append((task, count))

    def _step(self, task: int, count: int) -> None:
        if task == _LEAVE:
            self.environments -= 1
            return
        self._push(task, count - 1)
        if task == _BC:  # the code itself, then its constants
            self._push(_CONSTANT_LIST)
            self._push(_ITEM)
        elif task == _CONSTANT_LIST:
            self._push(_CONSTANT, self._count())
        elif task == _CONSTANT or task in (_CELL, _HEAD_CELL):
            self._byte_code(self.stream.integer(), task)
        else:
            self._item(self.stream.integer(), task)

    def _count(self) -> int:
        """A number of items, each of at least a byte."""
        count = self.stream.integer()
        if count == -1:
            count = (self.stream.integer() << 32) + self.stream.integer()
        if not 0 <= count <= len(self.stream.view) - self.stream.position:
            message = f"{count:,} items"
            raise ValueError(message)
        return count

    def _item(self, flags: int, task: int) -> None:
        kind = flags & 0xFF
        if kind in _CONSTANTS:
            return
        if kind in _LATE_ATTRIBUTES and flags & _ATTRIBUTES:
            self._push(_ITEM)
        if kind in _WIDTHS:
            self.stream.skip(_WIDTHS[kind], self._count())
        elif kind == _CHARS:
            length = self.stream.integer()
            if length != -1:
                self._named(self.stream.text(length), task)
        elif kind in (_STRINGS, _LIST, _EXPRESSION):
            count = self._count()
            self._push(_ITEM, count - self.stream.plain_strings(count if kind == _STRINGS else 0))
        elif kind == _REFERENCE:
            index = flags >> 8 or self.stream.integer()
            if 0 < index <= len(self.references):
                self._symbol(self.references[index - 1], task)
        elif kind in (_PAIRLIST, _CALL, _CLOSURE, _PROMISE, _DOTS):
            self._pair(flags, kind)
        else:
            self._other(kind, task)

    def _other(self, kind: int, task: int) -> None:
        if kind == _SYMBOL:
            self.references.append("")
            self._push(_HEAD if task == _HEAD else _NAME)
        elif kind == _ENVIRONMENT:
            self.references.append("")
            self.stream.skip(4, 1)
            self.environments += 1
            self._push(_LEAVE)
            self._push(_ITEM, 4)
        elif kind in _NAMED:
            self.references.append("")
            self.stream.skip(4, 1)
            self._push(_ITEM, self._count())
        elif kind == _POINTER:
            self.references.append("")
            self._push(_ITEM, 2)
        elif kind == _WEAK:
            self.references.append("")
        elif kind == _BYTECODE:
            self.stream.skip(4, 1)
            self._push(_BC)
        elif kind in (_SPECIAL, _BUILTIN):
            self.stream.text(self.stream.integer())
        elif kind == _ALTREP:
            self._push(_ITEM, 3)
        elif kind != _S4:
            message = f"an object of the unknown type {kind}"
            raise ValueError(message)

    def _pair(self, flags: int, kind: int) -> None:
        """Attributes, tag, first and rest; the tag of a promise or closure is its environment."""
        self._push(_ITEM)
        self._push(_HEAD if kind == _CALL else _ITEM)
        if flags & _TAG:
            self._push(_ITEM)
        if flags & _ATTRIBUTES:
            self._push(_ITEM)
        if kind == _PROMISE and not self.environments:
            what = "a promise in plain data: R before 4.4.0 evaluates it when the object is read"
            self._act("promise", what)
        elif kind == _CLOSURE and self.workspace and self.last in HOOKS and not self.environments:
            what = f"a function called {self.last}, which R runs by itself with the workspace"
            self._act("hook", what, self.last)

    def _act(self, kind: str, what: str, name: str = "") -> None:
        if len(self.acts) < _ACTS_KEPT:
            self.acts.append(Anomaly(kind, what, self.stream.position, name))

    def _named(self, text: str, task: int) -> None:
        """A string was read: of a symbol it is the name."""
        if task not in (_HEAD, _NAME):
            return
        if "" in self.references[-1:]:
            self.references[-1] = text
        self._symbol(text, task)

    def _symbol(self, name: str, task: int) -> None:
        self.last = name
        called = task == _HEAD
        if self.qualified:
            self.qualified -= 1
            called = called or not self.qualified
        if called and name in ("::", ":::"):
            self.qualified = 2
        elif called and name in COMMANDS:
            what = f"code that calls {name}, which runs commands or foreign code"
            self._act("command", what, name)

    def _byte_code(self, kind: int, task: int) -> None:
        """A constant of byte code, or a part of a call among them."""
        if kind == _BYTECODE and task == _CONSTANT:
            self._push(_BC)
        elif kind == _BC_REF:
            self.stream.skip(4, 1)
        elif kind == _BC_DEF:
            self.stream.skip(4, 1)
            self._cells(self.stream.integer())
        elif kind in (_CALL, _PAIRLIST, _ATTR_CALL, _ATTR_LIST):
            self._cells(kind)
        else:
            # Byte code finds the functions that it calls among its constants, by symbol.
            self._push(_ITEM if task == _CELL else _HEAD)

    def _cells(self, kind: int) -> None:
        """Attributes, tag, first and rest; the last two say their type beforehand."""
        self._push(_CELL)
        self._push(_HEAD_CELL if kind in (_CALL, _ATTR_CALL) else _CELL)
        self._push(_ITEM)
        if kind in (_ATTR_CALL, _ATTR_LIST):
            self._push(_ITEM)
