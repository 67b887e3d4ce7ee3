"""What a worker tells: one JSON line for each item, checked against the types it must have.

A worker reads hostile bytes, so its answers are believed no more than they are. JSON makes nothing
but values, and a value of another shape than its dataclass declares is refused.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import types
import typing
from collections.abc import Callable
from typing import Any, Final

from poisonscan.files import Item
from poisonscan.finding import (
    Column,
    Finding,
    Gap,
    Location,
    Row,
    Rows,
    Scanned,
    Skipped,
    Span,
    Tensor,
)
from poisonscan.formats.base import Shard, ShardIndex, TableFile
from poisonscan.rules import rule
from poisonscan.sources.base import Missing, Step

_KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        Column, Gap, Location, Missing, Row, Rows, Scanned, Shard, ShardIndex, Skipped, Span, Step,
        TableFile, Tensor,
    )
}  # fmt: skip
_Check = Callable[[object, int], object]
_DEPTH: Final = 100


class WireError(ValueError):
    """An answer that is none."""


def encode(item: Item) -> bytes:
    """One line, without its newline."""
    if isinstance(item, Finding):
        value: object = [
            "Finding", item.rule.id, _plain(item.at), item.message, item.key, item.score,
            dict(item.evidence),
        ]  # fmt: skip
    else:
        value = _plain(item)
    return json.dumps(value, separators=(",", ":")).encode()


def decode(line: bytes) -> Item:
    """The item of a line.

    Raises:
        WireError: the line is not what `encode` writes.
    """
    try:
        value = json.loads(line)
        if isinstance(value, list) and value and value[0] == "Finding":
            return _finding(*value[1:])
        item = _value(value, object, 0)
        if not isinstance(item, Gap | Skipped | Scanned | TableFile | Shard | ShardIndex | Missing):
            raise WireError("not an item")
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(str(error)) from error
    return item


def _finding(
    rule_id: str, at: object, message: str, key: str, score: float | None, evidence: object
) -> Finding:
    place = _value(at, Location, 0)
    for text in (message, key):
        _TEXT(text, 0)
    _SCORE(score, 0)
    facts = typing.cast("dict[str, Any]", _FACTS(evidence, 0))
    return rule(rule_id).finding(place, message, key=key, score=score, **facts)


def _plain(value: object) -> object:
    """Dataclasses as a list of their name and their fields, everything else as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
        return [type(value).__name__, *fields]
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, collections.abc.Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


def _value(value: object, declared: Any, depth: int) -> Any:
    """A dataclass from the list that stands for it."""
    if not isinstance(value, list) or not value or value[0] not in _KINDS:
        message = f"expected {declared}"
        raise WireError(message)
    kind = _KINDS[value[0]]
    if isinstance(declared, type) and not issubclass(kind, declared):
        message = f"expected {declared.__name__}, not {value[0]}"
        raise WireError(message)
    fields = _fields(value[0])
    if len(value) - 1 != len(fields):
        message = f"{value[0]} with {len(value) - 1} fields"
        raise WireError(message)
    if depth > _DEPTH:
        raise WireError("nested too deep")
    return kind(*[check(item, depth + 1) for item, check in zip(value[1:], fields, strict=True)])


@functools.cache
def _fields(name: str) -> tuple[_Check, ...]:
    """A check for each field of a dataclass."""
    hints = typing.get_type_hints(_KINDS[name])
    return tuple(_check(hints[field.name]) for field in dataclasses.fields(_KINDS[name]))


def _check(declared: Any) -> _Check:
    """What gives a value as its declared type, and refuses one of another."""
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        return _any_of([_check(choice) for choice in arguments])
    if origin is tuple:
        return _tuple(arguments)
    if origin is frozenset:
        return _set(_check(arguments[0]))
    if origin is collections.abc.Mapping or declared is dict:
        return _mapping(_check(str) if arguments and arguments[1] is str else None)
    if dataclasses.is_dataclass(declared):
        return functools.partial(_dataclass, declared)
    if declared is float:
        return _number
    return functools.partial(_plainly, declared)


def _plainly(declared: type, value: object, depth: int) -> object:  # noqa: ARG001 - as all checks
    if type(value) is not declared:
        message = f"expected {declared}, not {type(value).__name__}"
        raise WireError(message)
    return value


def _number(value: object, depth: int) -> object:  # noqa: ARG001
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError("expected a number")
    return value


def _dataclass(declared: Any, value: object, depth: int) -> object:
    return _value(value, declared, depth)


def _any_of(choices: list[_Check]) -> _Check:
    def check(value: object, depth: int) -> object:
        for choice in choices:
            try:
                return choice(value, depth + 1)
            except WireError:
                continue
        raise WireError("of none of the types that it may have")

    return check


def _tuple(arguments: tuple[Any, ...]) -> _Check:
    every = len(arguments) == 2 and arguments[1] is Ellipsis
    checks = [_check(arguments[0])] if every else [_check(kind) for kind in arguments]

    def check(value: object, depth: int) -> object:
        if not isinstance(value, list) or not (every or len(value) == len(checks)):
            raise WireError("expected a list of another length")
        wanted = checks * len(value) if every else checks
        return tuple(each(item, depth + 1) for item, each in zip(value, wanted, strict=True))

    return check


def _set(inner: _Check) -> _Check:
    def check(value: object, depth: int) -> object:
        if not isinstance(value, list):
            raise WireError("expected a list")
        return frozenset(inner(item, depth + 1) for item in value)

    return check


def _mapping(inner: _Check | None) -> _Check:
    def check(value: object, depth: int) -> object:
        if not isinstance(value, dict):
            raise WireError("expected a mapping")
        return value if inner is None else {k: inner(v, depth + 1) for k, v in value.items()}

    return check


_TEXT: Final = _check(str)
_SCORE: Final = _check(float | None)
_FACTS: Final = _check(dict)
