"""Signatures of shingle sets, and the band keys by which similar texts come together.

One-permutation hashing (Li, Owen, Zhang 2012, "One permutation hashing") with the densification of
Shrivastava 2017, "Optimal densification for fast and accurate minwise hashing"; banding as in
Leskovec, Rajaraman, Ullman, "Mining of massive datasets", chapter 3. Texts of few shingles have a
permutation for each slot, as in A. Z. Broder 1997.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.shingles import SHORT_WIDTH, Shingles, mix, shingles

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

Hashes = NDArray[np.uint64]

BANDS, ROWS = 25, 5
"""Two texts of similarity s share a band with probability 1 - (1 - s**5)**25: .99 at s = .7."""
SLOTS = BANDS * ROWS
_EMPTY = np.uint64(np.iinfo(np.uint64).max)
_HALF = np.uint64(32)
_ATTEMPTS = 4 * SLOTS
_RANDOM = np.random.default_rng(20_170_813)
_DONORS = _RANDOM.integers(SLOTS, size=(_ATTEMPTS, SLOTS))
"""Where an empty slot looks for a value: one column for each slot, the same for all texts."""
_FACTORS = _RANDOM.integers(1 << 63, size=(ROWS, BANDS), dtype=np.uint64) | np.uint64(1)
_PERMUTATIONS = _RANDOM.integers(1 << 63, size=SLOTS, dtype=np.uint64) | np.uint64(1)
_SALTS = _RANDOM.integers(1 << 63, size=BANDS, dtype=np.uint64)


def bands(values: pa.Array) -> Iterator[tuple[NDArray[np.int64], Hashes]]:
    """Band keys of texts, a block and a width of shingles at a time.

    Args:
        values: strings without nulls.

    Yields:
        Which texts, ``int64`` of shape (n,), and their keys, ``uint64`` of shape (n, ``BANDS``).
        Texts without shingles are left out; texts with shingles of two widths come twice.
    """
    for block in shingles(values):
        texts = np.flatnonzero(block.counts)
        keys = band_keys(signatures(block)[texts], block.width)
        yield texts + block.start, keys


def signatures(block: Shingles) -> Hashes:
    """Signatures, ``uint64`` of shape (texts, ``SLOTS``); meaningless for texts without shingles.

    Two signatures agree in a slot with a probability that is the similarity of the sets.
    """
    if block.width == SHORT_WIDTH:
        return _permuted(block)
    slots = ((block.hashes >> _HALF) * np.uint64(SLOTS)) >> _HALF
    places = slots.view(np.int64)
    places += block.docs * SLOTS
    table = np.full(block.size * SLOTS, _EMPTY)
    np.minimum.at(table, places, block.hashes * _FACTORS[0, 0])
    return _densified(table.reshape(-1, SLOTS), block.counts > 0)


def _permuted(block: Shingles) -> Hashes:
    """The smallest hash under each of ``SLOTS`` permutations: exact, and cheap for few shingles."""
    used = np.flatnonzero(block.counts)
    full = np.zeros((block.size, SLOTS), np.uint64)
    if len(used):
        starts = (np.cumsum(block.counts) - block.counts)[used]
        for slot, factor in enumerate(_PERMUTATIONS):
            full[used, slot] = np.minimum.reduceat(block.hashes * factor, starts)
    return full


def _densified(table: Hashes, used: NDArray[np.bool_]) -> Hashes:
    """Fill empty slots with values of others."""
    flat = table.reshape(-1)
    empty = np.flatnonzero((flat == _EMPTY) & np.repeat(used, SLOTS))
    full = table.copy().reshape(-1)
    slot = empty % SLOTS
    base = empty - slot
    for donors in _DONORS:
        if not len(empty):
            break
        value = flat[base + donors[slot]]
        full[empty] = value
        left = np.flatnonzero(value == _EMPTY)
        empty, slot, base = empty[left], slot[left], base[left]
    return full.reshape(-1, SLOTS)


def band_keys(signatures: Hashes, width: int) -> Hashes:
    """A key for each band, ``uint64`` of shape (texts, ``BANDS``): equal where the band is.

    Args:
        signatures: ``uint64`` of shape (texts, ``SLOTS``).
        width: of the shingles; other widths have other keys.
    """
    rows = signatures.reshape(-1, ROWS, BANDS)
    keys = rows[:, 0] * _FACTORS[0]
    for row in range(1, ROWS):
        keys += rows[:, row] * _FACTORS[row]
    return mix(keys + (_SALTS + np.uint64(width)))
