"""A small model that is learnt from the suspect data themselves, with and without some rows.

Ridge regression of one-hot labels (Hoerl and Kennard 1970) by conjugate gradients (Hestenes and
Stiefel 1952). It is convex, and it starts from nothing: what only suspects have is unknown to what
is learnt without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

PENALTY: Final = 0.3
"""Ridge penalty, in units of the squared length of a row, which is about 1."""
STEPS: Final = 60
"""Steps of conjugate gradients at most; to stop early is a penalty too."""
PRECISION: Final = 1e-3
"""Length of the residual, in units of that at the start, where it is small enough to stop."""
_TINY: Final = np.finfo(np.float32).tiny


def learn(rows: Any, labels: Ints, weights: Floats, classes: int) -> Floats:
    """What tells classes apart.

    Args:
        rows: of shape (n, d): an array of ``float32`` or a sparse matrix of them.
        labels: from 0 to ``classes`` - 1, of shape (n,).
        weights: how many rows each stands for, 0 for one that is left out, of shape (n,).
        classes: how many there are.

    Returns:
        Of shape (d, classes): rows times this are the higher, the more they look like a class.
    """
    counted = weights.astype(np.float32)[:, None]
    target = np.zeros((len(labels), classes), np.float32)
    target[np.arange(len(labels)), labels] = 1
    goal = rows.T @ (counted * target)
    found, rest = np.zeros_like(goal), goal.copy()
    way, size = rest.copy(), np.square(rest).sum(axis=0)
    enough = PRECISION**2 * np.square(goal).sum(axis=0)
    for _ in range(STEPS):
        if (size <= enough).all():
            break
        turned = _normal(rows, counted, way)
        step = size / np.maximum((way * turned).sum(axis=0), _TINY)
        found += step * way
        rest -= step * turned
        before, size = size, np.square(rest).sum(axis=0)
        way = rest + size / np.maximum(before, _TINY) * way
    return np.asarray(found, np.float32)


def _normal(rows: Any, counted: Floats, vectors: Floats) -> Floats:
    """The matrix of the normal equations times vectors."""
    product: Floats = rows.T @ (counted * (rows @ vectors)) + np.float32(PENALTY) * vectors
    return product


def guessed(rows: Any, learnt: Floats) -> Ints:
    """The class that each row looks most like, of shape (n,)."""
    return np.asarray((rows @ learnt).argmax(axis=1), np.int64)
