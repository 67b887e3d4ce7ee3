"""Directions in which one class differs most from all the others, from moments alone.

A backdoor gives some rows of one class a shift that no other class has. So a class's covariance is
looked at in the space where the *other* classes have unit covariance: there a shift stands out, and
a poisoned class cannot hide by inflating the yardstick that it is measured by. Whitening comes from
SPECTRE (Hayase et al. 2021), the spectrum of a class from Spectral Signatures (Tran, Li and Madry
2018), the shared within-class covariance from SCAn (Tang et al. 2021); leaving the tested class out
of it is ours.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DIRECTIONS = 10
"""Directions kept per class, as Chen et al. (2018) keep ten components."""
FLOOR = 0.05
"""Smallest variance of a coordinate, as a share of the median: constant coordinates stay finite."""
SHRINKAGE = (0.01, 0.99)
"""Bounds of the shrinkage, so that the whitening stays invertible and never ignores the data."""


@dataclass(frozen=True, slots=True, eq=False)
class Contrast:
    """Per class, the directions of largest variance relative to the other classes.

    Two are equal when they hold the same bytes, so that two detectors' requests become one.

    Attributes:
        names: label names, in order.
        counts: rows per class, of shape (classes,).
        means: class means, of shape (classes, d).
        directions: of shape (classes, d, k); a unit is one standard deviation of other classes.
        eigenvalues: of shape (classes, k), descending: variance of the class over that of others.
        loadings: of shape (classes, d, k): covariance, within the class, of each coordinate with
            the position along each direction.
    """

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    means: Floats
    directions: Floats
    eigenvalues: Floats
    loadings: Floats
    digest: bytes = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256("\0".join(self.names).encode("utf-8", "surrogatepass"))
        for array in (self.counts, self.means, self.directions):
            digest.update(np.ascontiguousarray(array).tobytes())
        object.__setattr__(self, "digest", digest.digest())

    def z_score(self, code: int) -> float | None:
        """Robust z-score of a class's largest eigenvalue over all classes; None for fewer than 5.

        The logarithm is compared, as eigenvalues of clean classes differ by factors.
        """
        if len(self.names) < 5:
            return None
        largest = np.log(np.maximum(self.eigenvalues[:, 0], 1e-12))
        centred = largest - np.median(largest)
        deviation = 1.4826 * float(np.median(np.abs(centred)))
        return float(centred[code]) / max(deviation, 1e-3)

    def participation(self, code: int, weights: Floats) -> float:
        """How many coordinates make up a direction: the participation ratio (Bell and Dean 1970).

        The variance along a direction ``u`` is a sum over coordinates, ``u_j`` times the covariance
        of coordinate ``j`` with the position along ``u``.

        Args:
            code: the class.
            weights: the direction as a combination of the class's directions, of shape (k,).

        Returns:
            1.0 if one coordinate does it all, up to d if all take part alike.
        """
        parts = (self.directions[code] @ weights) * (self.loadings[code] @ weights)
        parts = np.maximum(parts, 0.0)
        squares = float((parts**2).sum())
        return float(parts.sum()) ** 2 / squares if squares > 0 else 1.0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Contrast) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def shrinkage_weight(covariance: Floats, degrees: int) -> float:
    """Oracle approximating shrinkage towards a scaled identity (Chen, Wiesel, Eldar and Hero 2010).

    Args:
        covariance: of shape (d, d).
        degrees: degrees of freedom that it was estimated with.

    Returns:
        Weight of the identity, within ``SHRINKAGE``.
    """
    d = len(covariance)
    trace, squares = float(np.trace(covariance)), float((covariance**2).sum())
    excess = (degrees + 1 - 2 / d) * (squares - trace**2 / d)
    weight = ((1 - 2 / d) * squares + trace**2) / excess if excess > 0 else 1.0
    return float(np.clip(weight, *SHRINKAGE))


def coordinate_scales(variances: Floats) -> Floats:
    """Standard deviations to divide coordinates by, with a floor for those that hardly vary."""
    varying = variances[variances > 0]
    if not len(varying):
        return np.ones_like(variances)
    return np.sqrt(np.maximum(variances, FLOOR * float(np.median(varying))))


def usual_variance(scatters: Sequence[Floats], counts: NDArray[np.int64], scale: Floats) -> float:
    """Variance of a coordinate in a typical class: the lower median over classes of the mean.

    The mean over all rows would let one wild class blur the yardstick that it is measured by.

    Args:
        scatters: one matrix of shape (d, d) per class.
        counts: rows per class.
        scale: what coordinates are divided by, of shape (d,).
    """
    variances = [
        float((np.diag(scatter) / scale**2).mean()) / (count - 1)
        for scatter, count in zip(scatters, counts.tolist(), strict=True)
        if count > 1
    ]
    return statistics.median_low(variances) if variances else 1.0


def contrast(
    names: tuple[str, ...],
    counts: NDArray[np.int64],
    means: Floats,
    scatters: Sequence[Floats],
    directions: int = DIRECTIONS,
) -> Contrast:
    """Find each class's directions.

    With ``T`` the sum of all scatter matrices and a ridge, and ``S`` that of one class, ``S v =
    m T v`` has the same solutions as ``S v = m / (1 - m) (T - S) v``. So one whitening by ``T``
    serves every class, and still leaves that class out.

    Args:
        names: label names.
        counts: rows per class.
        means: of shape (classes, d).
        scatters: one matrix of shape (d, d) per class.
        directions: how many to keep, fewer if d is smaller.
    """
    import scipy.linalg  # noqa: F401 - limits hold for libraries that are loaded
    from threadpoolctl import threadpool_limits

    # On a busy machine the threads of a matrix library wait for each other longer than they work.
    with threadpool_limits(1):
        return _contrast(names, counts, means, scatters, directions)


def _contrast(
    names: tuple[str, ...],
    counts: NDArray[np.int64],
    means: Floats,
    scatters: Sequence[Floats],
    directions: int,
) -> Contrast:
    d = means.shape[1]
    kept = min(directions, d)
    degrees = max(int(counts.sum()) - len(names), 1)
    pooled = np.zeros((d, d))
    for scatter in scatters:
        pooled += scatter
    scale = coordinate_scales(np.diag(pooled) / degrees)
    units = np.outer(scale, scale)
    pooled = pooled / units
    weight = shrinkage_weight(pooled / degrees, degrees)
    ridge = weight * degrees * usual_variance(scatters, counts, scale)
    values, vectors = np.linalg.eigh((1 - weight) * pooled + max(ridge, 1e-12) * np.eye(d))
    values = np.maximum(values, 1e-15 * values[-1])  # what rounding leaves of the smallest
    whitener = (vectors / np.sqrt(values)) @ vectors.T
    found = np.empty((len(names), d, kept))
    loadings = np.empty((len(names), d, kept))
    eigenvalues = np.empty((len(names), kept))
    for code, scatter in enumerate(scatters):
        own = (1 - weight) * scatter / units
        shares, axes = _strongest(whitener, own, int(counts[code]) - 1, kept)
        share = np.clip(shares[::-1], 0.0, 1 - 1e-9)
        others = max(degrees - int(counts[code]) + 1, 1)
        unit = np.sqrt((1 - share) / others)
        found[code] = (whitener @ axes[:, ::-1]) / unit / scale[:, None]
        loadings[code] = scatter @ found[code] / max(int(counts[code]) - 1, 1)
        eigenvalues[code] = share / (1 - share) * others / max(int(counts[code]) - 1, 1)
        eigenvalues[code] /= 1 - weight
    return Contrast(names, counts, means, found, eigenvalues, loadings)


def _strongest(whitener: Floats, scatter: Floats, rank: int, count: int) -> tuple[Floats, Floats]:
    """The largest eigenvalues of a whitened scatter matrix, ascending, and their eigenvectors.

    A class of fewer rows than coordinates has a scatter matrix of low rank ``r``. Its Cholesky
    factor with pivoting (Higham 1990, "Analysis of the Cholesky decomposition of a semi-definite
    matrix") has ``r`` columns, and what is left of the problem has ``r`` rows and columns.

    Args:
        whitener: symmetric, of shape (d, d).
        scatter: symmetric, of shape (d, d).
        rank: of the scatter matrix at most.
        count: how many, at most d.

    Returns:
        Values of shape (count,), vectors of shape (d, count).
    """
    from scipy.linalg import eigh
    from scipy.linalg.lapack import dpstrf

    d = len(scatter)
    if rank < d // 2:
        lower, order, rank, _ = dpstrf(scatter, lower=1)
        if rank >= count:
            factor = np.empty((d, rank))
            factor[order - 1] = np.tril(lower[:, :rank])
            white = whitener @ factor
            values, vectors = eigh(white.T @ white, subset_by_index=(rank - count, rank - 1))
            vectors = white @ vectors
            return values, vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-300)
    own = whitener @ scatter @ whitener
    values, vectors = eigh((own + own.T) / 2, subset_by_index=(d - count, d - 1))
    return values, vectors
