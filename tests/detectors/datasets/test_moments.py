from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Labels, Role
from poisonscan.detectors.datasets import moments as module
from poisonscan.detectors.datasets.moments import (
    ClassMoments,
    Moments,
    affordable_dimension,
    fold_to,
)
from tests.laws import Case, Rows, assert_same, cut, shards, whole

Floats = NDArray[np.float64]

LAW = Case(
    ClassMoments,
    lambda found: (
        {name: (m.rows, m.mean, m.scatter) for name, m in found.classes.items()},
        found.left_out,
        found.too_large,
    ),
)


def batch(vectors: NDArray[np.generic], labels: list[str], start: int = 0) -> Batch:
    names, codes = np.unique(labels, return_inverse=True)
    coded = Labels(codes.astype(np.int32), tuple(map(str, names)))
    columns = {Role.LABEL: coded, Role.FEATURES: vectors.astype(np.float32)}
    return Batch(0, start, len(vectors), columns)


def filled(
    vectors: Floats, labels: list[str], aggregate: ClassMoments | None = None
) -> ClassMoments:
    found = aggregate or ClassMoments()
    found.update(batch(vectors, labels))
    return found


@given(shards(), st.data())
def test_any_cutting_in_any_order_gives_the_same(rows: list[Rows], data: st.DataObject) -> None:
    assert_same(LAW.result(whole(LAW, rows)), LAW.result(cut(LAW, rows, data.draw)))


def test_moments_are_those_of_numpy() -> None:
    vectors = np.random.default_rng(0).normal(5, 2, (500, 7)).astype(np.float32).astype(np.float64)
    labels = ["a", "b"] * 250
    found = filled(vectors, labels).classes
    assert list(found) == ["a", "b"]
    rows = vectors[0::2]
    assert found["a"].rows == 250
    np.testing.assert_allclose(found["a"].mean, rows.mean(axis=0))
    np.testing.assert_allclose(found["a"].scatter / 249, np.cov(rows.T), rtol=1e-10)


def test_far_from_the_origin_nothing_is_lost() -> None:
    vectors = np.random.default_rng(0).normal(9e5, 1, (4_000, 3)).astype(np.float32)
    found = ClassMoments()
    for start in range(0, 4_000, 100):
        found.update(batch(vectors[start : start + 100], ["a"] * 100, start))
    expected = np.cov(vectors.astype(np.float64).T) * 3_999
    np.testing.assert_allclose(found.classes["a"].scatter, expected, rtol=1e-9, atol=1e-6)


def test_rows_that_cannot_be_used_are_counted_and_left_out() -> None:
    vectors = np.ones((6, 2))
    vectors[0, 1], vectors[1, 0], vectors[2, 0], vectors[3, 0] = np.nan, np.inf, -np.inf, 1e30
    given = batch(vectors, ["a"] * 6)
    codes = given.labels.codes
    codes[5] = -1
    given.features[5] = 1e30  # of a row without a label nothing is counted
    found = ClassMoments()
    found.update(given)
    assert found.left_out == 4
    assert found.too_large == 1
    assert found.classes["a"].rows == 1


def test_requests_without_rows_are_equal() -> None:
    assert ClassMoments() == ClassMoments()
    assert len({ClassMoments(), ClassMoments(), ClassMoments(budget=8)}) == 2
    assert ClassMoments().classes == {}


def test_folding_keeps_lengths_on_average_and_is_linear() -> None:
    rows = np.random.default_rng(0).normal(size=(400, 101))
    folded = fold_to(rows, 26)
    assert folded.shape == (400, 26)
    expected = (rows**2).sum() * 26 / 101
    assert (folded**2).sum() == pytest.approx(expected, rel=0.05)
    np.testing.assert_allclose(fold_to(rows[:1] + rows[1:2], 26)[0], folded[0] + folded[1])
    np.testing.assert_allclose(fold_to(rows, 101), rows)


def test_folding_moments_is_the_same_as_folding_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 33))
    one, other = Moments.of(rows).folded_to(9), Moments.of(fold_to(rows, 9))
    np.testing.assert_allclose(one.mean, other.mean)
    np.testing.assert_allclose(one.scatter, other.scatter, atol=1e-12)


@given(st.integers(1, 5_000), st.integers(1, 20_000), st.integers(8, 1 << 28))
def test_scatter_matrices_stay_within_the_budget(dimension: int, classes: int, budget: int) -> None:
    found = affordable_dimension(dimension, classes, budget)
    assert 1 <= found <= min(dimension, module.MAX_DIMENSION)
    assert found == 1 or classes * found**2 * 8 <= budget


@given(st.permutations(range(12)), st.integers(1, 11))
def test_vectors_are_folded_alike_whatever_came_first(order: list[int], split: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(12, 40))
    budget = 3 * 20**2 * 8  # all of it for three classes; five must fold once more
    parts = [ClassMoments(budget), ClassMoments(budget)]
    for place, row in enumerate(order):
        part = parts[place >= split]
        part.update(batch(vectors[row : row + 1], [str(row % 5)], row))
    parts[0].merge(pickle.loads(pickle.dumps(parts[1])))
    together = filled(vectors, [str(row % 5) for row in range(12)], ClassMoments(budget))
    assert parts[0].dimension == together.dimension == 10
    expected = Case(lambda: ClassMoments(budget), LAW.result)
    assert_same(expected.result(parts[0]), expected.result(together))


def test_labels_that_are_no_classes_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CLASSES", 3)
    vectors = np.zeros((4, 2))
    one = filled(vectors, ["a", "b", "c", "d"])
    assert one.overflow
    assert one.classes == {}
    left, right = filled(vectors[:2], ["a", "b"]), filled(vectors[:2], ["c", "d"])
    left.merge(right)
    assert left.overflow
    fine = filled(vectors[:2], ["a", "b"])
    fine.merge(one)
    assert fine.overflow
    fine.update(batch(vectors[:1], ["a"]))
    assert fine.classes == {}


def test_directions_are_computed_once_and_again_after_more_rows() -> None:
    vectors = np.random.default_rng(0).normal(size=(60, 4))
    found = filled(vectors, ["a", "b"] * 30)
    first = found.contrast()
    assert found.contrast() is first
    found.update(batch(vectors, ["b", "a"] * 30))
    assert found.contrast() != first


def test_half_of_a_scatter_matrix_travels_and_all_of_it_arrives() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 40))
    moments = Moments.of(rows)
    moments.absorb(Moments.of(rows[:7] + 3))
    for sent in (moments, moments.folded_to(10)):
        packed = pickle.dumps(sent)
        assert len(packed) < sent.scatter.nbytes * 0.6 + 1_000
        arrived = pickle.loads(packed)
        np.testing.assert_array_equal(arrived.scatter, sent.scatter)
        np.testing.assert_array_equal(arrived.mean, sent.mean)
        assert arrived.rows == sent.rows
