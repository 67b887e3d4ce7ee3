"""Events worth keeping: of things that happen again and again, the first few."""

from __future__ import annotations

import re
from typing import Final

from poisonscan.limits import LimitReached
from poisonscan.pickles import values
from poisonscan.pickles.events import (
    Build,
    Call,
    Change,
    Event,
    Import,
    Irregular,
    Passing,
    Persistent,
)
from poisonscan.pickles.values import Collection, Global, Result
from poisonscan.rules import pickle_names

_KEPT_EVENTS: Final = 100_000
_KEPT_ALIKE: Final = 4
_FORM_ITEMS: Final = 6
_MODULE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.<>]*\r?\Z")


class Trace:
    """Events worth keeping: of things that happen again and again, the first few."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._seen: dict[object, int] = {}

    def add(self, event: Event) -> None:
        """Keep the event if it says something new.

        Raises:
            LimitReached: too many different ones.
        """
        if isinstance(event, Import):
            key: object = event.written
        elif isinstance(event, Call):
            key = (event.opcode, _form(event.callee), _form(event.arguments))
        elif isinstance(event, Build | Change):
            reached = values.given_back(event.target, pickle_names().returns_argument)
            state = _form(event.state, 1) if isinstance(event, Build) else None
            key = (type(event), reached is event.target, _form(reached), state)
        elif isinstance(event, Passing):
            key = (Passing, event.target)
        elif isinstance(event, Persistent):
            key = (_first(event.identifier), _form(event.identifier))
        elif isinstance(event, Irregular):
            key = event.what
        else:
            key = type(event)
        seen = self._seen.get(key, 0)
        self._seen[key] = seen + 1
        if seen >= (1 if isinstance(event, Import) else _KEPT_ALIKE):
            return
        if len(self.events) >= _KEPT_EVENTS:
            if len(self.events) == _KEPT_EVENTS:  # no honest writer comes near it
                what = "far too many different things happen"
                self.events.append(Irregular(event.offset, what))
            message = f"more than {_KEPT_EVENTS:,} different things happen in one pickle"
            raise LimitReached(message)
        self.events.append(event)

    @property
    def plausible(self) -> bool:
        """Whether all imported names are such as modules have; random bytes make others."""
        names = [event.written for event in self.events if isinstance(event, Import)]
        return all(_MODULE.match(name.module) and _MODULE.match(name.name) for name in names)

    @property
    def imports(self) -> bool:
        """Whether anything is imported."""
        return any(isinstance(event, Import) for event in self.events)


def _form(value: object, depth: int = 3) -> object:
    """What a verdict may depend on: names as they are, of everything else the kind."""
    if isinstance(value, Global):
        return value
    if isinstance(value, str):
        return value.isidentifier() and value[0].isupper()
    if isinstance(value, values.Persistent) and depth:
        return (values.Persistent, _form(value.identifier, depth - 1))
    if isinstance(value, Result) and depth:
        return (_form(value.callee, depth - 1), _form(value.arguments, depth - 1))
    if isinstance(value, Collection) and depth:
        inner = tuple(_form(item, depth - 1) for item in value.items[:_FORM_ITEMS])
        return (value.kind, min(value.count, _FORM_ITEMS + 1), inner)
    return type(value)


def _first(identifier: object) -> object:
    """What a persistent identifier says that it is."""
    first = identifier.items[0] if isinstance(identifier, Collection) and identifier.items else None
    return first if isinstance(first, str) else None
