"""Short pieces of a row's text: its start, or what stands around that which a finding is about."""

from __future__ import annotations

import re
from typing import Final

from poisonscan.escape import clip, escape
from poisonscan.masking import mask

EXCERPT: Final = 200
"""Characters of an excerpt, before they are escaped."""
SEARCHED: Final = 1 << 20
"""Bytes of a cell that are searched for what a finding is about."""
_BEFORE: Final = 60
_CONTEXT: Final = 24_000
"""Characters on each side that are masked with what is shown: longer than any secret's form."""


def beginning(text: str) -> str:
    """The start of a text on one line, without secrets, escaped."""
    return escape(clip(_one_line(mask(clip(text, 4 * EXCERPT))).strip(), EXCERPT))


def around(text: str, wanted: re.Pattern[str]) -> tuple[str, tuple[int, int]] | None:
    """What stands around the first place that is looked for, made safe as ``beginning`` does.

    Returns:
        The excerpt, and where in it the place begins and how long it is there, in characters. None
        where there is no such place, or it is part of a secret.
    """
    place = wanted.search(text)
    if place is None:
        return None
    near = mask(text[max(place.start() - _CONTEXT, 0) : place.end() + _CONTEXT])
    place = wanted.search(near)
    if place is None:
        return None
    before, found = _one_line(near[: place.start()]), clip(_one_line(place.group()), EXCERPT // 2)
    after = _one_line(near[place.end() :])
    if len(before) + len(found) > EXCERPT:
        before = f"…{before[-_BEFORE:]}"
    after = clip(after, max(EXCERPT - len(before) - len(found), _BEFORE))
    start = escape(before.lstrip())
    shown = escape(found)
    return f"{start}{shown}{escape(after.rstrip())}", (len(start), len(shown))


def end_masked(cell: str) -> str:
    """A cell that may be cut off, without the beginning of a secret at its end."""
    return cell[:-_CONTEXT] + mask(cell[-_CONTEXT:])


def _one_line(text: str) -> str:
    """White space as single blanks, also at the ends."""
    return re.sub(r"\s+", " ", text)
