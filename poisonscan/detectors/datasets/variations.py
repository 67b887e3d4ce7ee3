"""How versions of one text differ: in words here and there, or in what a form leaves blank.

Who plants a message many times changes words of it at random. Forms, templates and tables printed
as text are filled in at the same places each time, and keep every other word; questions of one kind
share little but words that are in every text.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = 1_000
"""Words of a text that are looked at, the first ones."""
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")
"""Words; letters of scripts that put no blanks between words are one each."""


@dataclass(frozen=True, slots=True)
class Variation:
    """What versions of one text have in common and in what they differ.

    Attributes:
        content: words that at least half of the versions have and few other texts.
        scattered: share of the changes that are at places where less than half of the versions
            are changed, 0 to 1.
    """

    content: int
    scattered: float


def variation(versions: Sequence[str], others: Sequence[str], common: float) -> Variation:
    """What versions of a text have in common.

    A word that most versions have may be missing; a word that few versions have stands behind one
    that most have, which tells its place.

    Args:
        versions: different texts.
        others: texts of the same dataset.
        common: share of the other texts from which on a word is no content, 0 to 1.
    """
    split = [_words(text) for text in versions]
    holders = Counter(word for words in split for word in set(words))
    message = {word for word, count in holders.items() if 2 * count >= len(split)}
    elsewhere = Counter(word for text in others for word in message.intersection(_words(text)))
    most = common * len(others)
    content = sum(word.isalpha() and elsewhere[word] <= most for word in message)
    filled: Counter[str] = Counter()
    for words in split:
        before = ["", *words[:-1]]
        filled.update({
            place
            for place, word in zip(_last_known(before, message), words, strict=True)
            if word not in message
        })  # fmt: skip
    missing = sum(len(split) - holders[word] for word in message)
    seldom = sum(count for count in filled.values() if 2 * count < len(split))
    changes = missing + filled.total()
    return Variation(content, (missing + seldom) / changes if changes else 0.0)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())[:WORDS]


def _last_known(words: Sequence[str], known: set[str]) -> list[str]:
    """For each word the last one up to it that is known; empty where there is none."""
    last, out = "", []
    for word in words:
        last = word if word in known else last
        out.append(last)
    return out
