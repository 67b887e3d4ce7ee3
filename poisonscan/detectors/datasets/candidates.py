"""From pairs of rows that share a band to candidates that are compared group by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from poisonscan.datasets.shingles import mix
from poisonscan.detectors.datasets.text_bands import Pairs
from poisonscan.detectors.datasets.text_sketches import Candidates

MAX_TOGETHER = 8_192
"""Rows that are compared together, as they hang together by pairs."""
MAX_ROWS = 5_000_000
"""Rows that are compared; groups with the most rows come first."""
_TIMES = (1, 2, 3, 5, 8, 13)
"""Bands that rows must share, tried in turn where too many rows hang together."""
_SPACE = np.uint64(1 << 14)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is to be compared.

    Attributes:
        candidates: rows and pairs.
        unchecked: rows with pairs that are not compared, as there are too many.
        largest: rows of the largest component that only a sample of is compared; 0 if none.
    """

    candidates: Candidates
    unchecked: int
    largest: int


def choose(found: Pairs) -> Chosen:
    """Cut pairs into components of a size that can be compared at once.

    Where too many rows hang together, as texts from one template do, the weakest pairs are left
    out: those that share few bands. What hangs together still is compared as a sample.
    """
    rows, ends = np.unique(found.pairs[:, :2], return_inverse=True)
    ends, times = ends.reshape(-1, 2), found.pairs[:, 2]
    component = np.full(len(rows), -1)
    sampled, largest, used = np.zeros(len(rows), bool), 0, np.zeros(len(times), bool)
    open_pairs = np.arange(len(times))
    for strength in _TIMES:
        open_pairs = open_pairs[times[open_pairs] >= strength]
        if not len(open_pairs):
            break
        labels, sizes = _components(ends[open_pairs], len(rows))
        fits = sizes[labels] <= MAX_TOGETHER
        last = strength == _TIMES[-1]
        if last and not fits[ends[open_pairs, 0]].all():
            largest = int(sizes.max())
            sampled |= ~fits
        settled = fits[ends[open_pairs, 0]] | last
        used[open_pairs[settled]] = True
        open_pairs = open_pairs[~settled]
    labels, sizes = _components(ends[used], len(rows))
    component = labels
    order = np.lexsort((mix(rows.astype(np.uint64)), component))
    place = np.empty(len(rows), np.int64)
    place[order] = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = (sizes[component] > 1) & (place < MAX_TOGETHER)
    kept &= _affordable(np.minimum(sizes, MAX_TOGETHER), sizes > 1)[component]
    keys = _keys(component, place, len(sizes))
    inside = used & kept[ends].all(axis=1)
    pairs = keys[ends[inside]]
    pairs = np.sort(pairs, axis=1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    table = np.stack([rows[kept].astype(np.uint64), keys[kept]], axis=1)
    return Chosen(Candidates(table, pairs), int((~kept).sum()), largest)


def _components(ends: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Component of each node, and nodes of each component."""
    ones = np.ones(len(ends), np.int8)
    graph = scipy.sparse.coo_matrix((ones, (ends[:, 0], ends[:, 1])), (count, count))
    labels = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels, np.bincount(labels)


def _affordable(sizes: NDArray[np.int64], wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest components, as many as have ``MAX_ROWS`` rows together."""
    order = np.argsort(-sizes, kind="stable")
    rows = np.cumsum(np.where(wanted, sizes, 0)[order])
    affordable = np.zeros(len(sizes), bool)
    affordable[order[rows <= MAX_ROWS]] = True
    return affordable


def _keys(component: NDArray[np.int64], place: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """A number for each row, near to those of its component, spread over all numbers."""
    step = np.uint64((1 << 50) // max(count, 1))
    shuffled = np.argsort(np.argsort(mix(np.arange(count).astype(np.uint64)))).astype(np.uint64)
    return shuffled[component] * step * _SPACE + place.astype(np.uint64) % _SPACE
