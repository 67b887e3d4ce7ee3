"""SCAn, written from the paper: there is no library of it that can be installed."""

from __future__ import annotations

import numpy as np

from benchmarks.published.told import Answer, Codes, Mask, Reals, Told, reduced


def scan_untangling(told: Told) -> Answer:
    """SCAn (Tang et al., USENIX Security 2021): classes that are two groups under a shared spread.

    The spread within classes is learnt by expectation maximization on rows known to be clean. Each
    class is divided in two under it; twice the gain in likelihood, less its mean and over its
    deviation if it were chi-squared, is the class's statistic. A class is flagged where that is
    7.39 median absolute deviations or more from the others', and of it the group that fewer
    clean rows are like. As in the paper; but only statistics above the median count, and means are
    not drawn towards each other, which matters for classes of a few rows.
    """
    values = reduced(told.vectors)
    known = told.known
    within = np.asarray(np.linalg.inv(spread_within(values[known], told.labels[known])), float)
    groups = np.zeros(len(values), bool)
    statistics = np.zeros(told.classes)
    for code in range(told.classes):
        rows = np.flatnonzero(told.labels == code)
        second = untangled(values[rows], within)
        if second.all() or not second.any():
            continue
        apart = values[rows][second].mean(axis=0) - values[rows][~second].mean(axis=0)
        weight = second.sum() * (~second).sum() / len(rows)
        degrees = values.shape[1]
        statistics[code] = (weight * apart @ within @ apart - degrees) / np.sqrt(2 * degrees)
        among = np.isin(rows, known)
        inside, outside = (among & second).sum() / second.sum(), (among & ~second).sum()
        groups[rows] = second if inside <= outside / (~second).sum() else ~second
    middle = np.median(statistics)
    deviation = 1.4826 * np.median(np.abs(statistics - middle))
    suspect = statistics - middle > np.exp(2) * max(deviation, 1e-12)
    return Answer(groups & suspect[told.labels])


def spread_within(values: Reals, labels: Codes, rounds: int = 100) -> Reals:
    """Covariance within classes whose means are normal too, by expectation maximization."""
    values = values - values.mean(axis=0)
    parts = [values[labels == code] for code in np.unique(labels)]
    means = np.stack([part.mean(axis=0) for part in parts])
    floor = 1e-6 * values.var(axis=0).mean() * np.eye(values.shape[1])
    between = np.atleast_2d(np.cov(means.T)) + floor
    rest = np.concatenate([part - mean for part, mean in zip(parts, means, strict=True)])
    within = rest.T @ rest / len(rest) + floor
    for _ in range(rounds):
        drawn = [between @ np.linalg.solve(len(p) * between + within, p.sum(axis=0)) for p in parts]
        rest = np.concatenate([part - mean for part, mean in zip(parts, drawn, strict=True)])
        before, within = within, rest.T @ rest / len(rest) + floor
        between = np.atleast_2d(np.cov(np.stack(drawn).T)) + floor
        if np.linalg.norm(within - before) < 1e-5 * np.linalg.norm(before):
            break
    return np.asarray(within)


def untangled(values: Reals, within: Reals, rounds: int = 50) -> Mask:
    """Two groups, each row to the nearer mean where distances are counted in the spread."""
    from sklearn.decomposition import PCA

    root = np.linalg.cholesky(within)
    scaled = values @ root
    if len(scaled) < 2:
        return np.zeros(len(scaled), bool)
    second = PCA(1, random_state=0).fit_transform(scaled).ravel() > 0
    for _ in range(rounds):
        if second.all() or not second.any():
            break
        one, other = scaled[second].mean(axis=0), scaled[~second].mean(axis=0)
        nearer = scaled @ (one - other) > (one @ one - other @ other) / 2
        if np.array_equal(nearer, second):
            break
        second = nearer
    return np.asarray(second)
