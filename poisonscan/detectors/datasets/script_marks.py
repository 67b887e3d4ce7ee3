"""Letters of one script that pass for those of another (homoglyphs).

The look-alikes are those of Unicode's confusables (UTS 39) that are told apart in hardly any font.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.text_scan import Indices, Screen

CYRILLIC = dict(
    zip("асеорхуіјѕһԁԛԝӏАВСЕНІЈКМОРЅТХҮу", "aceopxyijshdqwlABCEHIJKMOPSTXYy", strict=True)
)
GREEK = dict(zip("αινορυκΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aivopukABEZHIKMNOPTYX", strict=True))
_LOOKS = {**CYRILLIC, **GREEK}
_CYR, _GRE = "".join(CYRILLIC), "".join(GREEK)
_OTHER = "\u0531-\u0587\u13a0-\u13ff\uab70-\uabbf"
"""Armenian and Cherokee: nobody mixes them with Latin letters in a word."""
OTHER_CYRILLIC = "[бвгджзийклмнптфцчшщъыьэюяБГДЖЗИЙЛПУФЦЧШЩЪЫЬЭЮЯ]"
"""Cyrillic letters that look like no Latin one: text that has them is written in Cyrillic."""
MIXED = (
    f"[A-Za-z][{_CYR}{_OTHER}]|[{_CYR}{_OTHER}][A-Za-z]|"
    f"[A-Za-z]{{3}}[{_GRE}]|[{_GRE}][A-Za-z]{{3}}|[A-Za-z]{{2}}[{_GRE}][A-Za-z]"
)
WHOLE = f"(?:^|[^\\pL])[{_CYR}]+(?:$|[^\\pL])"
_WORD = re.compile(f"[A-Za-z{_CYR}{_GRE}\u0531-\u0587\u13a0-\u13ff\uab70-\uabbf]{{3,}}")
_LATIN = re.compile("[A-Za-z]")
_ADDRESS = re.compile(r"(?:https?://|www\.|@[\w-]+\.)\S+", re.IGNORECASE)
_STYLED = re.compile(f"(?![{_CYR}{_GRE}])[\u0370-\u03ff\u0400-\u052f]")
"""Letters that pass for no Latin one: beside them nothing is hidden, as in a name in capitals that
is to look Greek."""
_UNIT = re.compile(r"[\d.,]\s?\Z")
_FUNCTIONS = re.compile(
    r"a?(?:sin|cos|tan|cot|sec|csc)h?|arc(?:sin|cos|tan)|log|ln|lg|exp|min|max|lim|det|arg|mod|gcd|"
    r"sup|inf|grad|div|rot|curl|var|cov"
)
"""Names of functions, behind which a Greek letter is a variable."""
_FOREIGN = re.compile(f"[{_CYR}{_GRE}{_OTHER}]")


def _pairs(letters: str) -> NDArray[np.bool_]:
    """The first two bytes of letters, as ``Screen.leading`` wants them."""
    pairs = np.zeros(1 << 16, bool)
    for letter in letters:
        head = letter.encode()
        pairs[head[0] << 8 | head[1]] = True
    return pairs


_ARMENIAN_CHEROKEE = "".join(
    map(chr, (*range(0x531, 0x588), *range(0x13A0, 0x1400), *range(0xAB70, 0xABC0)))
)
_ALIKE = _pairs(_CYR + _GRE + _ARMENIAN_CHEROKEE)
_CYRILLIC_ONLY = _pairs(OTHER_CYRILLIC.strip("[]"))
_CYRILLIC_ALIKE = _pairs(_CYR)
_LATIN_LETTERS = np.zeros(256, bool)
_LATIN_LETTERS[[*range(ord("A"), ord("Z") + 1), *range(ord("a"), ord("z") + 1)]] = True
_THREE_BYTES = 0xE0


def candidates(screen: Screen) -> tuple[Indices, Indices]:
    """Strings that may mix scripts within a word, and those with whole words of look-alikes."""
    alike = screen.leading(_ALIKE)
    width = 2 + (screen.data[alike] >= _THREE_BYTES)
    after = screen.data[np.minimum(alike + width, len(screen.data) - 1)]
    beside = _LATIN_LETTERS[after] | _LATIN_LETTERS[screen.data[np.maximum(alike - 1, 0)]]
    written = np.unique(screen.strings_of(screen.leading(_CYRILLIC_ONLY)))
    mixed = np.setdiff1d(screen.strings_of(alike[beside]), written)
    words = screen.strings_of(screen.leading(_CYRILLIC_ALIKE))
    whole = screen.among(np.setdiff1d(words, written), "[A-Za-z]{3}")
    return screen.among(mixed, MIXED), screen.among(whole, WHOLE)


def mixed_word(text: str) -> str:
    """A word of Latin letters with look-alikes of another script among them, as a detail.

    Symbols such as in *μm*, *Δx* or *ρgh* are no words: at least three letters must be Latin for
    Greek, and one for the others; nor are units behind numbers, functions of a Greek variable and
    addresses, whose hosts are looked at by themselves.
    """
    for match in _WORD.finditer(_ADDRESS.sub(" ", text)):
        word = match.group()
        foreign, latin = _FOREIGN.findall(word), _LATIN.findall(word)
        greek = all(char in GREEK for char in foreign)
        if _STYLED.search(match.string[max(0, match.start() - 1) : match.end() + 1]):
            continue
        if greek and (_FUNCTIONS.fullmatch("".join(latin).lower()) or _is_unit(match)):
            continue
        if foreign and len(latin) >= (3 if greek else 1) and len(foreign) <= 2 * len(latin):
            plain = "".join(_LOOKS.get(char, char) for char in word)
            codes = ", ".join(f"U+{ord(char):04X}" for char in dict.fromkeys(foreign[:5]))
            return f"{quote(plain, 40)} is written with {codes}"
    return ""


def _is_unit(match: re.Match[str]) -> bool:
    """Whether a short word stands behind a number."""
    before = match.string[max(0, match.start() - 2) : match.start()]
    return len(match.group()) <= 4 and _UNIT.search(before) is not None


def scripts(screen: Screen) -> Iterator[tuple[str, int | Indices, str]]:
    """Hits: ``mixed scripts`` and ``words of look-alikes``."""
    mixed, whole = candidates(screen)
    for index, text in screen.texts(screen.whole(mixed)):
        detail = mixed_word(text)
        if detail:
            yield "mixed scripts", index, detail
    yield "words of look-alikes", whole, ""
