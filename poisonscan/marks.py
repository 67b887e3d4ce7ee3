"""What in a row a finding is about, and how to find it there: for excerpts, and to highlight it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from poisonscan.escape import escape
from poisonscan.finding import Json

_TRIGGERS: Final = ("phrase", "trigger", "value", "values", "host")
"""Evidence of detectors of datasets that names what stands in the rows."""
_MOST: Final = 20
_LONGEST: Final = 200
_LETTER: Final = re.compile(r"\w")
_CODE_POINT: Final = re.compile(r"U\+(10[0-9A-F]{4}|[0-9A-F]{4,5})(?: |$)")


@dataclass(frozen=True, slots=True)
class Mark:
    """What to look for in the rows of a finding.

    Attributes:
        pattern: finds it.
        columns: that the finding names; none: any.
    """

    pattern: re.Pattern[str]
    columns: tuple[str, ...] = ()

    @classmethod
    def of(cls, evidence: Mapping[str, Json]) -> Mark | None:
        """What the evidence of a finding names; None where it names nothing that rows hold."""
        columns = [*_texts(evidence.get("column")), *_texts(evidence.get("columns"))][:_MOST]
        named = [*_words(evidence, str), *_characters(evidence)] or list(_cells(columns))
        if not named:
            return None
        return cls(re.compile("|".join(named), re.IGNORECASE), tuple(dict.fromkeys(columns)))


def in_excerpts(evidence: Mapping[str, Json]) -> re.Pattern[str] | None:
    """What finds the words that evidence names in excerpts, which are escaped; None without any."""
    named = list(_words(evidence, escape))
    return re.compile("|".join(named), re.IGNORECASE) if named else None


def _words(evidence: Mapping[str, Json], spelt: Callable[[str], str]) -> Iterator[str]:
    """Expressions for what is named, the longest first; at most 9 signs stand between two words."""
    named = [text for name in _TRIGGERS for text in _texts(evidence.get(name))][:_MOST]
    texts = {tuple(spelt(text.strip())[:_LONGEST].split()) for text in named} - {()}
    found = {"".join(_joined(words)) for words in texts}
    for one in sorted(found, key=lambda one: (-len(one), one)):
        yield rf"(?<!\w){one}(?!\w)"


def _joined(words: tuple[str, ...]) -> Iterator[str]:
    """Words and what may stand between them, so that there is one way at most to find them.

    Beside a sign that is no letter that is white space: if it were any such signs, the time to see
    that signs are not there would grow exponentially with their number.
    """
    for before, word in itertools.pairwise(("", *words)):
        if before:
            letters = _LETTER.fullmatch(before[-1]) and _LETTER.fullmatch(word[0])
            yield r"\W{1,9}" if letters else r"\s{1,9}"
        yield re.escape(word)


def _characters(evidence: Mapping[str, Json]) -> Iterator[str]:
    """An expression for characters that are named as ``U+200B ZERO WIDTH SPACE``."""
    points = [m for text in _texts(evidence.get("characters")) if (m := _CODE_POINT.match(text))]
    if points:
        yield f"[{''.join(re.escape(chr(int(m.group(1), 16))) for m in points)}]+"


def _cells(columns: Iterable[str]) -> Iterator[str]:
    """Expressions for cells of columns, as excerpts of tables show them."""
    for name in columns:
        yield rf"(?<!\w){re.escape(name[:_LONGEST])}=[^,]*"


def _texts(value: Json) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]
