"""One fast look at text, shared by all that search it: which places deserve a closer one.

Nearly all text of nearly all datasets holds nothing that any check looks for. What tells so are a
few passes over the bytes with vector instructions, each made at most once for a batch however many
checks ask:

* not ASCII, control characters: reductions;
* a long run without blanks, as encoded data has: spaces are compared, then pieces of 32 bytes;
* ``<`` and ``:``, as tags and addresses have;
* what markup that acts, instructions and keys have: expressions, ``poisonscan.datasets.signs``.

A closer look is the business of who asks, at the neighbourhood of what was seen: Python, or first a
regular expression of RE2 (linear time, about 0.6 GB/s).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from poisonscan.datasets.encoding import stored_bytes
from poisonscan.datasets.signs import SIGNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Indices = NDArray[np.int64]
Bytes = NDArray[np.uint8]

RUN = 128
"""Bytes of a run without blanks that ``long_runs`` is sure to see."""
DIGITS = (32, 40, 56, 64, 96, 128)
"""Lengths of MD5, SHA-1 and the SHA-2 digests in hexadecimal."""
_BLOCK = 1 << 17
_PIECE = 32
_LONG = 32
"""Mean bytes from which spots are copied one by one."""
_LOWEST, _HIGHEST = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_TABS = np.uint64(0x0909090909090909)
_BLANKS = np.zeros(256, bool)
_BLANKS[[*b" \t", *range(128, 256)]] = True
_BYTE = np.dtype(np.uint8)
_FIRST, _LAST = (int.from_bytes(signs, "little") for signs in (b":/", b"//"))
_NONE = np.empty(0, np.int64)


@dataclass(frozen=True)
class Spots:
    """Parts of strings, in order and apart from each other.

    Attributes:
        strings: number of the string of each, ``int64``.
        starts: first byte, counted over all strings.
        ends: one past the last byte.
    """

    strings: Indices
    starts: Indices
    ends: Indices

    def __getitem__(self, which: Indices | NDArray[np.bool_]) -> Spots:
        """Some of them."""
        return Spots(self.strings[which], self.starts[which], self.ends[which])

    def __len__(self) -> int:
        """How many there are."""
        return len(self.starts)


@dataclass(frozen=True)
class Screen:
    """What a glance at some strings shows.

    Attributes:
        values: strings without nulls.
    """

    values: pa.Array

    @cached_property
    def data(self) -> Bytes:
        """The bytes of all strings, one after the other, without a copy."""
        data, offsets = stored_bytes(self.values)
        return np.frombuffer(data[offsets[0] : offsets[-1]], np.uint8)

    @cached_property
    def offsets(self) -> Indices:
        """Where each string starts, and the last ends, counted from the first byte of the first."""
        _, offsets = stored_bytes(self.values)
        counted: Indices = offsets - offsets[0]
        return counted

    @cached_property
    def non_ascii(self) -> Indices:
        """Where characters beyond ASCII start, ``int64``, ascending."""
        if not len(self.data) or self.data.view(np.int8).min() >= 0:
            return _NONE
        return self._where(lambda block: block >= 0xC2)

    @cached_property
    def _leads(self) -> tuple[Indices, NDArray[np.uint16]]:
        """Where characters beyond ASCII start, and their first two bytes."""
        at = self.non_ascii[self.non_ascii < len(self.data) - 1]
        return at, self.data[at].astype(np.uint16) << np.uint16(8) | self.data[at + 1]

    def leading(self, pairs: NDArray[np.bool_]) -> Indices:
        """Where characters beyond ASCII start with some pairs of bytes.

        Args:
            pairs: which pairs, ``bool`` of shape (65536,), the first byte counting 256.
        """
        at, codes = self._leads
        found: Indices = at[pairs.take(codes)]
        return found

    @cached_property
    def controls(self) -> Indices:
        """Strings with an ASCII control character other than a tab or a line break."""
        at = self._where(_controls)
        return np.unique(self.strings_of(at))

    @cached_property
    def angles(self) -> Indices:
        """Where a ``<`` is, as all markup has."""
        return self._where(lambda block: block == ord("<"))

    @cached_property
    def schemes(self) -> Indices:
        """Where ``://`` is, as addresses have."""
        # Bytes are compared in twos: the first two signs are together there, or else the last two.
        at = self._where(lambda block: (block == _FIRST) | (block == _LAST), np.dtype("<u2"))
        at = at - (self.data[at] == ord("/"))
        at = at[(at >= 0) & (at < len(self.data) - 2)]
        for offset, sign in enumerate(b"://"):
            at = at[self.data[at + offset] == sign]
        within: Indices = at[self.strings_of(at) == self.strings_of(at + 2)]
        return within

    @cached_property
    def signs(self) -> dict[str, Indices]:
        """The last bytes of what checks look for, by name; it may begin in the string before."""
        return SIGNS.find(self.data)

    @cached_property
    def long_runs(self) -> Spots:
        """Runs of ``RUN`` bytes or more of ASCII without blanks; line breaks may be in them."""
        first, last = self._solid
        starts, ends = first * _PIECE, (last + 1) * _PIECE
        # In the pieces beside them is a blank, or the bytes end there.
        starts -= self._blank_at(starts[:, None] - 1 - np.arange(_PIECE)).argmax(1)
        ends += self._blank_at(ends[:, None] + np.arange(_PIECE)).argmax(1)
        spots = self._within(starts, ends)
        return spots[spots.ends - spots.starts >= RUN]

    def _blank_at(self, at: Indices) -> NDArray[np.bool_]:
        """Whether a byte is a blank, beyond ASCII, or not there at all."""
        there = (at >= 0) & (at < len(self.data))
        return _BLANKS[self.data.take(at, mode="clip")] | ~there

    @cached_property
    def _solid(self) -> tuple[Indices, Indices]:
        """First and last in a row of pieces of ``_PIECE`` bytes of ASCII without blanks.

        Runs of ``RUN`` bytes hold three such pieces, however they lie.
        """
        whole = self.data[: len(self.data) // _PIECE * _PIECE]
        found = [_NONE]
        for start in range(0, len(whole), _BLOCK):
            # A bit for each byte: a piece is a number of 32 bits.
            spaces = np.packbits(whole[start : start + _BLOCK] == ord(" ")).view(np.uint32)
            found.append(np.flatnonzero(spaces == 0) + start // _PIECE)
        at = np.concatenate(found)
        at = at[_in_row(at, RUN // _PIECE - 1)]
        eights = whole.view(np.uint64).reshape(-1, _PIECE // 8)[at]
        tabs = eights ^ _TABS  # a byte of zero where one is, and then a borrow
        other = eights | ((tabs - _LOWEST) & ~tabs)
        at = at[np.bitwise_or.reduce(other.T) & _HIGHEST == 0]
        at = at[_in_row(at, RUN // _PIECE - 1)]
        starts = np.flatnonzero(np.diff(at, prepend=-2) > 1)
        return at[starts], at[np.append(starts, len(at))[1:] - 1]

    @cached_property
    def digest_sized(self) -> Indices:
        """Strings as long as a digest in hexadecimal."""
        return np.flatnonzero(np.isin(np.diff(self.offsets), DIGITS))

    def characters(self, at: Indices) -> NDArray[np.int32]:
        """The characters that start at some bytes and are beyond ASCII, as code points."""
        bytes_ = self.data[np.minimum(at[:, None] + np.arange(4), len(self.data) - 1)]
        one, two, three, four = bytes_.astype(np.int32).T
        tail = (two & 63) << 6 | three & 63
        found: NDArray[np.int32] = np.where(
            one < 0xE0,
            (one & 31) << 6 | two & 63,
            np.where(one < 0xF0, (one & 15) << 12 | tail, (one & 7) << 18 | tail << 6 | four & 63),
        )
        return found

    def strings_of(self, at: Indices) -> Indices:
        """The number of the string that each byte is in, ``int64``."""
        found: Indices = np.searchsorted(self.offsets, at, "right") - 1
        return found

    def around(self, at: Indices, before: int, after: int) -> Spots:
        """What is around some bytes in their strings; what overlaps is one spot.

        Args:
            at: the bytes, ascending.
            before: bytes before each.
            after: bytes from each on.
        """
        strings = self.strings_of(at)
        starts = np.maximum(at - before, self.offsets[strings])
        ends = np.minimum(at + after, self.offsets[strings + 1])
        return _merged(Spots(strings, starts, ends))

    def widened(self, spots: Spots, before: int, after: int) -> Spots:
        """Spots with what is before and after them in their strings."""
        starts = np.maximum(spots.starts - before, self.offsets[spots.strings])
        ends = np.minimum(spots.ends + after, self.offsets[spots.strings + 1])
        return _merged(Spots(spots.strings, starts, ends))

    def united(self, *parts: Spots) -> Spots:
        """All spots; what overlaps is one."""
        starts = np.concatenate([part.starts for part in parts])
        every = Spots(
            np.concatenate([part.strings for part in parts]),
            starts,
            np.concatenate([part.ends for part in parts]),
        )
        return _merged(every[np.argsort(starts, kind="stable")])

    def matching(self, spots: Spots, *patterns: str) -> Spots:
        """Spots in whose bytes one of some RE2 patterns of ASCII matches."""
        if not len(spots):
            return spots
        pieces = self._pieces(spots)
        found = np.zeros(len(spots), bool)
        for pattern in patterns:
            rest = np.flatnonzero(~found)
            some = pieces if len(rest) == len(spots) else pieces.take(pa.array(rest))
            found[rest] = np.asarray(pc.match_substring_regex(some, pattern), bool)
        return spots[found]

    def texts(self, spots: Spots) -> Iterator[tuple[int, str]]:
        """What spots say, with the numbers of their strings; what is no UTF-8 is replaced."""
        view = self.data.data
        pairs = zip(spots.starts.tolist(), spots.ends.tolist(), strict=True)
        for string, (start, end) in zip(spots.strings.tolist(), pairs, strict=True):
            yield string, bytes(view[start:end]).decode("utf-8", "replace")

    def whole(self, strings: Indices) -> Spots:
        """Strings as spots."""
        return Spots(strings, self.offsets[strings], self.offsets[strings + 1])

    def among(self, strings: Indices, pattern: str) -> Indices:
        """Those of some strings that match an RE2 pattern somewhere."""
        if not len(strings):
            return strings
        chosen = self.values.take(pa.array(strings))
        matched: Indices = strings[np.asarray(pc.match_substring_regex(chosen, pattern), bool)]
        return matched

    def _where(
        self, test: Callable[[NDArray[Any]], NDArray[np.bool_]], kind: np.dtype[Any] = _BYTE
    ) -> Indices:
        """The bytes that pass a test, or the first bytes of the numbers of some kind that do.

        What is looked at together fits into a processor's cache.
        """
        found, width = [], kind.itemsize
        whole = self.data[: len(self.data) // width * width]
        for start in range(0, len(whole), _BLOCK):
            at = _true(test(whole[start : start + _BLOCK].view(kind)))
            if len(at):
                found.append(at * width + start)
        return np.concatenate(found) if found else _NONE

    def _within(self, starts: Indices, ends: Indices) -> Spots:
        """Spots of parts that may reach over strings: one for each string that they touch."""
        starts, ends = np.maximum(starts, 0), np.minimum(ends, len(self.data))
        first, last = self.strings_of(starts), self.strings_of(np.maximum(ends - 1, 0))
        counts = np.maximum(last - first + 1, 0)
        begin = np.cumsum(counts) - counts
        strings = np.repeat(first - begin, counts) + np.arange(counts.sum())
        starts = np.maximum(np.repeat(starts, counts), self.offsets[strings])
        ends = np.minimum(np.repeat(ends, counts), self.offsets[strings + 1])
        held = ends > starts
        return self.united(Spots(strings[held], starts[held], ends[held]))

    def _pieces(self, spots: Spots) -> pa.Array:
        """What spots say, as binary strings."""
        lengths = spots.ends - spots.starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        if offsets[-1] > _LONG * len(spots):
            view = self.data.data
            pairs = zip(spots.starts.tolist(), spots.ends.tolist(), strict=True)
            data = np.frombuffer(b"".join([view[a:b] for a, b in pairs]), np.uint8)
        else:
            taken = np.arange(offsets[-1]) + np.repeat(spots.starts - offsets[:-1], lengths)
            data = self.data[taken]
        return pa.Array.from_buffers(
            pa.large_binary(), len(spots), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        )


def _in_row(numbers: Indices, least: int) -> NDArray[np.bool_]:
    """Which of some ascending numbers are among so many in a row."""
    starts = np.flatnonzero(np.diff(numbers, prepend=-2) > 1)
    counts = np.diff(np.append(starts, len(numbers)))
    return np.repeat(counts >= least, counts)


def _true(tested: NDArray[np.bool_]) -> Indices:
    """Where few of many are true: eight are looked at together."""
    even = len(tested) // 8 * 8
    eights = np.flatnonzero(tested[:even].view(np.uint64) != 0)
    if len(eights) * 8 > even // 4:
        return np.flatnonzero(tested)
    row, column = np.nonzero(tested[:even].reshape(-1, 8)[eights])
    rest = np.flatnonzero(tested[even:]) + even
    return np.concatenate([eights[row] * 8 + column, rest])


def _controls(block: Bytes) -> NDArray[np.bool_]:
    """Which bytes are unusual controls; of no length if none is."""
    rest = block - np.uint8(11)  # from 11 to 31; smaller ones become large
    if block.min() >= 9 and block.view(np.int8).max() < 127 and not (rest < 32 - 11).any():
        return np.zeros(0, bool)
    breaks = (block == ord("\n")) | (block == ord("\t")) | (block == ord("\r"))
    unusual: NDArray[np.bool_] = ((block < 32) & ~breaks) | (block == 127)
    return unusual


def _merged(spots: Spots) -> Spots:
    """Spots that overlap, in the same string, made one."""
    if len(spots) < 2:
        return spots
    strings, starts, ends = spots.strings, spots.starts, spots.ends
    reach = np.maximum.accumulate(ends)
    new = np.append(True, (starts[1:] > reach[:-1]) | (strings[1:] != strings[:-1]))
    first = np.flatnonzero(new)
    return Spots(strings[first], starts[first], np.maximum.reduceat(ends, first))
