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

_KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        Column, Gap, Location, Row, Rows, Scanned, Shard, ShardIndex, Skipped, Span, TableFile,
        Tensor,
    )
}  # fmt: skip
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
        if not isinstance(item, Gap | Skipped | Scanned | TableFile | Shard | ShardIndex):
            raise WireError("not an item")
    except (ValueError, TypeError, RecursionError) as error:
        raise WireError(str(error)) from error
    return item


def _finding(
    rule_id: str, at: object, message: str, key: str, score: float | None, evidence: object
) -> Finding:
    place = _value(at, Location, 0)
    for text in (message, key):
        _conform(text, str, 0)
    _conform(score, float | None, 0)
    facts = typing.cast("dict[str, Any]", _conform(evidence, dict, 0))
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
    types_of_fields = _fields(value[0])
    if len(value) - 1 != len(types_of_fields):
        message = f"{value[0]} with {len(value) - 1} fields"
        raise WireError(message)
    return kind(
        *(
            _conform(item, expected, depth + 1)
            for item, expected in zip(value[1:], types_of_fields, strict=True)
        )
    )


@functools.cache
def _fields(name: str) -> tuple[Any, ...]:
    """The types of a dataclass's fields."""
    hints = typing.get_type_hints(_KINDS[name])
    return tuple(hints[field.name] for field in dataclasses.fields(_KINDS[name]))


def _conform(value: object, declared: Any, depth: int) -> object:
    """The value as its declared type; refused if it is of another."""
    if depth > _DEPTH:
        raise WireError("nested too deep")
    origin, arguments = typing.get_origin(declared), typing.get_args(declared)
    if origin in (typing.Union, types.UnionType):
        return _any_of(value, arguments, depth)
    if origin is tuple:
        return _tuple(value, arguments, depth)
    if origin is frozenset and isinstance(value, list):
        return frozenset(_conform(item, arguments[0], depth + 1) for item in value)
    if origin is collections.abc.Mapping or declared is dict:
        if isinstance(value, dict):
            inner = arguments[1] if arguments and arguments[1] is str else None
            return {k: _conform(v, inner, depth + 1) if inner else v for k, v in value.items()}
    elif declared is float and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    elif dataclasses.is_dataclass(declared):
        return _value(value, declared, depth)
    elif isinstance(declared, type) and type(value) is declared:
        return value
    message = f"expected {declared}, not {type(value).__name__}"
    raise WireError(message)


def _any_of(value: object, choices: tuple[Any, ...], depth: int) -> object:
    for choice in choices:
        try:
            return _conform(value, choice, depth + 1)
        except WireError:
            continue
    message = f"none of {choices}"
    raise WireError(message)


def _tuple(value: object, arguments: tuple[Any, ...], depth: int) -> object:
    if not isinstance(value, list):
        raise WireError("expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_conform(item, arguments[0], depth + 1) for item in value)
    if len(arguments) != len(value):
        raise WireError("a tuple of another length")
    return tuple(
        _conform(item, kind, depth + 1) for item, kind in zip(value, arguments, strict=True)
    )
