"""Vocabulary dataclasses from JSON values: the inverse of ``finding.as_json``, with checks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from poisonscan.escape import quote
from poisonscan.finding import Row, Severity
from poisonscan.origin import OriginFile, Verdict

_T = TypeVar("_T")

LARGEST: Final = 10**30
"""Whole numbers beyond this are refused: no file has so many bytes or rows."""

_COUNTS: Final = frozenset({"index", "size", "rows", "count", "fetched"})
_SHOWN: Final = 40


class ReportError(ValueError):
    """A file that is no report of poisonscan; the message says where in it, and what is wrong."""


def build(kind: type[_T], value: object, at: str) -> _T:
    """A dataclass from an object with its fields; fields that it does not know are ignored.

    Args:
        kind: a dataclass of ``poisonscan.finding``.
        value: what the report has in its place.
        at: where that is, such as ``gaps[3]``.

    Raises:
        ReportError: a field without a default is missing, or a value is of another type or out of
            its range.
    """
    given = entries(value, at)
    made: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        name, place = field.name, f"{at}.{field.name}"
        if not field.metadata.get("shown", True):
            continue
        if name in given:
            made[name] = _CHECKS[str(field.type)](given[name], place)
            if name in _COUNTS and isinstance(made[name], int) and made[name] < 0:
                raise _wrong(given[name], place, "a count")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            message = f"{place} is missing"
            raise ReportError(message)
    return kind(**made)


def entries(value: object, at: str) -> Mapping[str, Any]:
    """The value, which must be an object."""
    if not isinstance(value, dict):
        raise _wrong(value, at, "an object")
    return value


def items(value: object, at: str) -> list[Any]:
    """The value, which must be a list."""
    if not isinstance(value, list):
        raise _wrong(value, at, "a list")
    return value


def text(value: object, at: str) -> str:
    """The value, which must be a string."""
    if not isinstance(value, str):
        raise _wrong(value, at, "a text")
    return value


def truth(value: object, at: str) -> bool:
    """The value, which must be true or false."""
    if not isinstance(value, bool):
        raise _wrong(value, at, "true or false")
    return value


def number(value: object, at: str) -> float:
    """The value, which must be a number; whole ones stay whole."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _wrong(value, at, "a number")
    if isinstance(value, int):
        return whole(value, at)
    return value


def whole(value: object, at: str) -> int:
    """The value, which must be a whole number of a size that something can have."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST:
        raise _wrong(value, at, "a whole number")
    return value


def texts(value: object, at: str) -> tuple[str, ...]:
    """The value, which must be a list of strings."""
    return tuple(text(item, f"{at}[{n}]") for n, item in enumerate(items(value, at)))


def severity(value: object, at: str) -> Severity:
    """The value, which must name a severity."""
    if value not in [str(known) for known in Severity]:
        raise _wrong(value, at, "a severity")
    return Severity[str(value).upper()]


def _lines(value: object, at: str) -> tuple[int, int]:
    pair = items(value, at)
    if len(pair) != 2:
        raise _wrong(value, at, "a first and a last line")
    return whole(pair[0], at), whole(pair[1], at)


def _many(kind: type[_T]) -> Callable[[object, str], tuple[_T, ...]]:
    return lambda value, at: tuple(
        build(kind, item, f"{at}[{n}]") for n, item in enumerate(items(value, at))
    )


def _numbers(value: object, at: str) -> dict[str, float]:
    return {name: number(item, at) for name, item in entries(value, at).items()}


def _optional(check: Callable[[object, str], _T]) -> Callable[[object, str], _T | None]:
    return lambda value, at: None if value is None else check(value, at)


def _wrong(value: object, at: str, expected: str) -> ReportError:
    return ReportError(f"{at} is {shown(value)}; it should be {expected}")


def shown(value: object) -> str:
    """A value from a report as it stands in a message; of lists and objects only what they are."""
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "an object"
    return quote(value, _SHOWN)


_CHECKS: Final[Mapping[str, Callable[[object, str], Any]]] = {
    "str": text,
    "int": whole,
    "bool": truth,
    "Severity": severity,
    "str | None": _optional(text),
    "int | None": _optional(whole),
    "float | None": _optional(number),
    "tuple[int, int] | None": _optional(_lines),
    "tuple[str, ...]": texts,
    "tuple[Row, ...]": _many(Row),
    "tuple[OriginFile, ...]": _many(OriginFile),
    "tuple[Verdict, ...]": _many(Verdict),
    "Mapping[str, float]": _numbers,
    "Mapping[str, Json]": entries,
}
"""How a field is checked, by its type as it stands in the source."""
