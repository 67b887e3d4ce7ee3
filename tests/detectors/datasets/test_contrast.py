from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.detectors.datasets.contrast import (
    Contrast,
    contrast,
    coordinate_scales,
    shrinkage_weight,
)

Floats = NDArray[np.float64]


def of(groups: list[Floats]) -> Contrast:
    names = tuple(f"class {i}" for i in range(len(groups)))
    counts = np.array([len(rows) for rows in groups])
    means = np.stack([rows.mean(axis=0) for rows in groups])
    return contrast(names, counts, means, [np.cov(rows.T) * (len(rows) - 1) for rows in groups])


def groups(seed: int, size: int = 4_000) -> list[Floats]:
    mixed = np.diag(np.arange(1.0, 9.0)) + np.random.default_rng(seed).normal(size=(8, 8)) / 4
    return [np.random.default_rng(seed + i).normal(size=(size, 8)) @ mixed for i in range(4)]


def test_like_classes_have_like_variances() -> None:
    found = of(groups(0))
    np.testing.assert_allclose(found.eigenvalues, 1, rtol=0.2)


def test_a_direction_of_larger_variance_is_found_in_units_of_other_classes() -> None:
    rows = groups(0)
    extra = np.random.default_rng(9).normal(size=8)
    rows[2] += 3 * np.random.default_rng(8).normal(size=(4_000, 1)) * extra
    found = of(rows)
    covariance = np.mean([np.cov(rows[i].T) for i in (0, 1, 3)], axis=0)
    expected = 1 + 9 * extra @ np.linalg.solve(covariance, extra)
    assert found.eigenvalues[2, 0] == pytest.approx(expected, rel=0.25)
    assert found.eigenvalues[[0, 1, 3]].max() < 1.3
    direction = found.directions[2][:, 0]
    assert direction @ covariance @ direction == pytest.approx(1, rel=0.2)
    along = np.linalg.solve(covariance, extra)
    assert abs(np.corrcoef(direction, along)[0, 1]) > 0.98


def test_a_class_is_not_measured_by_itself() -> None:
    rows = groups(0)
    rows[1] *= 100
    found = of(rows)
    assert found.eigenvalues[1, 0] == pytest.approx(10_000, rel=0.3)


def test_participation_counts_coordinates() -> None:
    rows = [np.random.default_rng(i).normal(size=(5_000, 8)) for i in range(3)]
    shift = np.random.default_rng(7).normal(size=(5_000, 1)) * 10
    one, many = [r.copy() for r in rows], [r.copy() for r in rows]
    one[0][:, 3:4] += shift
    many[0][:, 2:7] += shift
    unit = np.eye(8)[0]
    assert of(one).participation(0, unit) == pytest.approx(1, abs=0.1)
    assert of(many).participation(0, unit) == pytest.approx(5, abs=0.3)
    assert of(many).participation(0, 0 * unit) == 1.0


def test_shrinkage_grows_with_the_dimension_and_falls_with_the_rows() -> None:
    draw = np.random.default_rng(0)
    stretched = np.diag(np.arange(1.0, 31.0))

    def weight(rows: int) -> float:
        return shrinkage_weight(np.cov((draw.normal(size=(rows, 30)) @ stretched).T), rows - 1)

    assert 0.01 <= weight(10_000) < 0.02 < weight(100) < weight(10) <= 0.99
    assert shrinkage_weight(np.eye(30), 1_000) == 0.99
    assert shrinkage_weight(np.zeros((3, 3)), 10) == 0.99


def test_constant_coordinates_have_a_finite_scale() -> None:
    np.testing.assert_allclose(coordinate_scales(np.array([4.0, 4.0, 0.0, 9.0]))[:2], 2)
    assert coordinate_scales(np.array([4.0, 0.0]))[1] == pytest.approx(np.sqrt(0.2))
    np.testing.assert_array_equal(coordinate_scales(np.zeros(2)), 1)


def test_z_scores_need_five_classes() -> None:
    assert of(groups(0)).z_score(0) is None
    rows = [np.random.default_rng(i).normal(size=(2_000, 8)) for i in range(6)]
    rows[4] *= 30
    found = of(rows)
    scores = [found.z_score(code) or 0.0 for code in range(6)]
    assert int(np.argmax(scores)) == 4
    assert scores[4] > 10


def test_equal_arrays_make_equal_contrasts() -> None:
    assert of(groups(0)) == of(groups(0))
    assert hash(of(groups(0))) == hash(of(groups(0)))
    assert of(groups(0)) != of(groups(1))
    assert of(groups(0)) != "something else"


@pytest.mark.parametrize("size", [8, 19])
def test_classes_of_few_rows_have_the_directions_that_their_definition_names(size: int) -> None:
    """``size`` rows of 40 coordinates: from a factor of low rank, and from the whole matrix."""
    draw = np.random.default_rng(5)
    rows = [draw.normal(size=(n, 40)) * np.linspace(1, 2, 40) for n in (300, 400, size)]
    found = of(rows)
    scatters = [np.cov(group.T) * (len(group) - 1) for group in rows]
    kept = min(size - 1, found.directions.shape[2])
    rest, rest_rows = scatters[0] + scatters[1], 300 + 400 - 2
    scale = coordinate_scales(np.diag(sum(scatters)) / (rest_rows + size - 1))
    unlike = [matrix / np.outer(scale, scale) for matrix in scatters]
    degrees = rest_rows + size - 1
    weight = shrinkage_weight(np.sum(unlike, axis=0) / degrees, degrees)
    for number in range(kept):
        direction = found.directions[2][:, number]
        own = (1 - weight) * scatters[2] @ direction
        others = (1 - weight) * rest @ direction
        ridge = own / found.eigenvalues[2, number] * rest_rows / (size - 1) / (1 - weight) - others
        # What is left is the ridge, which is the same multiple of all coordinates.
        multiples = ridge / (scale**2 * direction)
        assert multiples == pytest.approx(np.full(40, multiples[0]), rel=1e-6)
