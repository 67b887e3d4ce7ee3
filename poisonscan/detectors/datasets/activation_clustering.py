"""Activation clustering: a class that k-means cuts into two parts with nothing in between."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.bimodality import (
    Floats,
    Split,
    Thresholds,
    foreign_parts,
    split_along,
)
from poisonscan.detectors.datasets.suspects import Lineup
from poisonscan.finding import Fact, Finding, Gap
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

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
    return np.asarray(np.maximum(widths / 1.349, 1e-9))


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
    if min(len(first), len(other)) < 2:
        return None
    within = np.cov(first.T) * (len(first) - 1) + np.cov(other.T) * (len(other) - 1)
    within = np.atleast_2d(within) / (len(scaled) - 2)
    within += np.eye(len(within)) * (1e-2 * np.trace(within) / len(within) + 1e-9)
    weights = np.linalg.solve(within, other.mean(axis=0) - first.mean(axis=0)) / width
    length = float(np.linalg.norm(weights))
    return ClusterAxis(weights / length) if length > 0 else None


def split_by_clusters(
    lineup: Lineup, code: int, rows: Floats, axis: ClusterAxis, looks: int
) -> list[Split]:
    """The split of a class along the line between its clusters, if it has one.

    Args:
        lineup: all classes.
        code: the class.
        rows: its distinct rows, of shape (n, k).
        axis: the line.
        looks: tests made over all classes.
    """
    along = axis.scores(rows)
    split = split_along(
        0,
        along,
        axis.scores(lineup.outside(code)),
        looks,
        float(along[:, 0].var()),
        lineup.contrast.participation(code, axis.weights),
    )
    return [] if split is None else [split]


def _excess(split: Split, axis: ClusterAxis, coordinates: Floats) -> Floats:
    """How far rows of a class lie beyond the threshold on the line between its clusters."""
    return split.excess(axis.scores(coordinates))


class ActivationClustering:
    """Looks for classes that consist of two clusters, one of them foreign.

    After Chen et al., *Detecting Backdoor Attacks on Deep Neural Networks by Activation Clustering*
    (2018): ten dimensions, two clusters per class. They are cut in the space whitened by the other
    classes, as SCAn (Tang et al. 2021) untangles classes, and compared along the line between them
    by the same tests as spectral signatures (see ``bimodality``), as clean classes cluster too.
    """

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL, Role.FEATURES})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
        """Ask for class moments, then for projections, then report classes with two clusters.

        Raises:
            LimitReached: too many different labels to be classes, or too many rows with numbers too
                large to compute with.
        """
        lineup = yield from Lineup.of(dataset)
        if isinstance(lineup, str):
            return [Fact("activation clustering", lineup)]
        tested = lineup.testable()
        axes: dict[int, ClusterAxis] = {}
        splits: dict[int, list[Split]] = {}
        for code, rows in tested.items():
            axis = cluster_axis(rows)
            if axis is not None:
                axes[code] = axis
                splits[code] = split_by_clusters(lineup, code, rows, axis, 2 * len(tested))
        broken = rule("PS402")
        found, needed = foreign_parts(splits, Thresholds.of(broken.thresholds))
        findings = [
            lineup.finding(
                broken,
                code,
                functools.partial(_excess, split, axes[code]),
                f"form a cluster of their own, {split.separation:.1f} spreads away from the rest "
                f"of the class ({needed[code]:.1f} or more are reported)",
                split.separation,
                separation_needed=needed[code],
                variance_ratio=split.eigenvalue,
                log10_p=split.log_p,
                coordinates=split.participation,
                other_classes_beyond=split.outside,
            )
            for code, split in found.items()
        ]
        fact = Fact("activation clustering", lineup.tested(tested))
        return [*findings, fact, *lineup.gaps(), *lineup.tests(broken, tested, found, 2)]


DETECTOR = ActivationClustering()
