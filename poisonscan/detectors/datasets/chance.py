"""How alike different rows of a dataset are, and which pairs are more alike than that.

How many pairs of different rows are closer than r grows as a power of r (P. Grassberger and I.
Procaccia 1983, "Measuring the strangeness of strange attractors"). The power is taken from a
sample, in which copies of a row hardly meet; it says how many pairs of different rows are to be
expected among all. Handwritten digits are so alike that few copies of one stand out; photographs
are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.near_pairs import Pairs, all_pairs, groups_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE = 2_000
"""Rows compared all with all."""
_COPIES = 0.998
"""Cosine from which rows of the sample are taken for copies, of which one is left."""
_MOST_COPIES = 0.2
"""Share of the sample that may be copies; where it is more, the rows are all alike."""
_PAIRS = 400
_LEAST = 0.3
_RANKS = (20, 200)
"""Pairs of the sample between which the power is taken: few true copies do not move them."""
_NONE = 2.0


def background_pairs(units: NDArray[np.float32]) -> tuple[Pairs, float]:
    """The most alike pairs of a sample.

    Args:
        units: rows of length 1, ``float32`` of shape (rows, d), in an order that does not depend on
            how they were read.

    Returns:
        The pairs, and how many pairs of all rows there are for each pair of the sample.
    """
    size = min(SAMPLE, max(len(units) // 4, 2))
    chosen = np.sort(np.random.default_rng(0).choice(len(units), size, replace=False))
    _, first = np.unique(groups_of(all_pairs(units[chosen], _COPIES), size), return_index=True)
    if len(first) >= (1 - _MOST_COPIES) * size:
        chosen = chosen[np.sort(first)]
    parts = all_pairs(units[chosen], _LEAST).strongest(_PAIRS)
    share = (len(units) / len(chosen)) ** 2
    return Pairs(chosen[parts.first], chosen[parts.second], parts.cosines), share


def least_by_chance(
    values: NDArray[np.float32],
    background: NDArray[np.float32],
    share: float,
    least: float,
    chance: float,
) -> float:
    """From which value on pairs are hardly alike by chance.

    Args:
        values: how alike the pairs found are, up to 1; one minus it is a squared distance.
        background: the same of the pairs of the sample.
        share: pairs of all rows for each pair of the sample.
        least: smallest answer.
        chance: share of the pairs found that may be expected by chance.

    Returns:
        A value; 2, which no pair has, where none is beyond chance.
    """
    ranked = np.sort(values[values >= least])[::-1]
    apart = np.sqrt(np.maximum(1 - np.sort(background)[::-1], 1e-6))
    if len(apart) < _RANKS[1]:
        return least if len(ranked) else _NONE
    near, far = float(apart[_RANKS[0] - 1]), float(apart[_RANKS[1] - 1])
    power = np.log(_RANKS[1] / _RANKS[0]) / max(np.log(far / near), 1e-3)
    radius = np.sqrt(np.maximum(1 - ranked, 1e-6))
    expected = share * _RANKS[0] * np.exp(np.minimum(power * np.log(radius / near), 700))
    fine = np.flatnonzero(expected <= chance * np.arange(1, len(ranked) + 1))
    return float(ranked[fine[-1]]) if len(fine) else _NONE
