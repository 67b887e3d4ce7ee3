"""Which class each row looks like, by a classifier that did not see the row.

Ridge regression on the row's vector and on random Fourier features of it (Rahimi and Recht 2007,
"Random features for large-scale kernel machines"), from one Gram matrix for each fold: leaving a
fold out is a subtraction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_System = tuple[Floats, Floats, Floats | Vectors]
"""``a``, ``b`` and ``c`` of ``c (a + penalty)⁻¹ b``, what rows are held to be."""

FOLDS = 5
NO_FOLD = FOLDS
"""Fold of rows that no classifier learns from."""
MAX_LINEAR = 1_600
"""Numbers of a vector that are used as they are; longer ones are folded."""
_WAVES, _WAVES_LONG, _LONG = 512, 256, 1_024
"""Random frequencies, each a cosine and a sine; fewer for vectors of more than ``_LONG``."""
_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ridge penalties that are tried, in units of the mean of the Gram matrix's diagonal."""
_PAIRS = 2_000
_BLOCK, _PICTURES = 4_096, 256
_SOME = 8_192
"""Rows, in an order that chance might have given, that medians are taken over."""
_CELL, _TURNS, _CLIP = 4, 8, 0.3
"""Pixels on a side of a cell, directions, and the largest share of one in a block."""


def shapes(planes: Vectors | NDArray[np.uint8]) -> Vectors:
    """What pictures show, roughly: histograms of oriented gradients.

    Dalal and Triggs (2005, "Histograms of oriented gradients for human detection"), on square
    roots, with signed directions, cells of 4×4 pixels and blocks of 2×2 cells.

    Args:
        planes: luminance, 0 to 255, of shape (pictures, 32, 32).

    Returns:
        ``float32`` of shape (pictures, 1568).
    """
    out = np.empty((len(planes), 1568), np.float32)
    for start in range(0, len(planes), _PICTURES):
        out[start : start + _PICTURES] = _shapes(planes[start : start + _PICTURES])
    return out


def _shapes(planes: Vectors | NDArray[np.uint8]) -> Vectors:
    light = np.sqrt(np.maximum(planes, 0).astype(np.float32) / np.float32(255))
    across, down = np.zeros_like(light), np.zeros_like(light)
    across[:, :, 1:-1] = light[:, :, 2:] - light[:, :, :-2]
    down[:, 1:-1] = light[:, 2:] - light[:, :-2]
    strength = np.hypot(across, down)
    turn = np.arctan2(down, across) % np.float32(2 * np.pi) * np.float32(_TURNS / (2 * np.pi))
    lower = np.floor(turn)
    part = turn - lower
    number, side = len(planes), planes.shape[1] // _CELL
    pixel = np.arange(planes.shape[1]) // _CELL
    cell = (pixel[:, None] * side + pixel) * _TURNS
    first = np.arange(number)[:, None, None] * (side * side * _TURNS) + cell
    direction = lower.astype(np.int64)
    size = number * side * side * _TURNS
    cells = np.zeros(size)
    for turned, weight in ((0, 1 - part), (1, part)):
        where = first + (direction + turned) % _TURNS
        cells += np.bincount(where.ravel(), (strength * weight).ravel(), size)
    cells = cells.astype(np.float32).reshape(number, side, side, _TURNS)
    blocks = np.concatenate(
        [cells[:, :-1, :-1], cells[:, 1:, :-1], cells[:, :-1, 1:], cells[:, 1:, 1:]], axis=-1
    )
    blocks /= np.sqrt(np.einsum("...i,...i", blocks, blocks)[..., None] + 0.01)
    return np.asarray(np.minimum(blocks, _CLIP).reshape(number, -1), np.float32)


def scores(rows: Vectors, labels: Ints, folds: Ints, classes: int) -> Floats:
    """How much each row looks like each class, to a classifier without the row's fold.

    Args:
        rows: what ``expanded`` made of them, of shape (rows, e).
        labels: from 0 to ``classes`` - 1, of shape (rows,).
        folds: from 0 to ``FOLDS`` - 1, or ``NO_FOLD``, of shape (rows,).
        classes: number of classes.

    Returns:
        Of shape (rows, classes): about the probability of each.
    """
    target = np.zeros((len(rows), classes))
    target[np.arange(len(rows)), labels] = 1
    unit = float(np.einsum("ij,ij", rows, rows, dtype=np.float64)) / rows.shape[1] or 1.0
    sizes = np.bincount(folds, minlength=NO_FOLD + 1)
    order = np.argsort(-sizes[:FOLDS], kind="stable").tolist()
    order += [NO_FOLD] * int(sizes[NO_FOLD] > 0)
    systems = _of_rows if len(rows) < rows.shape[1] else _of_columns
    out = np.zeros((len(rows), classes))
    penalty = None
    for fold, (left, right, asked) in zip(order, systems(rows, target, folds, order), strict=True):
        mine = np.flatnonzero(folds == fold)
        tried = []
        for value in _PENALTIES if penalty is None else (penalty,):
            guess = asked @ _solved(left, value * unit, right)
            tried.append((float(np.square(guess - target[mine]).sum()), -value, guess))
        _, negative, out[mine] = min(tried, key=lambda item: item[:2])
        penalty = -negative
    return out


def _of_columns(rows: Vectors, target: Floats, folds: Ints, order: list[int]) -> Iterator[_System]:
    """For each fold the products of all columns over the other folds, and the rows of the fold."""
    wide = rows.shape[1]
    gram = np.zeros((FOLDS, wide, wide), np.float32)
    cross = np.zeros((FOLDS, wide, target.shape[1]))
    for fold in range(FOLDS):
        mine = np.flatnonzero(folds == fold)
        part = rows[mine]
        gram[fold], cross[fold] = part.T @ part, part.T @ target[mine].astype(np.float32)
    every, both = gram.sum(axis=0, dtype=np.float64), cross.sum(axis=0)
    for fold in order:
        asked = rows[folds == fold]
        if fold == NO_FOLD:
            yield every, both, asked
        else:
            yield every - gram[fold], both - cross[fold], asked


def _of_rows(rows: Vectors, target: Floats, folds: Ints, order: list[int]) -> Iterator[_System]:
    """For each fold the products of all rows of the other folds, and those with the fold's rows.

    The same regression in its dual form (Saunders, Gammerman and Vovk 1998, "Ridge regression
    learning algorithm in dual variables"), for fewer rows than columns.
    """
    precise = rows.astype(np.float64)
    products = precise @ precise.T
    for fold in order:
        mine = np.flatnonzero(folds == fold)
        others = np.flatnonzero((folds != fold) & (folds != NO_FOLD))
        left, asked = (products[np.ix_(some, others)] for some in (others, mine))
        yield left, target[others], asked


def _solved(gram: Floats, penalty: float, right: Floats) -> Floats:
    """``(gram + penalty)⁻¹ right``, by Cholesky's factors: half the work of any other matrix."""
    from scipy.linalg import cho_factor, cho_solve

    ridge = gram.copy()
    ridge[np.diag_indices_from(ridge)] += penalty
    try:
        factors = cho_factor(ridge.T, lower=True, check_finite=False)
    except np.linalg.LinAlgError:  # rounded sums of single precision may not be positive definite
        return np.asarray(np.linalg.solve(ridge, right))
    return np.asarray(cho_solve(factors, right, check_finite=False))


def expanded(vectors: Vectors) -> Vectors:
    """Vectors of unit scale, waves of them, and a constant.

    Args:
        vectors: finite, of shape (rows, d).

    Returns:
        ``float32`` of shape (rows, e).
    """
    from poisonscan.detectors.datasets.moments import fold_to

    if vectors.shape[1] > MAX_LINEAR:
        parts = (vectors[i : i + _BLOCK] for i in range(0, len(vectors), _BLOCK))
        vectors = np.concatenate(
            [fold_to(part.astype(np.float64), MAX_LINEAR).astype(np.float32) for part in parts]
        )
    number, wide = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    # One absurd number must not be the scale of all: its column counts as a ten-fold one at most.
    spread = np.median(np.abs(vectors[:_SOME] - mean), axis=0) * np.float32(1.4826)
    still = np.flatnonzero(spread <= 0)
    spread[still] = vectors[:, still].std(axis=0)
    limit = np.float32(10) * np.where(spread > 0, spread, 1)
    count = min(_WAVES if wide <= _LONG else _WAVES_LONG, max(number, 8))
    rows = np.ones((number, wide + 2 * count + 1), np.float32)
    centred = rows[:, :wide]
    for start in range(0, number, _BLOCK):
        part = vectors[start : start + _BLOCK] - mean
        centred[start : start + _BLOCK] = np.clip(part, -limit, limit)
    centred /= np.sqrt(np.einsum("ij,ij->i", centred, centred).mean()) or 1.0
    draw = np.random.default_rng(wide)
    first, second = draw.integers(0, number, (2, _PAIRS))
    apart = np.square(centred[first] - centred[second]).sum(axis=1)
    scale = float(np.median(apart[first != second])) if (first != second).any() else 1.0
    frequencies = draw.normal(size=(wide, count)) * np.sqrt(2 / (scale or 1.0))
    for start in range(0, number, _BLOCK):
        block = rows[start : start + _BLOCK]
        angles = block[:, :wide] @ frequencies.astype(np.float32)
        block[:, wide : wide + count] = np.cos(angles)
        block[:, wide + count : -1] = np.sin(angles)
    rows[:, wide:-1] /= np.float32(np.sqrt(count))
    return rows
