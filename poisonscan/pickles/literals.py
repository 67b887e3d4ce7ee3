"""Arguments that are written as text, or are numbers of any length, as loaders read them."""

from __future__ import annotations

import codecs
import contextlib
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from poisonscan.pickles.values import Long, Opaque

if TYPE_CHECKING:
    from poisonscan.pickles.machine import Machine

_DIGITS_KEPT: Final = 64
_EXTENDED: Final = re.compile(rb"(?s:.{63}(?:[\x00-\x7f]\x00*+|[\x80-\xff]\xff*+))\Z")
"""A number whose bytes behind the first 64 only repeat its sign."""


class MalformedError(Exception):
    """The stream cannot go on here; the message says why. Becomes a ``Broken`` event."""


def number(line: bytes) -> object:
    """The argument of INT or LONG.

    Raises:
        MalformedError: no loader takes it for a number.
    """
    line, nul, _ = line.partition(b"\0")  # where C ends a string
    text = line.rstrip(b"L").strip()
    if len(text) > _DIGITS_KEPT:
        return Long("digits", 0, len(text))
    if line in (b"00", b"01"):
        return line == b"01"
    if nul and not text:
        return 0
    try:
        return int(text, 0)
    except ValueError:
        if not text.isalnum() and not text.lstrip(b"+-").isalnum():
            raise MalformedError("the argument of INT or LONG is no number") from None
        return Opaque("number")  # octal and the like, which C reads and Python does not


def push_float(m: Machine) -> None:
    """FLOAT."""
    line = m.line().partition(b"\0")[0]
    try:
        m.push(float(line))
    except ValueError:
        if len(line) > _DIGITS_KEPT:
            m.push(Long("digits", m.at, len(line)))
            return
        raise MalformedError("the argument of FLOAT is no number") from None


def long_pusher(size: int) -> Callable[[Machine], None]:
    """LONG1 or LONG4, whose length takes ``size`` bytes."""

    def push_long(m: Machine) -> None:
        length = m.uint(size)
        if length > _DIGITS_KEPT:
            start = m.skip(length)
            if _EXTENDED.match(m.data, start, start + length):
                raw = bytes(m.data[start : start + _DIGITS_KEPT])
                m.push(int.from_bytes(raw, "little", signed=True))
            else:
                m.push(Long("integer", start, length))
        else:
            m.push(int.from_bytes(m.argument(length), "little", signed=True))

    return push_long


def push_string(m: Machine) -> None:
    """STRING, as ``codecs.escape_decode`` reads it (``pickle.py`` does so too)."""
    line = m.line().strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise MalformedError("the argument of STRING is not quoted")
    value = line[1:-1]
    if b"\\" in value:
        with warnings.catch_warnings(), contextlib.suppress(ValueError):
            warnings.simplefilter("ignore")  # of escapes that there are not
            value = codecs.escape_decode(value)[0]
    m.push(value.decode("latin-1"))


def push_unicode(m: Machine) -> None:
    """UNICODE."""
    m.push(m.line().decode("raw_unicode_escape", "replace"))


def decode(data: bytes) -> str:
    """Text as the loaders decode it; what they would refuse is kept in escaped form."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return codecs.decode(data, "utf-8", "backslashreplace")
