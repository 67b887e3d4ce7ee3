"""Pairs of sets compared, and groups in which every set is similar to one that stands for all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

Table = NDArray[np.uint64]
Ints = NDArray[np.int64]

LEVEL_BITS = 4
"""Lowest bits of a recorded element: at which level its set was sampled."""
_ELEMENTS = 4_000_000
"""Elements of sets that are compared at a time."""
_ROUNDS = 64


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Sets in groups.

    Attributes:
        keys: of the sets, ``uint64`` of shape (n,).
        leaders: key of the set that stands for the group, ``uint64``.
        similarity: to that set, ``float32``.
    """

    keys: NDArray[np.uint64]
    leaders: NDArray[np.uint64]
    similarity: NDArray[np.float32]


def confirm(table: Table, pairs: Table, thresholds: tuple[float, ...]) -> list[Confirmed]:
    """Groups of similar sets.

    Pairs that are similar in truth make components. In each the set with the most such partners
    stands for a group, and only sets that are similar to it belong to the group; the others form
    components of their own, and so on. So no chain of small steps joins what is not alike.

    Args:
        table: key of a set and an element of it, ``uint64`` of shape (n, 2), repeats included. The
            element's highest bit tells its kind, its ``LEVEL_BITS`` lowest bits the level.
        pairs: keys of sets to compare, ``uint64`` of shape (m, 2).
        thresholds: similarities from which on two sets are similar; there are groups for each.
    """
    sets = _Sets(table)
    known = np.isin(pairs, sets.keys).all(axis=1)
    ends = np.searchsorted(sets.keys, pairs[known])
    found = sets.similarity(ends[:, 0], ends[:, 1])
    return [_groups(sets, ends[found >= least], least) for least in thresholds]


def _groups(sets: _Sets, alike: Ints, threshold: float) -> Confirmed:
    """Groups of sets, given the pairs of similar ones."""
    one, other = alike[:, 0], alike[:, 1]
    leader = np.full(len(sets.keys), -1)
    similarity = np.zeros(len(sets.keys), np.float32)
    for _ in range(_ROUNDS):
        if not len(one):
            break
        lead, members = _leaders(one, other, len(sets.keys))
        found = sets.similarity(lead, members)
        close = found >= threshold
        leader[members[close]] = lead[close]
        similarity[members[close]] = found[close]
        free = leader < 0
        left = free[one] & free[other]
        one, other = one[left], other[left]
    grouped = np.flatnonzero(leader >= 0)
    return Confirmed(sets.keys[grouped], sets.keys[leader[grouped]], similarity[grouped])


def _leaders(one: Ints, other: Ints, count: int) -> tuple[Ints, Ints]:
    """Of each component the node with the most partners, for each node that has a partner."""
    degrees = np.bincount(one, minlength=count) + np.bincount(other, minlength=count)
    ones = np.ones(len(one), np.int8)
    graph = scipy.sparse.coo_matrix((ones, (one, other)), (count, count))
    component = connected_components(graph, directed=False)[1]
    nodes = np.flatnonzero(degrees)
    order = nodes[np.lexsort((nodes, -degrees[nodes], component[nodes]))]
    new = np.ones(len(order), bool)
    new[1:] = component[order][1:] != component[order][:-1]
    return np.asarray(order[new][np.cumsum(new) - 1]), np.asarray(order)


class _Sets:
    """Sets of hashed elements, of two kinds, sampled at different levels.

    Args:
        table: as for ``confirm``.

    Attributes:
        keys: of the sets, in order.
    """

    def __init__(self, table: Table) -> None:
        self.keys, sets = np.unique(table[:, 0], return_inverse=True)
        mask = np.uint64((1 << LEVEL_BITS) - 1)
        levels, long = (table[:, 1] & mask).astype(np.int64), table[:, 1] >> np.uint64(63) == 1
        elements = (table[:, 1] & ~mask) << np.uint64(1)
        self._kinds = [
            _Kind(sets[kind], elements[kind], levels[kind], len(self.keys))
            for kind in (~long, long)
        ]

    def similarity(self, one: Ints, other: Ints) -> NDArray[np.float32]:
        """Jaccard similarity of sets, ``float32``: of the kind in which they are more alike."""
        best = np.zeros(len(one), np.float32)
        for kind in self._kinds:
            best = np.maximum(best, kind.similarity(one, other))
        return best


class _Kind:
    """Sets of elements of one kind."""

    def __init__(self, sets: Ints, elements: NDArray[np.uint64], levels: Ints, count: int) -> None:
        self._levels = np.zeros(count, np.int64)
        self._levels[sets] = levels
        self._sets, self._elements, self._count = sets, elements, count
        self._columns = np.unique(elements, return_inverse=True)[1].reshape(-1)

    def similarity(self, one: Ints, other: Ints) -> NDArray[np.float32]:
        """Jaccard similarity, estimated from the sparser of two samples."""
        result = np.zeros(len(one), np.float32)
        together = np.maximum(self._levels[one], self._levels[other])
        for level in np.unique(together).tolist():
            chosen = np.flatnonzero(together == level)
            matrix = self._matrix(level)
            sizes = np.diff(matrix.indptr)
            step = max(1, _ELEMENTS // max(int(sizes.max(initial=0)), 1))
            for start in range(0, len(chosen), step):
                at = chosen[start : start + step]
                shared = matrix[one[at]].multiply(matrix[other[at]]).sum(axis=1)
                both = np.asarray(shared).reshape(-1).astype(np.float32)
                union = sizes[one[at]] + sizes[other[at]] - both
                result[at] = both / np.maximum(union, 1)
        return result

    def _matrix(self, level: int) -> scipy.sparse.csr_matrix:
        """Sets as rows of ones, as they are at a level."""
        sets, columns = self._sets, self._columns
        if level:
            kept = np.flatnonzero(self._elements >> np.uint64(64 - level) == 0)
            sets, columns = sets[kept], columns[kept]
        shape = (self._count, int(columns.max(initial=0)) + 1)
        matrix = scipy.sparse.csr_matrix((np.ones(len(sets), np.int32), (sets, columns)), shape)
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix
