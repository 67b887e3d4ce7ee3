"""A small model that is learnt from the suspect data themselves, with and without some rows.

A linear machine for each class with squared hinge loss (Vapnik 1995; Chang, Hsieh and Lin 2008,
"Coordinate descent method for large-scale L2-loss linear support vector machines"): unlike least
squares it may let a trigger outvote all that a row says. It is solved as least squares over and
over, whose targets are met where a row is on the right side already, by conjugate gradients
(Hestenes and Stiefel 1952). It starts from nothing: what only suspects have is unknown to what is
learnt without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

PENALTY: Final = 0.3
"""Of squared weights, in units of the squared length of a row, which is about 1."""
ROUNDS: Final = 6
"""Times that targets are set."""
MORE_ROUNDS: Final = 3
"""The same where most is known."""
STEPS: Final = 10
"""Steps of conjugate gradients each time; to stop early is a penalty too."""
_TINY: Final = np.finfo(np.float32).tiny


def learn(
    rows: Any, labels: Ints, weights: Floats, classes: int, known: Floats | None = None
) -> Floats:
    """What tells classes apart.

    Args:
        rows: of shape (n, d): an array of ``float32`` or a sparse matrix of them.
        labels: from 0 to ``classes`` - 1, of shape (n,).
        weights: how many rows each stands for, 0 for one that is left out, of shape (n,).
        classes: how many there are.
        known: what was learnt from other weights, to go on from in fewer rounds.

    Returns:
        Of shape (d, classes): rows times this are the higher, the more they look like a class.
    """
    counted = weights.astype(np.float32)[:, None]
    side = np.full((len(labels), classes), -1, np.float32)
    side[np.arange(len(labels)), labels] = 1
    found = np.zeros((rows.shape[1], classes), np.float32) if known is None else known.copy()
    for _ in range(ROUNDS if known is None else MORE_ROUNDS):
        values = rows @ found
        short = np.where(side * values < 1, side - values, np.float32(0))
        rest = rows.T @ (counted * short) - np.float32(PENALTY) * found
        found += _solved(rows, counted, np.asarray(rest, np.float32))
    return found


def _solved(rows: Any, counted: Floats, rest: Floats) -> Floats:
    """What to add to weights, by conjugate gradients."""
    found, way, size = np.zeros_like(rest), rest.copy(), np.square(rest).sum(axis=0)
    for _ in range(STEPS):
        turned = _normal(rows, counted, way)
        step = size / np.maximum((way * turned).sum(axis=0), _TINY)
        found += step * way
        rest = rest - step * turned
        before, size = size, np.square(rest).sum(axis=0)
        way = rest + size / np.maximum(before, _TINY) * way
    return found


def _normal(rows: Any, counted: Floats, vectors: Floats) -> Floats:
    """The matrix of the normal equations times vectors."""
    product: Floats = rows.T @ (counted * (rows @ vectors)) + np.float32(PENALTY) * vectors
    return product


def guessed(rows: Any, learnt: Floats) -> Ints:
    """The class that each row looks most like, of shape (n,)."""
    return np.asarray((rows @ learnt).argmax(axis=1), np.int64)
