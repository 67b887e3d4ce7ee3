"""What is drawn of findings about classes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from poisonscan.detectors.datasets.plots import BINS, SCALE, confusion, parts_of_a_class


def drawn(rows: int = 2_000, poisoned: int = 100, directions: int = 4) -> Any:
    random = np.random.default_rng(0)
    coordinates = random.normal(size=(rows, directions))
    coordinates[:, 2] *= 3
    coordinates[:poisoned, 0] += 20
    return parts_of_a_class(coordinates[:, 0] - 10, coordinates, random.normal(size=500) - 10)


def test_every_row_is_counted() -> None:
    plot = drawn()
    assert len(plot["class"]) == len(plot["others"]) == BINS
    assert (sum(plot["class"]), sum(plot["others"])) == (2_000, 500)
    edge = BINS * -plot["low"] / (plot["high"] - plot["low"])
    assert sum(plot["class"][int(edge) + 1 :]) == 100


def test_points_tell_the_parts_apart_and_show_what_else_varies() -> None:
    points = np.array(drawn()["points"])
    assert points.min() >= 0
    assert points.max() <= SCALE
    suspicious = points[:, 2] == 1
    assert (suspicious.sum(), (~suspicious).sum()) == (100, 300)
    assert points[suspicious, 0].min() > points[~suspicious, 0].max()
    assert points[~suspicious, 1].std() > 100


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (3, 8)])
def test_few_or_equal_rows(shape: tuple[int, int]) -> None:
    plot: Any = parts_of_a_class(np.ones(shape[0]), np.zeros(shape), np.zeros(0))
    assert sum(plot["class"]) == len(plot["points"]) == shape[0]
    json.dumps(plot, allow_nan=False)


def test_confusion_counts_the_most_frequent_labels() -> None:
    given = np.array([0] * 5 + [1] * 3 + [2] * 4)
    seen = np.array([0, 0, 0, 1, 2] + [1, 1, 0] + [2] * 4)
    plot: Any = confusion(given, seen, ["a", "b", "c"])
    assert plot["names"] == ["a", "b", "c"]
    assert plot["counts"] == [[3, 1, 1], [1, 2, 0], [0, 0, 4]]
    many = np.repeat(np.arange(30), np.arange(30) + 1)
    plot = confusion(many, many, [str(n) for n in range(30)])
    assert plot["names"] == [str(n) for n in range(18, 30)]
    assert np.array_equal(np.array(plot["counts"]), np.diag(np.arange(18, 30) + 1))
