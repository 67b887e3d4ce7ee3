"""What a pickle would do when loaded, as it comes along in the stream.

Every event has the offset of its opcode, counted from the start of the file or member.
"""

from __future__ import annotations

from dataclasses import dataclass

from poisonscan.pickles.values import Global


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens at an opcode."""

    offset: int


@dataclass(frozen=True, slots=True)
class Import(Event):
    """A name is imported. ``written`` is the name in the stream, before renaming for Python 3."""

    target: Global
    written: Global


@dataclass(frozen=True, slots=True)
class ComputedImport(Event):
    """A name is imported that is no constant of the stream."""

    module: object
    name: object


@dataclass(frozen=True, slots=True)
class Call(Event):
    """Something is called: REDUCE, OBJ, INST, NEWOBJ or NEWOBJ_EX."""

    opcode: str
    callee: object
    arguments: object


@dataclass(frozen=True, slots=True)
class Build(Event):
    """State is set on an object."""

    target: object
    state: object


@dataclass(frozen=True, slots=True)
class Change(Event):
    """Items are put into something that the stream did not make itself."""

    opcode: str
    target: object
    items: object


@dataclass(frozen=True, slots=True)
class Passing(Event):
    """A watched name becomes part of something else, so that whatever gets it may call it."""

    target: Global


@dataclass(frozen=True, slots=True)
class Persistent(Event):
    """The loader is asked for an object by an identifier."""

    identifier: object


@dataclass(frozen=True, slots=True)
class Extension(Event):
    """An extension code stands for a name that only the loading process knows."""

    code: int


@dataclass(frozen=True, slots=True)
class Irregular(Event):
    """Something that no honest writer emits, and that loaders read differently."""

    what: str


@dataclass(frozen=True, slots=True)
class Stop(Event):
    """The end of a pickle; ``value`` is what loading it would give."""

    value: object


@dataclass(frozen=True, slots=True)
class Broken(Event):
    """The stream ends or is wrong here; what stands behind was not read."""

    reason: str
