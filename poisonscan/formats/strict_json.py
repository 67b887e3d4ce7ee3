"""JSON as the strictest readers take it, and without letting a small text become huge objects.

RFC 8259 leaves to readers what a repeated key, half of a surrogate pair or a number beyond their
types mean. What serde_json refuses is refused here, and a key that stands twice is told.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from poisonscan.escape import escape
from poisonscan.limits import LimitReached

DEEPEST: Final = 127
"""Objects and lists within each other that serde_json reads (``serde_json::de``, 128 - 1)."""
DUPLICATES_KEPT: Final = 100
_HALF_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ODD_INTEGER: Final = re.compile(rb"-0|[0-9]{300}")
_ITEMS_EACH: Final = 20


@dataclass(frozen=True, slots=True)
class Document:
    """What a text says.

    Attributes:
        content: objects, lists and plain values; of a key that stands twice the last value.
        duplicates: keys that stand twice in one object, at any depth; the first
            ``DUPLICATES_KEPT`` of them.
    """

    content: Any
    duplicates: tuple[str, ...]


def parse(text: bytes) -> Document:
    """Read one JSON document.

    Raises:
        ValueError: it is none, or one that strict readers refuse.
    """
    duplicates: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs) and len(duplicates) < DUPLICATES_KEPT:
            duplicates.extend(_repeated(pairs))
        return found

    # Reading every integer by a function of ours is slow, and only odd ones need it.
    odd = _integer if _ODD_INTEGER.search(text) else None
    try:
        content = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=unique,
            parse_constant=_refuse,
            parse_float=_number,
            parse_int=odd,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if _HALF_PAIR.search(text):
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    if _depth(content) > DEEPEST:
        raise ValueError("it is nested too deeply")
    return Document(content, tuple(duplicates[:DUPLICATES_KEPT]))


def refuse_floods(text: bytes, most: int) -> None:
    """Count what parsing would make, before it does.

    Args:
        text: a JSON document.
        most: things that it may describe, each by an object with a few strings and lists.

    Raises:
        LimitReached: there are more objects, lists or strings than that takes.
    """
    objects = text.count(b"{") + text.count(b"[")
    strings = (text.count(b'"') - text.count(b'\\"')) // 2
    items = text.count(b",")
    if objects > 3 * most + 64 or max(strings, items) > _ITEMS_EACH * most + 1024:
        message = (
            f"JSON of {objects:,} objects and lists, {strings:,} texts and {items:,} commas, more "
            f"than {most:,} entries have"
        )
        raise LimitReached(message)


def parse_bounded(text: bytes, most: int) -> Document:
    """Read a JSON document of our own making that somebody may have changed.

    Args:
        text: the document.
        most: see ``refuse_floods``.

    Raises:
        ValueError: it is none or has more than that; the message may be shown as it is.
    """
    try:
        refuse_floods(text, most)
        return parse(text)
    except LimitReached as error:
        raise ValueError(str(error)) from error
    except ValueError as error:
        message = f"it is not JSON: {escape(str(error))}"
        raise ValueError(message) from error


def _repeated(pairs: list[tuple[str, Any]]) -> list[str]:
    seen: set[str] = set()
    again: dict[str, None] = {}
    for name, _ in pairs:
        if name in seen:
            again[name] = None
        seen.add(name)
    return list(again)[:DUPLICATES_KEPT]


def _refuse(constant: str) -> NoReturn:
    message = f"{constant} is not JSON"
    raise ValueError(message)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number is too large")
    return value


def _integer(text: str) -> int | float:
    if text == "-0":
        return -0.0  # no integer for readers that tell it from 0
    _number(text)
    return int(text)


def _depth(content: Any) -> int:
    depth, level = 0, [content]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [
            value
            for item in level
            for value in (item.values() if isinstance(item, dict) else item)
            if isinstance(value, dict | list)
        ]
    return depth
