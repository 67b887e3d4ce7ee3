"""Characters that readers do not see, told apart by what honest text does with them.

Sources: Boucher and Anderson 2021, "Trojan Source: Invisible Vulnerabilities" (CVE-2021-42574);
Boucher et al. 2022, "Bad Characters: Imperceptible NLP Attacks"; the Unicode Standard, chapter 23,
and UTS 51 for emoji.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.text_scan import Indices, Screen
    from poisonscan.detectors.datasets.text_hits import Detail

TAGS = "\U000e0000-\U000e007f"
SELECTORS = "\U000e0100-\U000e01ef"
EARLY_SELECTORS = "\ufe00-\ufe0f"
ZERO_WIDTH = "\u034f\u180b-\u180e\u200b-\u200d\u2060-\u2064\ufeff"
OVERRIDES = "\u202b\u202d\u202e\u2067"
NEVER = "\u206a-\u206f\ufff9-\ufffb\U0001d173-\U0001d17a"
"""Deprecated or internal: the standard says not to use them in text."""
PATTERN = (
    f"[{TAGS}{SELECTORS}{OVERRIDES}{NEVER}]|[{ZERO_WIDTH}]{{4}}|[{EARLY_SELECTORS}]{{2}}|"
    f"[A-Za-z][{ZERO_WIDTH}]+[A-Za-z]"
)
"""What the closer look may find something in; RE2 and ``re`` read it alike."""
UNUSUAL: dict[str, tuple[tuple[int, int], ...]] = {
    "no-break space": ((0xA0, 0xA0), (0x202F, 0x202F)),
    "soft hyphen": ((0xAD, 0xAD),),
    "zero-width space": ((0x200B, 0x200B), (0x2060, 0x2060), (0xFEFF, 0xFEFF)),
    "zero-width joiner": ((0x200C, 0x200D),),
    "direction mark": (
        *((0x061C, 0x061C), (0x200E, 0x200F), (0x202A, 0x202A), (0x202C, 0x202C)),
        *((0x2066, 0x2066), (0x2068, 0x2069)),
    ),
    "unusual space": ((0x1680, 0x1680), (0x2000, 0x200A), (0x205F, 0x205F)),
    "invisible letter": (
        *((0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
        *((0x2061, 0x2064), (0x2800, 0x2800), (0x3164, 0x3164), (0xFFA0, 0xFFA0)),
    ),
    "private-use character": ((0xE000, 0xF8FF), (0xF0000, 0x10FFFD)),
    "letters of mathematical alphabets": ((0x1D400, 0x1D7FF), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)),
    "C1 control characters": ((0x80, 0x84), (0x86, 0x9F)),
}
"""Characters from and to that honest text has too: worth a word where they go with one label."""
_ODD = (
    (0x80, 0xA0), (0xAD, 0xAD), (0x300, 0x36F), (0x61C, 0x61C), (0x115F, 0x1160), (0x1680, 0x1680),
    (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F),
    (0x20D0, 0x20FF), (0x2800, 0x2800), (0x3164, 0x3164), (0xE000, 0xF8FF), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB),
    (0x1D000, 0x1D1FF), (0x1D400, 0x1D7FF), (0xE0000, 0x10FFFD),
)  # fmt: skip
"""Characters that any of the patterns needs, from and to."""


def leads(ranges: Iterable[tuple[int, int]]) -> NDArray[np.bool_]:
    """The first two bytes of characters from and to some points, as ``Screen.leading`` wants them.

    Others that begin with the same two bytes are among them.
    """
    pairs = np.zeros(1 << 16, bool)
    for first, last in ranges:
        # From U+0800 on, 64 characters have their first two bytes in common.
        step = 64 if first >= 0x800 else 1
        for point in {first, *range(first // step * step + step, last + 1, step)}:
            head = chr(point).encode()
            pairs[head[0] << 8 | head[1]] = True
    return pairs


_PAIRS = leads(_ODD)


_MARKED = "combining marks on plain letters"
_MARKS = "[A-Za-z][\u0300-\u036f\u20d0-\u20ff]{2}"
SORTS = (*UNUSUAL, _MARKED)


def candidates(screen: Screen) -> Indices:
    """Where characters are that ``PATTERN`` or ``UNUSUAL`` may be about."""
    at = screen.leading(_PAIRS)
    third = screen.data[np.minimum(at + 2, len(screen.data) - 1)]
    lead, second = screen.data[at], screen.data[at + 1]
    # U+2010 to U+2027 are dashes, quotation marks, dots; U+00A1 to U+00BF signs but for one.
    usual = (lead == 0xE2) & (second == 0x80) & (third >= 0x90) & (third <= 0xA7)
    usual |= (lead == 0xC2) & (second > 0xA0) & (second != 0xAD)
    found: Indices = at[~usual]
    return found


def unusual(screen: Screen, at: Indices) -> Iterator[tuple[str, Indices, Detail]]:
    """Strings with each sort of unusual character, which are among those at some places.

    What is said of a string are the characters of the sort that it holds.
    """
    points, strings = screen.characters(at), screen.strings_of(at)
    for sort, ranges in UNUSUAL.items():
        mine = np.zeros(len(at), bool)
        for first, last in ranges:
            mine |= (points >= first) & (points <= last)
        held = functools.partial(_held, strings[mine], points[mine])
        yield sort, np.unique(strings[mine]), held
    marks = ((points >= 0x300) & (points <= 0x36F)) | ((points >= 0x20D0) & (points <= 0x20FF))
    held = functools.partial(_held, strings[marks], points[marks])
    yield _MARKED, screen.among(np.unique(strings[marks]), _MARKS), held


def _held(strings: Indices, points: NDArray[np.int32], index: int) -> str:
    """The characters that a string holds; ``strings`` are ascending, with the point of each."""
    first, end = np.searchsorted(strings, [index, index + 1])
    return ", ".join(map(named, map(chr, np.unique(points[first:end])[:_NAMED].tolist())))


def named(char: str) -> str:
    """``U+200B ZERO WIDTH SPACE``: the name of the standard, if the character has one."""
    # Controls have no name of their own, but all have these.
    name = unicodedata.name(char, "") or ("CONTROL" if ord(char) < 0xA0 else "")
    return f"U+{ord(char):04X} {name}".rstrip()


def all_named(text: str) -> str:
    """The names of the different characters of a text."""
    return ", ".join(map(named, sorted(set(text))[:_NAMED]))


_RTL = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
_TAGS = re.compile(f"[{TAGS}]+")
_SELECTORS = re.compile(f"[{SELECTORS}]+|[{EARLY_SELECTORS}{SELECTORS}]{{2,}}")
_IDEOGRAPH = re.compile("[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_BITS = re.compile(f"[{ZERO_WIDTH}]{{8,}}")
_RUN = re.compile(f"[{ZERO_WIDTH}]{{4,}}")
_SPLIT = re.compile(f"[A-Za-z]+(?:[{ZERO_WIDTH}]+[A-Za-z]+)+")
_ANY_ZERO = re.compile(f"[{ZERO_WIDTH}]+")
_OVERRIDE = re.compile(f"[{OVERRIDES}]")
_NEVER = re.compile(f"[{NEVER}]")
_SHOWN = 120
_NAMED = 3
"""Different characters of a string that are named."""


def look(text: str) -> Iterator[tuple[str, str]]:
    """Sorts of hits in a text, with what is hidden for people to read."""
    tags = _TAGS.findall(_FLAG.sub("", text))
    if tags:
        hidden = "".join(chr(ord(c) - 0xE0000) for run in tags for c in run[:_SHOWN])
        yield "tag characters", f"they spell {quote(hidden, _SHOWN)}"
    bytes_hidden = _selected(text)
    if bytes_hidden:
        yield "variation selectors", f"they spell {quote(_readable(bytes_hidden), _SHOWN)}"
    bits = _BITS.search(text)
    if bits:
        hidden = decoded_bits(bits.group())
        yield "zero-width code", f"they spell {quote(hidden)}" if hidden else "they encode bits"
    elif run := _RUN.search(text):
        yield "zero-width run", f"four and more in a row of {all_named(run.group())}"
    if _OVERRIDE.search(text) and not _RTL.search(text):
        shown = _OVERRIDE.search(text)
        near = text[max(0, shown.start() - 20) : shown.start() + 40] if shown else ""
        yield "reordered text", f"near {quote(near)}"
    if never := _NEVER.search(text):
        yield "forbidden format characters", f"the standard deprecates {named(never.group())}"
    split = _SPLIT.search(text)
    if split:
        between = all_named("".join(_ANY_ZERO.findall(split.group())))
        yield "split words", f"{quote(_ANY_ZERO.sub('', split.group()), 40)} with {between} in it"


def _selected(text: str) -> bytes:
    """Bytes that variation selectors may carry, a selector each (Butler 2025)."""
    out = bytearray()
    for run in _SELECTORS.finditer(text):
        before = text[run.start() - 1 : run.start()]
        if len(run.group()) == 1 and _IDEOGRAPH.match(before):
            continue  # a variant of an ideograph
        if len(set(run.group())) == 1 and run.group() < "\U000e0100":
            continue  # one that was typed twice, as phones do behind symbols
        for char in run.group()[: _SHOWN * 4]:
            point = ord(char)
            out.append(point - 0xFE00 if point < 0xE0000 else point - 0xE0100 + 16)
    return bytes(out)


def _readable(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def decoded_bits(run: str) -> str:
    """Text in a run of zero-width characters: two sorts as bits, eight or seven a letter."""
    run = run[: _SHOWN * 8]
    sorts = sorted(set(run))
    pairs = [(zero, one) for zero in sorts for one in sorts if zero != one]
    for width in (8, 7):
        for zero, one in pairs:
            bits = "".join("0" if char == zero else "1" for char in run if char in (zero, one))
            codes = [int(bits[i : i + width], 2) for i in range(0, len(bits) - width + 1, width)]
            if codes and all(32 <= code < 127 for code in codes):
                return "".join(map(chr, codes))
    return ""
