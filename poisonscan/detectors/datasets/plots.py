"""What the HTML page draws of a finding: a few hundred numbers, kept as evidence named ``plot``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from poisonscan.detectors.datasets.bimodality import Floats
from poisonscan.finding import Json

BINS = 40
SCALE = 1_000
"""Points lie on a grid of so many steps each way."""
_POINTS = 300
"""Points of the suspicious part, and as many of the rest."""
_CLASSES = 12


def parts_of_a_class(excess: Floats, coordinates: Floats, others: Floats) -> Json:
    """A class in two parts: histograms of its scores, and its rows as points.

    Args:
        excess: how far each row of the class lies beyond the threshold, of shape (n,).
        coordinates: the same rows on the directions of the class, of shape (n, k).
        others: how far a sample of rows of other classes lies beyond it, of shape (m,).

    Returns:
        ``low`` and ``high``: the range of ``excess``. ``class`` and ``others``: counts in ``BINS``
        equal parts of the range; what lies outside is in the first and the last. ``points``: of
        some rows, 0 to ``SCALE`` each: ``excess``, then the direction in which the class varies
        most apart from it (ends cut off), then 1 for a suspicious row and 0 for another.
    """
    low, high = float(excess.min()), float(excess.max())
    suspicious = excess > 0
    chosen = np.concatenate([_some(np.flatnonzero(part)) for part in (~suspicious, suspicious)])
    across = _across(excess, coordinates)
    ends = np.percentile(across, [1, 99])
    points = np.column_stack(
        [
            _on_grid(excess[chosen], low, high),
            _on_grid(across[chosen], float(ends[0]), float(ends[1])),
            suspicious[chosen],
        ]
    )
    return {
        "kind": "parts of a class",
        "low": low,
        "high": high,
        "class": _counts(excess, low, high),
        "others": _counts(others, low, high),
        "points": points.astype(int).tolist(),
    }


def confusion(given: NDArray[np.int64], seen: NDArray[np.int64], names: Sequence[str]) -> Json:
    """How often rows of each label look like each class.

    Args:
        given: labels, of shape (n,).
        seen: what a model takes the rows for that it was not fitted on, of shape (n,).
        names: of the classes.

    Returns:
        ``names``: of the most frequent labels. ``counts``: rows by label, then by what they look
        like.
    """
    sizes = np.bincount(given, minlength=len(names))
    shown = np.sort(np.argsort(-sizes, kind="stable")[:_CLASSES])
    table = np.zeros((len(names), len(names)), np.int64)
    np.add.at(table, (given, seen), 1)
    return {
        "kind": "confusion",
        "names": [names[code] for code in shown.tolist()],
        "counts": table[np.ix_(shown, shown)].tolist(),
    }


def _some(which: NDArray[np.int64]) -> NDArray[np.int64]:
    """All of them, or so many at equal distances."""
    if len(which) <= _POINTS:
        return which
    return which[np.linspace(0, len(which) - 1, _POINTS).astype(np.int64)]


def _across(excess: Floats, coordinates: Floats) -> Floats:
    """Where rows lie in the direction of most variance, after that of ``excess`` is taken away."""
    rows = coordinates - coordinates.mean(axis=0)
    along = excess - excess.mean()
    length = float(along @ along)
    rest = rows - np.outer(along, along @ rows) / length if length > 0 else rows
    direction = np.linalg.eigh(rest.T @ rest)[1][:, -1]
    across: Floats = rest @ (direction * np.sign(direction[np.abs(direction).argmax()]))
    return across


def _on_grid(values: Floats, low: float, high: float) -> Floats:
    share = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    grid: Floats = np.rint(SCALE * np.clip(share, 0, 1))
    return grid


def _counts(values: Floats, low: float, high: float) -> list[Json]:
    inside = np.clip(values, low, high)
    # ``histogram`` makes a range of width 1 where all values are the same.
    counts: list[Json] = np.histogram(inside, BINS, (low, high))[0].tolist()
    return counts
