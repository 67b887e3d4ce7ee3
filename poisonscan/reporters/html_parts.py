"""Parts of the HTML page that take a second look at evidence: marks, pictures, help, bars."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from poisonscan.escape import clip, quote
from poisonscan.finding import Json
from poisonscan.reporters.terminal import safe

EXCERPT: Final = 300
"""Characters that are shown of a row."""

_UNSEEN: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U000[0-9a-f]{5})")
_SIDE: Final = 32
"""Pixels of a side of the pictures that patches are looked for in."""
_HELP_PART: Final = re.compile(r"\*\*([A-Z][^*]*?)\.?\*\*")
_CODE: Final = re.compile(r"`([^`]+)`")
_STRESSED: Final = re.compile(r"\*(\w[^*]*)\*")
_BARS: Final = 12


@dataclass(frozen=True, slots=True)
class Piece:
    """Text as it stands, and how: ``""``, ``trigger``, ``unseen``, ``code`` or ``stressed``."""

    text: str
    how: str = ""


def marked(
    text: str, wanted: re.Pattern[str] | None, place: tuple[int, int] | None = None
) -> list[Piece]:
    """An excerpt in pieces: triggers, characters that cannot be seen, and the rest.

    Args:
        text: the excerpt.
        wanted: finds triggers.
        place: where in the excerpt another one begins, and how long it is: a letter that looks like
            any other is found in the row only.
    """
    shown = safe(text, EXCERPT)
    spans = [match.span() for match in wanted.finditer(shown)] if wanted else []
    if place is not None:
        own = place[0], sum(place)
        apart = all(end <= own[0] or own[1] <= start for start, end in spans)
        if apart and shown.startswith(text[: own[1]]):
            spans.append(own)
    pieces: list[Piece] = []
    done = 0
    for start, end in sorted(spans):
        pieces += [*_unseen(shown[done:start]), Piece(shown[start:end], "trigger")]
        done = end
    return [*pieces, *_unseen(shown[done:])]


def _unseen(text: str) -> Iterator[Piece]:
    return _split(text, _UNSEEN, "unseen")


def _split(text: str, pattern: re.Pattern[str], how: str) -> Iterator[Piece]:
    end = 0
    for match in pattern.finditer(text):
        if match.start() > end:
            yield Piece(text[end : match.start()])
        yield Piece(match.group(match.lastindex or 0), how)
        end = match.end()
    if end < len(text):
        yield Piece(text[end:])


@dataclass(frozen=True, slots=True)
class Patch:
    """A small picture: squares of one shade, and where in the whole picture they are.

    Attributes:
        pixels: left, top and shade (0 to 255) of each.
        width: pixels in a row.
        height: rows.
        place: left and top in a picture of 32 by 32 pixels; None: anywhere.
    """

    pixels: tuple[tuple[int, int, int], ...]
    width: int
    height: int
    place: tuple[int, int] | None


def patch(evidence: Mapping[str, Json]) -> Patch | None:
    """The patch that pictures share: rows of hexadecimal shades; None if the evidence has none."""
    rows = evidence.get("patch")
    if not isinstance(rows, list) or not 0 < len(rows) <= _SIDE:
        return None
    shades = [bytes.fromhex(row) for row in rows if isinstance(row, str) and _is_hex(row)]
    width = len(shades[0]) if shades else 0
    if len(shades) != len(rows) or not width or {len(row) for row in shades} != {width}:
        return None
    pixels = tuple((x, y, shade) for y, row in enumerate(shades) for x, shade in enumerate(row))
    return Patch(pixels, width, len(shades), _place(evidence.get("place"), width, len(shades)))


def _is_hex(row: str) -> bool:
    return len(row) <= 2 * _SIDE and re.fullmatch("(?:[0-9a-f]{2})+", row) is not None


def _place(value: Json, width: int, height: int) -> tuple[int, int] | None:
    match value:
        case [int(top), int(left)] if 0 <= top <= _SIDE - height and 0 <= left <= _SIDE - width:
            return left, top
    return None


@dataclass(frozen=True, slots=True)
class HelpPart:
    """A paragraph of a rule's help; ``heading`` is empty where it goes on."""

    heading: str
    pieces: tuple[Piece, ...]


def help_parts(text: str) -> list[HelpPart]:
    """The Markdown of a rule's help, as far as rules use it: paragraphs, headings, code, stress."""
    parts: list[HelpPart] = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        line = " ".join(paragraph.split())
        match = _HELP_PART.match(line)
        heading = match.group(1) if match else ""
        rest = line[match.end() :].strip() if match else line
        parts.append(HelpPart(heading, prose(rest.replace("**", ""))))
    return parts


def prose(text: str) -> tuple[Piece, ...]:
    """A sentence of a rule, with what stands in backticks as code, between asterisks stressed."""
    return tuple(
        part
        for piece in _split(text, _CODE, "code")
        for part in ([piece] if piece.how else _split(piece.text, _STRESSED, "stressed"))
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """One of a group of counts; ``percent`` is of the largest, at least 1 for any."""

    name: str
    count: int
    percent: int
    share: str


def bars(by_name: Mapping[str, int]) -> tuple[list[Bar], int]:
    """Counts as bars, the largest first, and how many more names there are."""
    most, total = max(by_name.values(), default=0) or 1, sum(by_name.values()) or 1
    top = sorted(by_name.items(), key=lambda item: -item[1])
    shown = [
        Bar(named(name), count, max(100 * count // most, bool(count)), f"{count / total:.1%}")
        for name, count in top[:_BARS]
    ]
    return shown, len(top) - len(shown)


def named(name: str) -> str:
    """A label as it stands, or quoted where that could not be seen."""
    return clip(name, 60) if name and name == name.strip() else quote(name, 60)
