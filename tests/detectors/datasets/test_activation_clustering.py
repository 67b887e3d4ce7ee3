from __future__ import annotations

import numpy as np
import pytest

from poisonscan.detectors.datasets.activation_clustering import (
    DETECTOR,
    LINES,
    ClusterAxis,
    cluster_axes,
    half_width,
)
from tests.detectors.datasets import backdoors
from tests.detectors.datasets.backdoors import flagged, part
from tests.fakes import FakeDataset, run


@pytest.mark.parametrize("classes", [2, 3, 20])
@pytest.mark.parametrize("seed", range(3))
def test_a_second_cluster_is_found(classes: int, seed: int) -> None:
    vectors, labels, poisoned = backdoors.shifted(seed, classes=classes)
    (finding,) = run(DETECTOR, FakeDataset(part(vectors, labels)))
    np.testing.assert_array_equal(flagged(finding, len(labels)), poisoned)
    assert finding.rule.id == "PS402"
    assert finding.key == finding.evidence["label"] == "1"
    assert finding.score is not None
    assert finding.score > 7
    assert "60 of" in finding.message


@pytest.mark.parametrize(("rate", "target"), [(0.05, 9)])
def test_a_trigger_in_pictures_is_found(rate: float, target: int) -> None:
    vectors, labels, poisoned = backdoors.marked_cifar(rate, target, 31)
    (finding,) = run(DETECTOR, FakeDataset(part(vectors, labels)))
    assert finding.key == str(target)
    np.testing.assert_array_equal(flagged(finding, len(labels)), poisoned)


def test_the_line_between_clusters_that_no_coordinate_shows() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(1_000, 10))
    rows[:200] += 4  # 4 spreads in each coordinate, 13 along the diagonal
    axis = cluster_axes(rows)[0]
    assert abs(axis.weights.sum()) / np.sqrt(10) > 0.95
    along = axis.scores(rows)
    assert along.shape == (1_000, 11)
    assert (np.sign(along[:200, 0] - along[:, 0].mean()) == np.sign(axis.weights.sum())).all()


def test_a_class_of_two_kinds_has_a_line_to_the_third() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(1_000, 10))
    rows[:400, 0] += 20
    rows[:60, 1:] += 4
    axes = cluster_axes(rows)
    assert len(axes) == LINES
    towards = np.array([abs(axis.weights[1:].sum()) / 3 for axis in axes])
    assert towards[0] < 0.5  # two clusters alone are the two kinds
    assert towards.max() > 0.95


def test_rows_without_two_clusters_have_no_line() -> None:
    assert cluster_axes(np.ones((50, 3))) == []
    assert cluster_axes(np.vstack([np.zeros((49, 3)), np.ones((1, 3))])) == []


def test_the_width_of_half_the_rows_ignores_the_other_half() -> None:
    draw = np.random.default_rng(0)
    rows = draw.normal(size=(4_000, 2))
    np.testing.assert_allclose(half_width(rows), 1, rtol=0.05)
    rows[:1_400] = 1e6 * draw.normal(size=(1_400, 2))
    assert (half_width(rows) < 2.5).all()
    assert (half_width(np.ones((9, 2))) > 0).all()


def test_scores_are_positions() -> None:
    axis = ClusterAxis(np.array([0.6, 0.8]))
    np.testing.assert_allclose(axis.scores(np.array([[1.0, 1.0]])), [[1.4, 1.0, 1.0]])
