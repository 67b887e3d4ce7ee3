"""Activation clustering: a class that k-means cuts into two parts with nothing in between."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.bimodality import (
    MIN_ROWS,
    Floats,
    Split,
    Thresholds,
    distinct_rows,
    foreign_parts,
    split_along,
)
from poisonscan.detectors.datasets.moments import ClassMoments, ClassProjections
from poisonscan.detectors.datasets.suspects import Suspects, testable
from poisonscan.finding import Finding
from poisonscan.rules import rule

CLIP = 30.0
"""Coordinates are cut off here, in spreads of the class: single far rows must not be a cluster."""
CLUSTERED_ROWS = 5_000
"""Rows that k-means runs on; enough to find two centres in ten dimensions."""


@dataclass(frozen=True, slots=True)
class ClusterAxis:
    """The line between two cluster centres, as a linear map on a class's coordinates.

    Attributes:
        weights: of shape (k,), of length 1.
    """

    weights: Floats

    def scores(self, coordinates: Floats) -> Floats:
        """Position along the line in the first column, the coordinates behind it."""
        return np.column_stack([coordinates @ self.weights, coordinates])


def half_width(values: Floats) -> Floats:
    """Width of the shortest interval that holds half of the rows, in normal standard deviations.

    Unlike percentiles about the median it hardly moves until half of the rows are foreign
    (Grübel 1988, *The length of the shorth*).

    Args:
        values: of shape (rows, k), rows >= 2.

    Returns:
        Of shape (k,), positive.
    """
    ordered = np.sort(values, axis=0)
    half = len(ordered) // 2
    widths = (ordered[half:] - ordered[: len(ordered) - half]).min(axis=0)
    return np.maximum(widths / 1.349, 1e-9)


def cluster_axis(rows: Floats, seed: int = 0) -> ClusterAxis | None:
    """Cut a class in two by k-means and find the line that separates the parts best.

    Args:
        rows: distinct rows, of shape (n, k).
        seed: of the sample and of the starting centres.

    Returns:
        Fisher's linear discriminant of the two clusters, or None if there are no two.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    if len(rows) > CLUSTERED_ROWS:
        rows = rows[np.random.default_rng(seed).choice(len(rows), CLUSTERED_ROWS, replace=False)]
    width = half_width(rows)
    scaled = np.clip((rows - np.median(rows, axis=0)) / width, -CLIP, CLIP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        second = KMeans(n_clusters=2, n_init=4, random_state=seed).fit_predict(scaled) == 1
    first, other = scaled[~second], scaled[second]
    if min(len(first), len(other)) < 2:  # noqa: PLR2004 - no covariance from one row
        return None
    within = np.cov(first.T) * (len(first) - 1) + np.cov(other.T) * (len(other) - 1)
    within = np.atleast_2d(within) / (len(scaled) - 2)
    within += np.eye(len(within)) * (1e-2 * np.trace(within) / len(within) + 1e-9)
    weights = np.linalg.solve(within, other.mean(axis=0) - first.mean(axis=0)) / width
    length = float(np.linalg.norm(weights))
    return ClusterAxis(weights / length) if length > 0 else None


class ActivationClustering:
    """Looks for classes that consist of two clusters, one of them foreign.

    After Chen et al., *Detecting Backdoor Attacks on Deep Neural Networks by Activation Clustering*
    (2018): ten dimensions, two clusters per class. They are cut in the space whitened by the other
    classes, as SCAn (Tang et al. 2021) untangles classes, and compared along the line between them
    by the same tests as spectral signatures (see ``bimodality``), as clean classes cluster too.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.FEATURES})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        """Ask for class moments, then for projections, then report classes with two clusters."""
        moments: ClassMoments = yield ClassMoments()
        if not testable(moments):
            return []
        contrast = moments.contrast()
        sample: ClassProjections = yield ClassProjections(contrast, moments.source_dimension)
        own, others = sample.own, sample.others
        tested = [code for code, rows in enumerate(contrast.counts) if rows >= MIN_ROWS]
        axes: dict[int, ClusterAxis] = {}
        splits: dict[int, list[Split]] = {}
        for code in tested:
            rows = distinct_rows(own.of(code).coordinates.astype(np.float64))
            axis = cluster_axis(rows) if len(rows) >= MIN_ROWS else None
            if axis is None:
                continue
            outside = axis.scores(others.of(code).coordinates.astype(np.float64))
            along = axis.scores(rows)
            variance = float(along[:, 0].var())
            participation = contrast.participation(code, axis.weights)
            split = split_along(0, along, outside, 2 * len(tested), variance, participation)
            axes[code], splits[code] = axis, [] if split is None else [split]
        found, needed = foreign_parts(splits, Thresholds.of(rule("PS402").thresholds))
        suspects = Suspects(dataset, sample)
        return [
            suspects.finding(
                rule("PS402"),
                code,
                split.excess(axes[code].scores(own.of(code).coordinates.astype(np.float64))),
                f"form a cluster of their own ({split.separation:.1f} spreads from the rest of the "
                f"class, at least {needed[code]:.1f} are needed)",
                separation=split.separation,
                separation_needed=needed[code],
                log10_p=split.log_p,
                variance_ratio=split.eigenvalue,
                other_classes_beyond=split.outside,
            )
            for code, split in found.items()
        ]


DETECTOR = ActivationClustering()
