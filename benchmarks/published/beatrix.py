"""Beatrix-like, after Ma et al., "The 'Beatrix' Resurrections" (NDSS 2023)."""

from __future__ import annotations

import numpy as np

from benchmarks.published.surrogate import trained
from benchmarks.published.told import Answer, Codes, Reals, Told

WIDTH = 10.0
"""Median absolute deviations from the median that a correlation may have."""
PERCENTILE = 95
"""Of the deviations of rows known to be clean, above which a row is suspect."""
MOST = 500
"""Rows of either kind that a class is tested with, as in the authors' code."""
FOLDS = 5


def beatrix_like(told: Told) -> Answer:
    """Classes of which some rows' activations are correlated as those of clean rows are not.

    The Gram matrix of a row's activations is compared, entry by entry, with the medians of the
    class's rows that are known to be clean; what lies outside ten median absolute deviations is
    added up, relative to the border. Rows above 95 % of the clean ones, in five folds, are suspect.
    A class is flagged where the kernel distance between its suspect rows and the others is e²
    median absolute deviations above that of other classes; of two classes none can be.

    The activations are those of the surrogate's hidden layer. They have no places over which Gram
    matrices would add up, so those of higher order, taken to the root of their order, are the same
    as the first and are left out.
    """
    hidden = trained(told).hidden
    known = np.zeros(len(hidden), bool)
    known[told.known] = True
    scores = np.zeros(len(hidden))
    suspect = np.zeros(len(hidden), bool)
    distances = np.zeros(told.classes)
    for code in range(told.classes):
        rows = np.flatnonzero(told.labels == code)
        clean = np.flatnonzero(known & (told.labels == code))
        if len(clean) < 2 * FOLDS:
            continue
        scores[rows], threshold = outside(hidden[rows], hidden[clean])
        suspect[rows] = scores[rows] > threshold
        distances[code] = kernel_distance(
            hidden[some(rows[~suspect[rows]])], hidden[some(rows[suspect[rows]])]
        )
    middle = np.median(distances)
    deviation = 1.4826 * np.median(np.abs(distances - middle))
    flagged = distances - middle > np.exp(2) * max(deviation, 1e-6)
    return Answer(suspect & flagged[told.labels], scores)


def outside(rows: Reals, clean: Reals) -> tuple[Reals, float]:
    """How far outside rows are, and what clean ones seldom are when they are left out."""
    part = np.arange(len(clean)) % FOLDS
    left_out = [deviations(clean[part == k], clean[part != k]) for k in range(FOLDS)]
    return deviations(rows, clean), float(np.percentile(np.concatenate(left_out), PERCENTILE))


def deviations(rows: Reals, clean: Reals, block: int = 2_000) -> Reals:
    """Sums of what Gram matrices are outside those of clean rows, of shape (rows,)."""
    normal = gram(clean)
    middle = np.median(normal, axis=0)
    width = WIDTH * np.median(np.abs(normal - middle), axis=0)
    low, high = middle - width, middle + width
    out = np.zeros(len(rows))
    for start in range(0, len(rows), block):
        part = gram(rows[start : start + block])
        below = np.maximum(low - part, 0) / np.abs(low + 1e-6)
        above = np.maximum(part - high, 0) / np.abs(high + 1e-6)
        out[start : start + block] = (below + above).mean(axis=1)
    return out


def gram(rows: Reals) -> Reals:
    """Products of any two numbers of a row, and of each with itself."""
    first, second = np.triu_indices(rows.shape[1])
    return rows[:, first] * rows[:, second]


def some(rows: Codes) -> Codes:
    """Not too many of them."""
    return np.random.default_rng(0).permutation(rows)[:MOST]


def kernel_distance(some: Reals, others: Reals) -> float:
    """Maximum mean discrepancy of two sets of rows, times their number.

    The kernel is the sum of two Gaussian ones, of half the median distance and of all of it.
    """
    if not len(some) or not len(others):
        return 0.0
    rows = np.concatenate([some, others])
    squares = (rows**2).sum(axis=1)
    far = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    width = max(float(np.median(far)) / 2, 1e-12)
    kernel = np.exp(-far / width) + np.exp(-far / (2 * width))
    first = len(some)
    gap = kernel[:first, :first].mean() + kernel[first:, first:].mean()
    gap -= 2 * kernel[:first, first:].mean()
    return float(gap * len(some) * len(others) / len(rows))
