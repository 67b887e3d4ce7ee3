"""Dataclasses as JSON values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from poisonscan.finding import Json, Severity


def as_json(value: object) -> Json:
    """A vocabulary dataclass as JSON values (tuples become lists, severities names)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [f.name for f in dataclasses.fields(value) if f.metadata.get("shown", True)]
        return {name: as_json(getattr(value, name)) for name in shown}
    if isinstance(value, Severity):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
