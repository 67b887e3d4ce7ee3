"""Texts as sets of hashed word sequences (shingles), modulo case, blanks, punctuation and form.

The resemblance of two texts is the Jaccard similarity of their shingle sets: A. Z. Broder 1997, "On
the resemblance and containment of documents". Everything is done on the bytes of many texts at a
time; words are what blanks and punctuation separate, each CJK character is a word of its own.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

MAX_BYTES = 1 << 20
"""Bytes of a text that are looked at."""
MIN_WORDS = 4
"""Shorter texts have no shingles."""
LONG, LONG_WIDTH = 40, 5
"""Texts of at least so many words have sequences of ``LONG_WIDTH`` words as shingles."""
SHORT, SHORT_WIDTH = 60, 2
"""Texts of at most so many words have sequences of ``SHORT_WIDTH`` words as shingles. Texts of
``LONG`` to ``SHORT`` words have both, so that no two similar texts fall to different sides."""
_BLOCK = 256 << 10
_PIECE = 32
"""Bytes after which a run without blanks is cut into another word."""
_BLANK = ord(" ")
_FOLD = bytes(
    byte if byte > 127 or chr(byte).isalnum() else _BLANK for byte in range(256)
).translate(bytes(byte + 32 if 65 <= byte <= 90 else byte for byte in range(256)))
_KEEP_LINES = _FOLD[:10] + b"\n" + _FOLD[11:]
_UNSEEN = tuple(
    chr(point).encode()
    for first, last in (
        (0xAD, 0xAD),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x2064),
        (0xFEFF,) * 2,
    )
    for point in range(first, last + 1)
)
"""Characters that show nothing: gone before words are told apart."""
_SIGNS = ((0xC2, 0, 2), (0xE2, 0, 3), (0xE3, 0x80, 3))
"""UTF-8 of punctuation and symbols: first byte, second byte (0: any), number of bytes."""
_CJK = bytes(range(0xE3, 0xEA))
"""First bytes of the UTF-8 of U+3000 to U+9FFF: a word each, as no blanks stand between them."""
_MIX = np.uint64(0xD6E8FEB86659FD93)
_STEP = np.uint64(0x9E3779B97F4A7C15)
_POWERS = _STEP ** np.arange(1, LONG_WIDTH + 1, dtype=np.uint64)
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)


@dataclass(frozen=True, slots=True)
class Shingles:
    """Shingles of one width of some consecutive texts.

    Attributes:
        start: position of the first of the texts.
        size: number of texts.
        width: words in a shingle.
        counts: shingles of each text, repeated ones included, ``int64`` of shape (size,); 0 for a
            text that is too short or too long for this width.
        hashes: of the shingles, text by text, ``uint64``.
    """

    start: int
    size: int
    width: int
    counts: Ints
    hashes: Hashes

    @property
    def docs(self) -> Ints:
        """Text of each shingle, from 0, ``int64``."""
        return np.repeat(np.arange(self.size), self.counts)


def shingles(values: pa.Array) -> Iterator[Shingles]:
    """Shingles of texts, a block of texts at a time, one item for each width that occurs.

    Args:
        values: strings without nulls.
    """
    data = pc.cast(values, pa.binary())
    if not len(data):
        return
    lengths = np.asarray(pc.binary_length(data)).astype(np.int64)
    if lengths.max() > MAX_BYTES:
        data = pc.binary_slice(data, 0, MAX_BYTES)  # the end of a character may be left behind
        lengths = np.minimum(lengths, MAX_BYTES)
    ends = np.cumsum(lengths + 1)
    start = 0
    while start < len(data):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BLOCK, "right")))
        yield from _block(data.slice(start, stop - start), start)
        start = stop


def _block(texts: pa.Array, start: int) -> Iterator[Shingles]:
    counts, words = _words(texts)
    for width, chosen in (
        (SHORT_WIDTH, (counts >= MIN_WORDS) & (counts <= SHORT)),
        (LONG_WIDTH, counts >= LONG),
    ):
        if not chosen.any():
            continue
        kept = words if chosen.all() else words[np.repeat(chosen, counts)]
        lengths = np.where(chosen, counts, 0)
        number = np.where(chosen, counts - width + 1, 0)
        yield Shingles(start, len(texts), width, number, _sequences(kept, lengths, width))


def _sequences(words: Hashes, counts: Ints, width: int) -> Hashes:
    """Hashes of all sequences of ``width`` words that lie within one text."""
    size = len(words) - width + 1
    mixed = words[:size] * _POWERS[0]
    for place in range(1, width):
        mixed += words[place : place + size] * _POWERS[place]
    ends = np.cumsum(counts[counts > 0])[:-1]
    over = np.ones(size, bool)
    for place in range(1, width):
        over[ends - place] = False
    return mix(mixed[over] + np.uint64(width))


def mix(values: Hashes) -> Hashes:
    """Scramble 64-bit numbers so that all bits of one decide all bits of the other."""
    mixed = values ^ (values >> np.uint64(32))
    mixed *= _MIX
    mixed ^= mixed >> np.uint64(29)
    mixed *= _STEP
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _words(texts: pa.Array) -> tuple[Ints, Hashes]:
    """Number of words of each text, and a hash of each word."""
    data, offsets = _folded(texts)
    solid = data != _BLANK
    edge = np.flatnonzero(solid[1:] != solid[:-1])
    edge += 1  # the first byte is a blank
    starts, ends = edge[::2], edge[1::2]
    lead = np.frombuffer(data.tobytes().translate(_IS_CJK), bool) if data.max() > 127 else None
    if lead is not None and lead.any():
        more = np.flatnonzero(lead)
        starts = np.unique(np.concatenate([starts, more]))
        ends = ends[np.searchsorted(ends, starts, "right")]
        ends[:-1] = np.minimum(ends[:-1], starts[1:])
    lengths = ends - starts
    if len(lengths) and lengths.max() > _PIECE:
        starts, lengths = _pieces(starts, lengths)
    counts = np.diff(np.searchsorted(starts, offsets))
    return counts, _word_hashes(data, starts, lengths)


_IS_CJK = bytes(byte in _CJK for byte in range(256))


def _pieces(starts: Ints, lengths: Ints) -> tuple[Ints, Ints]:
    """Long words cut into several."""
    parts = (lengths + _PIECE - 1) // _PIECE
    which = np.repeat(np.arange(len(parts)), parts)
    place = (np.arange(len(which)) - (np.cumsum(parts) - parts)[which]) * _PIECE
    return starts[which] + place, np.minimum(lengths[which] - place, _PIECE)


def _word_hashes(data: Bytes, starts: Ints, lengths: Ints) -> Hashes:
    """A hash of up to ``_PIECE`` bytes from each start, eight at a time."""
    windows = np.ndarray((len(data) - 8,), "<u8", data, strides=(1,))
    hashes = windows.take(starts)
    hashes &= _MASKS.take(np.minimum(lengths, 8))
    hashes += lengths.view(np.uint64) * _POWERS[1]
    hashes = mix(hashes)
    for place in range(8, _PIECE, 8):
        longer = np.flatnonzero(lengths > place)
        if not len(longer):
            break
        more = windows.take(starts[longer] + place)
        more &= _MASKS.take(np.minimum(lengths[longer] - place, 8))
        hashes[longer] = mix(hashes[longer] * _POWERS[2] + more)
    return hashes


def _folded(texts: pa.Array) -> tuple[Bytes, Ints]:
    """Bytes of the texts in lower case, punctuation as blanks, and where each text begins.

    A blank stands before the first text and behind each; eight more follow. ``offsets`` has the end
    as its last.
    """
    parts = texts.to_pylist()
    joined = b" ".join(parts)
    lengths = np.asarray(pc.binary_length(texts)).astype(np.int64)
    if not joined.isascii():
        joined, foreign = _plain_punctuation(joined)
        if len(foreign):
            joined, lengths = _composed(joined, lengths, foreign)
    offsets = np.concatenate([[1], np.cumsum(lengths + 1) + 1])
    folded = b" " + joined.translate(_FOLD) + b" " * 9
    return np.frombuffer(folded, np.uint8), offsets


def _plain_punctuation(joined: bytes) -> tuple[bytes, Ints]:
    """The quotes, dashes and blanks of typesetters (U+00A0, U+2010 to U+2029) as blanks.

    They are taken out first because most texts have no other signs that are not ASCII.

    Returns:
        The texts, and where bytes are that are not ASCII still.
    """
    data = np.frombuffer(bytearray(joined + b"  "), np.uint8)
    foreign = np.flatnonzero(data > 127)
    first, second, third = (data[foreign + place] for place in range(3))
    quotes = foreign[(first == 0xE2) & (second == 0x80) & (third >= 0x90) & (third <= 0xA9)]
    blanks = foreign[(first == 0xC2) & (second == 0xA0)]
    for at in (quotes, quotes + 1, quotes + 2, blanks, blanks + 1):
        data[at] = _BLANK
    return data[:-2].tobytes(), foreign[data[foreign] > 127]


def _composed(joined: bytes, lengths: Ints, foreign: Ints) -> tuple[bytes, Ints]:
    """Texts with a blank between them, those that are not ASCII in form NFKC and lower case."""
    ends = np.cumsum(lengths + 1)
    chosen = np.unique(np.searchsorted(ends, foreign, "right")).tolist()
    begins = (ends - lengths - 1).tolist()
    stops = (ends - 1).tolist()
    # Once folded, texts have no line breaks of their own.
    lines = b"\n".join([joined[begins[i] : stops[i]].translate(_FOLD) for i in chosen])
    for sign in _UNSEEN:
        lines = lines.replace(sign, b"")
    composed = unicodedata.normalize("NFKC", lines.decode("utf-8", "replace")).lower()
    signs = np.frombuffer(bytearray(composed.encode().translate(_KEEP_LINES)), np.uint8)
    for lead, second, length in _SIGNS:
        at = np.flatnonzero(signs == lead)
        if second:
            at = at[signs[at + 1] == second]
        for place in range(length):
            signs[at + place] = _BLANK
    parts = signs.tobytes().split(b"\n")
    texts = [joined[a:b] for a, b in zip(begins, stops, strict=True)]
    for index, part in zip(chosen, parts, strict=True):
        texts[index] = part
    return b" ".join(texts), np.fromiter(map(len, texts), np.int64, len(texts))
