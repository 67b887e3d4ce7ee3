"""Abstract values: what the pickle machine keeps instead of objects.

Constants are plain Python values (str, bytes, int, float, bool, None). Everything else is one of
the classes below; none of them holds anything that was imported or called.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_HEAVIEST: Final = 1 << 200
KEEP: Final = 32
"""Items that a collection remembers; it counts the rest. Enough for every contract and message."""


@dataclass(frozen=True, slots=True)
class Global:
    """A name that loading would import."""

    module: str
    name: str

    @property
    def dotted(self) -> str:
        """``module.name``."""
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class Long:
    """A constant too long to keep: its place in the stream, and how it begins."""

    kind: str
    offset: int
    length: int
    head: bytes = b""


@dataclass(slots=True, eq=False)
class Collection:
    """A list, tuple, set, frozenset or dict (key, value, key, …) made by the stream itself.

    Attributes:
        kind: which of them.
        items: the first ``KEEP``.
        count: of all items.
        weight: collections that one meets walking through it, each time that it is there.
    """

    kind: str
    items: Sequence[object] = ()
    count: int = 0
    weight: int = 1

    def add(self, items: list[object]) -> None:
        """Take in items, remembering the first ones only."""
        self.count += len(items)
        self.weight += weigh(items)
        if len(self.items) < KEEP:
            self.items = (*self.items, *items[: KEEP - len(self.items)])
            if Run in map(type, items):
                # It stands for any number of items: those behind it are at unknown places.
                kept = list(itertools.takewhile(lambda item: not isinstance(item, Run), self.items))
                self.items = (*kept, *[UNKNOWN] * (KEEP - len(kept)))
                self.count = max(self.count, KEEP + 1)

    def get(self, key: str) -> object:
        """The value of a remembered key of a dict, None if there is none; the last one counts."""
        pairs = reversed(list(zip(self.items[::2], self.items[1::2], strict=False)))
        return next((value for name, value in pairs if name == key), None)


class Stage(enum.IntEnum):
    """How far an object is made. Picklers do it in this order (``Pickler.save_reduce``)."""

    CREATED = 0
    APPENDED = 1
    FILLED = 2
    BUILT = 3


def weigh(items: Iterable[object]) -> int:
    """Values that one meets walking through all items, each time that it is there."""
    inner = [item.weight for item in items if type(item) is Collection]
    return min(sum(inner), _HEAVIEST) if inner else 0


@dataclass(slots=True, eq=False)
class Result:
    """What a call would give: opaque. ``state`` is what BUILD would set on it."""

    callee: object
    arguments: object
    state: object = None
    stage: Stage = Stage.CREATED


@dataclass(frozen=True, slots=True, eq=False)
class Persistent:
    """What the loader gives for a persistent identifier."""

    identifier: object


@dataclass(frozen=True, slots=True)
class Opaque:
    """Something from outside the stream: an extension, a buffer."""

    what: str


UNKNOWN: Final = Opaque("value in a long run")


@dataclass(slots=True, eq=False)
class Run:
    """Any number of values that the opcodes from ``start`` to ``end`` leave on the stack.

    Attributes:
        first: index of the first entry that the run stores in the memo, once it is known.
        places: offsets of the opcodes that made the entries, once they were looked for.
    """

    start: int
    end: int
    first: int = 0
    places: Sequence[int] | None = None


def given_back(value: object, positions: Mapping[str, int]) -> object:
    """What a value is at last: the argument that a function gave back, if it is such a result.

    Args:
        value: any value.
        positions: of that argument, by dotted name of the function.
    """
    while isinstance(value, Result) and isinstance(value.callee, Global):
        position, arguments = positions.get(value.callee.dotted), value.arguments
        if position is None or not isinstance(arguments, Collection):
            return value
        if position >= len(arguments.items):
            return value
        value = arguments.items[position]
    return value


def encoded_text(value: object) -> str | Long | None:
    """The text of ``_codecs.encode(text, "latin1")``: how protocol 2 writes bytes."""
    if not isinstance(value, Result) or value.callee != Global("_codecs", "encode"):
        return None
    items = value.arguments.items if isinstance(value.arguments, Collection) else ()
    if len(items) != 2 or items[1] not in ("latin1", "latin-1"):
        return None
    return items[0] if isinstance(items[0], str | Long) else None


def expression(value: object, depth: int = 4) -> str:
    """The value as the Python expression that would make it, shortened (not escaped)."""
    if isinstance(value, Global):
        return value.dotted if value.module not in ("builtins", "__builtin__") else value.name
    if isinstance(value, Long):
        begins = f" beginning with {value.head!r}" if value.head else ""
        return f"<{value.kind} of {value.length:,} bytes{begins}>"
    if isinstance(value, Opaque):
        return f"<{value.what}>"
    if isinstance(value, Persistent):
        return "<persistent object>"
    if depth == 0:
        return "…"
    if isinstance(value, Result):
        inner = _items(value.arguments, depth - 1)
        return f"{expression(value.callee, depth - 1)}({inner})"
    if isinstance(value, Collection):
        return _BRACKETS[value.kind].format(_items(value, depth - 1))
    text = repr(value)
    return text if len(text) <= 120 else text[:119] + "…"


_BRACKETS: Final = {
    "list": "[{}]",
    "tuple": "({})",
    "set": "{{{}}}",
    "frozenset": "frozenset({{{}}})",
    "dict": "dict({})",
}
_SHOWN: Final = 8


def _items(value: object, depth: int) -> str:
    if not isinstance(value, Collection):
        return f"*{expression(value, depth)}"
    shown = [expression(item, depth) for item in value.items[:_SHOWN]]
    if value.count > len(shown):
        shown.append("…")
    return ", ".join(shown)
