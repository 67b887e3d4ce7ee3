"""SPECTRE, written from the paper: there is no library of it that can be installed."""

from __future__ import annotations

import numpy as np

from benchmarks.published.told import Answer, Reals, Told, reduced


def spectre_told(told: Told) -> Answer | None:
    """SPECTRE (Hayase et al., ICML 2021), told the target class and the share of it that is bad.

    Of the class, in each of several numbers of principal components: a covariance without the rows
    far out, twice as many as are bad; whitening by it; QUE scores with α = 4. The number with the
    largest mean score counts, and 1.5 times as many rows as are bad are flagged. The authors'
    filter of far rows is replaced by one by distance, in eight rounds. Nothing where no row is bad:
    it cannot be told then.
    """
    if not told.poisoned.any():
        return None
    target = int(np.bincount(told.labels[told.poisoned]).argmax())
    rows = np.flatnonzero(told.labels == target)
    bad = int(told.poisoned[rows].sum())
    values = reduced(told.vectors[rows], 100)
    best = np.zeros(len(rows))
    for root in range(2, 11):
        size = min(root * root, values.shape[1])
        found = quantum_scores(without_far(values[:, :size], min(2 * bad, len(rows) // 2)))
        if found.mean() > best.mean():
            best = found
        if size == values.shape[1]:
            break
    scores = np.full(len(told.labels), -np.inf)
    scores[rows] = best
    flagged = np.zeros(len(scores), bool)
    flagged[rows[np.argsort(-best)[: round(1.5 * bad)]]] = True
    return Answer(flagged, scores)


def without_far(values: Reals, most: int, rounds: int = 8) -> Reals:
    """Rows whitened by mean and covariance of all but the farthest."""
    kept = np.arange(len(values))
    floor = 1e-6 * values.var(axis=0).mean() * np.eye(values.shape[1])
    for step in range(rounds + 1):
        middle = values[kept].mean(axis=0)
        spread = np.atleast_2d(np.cov(values[kept].T)) + floor
        white = np.linalg.solve(np.linalg.cholesky(spread), (values - middle).T).T
        if step < rounds:
            far = (white[kept] ** 2).sum(axis=1)
            kept = kept[np.argsort(far)[: len(kept) - most // rounds]]
    return np.asarray(white)


def quantum_scores(white: Reals, alpha: float = 4.0) -> Reals:
    """Outlier scores by quantum entropy (Dong et al. 2019) of whitened rows."""
    sizes, directions = np.linalg.eigh(np.atleast_2d(np.cov(white.T)))
    weights = np.exp(alpha * (sizes - sizes[-1]) / max(sizes[-1] - 1, 1e-9))
    return np.asarray((white @ directions) ** 2 @ weights / weights.sum())
