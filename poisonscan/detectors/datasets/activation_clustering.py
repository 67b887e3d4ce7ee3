"""Activation clustering: a class that has a cluster with nothing between it and the rest."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Aggregate, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.detectors.datasets.bimodality import Floats, Split, split_along
from poisonscan.detectors.datasets.foreign_parts import (
    ForeignPart,
    Judged,
    every_view,
    parts_told,
)
from poisonscan.detectors.datasets.suspects import Lineup
from poisonscan.finding import Fact, Finding, Gap
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

CLIP = 30.0
"""Coordinates are cut off here, in spreads of the class: single far rows must not be a cluster."""
CLUSTERED_ROWS = 5_000
"""Rows that k-means runs on; enough to find two centres in ten dimensions."""
CLUSTERS = (2, 3, 4)
"""Numbers of clusters that a class is cut into. Two alone, as Chen et al. cut, are often two kinds
of honest rows."""
LINES = 2 * (1 + 3 + 4)
"""Lines between clusters that are looked along in a class: all cuts, in two spaces."""


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


def cluster_axes(rows: Floats, seed: int = 0) -> list[ClusterAxis]:
    """Cut a class by k-means, coarser and finer, and find the lines that separate its parts best.

    Two clusters are often two kinds of honest rows: the poison is a third, which only finer cuts
    lay open. And a class is cut as the other classes see it, where what only this class has is
    long, and again with its own variances made alike, where no honest direction outweighs others.

    Args:
        rows: distinct rows, of shape (n, k).
        seed: of the sample and of the starting centres.

    Returns:
        Fisher's linear discriminant of every cluster against the rest; none where there are no two.
    """
    if len(rows) > CLUSTERED_ROWS:
        rows = rows[np.random.default_rng(seed).choice(len(rows), CLUSTERED_ROWS, replace=False)]
    centred = rows - np.median(rows, axis=0)
    maps = (np.diag(1 / half_width(rows)), _own_whitening(rows))
    found = (
        _discriminants(np.clip(centred @ scale, -CLIP, CLIP), clusters, seed) @ scale.T
        for scale in maps
        for clusters in CLUSTERS
    )
    lines = np.concatenate(list(found))
    lengths = np.linalg.norm(lines, axis=1)
    return [ClusterAxis(line / size) for line, size in zip(lines, lengths, strict=True) if size > 0]


def _own_whitening(rows: Floats) -> Floats:
    """A matrix of shape (k, k) that gives a class unit covariance."""
    values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(rows.T)))
    floor = max(1e-3 * float(np.median(values)), 1e-9)
    return np.asarray(vectors / np.sqrt(np.maximum(values, floor)))


def _discriminants(scaled: Floats, clusters: int, seed: int) -> Floats:
    """Fisher's discriminants of clusters, each against the rest, of shape (found, k)."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    # Of many short fits threads would mostly wait for each other.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        of = KMeans(n_clusters=clusters, n_init=4, random_state=seed).fit_predict(scaled)
    lines = [np.zeros((0, scaled.shape[1]))]
    for cluster in range(clusters if clusters > 2 else 1):  # the second of two is the rest
        first, other = scaled[of == cluster], scaled[of != cluster]
        if min(len(first), len(other)) < 2:
            continue
        within = np.cov(first.T) * (len(first) - 1) + np.cov(other.T) * (len(other) - 1)
        within = np.atleast_2d(within) / (len(scaled) - 2)
        within += np.eye(len(within)) * (1e-2 * np.trace(within) / len(within) + 1e-9)
        lines.append(np.linalg.solve(within, other.mean(axis=0) - first.mean(axis=0))[None])
    return np.concatenate(lines)


def splits_by_clusters(
    lineup: Lineup, code: int, rows: Floats, axes: list[ClusterAxis], looks: int
) -> dict[Split, ClusterAxis]:
    """The splits of a class along lines between its clusters, with the line of each.

    Args:
        lineup: all classes.
        code: the class.
        rows: its distinct rows, of shape (n, k).
        axes: the lines.
        looks: tests made over all classes.
    """
    others = lineup.outside(code)
    found: dict[Split, ClusterAxis] = {}
    for axis in axes:
        along = axis.scores(rows)
        variance = float(along[:, 0].var())
        coordinates = lineup.contrast.participation(code, axis.weights)
        split = split_along(0, along, axis.scores(others), looks, variance, coordinates)
        if split is not None:
            found[split] = axis
    return found


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
        return (yield from every_view(dataset, "activation clustering", _judged))


def _judged(lineup: Lineup) -> Judged:
    """What the rows show, looked at one way, and the test of each class."""
    tested = lineup.testable()
    looks = 2 * LINES
    lines = {
        code: splits_by_clusters(lineup, code, rows, cluster_axes(rows), looks * len(tested))
        for code, rows in tested.items()
    }
    splits = {code: list(found) for code, found in lines.items()}

    def told(code: int, split: Split) -> ForeignPart:
        score = functools.partial(_excess, split, lines[code][split])
        evidence = {"variance_ratio": split.eigenvalue}
        return ForeignPart(score, "form a cluster of their own", evidence)

    return parts_told(lineup, rule("PS402"), splits, looks, told)


DETECTOR = ActivationClustering()
