"""Which writing a text is in, where its letters are not those of European languages.

Joiners are spelling in Persian and in India, direction marks and zero-width spaces are at home in
Hebrew and in Thai, and languages go with labels. So whether such a character goes with a label is
asked among texts of the same writing (the Unicode Standard, chapters 9 to 23, on what each needs).
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

import numpy as np

from poisonscan.detectors.datasets.hidden_marks import leads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from poisonscan.datasets.text_scan import Indices, Screen

_WITHIN: Final = " in "
_LETTERS: Final = leads(((0x590, 0x1BFF), (0x2E80, 0xD7FF)))
"""From Hebrew to Batak, and the writings of China, Japan and Korea."""


def writings(screen: Screen) -> Mapping[str, Indices]:
    """The strings of each writing, by that of the first such letter that a string holds.

    Returns:
        Strings in ascending order by name, as in ``Malayalam text``; none of them twice.
    """
    at = screen.leading(_LETTERS)
    if not len(at):
        return {}
    first = np.append(at, len(screen.data))[np.searchsorted(at, screen.offsets[:-1])]
    strings = np.flatnonzero(first < screen.offsets[1:])
    points, which = np.unique(screen.characters(first[strings]), return_inverse=True)
    names = np.array([_named(chr(point)) for point in points.tolist()])[which]
    return {name: strings[names == name] for name in np.unique(names).tolist()}


def _named(char: str) -> str:
    """The first word of a character's name is that of its writing, nearly always."""
    word = unicodedata.name(char, "unknown").split(maxsplit=1)[0]
    return f"{word if word == 'CJK' else word.capitalize()} text"


def parted(
    sort: str, strings: Indices, known: Mapping[str, Indices]
) -> Iterator[tuple[str, Indices]]:
    """A sort of hits, apart for the strings of each writing.

    Args:
        sort: its name.
        strings: that have it.
        known: what ``writings`` gives.
    """
    rest = strings
    for writing, its in known.items():
        yield f"{sort}{_WITHIN}{writing}", np.intersect1d(strings, its, assume_unique=True)
        rest = np.setdiff1d(rest, its, assume_unique=True)
    yield sort, rest


def parts(sort: str) -> tuple[str, str]:
    """The name that a sort of hits had before it was parted, and the writing; empty for none."""
    name, _, writing = sort.partition(_WITHIN)
    return name, writing
