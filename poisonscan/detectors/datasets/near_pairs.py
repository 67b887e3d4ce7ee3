"""Pairs of vectors with a small angle, without comparing all with all.

Vectors are sorted by the signs of their first numbers (or of random projections of them: M. S.
Charikar 2002, "Similarity estimation techniques from rounding algorithms"). Each is looked up under
its own signs and under those that a small change would give it, the numbers closest to zero turned
(Q. Lv et al. 2007, "Multi-probe LSH: efficient indexing for high-dimensional similarity search").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WINDOW = 16
"""Vectors of a bucket that are compared with one that is looked up, the closest in order."""
_BLOCK = 1 << 14


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of rows, each once.

    Attributes:
        first: the smaller row, ``int64`` of shape (pairs,).
        second: the larger row.
        cosines: ``float32`` of shape (pairs,).
        left_out: pairs above the threshold that were found and not kept.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cosines: NDArray[np.float32]
    left_out: int = 0

    def strongest(self, count: int) -> Pairs:
        """The pairs with the largest cosines, in order of rows."""
        if len(self.first) <= count:
            return self
        ranked = np.lexsort((self.second, self.first, -self.cosines))
        kept = np.sort(ranked[:count])
        left_out = self.left_out + len(ranked) - count
        return Pairs(self.first[kept], self.second[kept], self.cosines[kept], left_out)


def joined(parts: list[Pairs]) -> Pairs:
    """Pairs of several lists, each once, ordered."""
    first = np.concatenate([np.empty(0, np.int64), *(part.first for part in parts)])
    second = np.concatenate([np.empty(0, np.int64), *(part.second for part in parts)])
    cosines = np.concatenate([np.empty(0, np.float32), *(part.cosines for part in parts)])
    order = np.lexsort((second, first))
    first, second, cosines = first[order], second[order], cosines[order]
    new = np.ones(len(order), bool)
    new[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return Pairs(first[new], second[new], cosines[new], sum(part.left_out for part in parts))


def all_pairs(
    units: NDArray[np.float32], least: float, *, most: int = 1 << 20, block: int = 1024
) -> Pairs:
    """Every pair of rows with at least this cosine, by comparing all with all.

    Args:
        units: rows of length 1, ``float32`` of shape (rows, d).
        least: smallest cosine.
        most: pairs that are kept, the strongest.
        block: rows of one product.
    """
    found = joined([])
    for start in range(0, len(units), block):
        products = units[start : start + block] @ units[start:].T
        near, other = np.nonzero(products >= least)
        later = other > near
        near, other = near[later], other[later]
        part = Pairs(near + start, other + start, products[near, other])
        found = joined([found, part]).strongest(most)
    return found


def near_pairs(
    margins: NDArray[np.int8] | NDArray[np.float32],
    bits: int,
    probes: int,
    cosines: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
    *,
    least: float,
    most: int,
) -> Pairs:
    """Pairs of rows whose signs agree, up to signs that are uncertain, and that are then compared.

    Args:
        margins: numbers whose signs make the key, of shape (rows, at most 62).
        bits: the first of them, which must agree; the others order a bucket.
        probes: how many of these, those closest to zero, may differ; of few bits all.
        cosines: of rows with rows.
        least: smallest cosine that counts.
        most: pairs that are kept, the strongest.
    """
    rows, width = margins.shape
    probes = min(probes, bits)
    weights = np.int64(1) << np.arange(width - 1, -1, -1, dtype=np.int64)
    keys = np.zeros(rows, np.int64)
    for column in range(width):
        keys |= np.where(margins[:, column] > 0, weights[column], np.int64(0))
    order = np.argsort(keys, kind="stable").astype(np.int64)
    ordered = keys[order]
    heads = ordered >> (width - bits)
    found = joined([])
    kept: list[Pairs] = []
    waiting = 0
    for start in range(0, rows, _BLOCK):
        block = np.arange(start, min(start + _BLOCK, rows))
        # int8 has no 128: magnitudes in a wider type.
        sizes = np.abs(margins[block, :bits].astype(np.float32))
        weakest = np.argpartition(sizes, min(probes, bits - 1), axis=1)[:, :probes]
        for turned in range(1 << probes):
            chosen = [i for i in range(probes) if turned >> i & 1]
            probe = keys[block] ^ weights[weakest[:, chosen]].sum(axis=1)
            head = probe >> (width - bits)
            low = np.searchsorted(heads, head, side="left")
            high = np.searchsorted(heads, head, side="right")
            wide = np.flatnonzero(high - low > 2 * WINDOW)
            if len(wide):
                middle = np.searchsorted(ordered, probe[wide])
                low[wide] = np.maximum(low[wide], middle - WINDOW)
                high[wide] = np.minimum(high[wide], middle + WINDOW)
            part = _compared(block, low, high, order, cosines, least)
            kept.append(part)
            waiting += len(part.first)
        if waiting > 4 * most:
            found = joined([found, *kept]).strongest(most)
            kept, waiting = [], 0
    return joined([found, *kept]).strongest(most)


def _compared(
    block: NDArray[np.int64],
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    order: NDArray[np.int64],
    cosines: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]],
    least: float,
) -> Pairs:
    """Rows of a block with the rows in a range of the order, if these are near enough."""
    counts = high - low
    near = np.repeat(block, counts)
    ends = np.cumsum(counts)
    offsets = np.arange(len(near)) - np.repeat(ends - counts, counts)
    other = order[np.repeat(low, counts) + offsets]
    apart = near != other
    near, other = near[apart], other[apart]
    values = cosines(near, other)
    kept = values >= least
    near, other, values = near[kept], other[kept], values[kept]
    return Pairs(np.minimum(near, other), np.maximum(near, other), values)


def groups_of(pairs: Pairs, rows: int) -> NDArray[np.int64]:
    """Group of each row, ``int64`` of shape (rows,): rows that pairs connect share a number."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(pairs.first), bool)
    graph = coo_matrix((ones, (pairs.first, pairs.second)), shape=(rows, rows))
    _, groups = connected_components(graph, directed=False)
    return np.asarray(groups, np.int64)
