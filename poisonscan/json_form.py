"""Dataclasses as JSON values."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poisonscan.finding import Json


def as_json(value: object) -> Json:
    """A vocabulary dataclass as JSON values.

    Tuples become lists, severities names, numbers and arrays of numpy Python's own numbers and
    lists; what JSON has no form for becomes text.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        shown = [f.name for f in dataclasses.fields(value) if f.metadata.get("shown", True)]
        return {name: as_json(getattr(value, name)) for name in shown}
    if isinstance(value, enum.IntEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's, which is not imported for this
        return as_json(value.tolist())
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
