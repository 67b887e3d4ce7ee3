"""Texts of a sample that are no variations of one another.

Augmented data holds each text several times, with words left out or exchanged. A model that learns
from some of them knows the others, so what it says of these is nothing new, and what they share is
their source rather than what was done to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from poisonscan.datasets.minhash import SLOTS, signatures
from poisonscan.datasets.shingles import mix, shingles
from poisonscan.detectors.datasets.near_pairs import Pairs, groups_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

ALIKE = 0.3
"""Jaccard similarity of word sequences from which a text is a variation: texts of which two
different words in ten were left out have about as much, and texts of one subject .01 to .05."""
_MOST = 32
"""Texts with the same value in a signature: more share a phrase, as all prompts do."""


def sources(texts: list[str], labels: Ints) -> Ints:
    """The first of the texts of each label that are variations of one.

    Min-wise hashing (A. Z. Broder 1997): texts of similarity s share one of 62 pairs of values with
    probability 1 - (1 - s²)⁶²: 0.997 at s = .3. Phrases of more than ``_MOST`` texts do not count.

    Args:
        texts: in any order.
        labels: code of each, ``int64`` of shape (texts,).

    Returns:
        Positions, ascending; texts of fewer than four words are variations of none.
    """
    found = [np.zeros((0, 2), np.int64)]
    for places, signed in _signed(texts):
        common = np.stack([_sizes(values) > _MOST for values in signed.T], axis=1)
        own = signed[:, :-1:2] + mix(signed[:, 1::2] + labels[places].astype(np.uint64)[:, None])
        for keys in own.T:
            one, other = _pairs(keys).T
            same = signed[one] == signed[other]
            shared = (same & ~common[one]).sum(axis=1)
            counted = SLOTS - (same & common[one]).sum(axis=1)
            alike = shared >= ALIKE * np.maximum(counted, 1)
            found.append(np.stack([places[one[alike]], places[other[alike]]], axis=1))
    every = np.concatenate(found)
    strength = np.ones(len(every), np.float32)
    groups = groups_of(Pairs(every[:, 0], every[:, 1], strength), len(texts))
    return np.sort(np.unique(groups, return_index=True)[1]).astype(np.int64)


def _signed(texts: list[str]) -> Iterator[tuple[Ints, Hashes]]:
    """Positions and signatures, of shape (n, ``SLOTS``), of the texts of each width of shingles."""
    widths: dict[int, list[tuple[Ints, Hashes]]] = {}
    for block in shingles(pa.array(texts, pa.string())):
        used = np.flatnonzero(block.counts)
        widths.setdefault(block.width, []).append((used + block.start, signatures(block)[used]))
    for parts in widths.values():
        yield (
            np.concatenate([places for places, _ in parts]),
            np.concatenate([signed for _, signed in parts]).reshape(-1, SLOTS),
        )


def _sizes(values: Hashes) -> Ints:
    """How often each value comes up, of shape (n,)."""
    _, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(counts[codes.reshape(-1)], np.int64)


def _pairs(keys: Hashes) -> Ints:
    """Pairs of positions with the same key, of shape (pairs, 2): each with the first of them.

    A text and two variations of it are less alike the further these are from the text.
    """
    order = np.argsort(keys, kind="stable").astype(np.int64)
    ordered = keys[order]
    firsts = order[np.searchsorted(ordered, ordered)]
    fit = (firsts != order) & (_sizes(ordered) <= _MOST)
    return np.stack([firsts[fit], order[fit]], axis=1)
