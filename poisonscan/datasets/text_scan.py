"""One fast look at text, shared by all that search it: which places deserve a closer one.

Nearly all text of nearly all datasets holds nothing that any check looks for. What tells so are a
few passes over the bytes with vector instructions, each made at most once for a batch however many
checks ask:

* not ASCII, control characters: reductions;
* a long run without blanks, as encoded data has: every fourth byte is compared;
* short runs without blanks, as keys have: blanks are compared, then bytes in fours;
* ``<`` and ``:``, as markup and addresses have;
* words that markup, instructions and keys have: ``poisonscan.datasets.literals``.

A closer look is the business of who asks, at the neighbourhood of what was seen: first a regular
expression of RE2 (linear time, about 0.6 GB/s), and Python for what it lets through.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from poisonscan.datasets.signs import LITERALS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Indices = NDArray[np.int64]
Bytes = NDArray[np.uint8]

RUN = 128
"""Bytes of a run without blanks that ``long_runs`` is sure to see."""
TOKEN = 20
"""Letters of a run that ``tokens`` is sure to see."""
DIGITS = (32, 40, 56, 64, 96, 128)
"""Lengths of MD5, SHA-1 and the SHA-2 digests in hexadecimal."""
_BLOCK = 1 << 17
_FOURS = 4
"""Fours of bytes that are within any ``TOKEN`` letters, however they lie."""
_MIXED = 4
"""Capitals and digits among 16 letters: of random ones, 3 in 10,000 have fewer."""
_HEAD, _TAIL = 24, 24
_LONG = 32
"""Mean bytes from which spots are copied one by one."""
_ONES = np.uint32(0x01010101)
_MIXED_LETTER, _LETTER, _BLANK = np.uint32(1), np.uint32(2), np.uint32(4)
_BLANKS = np.uint64(0x0404040404040404)
_MIXED_LETTERS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS = _MIXED_LETTERS + b"abcdefghijklmnopqrstuvwxyz_-+/"
_CLASSES = bytes(
    _MIXED_LETTER * (byte in _MIXED_LETTERS)
    + _LETTER * (byte in _LETTERS)
    + _BLANK * (byte in b" \t" or byte >= 128)
    for byte in range(256)
)
"""What a byte may be part of, in bits."""
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
        raw = np.frombuffer(self.values.buffers()[1] or b"\0\0\0\0", np.int32)
        data = np.frombuffer(self.values.buffers()[2] or b"", np.uint8)
        return data[raw[self.values.offset] : raw[self.values.offset + len(self.values)]]

    @cached_property
    def offsets(self) -> Indices:
        """Where each string starts, and the last ends, counted from the first byte of the first."""
        raw = np.frombuffer(self.values.buffers()[1] or b"\0\0\0\0", np.int32)
        part = raw[self.values.offset : self.values.offset + len(self.values) + 1]
        offsets = part.astype(np.int64)
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
    def marks(self) -> Indices:
        """Where an ``@`` is."""
        return self._where(lambda block: block == ord("@"))

    @cached_property
    def schemes(self) -> Indices:
        """Where ``://`` is, as addresses have."""
        at = self._where(lambda block: block == ord(":"))
        at = at[at < len(self.data) - 2]
        slash = ord("/")
        at = at[self.data[at + 1] == slash]
        at = at[self.data[at + 2] == slash]
        within: Indices = at[self.strings_of(at) == self.strings_of(at + 2)]
        return within

    @cached_property
    def literals(self) -> dict[str, Indices]:
        """Where words start that some check looks for, by group; they may reach over strings."""
        return LITERALS.find(self.data)

    @cached_property
    def long_runs(self) -> Spots:
        """Runs of ``RUN`` bytes or more of ASCII without blanks, and a bit more.

        Line breaks may be in them.
        """
        _, _, eights = self._classes
        if len(eights) < RUN // 8 - 1:
            return self.whole(np.flatnonzero(np.diff(self.offsets) >= RUN))
        # Runs hold three pieces of 32 bytes; they reach less than a piece further on both sides.
        piece = eights[: len(eights) // 4 * 4].view(np.uint32) == _ONES
        at = np.flatnonzero(piece[:-2] & piece[1:-1] & piece[2:])
        first = np.flatnonzero(np.diff(at, prepend=-2) > 1)
        last = np.append(first[1:], len(at)) - 1 if len(at) else first
        spots = self._within(at[first] * 32 - 31, at[last] * 32 + 4 * 32 - 1)
        return spots[spots.ends - spots.starts >= RUN]

    @cached_property
    def tokens(self) -> Spots:
        """Runs of ``TOKEN`` or more letters as keys and base64 have them, and a bit more.

        Only such as have capitals and digits: names in programs have few.
        """
        solid, mixed, _ = self._classes
        if len(solid) < _FOURS:
            return self.whole(np.flatnonzero(np.diff(self.offsets) >= TOKEN))
        at = np.flatnonzero(solid[:-3] & solid[1:-2] & solid[2:-1] & solid[3:])
        at = at[sum(mixed[at + number] for number in range(_FOURS)) >= _MIXED]
        first = np.flatnonzero(np.diff(at, prepend=-_FOURS) > 1)
        last = np.append(first[1:], len(at)) - 1 if len(at) else first
        return self._within(at[first] * 4 - _HEAD, at[last] * 4 + _TAIL)

    @cached_property
    def _tokens(self) -> pa.Array:
        """What ``tokens`` say, for all that look at them."""
        return self._pieces(self.tokens)

    @cached_property
    def _classes(self) -> tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.bool_]]:
        """Fours of letters, capitals and digits in fours of bytes, eights without blanks."""
        size = -(-len(self.data) // 8) * 8
        solid, mixed = np.empty(size // 4, bool), np.empty(size // 4, np.uint8)
        eights = np.empty(size // 8, bool)
        for start in range(0, size, _BLOCK):
            block = self.data[start : start + _BLOCK].tobytes().translate(_CLASSES)
            block += bytes(-len(block) % 8)
            fours = np.frombuffer(block, np.uint32)
            part = slice(start // 4, start // 4 + len(fours))
            np.equal(fours & (_ONES * _LETTER), _ONES * _LETTER, out=solid[part])
            # The product has the sum of the four bytes in its highest.
            mixed[part] = ((fours & _ONES) * _ONES) >> np.uint32(24)
            np.equal(
                np.frombuffer(block, np.uint64) & _BLANKS,
                0,
                out=eights[start // 8 :][: len(block) // 8],
            )
        return solid, mixed, eights

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
        pieces = self._tokens if spots is self.tokens else self._pieces(spots)
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

    def _where(self, test: Callable[[Bytes], NDArray[np.bool_]]) -> Indices:
        """The bytes that pass a test; pieces of them fit into a processor's cache."""
        found = []
        for start in range(0, len(self.data), _BLOCK):
            at = np.flatnonzero(test(self.data[start : start + _BLOCK]))
            if len(at):
                found.append(at + start)
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


def _controls(block: Bytes) -> NDArray[np.bool_]:
    """Which bytes are unusual controls; of no length if none is."""
    highest = block.view(np.int8).max()
    if block.min() >= 9 and highest < 127:
        usual = int(np.count_nonzero(block < 11))
        usual += int(np.count_nonzero(block == ord("\r")))
        if int(np.count_nonzero(block < 32)) == usual:
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
