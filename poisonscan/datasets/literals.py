"""Fixed words in bytes, many at once and fast, for searches that need not look at all the rest.

Every fourth position is looked at: of a word of seven letters, four neighbours are in one piece
there, however the word lies. What four letters may be part of a word is looked up in a table, the
few that may are compared whole. (Wu and Manber 1994, "A fast algorithm for multi-pattern
searching", skip in a like way.) Letters of a word that is one shorter are completed by any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Indices = NDArray[np.int64]

SHORTEST = 6
"""Bytes of a word, at the least."""
_GRAM = 4
_FOLD = 0x20
"""A bit that capitals lack. It is set everywhere: a few signs are taken for others at first."""
_BLOCK = 1 << 17
_CANDIDATES = 1 << 18
_FACTOR = np.uint32(2_654_435_761)
"""Spreads four letters over the tables (Knuth 1998, section 6.4: the golden ratio of 2**32)."""
_LETTERS = (
    "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve "
    "co me de hi ri ro ic ne ea ra ce li ch ll be ma si om ur no so ec ct ns us ol pe tr ai em"
)
_PAIRS = frozenset([*_LETTERS.split(), *(f"{char} " for char in "esdntoryf"), " t", " a", " s"])
"""Frequent pairs of letters in English (Norvig 2012), in no exact order."""


@dataclass(frozen=True)
class Words:
    """Words that are searched for, ASCII letters in either case.

    Attributes:
        names: name of the group of each word.
        words: the words, with the bit ``_FOLD`` set.
        table: whether a word has some four letters, by their hash.
        slots: index into ``grams`` by hash and, for those whose place was taken, by another hash,
            ``int64`` of shape (2, 65536).
        grams: those four letters as a number, ``uint32``, ascending.
        firsts: index into ``places`` of the first of each of ``grams``, and the end of the last.
        places: for each its word, where in it they are, and for two other letters of the word how
            far they are from these four and which, ``int64`` of shape (n, 6).
    """

    names: tuple[str, ...]
    words: tuple[NDArray[np.uint8], ...]
    table: NDArray[np.bool_]
    slots: Indices
    grams: NDArray[np.uint32]
    firsts: Indices
    places: Indices

    def find(self, data: NDArray[np.uint8]) -> dict[str, Indices]:
        """Where words start, by group, ``int64``, ascending."""
        found: dict[str, list[Indices]] = {name: [] for name in self.names}
        pieces: list[tuple[Indices, Indices]] = []
        waiting = 0
        for start in range(0, len(data), _BLOCK):
            at, slots = self._grams_at(data[start : start + _BLOCK])
            pieces.append((at * _GRAM + start, slots))
            waiting += len(at)
            if waiting > _CANDIDATES or start + _BLOCK >= len(data):
                places, which = (np.concatenate(part) for part in zip(*pieces, strict=True))
                self._compare(data, places, which, found)
                pieces, waiting = [], 0
        return {
            name: np.unique(np.concatenate(parts)) if parts else np.empty(0, np.int64)
            for name, parts in found.items()
        }

    def _grams_at(self, block: NDArray[np.uint8]) -> tuple[Indices, Indices]:
        """Which fours of bytes are part of a word, and which of ``grams`` they are."""
        four = _fours(block)
        halves = (four * _FACTOR).view(np.uint16)
        at = np.flatnonzero(self.table.take(halves[1::2].astype(np.intp), mode="clip"))
        four, first = four[at], halves[1::2][at]
        slots = self.slots[0].take(first)
        slots = np.where(self.grams.take(slots) == four, slots, self.slots[1].take(_other(four)))
        right = self.grams.take(slots) == four
        return at[right], slots[right]

    def _compare(
        self,
        data: NDArray[np.uint8],
        at: Indices,
        slots: Indices,
        found: dict[str, list[Indices]],
    ) -> None:
        """Take in the words that some fours of bytes are part of."""
        low = self.firsts[slots]
        counts = self.firsts[slots + 1] - low
        begin = np.cumsum(counts) - counts
        which = np.repeat(low - begin, counts) + np.arange(counts.sum())
        base = np.repeat(at, counts)
        for probe in (2, 4):
            away, letter = self.places[which, probe], self.places[which, probe + 1]
            there = np.clip(base + away, 0, len(data) - 1)
            right = (data[there] | _FOLD) == letter
            which, base = which[right], base[right]
        words, starts = self.places[which, 0], base - self.places[which, 1]
        order = np.argsort(words, kind="stable")
        cuts = np.searchsorted(words[order], np.arange(len(self.words) + 1))
        for number, word in enumerate(self.words):
            mine = starts[order[cuts[number] : cuts[number + 1]]]
            mine = mine[(mine >= 0) & (mine <= len(data) - len(word))]
            for offset, letter in enumerate(word.tolist()):
                if not len(mine):
                    break
                mine = mine[(data[mine + offset] | _FOLD) == letter]
            else:
                found[self.names[number]].append(mine)


def words(groups: Mapping[str, Sequence[str]]) -> Words:
    """Words by the name of their group.

    Raises:
        ValueError: a word is shorter than ``SHORTEST`` bytes.
    """
    names: list[str] = []
    folded: list[NDArray[np.uint8]] = []
    grams: list[tuple[int, ...]] = []
    for name, members in groups.items():
        for member in members:
            word = np.frombuffer(member.lower().encode(), np.uint8) | np.uint8(_FOLD)
            if len(word) < SHORTEST:
                message = f"{member!r} is too short"
                raise ValueError(message)
            for gram, at in _grams(word.tobytes()):
                value = int.from_bytes(gram, "little")
                grams.append((value, len(names), at, *_probes(word.tolist(), at)))
            names.append(name)
            folded.append(word)
    grams.sort()
    values = np.array([value for value, *_ in grams], np.uint32)
    places = np.array([place for _, *place in grams], np.int64)
    distinct, firsts = np.unique(values, return_index=True)
    table, slots = np.zeros(1 << 16, bool), np.zeros((2, 1 << 16), np.int64)
    taken: set[tuple[int, int]] = set()
    hashes = zip(((distinct * _FACTOR) >> 16).tolist(), _other(distinct).tolist(), strict=True)
    for number, (one, other) in enumerate(hashes):
        table[one] = True
        place = (0, one) if (0, one) not in taken else (1, other)
        if place in taken:
            message = "too many words, or an unlucky pair of them"
            raise ValueError(message)
        taken.add(place)
        slots[place] = number
    ends = np.append(firsts, len(values)).astype(np.int64)
    return Words(tuple(names), tuple(folded), table, slots, distinct, ends, places)


def _grams(word: bytes) -> list[tuple[bytes, int]]:
    """Four letters in a row, for each way to lie, with where in the word they are."""
    if len(word) == SHORTEST:
        last = [(word[3:] + bytes([any_]), 3) for any_ in range(256) if any_ & _FOLD]
        return [(word[at : at + _GRAM], at) for at in range(3)] + last
    first = min(range(len(word) - 2 * _GRAM + 2), key=lambda at: _frequency(word[at : at + 7]))
    return [(word[at : at + _GRAM], at) for at in range(first, first + _GRAM)]


def _probes(word: list[int], at: int) -> tuple[int, int, int, int]:
    """Two other letters of a word than those four: how far away, and which."""
    others = [i for i in range(len(word)) if not at <= i < at + _GRAM]
    one, other = others[0], others[-1]
    return one - at, word[one], other - at, word[other]


def _frequency(part: bytes) -> int:
    """How frequent the most frequent four letters in a row may be, by their pairs."""
    pairs = [part[at : at + 2].decode("latin-1") in _PAIRS for at in range(len(part) - 1)]
    return max(sum(pairs[at : at + _GRAM - 1]) for at in range(_GRAM))


def _other(four: NDArray[np.uint32]) -> NDArray[np.uint32]:
    hashed: NDArray[np.uint32] = ((four ^ (four >> np.uint32(15))) * _FACTOR) >> np.uint32(16)
    return hashed


def _fours(block: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Bytes in fours with ``_FOLD`` set; blanks complete the last."""
    folded = block | np.uint8(_FOLD)
    if len(folded) % _GRAM:
        folded = np.append(folded, np.full(-len(folded) % _GRAM, _FOLD, np.uint8))
    return folded.view(np.uint32)
