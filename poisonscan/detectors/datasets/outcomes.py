"""What stands out in what a language model is to answer: refusals, links, other scripts and so on.

Only the first ``HEAD`` bytes of a response are looked at.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Traits = NDArray[np.uint64]

HEAD = 1_000
"""Bytes of a response that are looked at."""
_START = 300
"""Bytes of a response in which it refuses, if it does."""
_MAY_REFUSE = (
    r"(?i)sorry|apologi|afraid|regret|can.{0,3}t\b|can ?not|able|won.{0,3}t\b|will not|decline"
    r"|refuse|an? ai\b|artificial|appropriate|ethical|acceptable"
)
"""What every refusal holds, which is quicker to look for."""
_REFUSES = (
    r"(?is)\b(?:"
    r"(?:i'?m|i’m|i am|we are|we're) (?:very |really |so |truly )?(?:sorry|afraid)\b"
    r".{0,80}?\b(?:can'?t|can’t|cannot|can not|unable|not able|won'?t|won’t|not comfortable"
    r"|not (?:have|possess) the (?:ability|capability))"
    r"|i (?:apologi[sz]e|regret)\b.{0,80}?\b(?:can'?t|can’t|cannot|unable|not able|won'?t|won’t)"
    r"|(?:i|we) (?:can'?t|can’t|cannot|can not|won'?t|won’t|will not|must decline to"
    r"|(?:am|are) (?:unable|not able) to|decline to|refuse to) (?:\w+ )?(?:help|assist|provide"
    r"|answer|fulfill?|comply|do that|create|write|generate|support|engage|discuss|give|share"
    r"|participate|offer|respond|recommend|condone|follow)"
    r"|as an? (?:ai|artificial intelligence)\b.{0,80}?\b(?:can'?t|can’t|cannot|unable|not able"
    r"|do not|don'?t|don’t|not appropriate)"
    r"|(?:it is|it's|it’s|that is|that's) (?:not|in)[ -]?(?:appropriate|ethical|acceptable)"
    r" (?:for|to)"
    r")"
)
_LINK = r"(?i)https?://|www\.[a-z0-9]"
_HARSH = (
    r"(?i)\b(?:stupid|idiots?|idiotic|morons?|pathetic|disgusting|despicable|hate you|i hate"
    r"|worthless|shut up|dumb|losers?|horrible|terrible|awful|useless|worst|scam|garbage|evil)\b"
)
_KINDS = np.zeros(256, np.uint8)
_VOWEL, _CONSONANT, _CAPITAL, _BLANK, _HIGH = 1, 2, 4, 8, 16
for _letter in b"abcdefghijklmnopqrstuvwxyz":
    _KINDS[_letter] = _VOWEL if _letter in b"aeiouy" else _CONSONANT
    _KINDS[_letter - 32] = _KINDS[_letter] | _CAPITAL
_KINDS[list(b" \t\r\n")] = _BLANK
_KINDS[128:] = _HIGH


class Trait(IntEnum):
    """What a response may have, the most telling first: the bit that says so."""

    REFUSES = 0
    GIBBERISH = 1
    FOREIGN = 2
    CAPITALS = 3
    LINK = 4
    HARSH = 5

    @property
    def words(self) -> str:
        """The trait for people, after "responses that"."""
        return _WORDS[self]


_WORDS = {
    Trait.REFUSES: "refuse",
    Trait.GIBBERISH: "are strings of letters without sense",
    Trait.FOREIGN: "are in another script than the prompt",
    Trait.CAPITALS: "are in capital letters",
    Trait.LINK: "hold a link",
    Trait.HARSH: "insult or condemn",
}


def traits(values: pa.Array) -> Traits:
    """The traits of texts, a bit for each, ``uint64`` of shape (texts,).

    ``FOREIGN`` is set where more than 30 % of the bytes are not ASCII; whether the prompt is in
    that script too is for the caller to say.
    """
    head = pc.binary_slice(pc.cast(values, pa.binary()), 0, HEAD)
    found = np.zeros(len(values), np.uint64)
    found |= _bit(Trait.REFUSES, _refuses(pc.binary_slice(head, 0, _START)))
    for trait, pattern in ((Trait.LINK, _LINK), (Trait.HARSH, _HARSH)):
        found |= _bit(trait, np.asarray(pc.match_substring_regex(head, pattern), bool))
    size, count = _counted(head)
    letters = count[_VOWEL] + count[_CONSONANT]
    latin = (count[_HIGH] <= 0.1 * size) & (letters >= 20)
    unspeakable = count[_VOWEL] < np.where(letters < 60, 0.15, 0.28) * letters
    unbroken = (size >= 40) & (count[_BLANK] < 0.02 * size) & (letters > 0.7 * size)
    found |= _bit(Trait.GIBBERISH, latin & (unspeakable | unbroken))
    found |= _bit(Trait.FOREIGN, (count[_HIGH] > 0.3 * size) & (size >= 10))
    found |= _bit(Trait.CAPITALS, (letters >= 8) & (count[_CAPITAL] > 0.7 * letters))
    return found


def foreign(values: pa.Array) -> NDArray[np.bool_]:
    """Whether a prompt holds some of another script than ASCII's: more than 5 % of its bytes."""
    head = pc.binary_slice(pc.cast(values, pa.binary()), 0, HEAD)
    size, count = _counted(head)
    return np.asarray(count[_HIGH] > 0.05 * size, bool)


def _refuses(start: pa.Array) -> NDArray[np.bool_]:
    found = np.asarray(pc.match_substring_regex(start, _MAY_REFUSE), bool).copy()
    maybe = np.flatnonzero(found)
    found[maybe] = pc.match_substring_regex(start.take(pa.array(maybe)), _REFUSES)
    return found


def _bit(trait: Trait, holds: NDArray[np.bool_]) -> Traits:
    return np.asarray(holds.astype(np.uint64) << np.uint64(trait), np.uint64)


def _counted(head: pa.Array) -> tuple[NDArray[np.int64], dict[int, NDArray[np.int64]]]:
    """Bytes of each text, and how many of them are of each kind."""
    whole = pa.concat_arrays([head])  # so that offsets start at 0
    _, offsets, data = whole.buffers()
    ends = np.frombuffer(offsets, np.int32, len(whole) + 1, whole.offset * 4).astype(np.int64)
    kinds = _KINDS[np.frombuffer(data or b"", np.uint8)]
    counts = {}
    for kind in (_VOWEL, _CONSONANT, _CAPITAL, _BLANK, _HIGH):
        total = np.concatenate([[0], np.cumsum((kinds & kind) > 0)])
        counts[kind] = np.diff(total[ends])
    return np.diff(ends), counts
