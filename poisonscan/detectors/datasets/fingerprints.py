"""Hashes of texts that do not tell case, signs and blanks apart."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from poisonscan.datasets.encoding import stored_bytes
from poisonscan.datasets.words import MAX_TEXT, WORD, folded

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_BLOCK = 4 << 20
_BLANK = ord(" ")
_HEAD = 32
"""Bytes of a text in which a word is looked for first."""


def fingerprints(text: pa.Array) -> tuple[Hashes, NDArray[np.bool_]]:
    """Hashes of texts without nulls: the same for those that differ in case, signs and blanks only.

    Returns:
        A hash of each, and whether it holds a word; both of shape (texts,).
    """
    data = pc.cast(text, pa.binary())
    if len(data) and pc.max(pc.binary_length(data)).as_py() > MAX_TEXT:
        data = pc.binary_slice(data, 0, MAX_TEXT)
    hashes, spoken = [np.empty(0, np.uint64)], [np.empty(0, bool)]
    step = max(1, _BLOCK * max(len(data), 1) // max(data.nbytes, 1))
    for start in range(0, len(data), step):
        plain, starts, ends = _single_blanks(folded(data.slice(start, step)))
        spoken.append(ends > starts)
        spans = zip(starts.tolist(), ends.tolist(), strict=True)
        digests = [xxhash.xxh3_64_intdigest(plain[a:b]) for a, b in spans]
        hashes.append(np.array(digests, np.uint64))
    return np.concatenate(hashes), np.concatenate(spoken)


def _single_blanks(block: pa.Array) -> tuple[memoryview, Ints, Ints]:
    """The bytes of texts without blanks that follow another or stand at an end; starts and ends."""
    _, offsets, data = block.buffers()
    at = np.frombuffer(offsets, np.int32)[: len(block) + 1].astype(np.int64)
    raw = np.frombuffer(data or b"", np.uint8)
    blank = raw == _BLANK
    behind = np.ones(len(raw) + 1, bool)  # a blank, or the start of a text
    behind[1:] = blank
    behind[at] = True
    kept = ~(blank & behind[:-1])
    moved = np.concatenate([[0], np.cumsum(kept)])[at]
    plain = raw[kept]
    starts, ends = moved[:-1], moved[1:].copy()
    last = np.flatnonzero(ends > starts)
    ends[last] -= plain[ends[last] - 1] == _BLANK
    return memoryview(plain), starts, ends


def drawn_fingerprints(
    values: pa.Array, share: float
) -> tuple[Hashes, NDArray[np.bool_], NDArray[np.bool_]]:
    """Fingerprints of a share of texts without nulls, drawn by hashes of what they say.

    Returns:
        A hash of each, of use for those that are drawn only; whether it holds a word; and whether
        it is drawn; all of shape (texts,).
    """
    if share >= 1:
        said, spoken = fingerprints(values)
        return said, spoken, np.ones(len(values), bool)
    view, at = stored_bytes(values)
    digest = xxhash.xxh3_64_intdigest
    every = [digest(view[a:b]) for a, b in pairwise(at.tolist())]
    drawn = np.array(every, np.uint64) < np.uint64(int(share * 2**64))
    heads = at[:-1, None] + np.arange(_HEAD)
    letters = WORD[np.asarray(view)[np.minimum(heads, max(len(view) - 1, 0))]]
    spoken = (letters & (heads < at[1:, None])).any(axis=1)
    closer = np.flatnonzero(drawn | ~spoken)
    said = np.zeros(len(values), np.uint64)
    said[closer], spoken[closer] = fingerprints(values.take(pa.array(closer)))
    return said, spoken, drawn
