from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.detectors.datasets import projections as module
from poisonscan.detectors.datasets.contrast import contrast
from poisonscan.detectors.datasets.projections import ClassProjections, mix
from tests.detectors.datasets.test_moments import batch, filled
from tests.laws import DIMENSION, NAMES, Case, Rows, assert_same, cut, shards, whole


def request() -> ClassProjections:
    draw = np.random.default_rng(0)
    names = NAMES[:4]
    matrices = [matrix.T @ matrix for matrix in draw.normal(size=(4, 9, DIMENSION))]
    counts, means = np.full(4, 40), draw.normal(size=(4, DIMENSION))
    return ClassProjections(contrast(names, counts, means, matrices), DIMENSION)


LAW = Case(request, lambda found: (found.own, found.others))


@given(shards(), st.data())
def test_any_cutting_in_any_order_gives_the_same(rows: list[Rows], data: st.DataObject) -> None:
    assert_same(LAW.result(whole(LAW, rows)), LAW.result(cut(LAW, rows, data.draw)))


@given(shards(), st.data())
def test_samples_too(rows: list[Rows], data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_ROWS", 60)
        patch.setattr(module, "REFERENCE_ROWS", 10)
        assert_same(LAW.result(whole(LAW, rows)), LAW.result(cut(LAW, rows, data.draw)))


def test_equal_requests_are_one() -> None:
    assert len({request(), request()}) == 1
    assert request() == request()
    other = request()
    other.contrast = contrast(("a",), np.array([3]), np.zeros((1, 2)), [np.eye(2)])
    assert request() != other


def test_rows_lie_along_the_directions_of_their_class() -> None:
    vectors = np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)
    labels = ["a", "b", "c", "d"] * 100
    found = filled(vectors.astype(np.float64), labels).contrast()
    sample = ClassProjections(found, 6)
    sample.update(batch(vectors, labels))
    own = sample.own.of(2)
    np.testing.assert_array_equal(own.rows[:, 1], np.arange(2, 400, 4))
    expected = (vectors[2::4] - found.means[2]) @ found.directions[2]
    np.testing.assert_allclose(own.coordinates, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(own.coordinates.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(own.coordinates.var(axis=0, ddof=1), found.eigenvalues[2], rtol=0.1)


def test_reference_rows_are_of_other_classes() -> None:
    vectors = np.random.default_rng(0).normal(size=(400, 6))
    labels = ["a", "b", "c", "d"] * 100
    sample = ClassProjections(filled(vectors, labels).contrast(), 6)
    sample.update(batch(vectors, labels))
    for code in range(4):
        others = sample.others.of(code)
        assert len(others.rows) > 50
        assert not (others.rows[:, 1] % 4 == code).any()


def test_a_sample_is_drawn_from_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(0).normal(size=(6_000, 3))
    labels = ["a", "b", "c"] * 2_000
    sample = ClassProjections(filled(vectors, labels).contrast(), 3)
    monkeypatch.setattr(module, "MAX_ROWS", 600)
    monkeypatch.setattr(module, "REFERENCE_ROWS", 100)
    sample.update(batch(vectors, labels))
    assert sample.share_kept == pytest.approx(0.1)
    assert 500 < len(sample.own.rows) < 700
    assert 200 < len(sample.others.rows) < 400


def test_classes_that_were_not_there_before_are_left_out() -> None:
    vectors = np.ones((3, DIMENSION), np.float32)
    sample = request()
    sample.update(batch(vectors, ["cat", "unicorn", "dog"]))
    assert sample.own.rows[:, 1].tolist() == [0, 2]
    empty = request()
    empty.update(batch(vectors[:0], []))
    assert len(empty.own.of(0).rows) == 0


def test_hashes_of_places_are_spread() -> None:
    rows = np.stack(np.meshgrid(np.arange(50), np.arange(2_000)), axis=-1).reshape(-1, 2)
    hashes = mix(rows, 1)
    assert len(np.unique(hashes)) == len(rows)
    share = np.bincount((hashes >> np.uint64(60)).astype(int), minlength=16) / len(rows)
    np.testing.assert_allclose(share, 1 / 16, rtol=0.05)
    assert (mix(rows, 2) != hashes).all()
