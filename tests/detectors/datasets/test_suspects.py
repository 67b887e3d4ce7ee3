"""What both backdoor detectors say about rows that they could not look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poisonscan.datasets.numbers import Numbers
from poisonscan.datasets.words import Words
from poisonscan.detectors.datasets import activation_clustering, projections, spectral_signature
from poisonscan.finding import Fact, Gap
from poisonscan.limits import LimitReached
from tests.detectors.datasets import backdoors
from tests.detectors.datasets.backdoors import part
from tests.fakes import FakeDataset, returned

DETECTORS = [spectral_signature.DETECTOR, activation_clustering.DETECTOR]


def _said(detector: Any, vectors: Any, labels: Any) -> list[Any]:
    """All that a detector returns."""
    return list(returned(detector, FakeDataset(part(vectors, labels))))


def _fact(detector: Any, vectors: Any, labels: Any) -> str:
    """What a detector says about the run."""
    (fact,) = [item for item in _said(detector, vectors, labels) if isinstance(item, Fact)]
    return str(fact.value)


@pytest.mark.parametrize("detector", DETECTORS)
def test_rows_without_a_usable_vector_are_counted(detector: Any) -> None:
    vectors, labels, _ = backdoors.shifted(0)
    assert _fact(detector, vectors, labels) == "3 classes tested"
    vectors[:90], vectors[90:110], vectors[110:120] = np.nan, np.inf, 1e9
    assert _fact(detector, vectors, labels) == (
        "3 classes tested; left out: 120 labelled rows without a usable vector"
    )


@pytest.mark.parametrize("detector", DETECTORS)
def test_vectors_that_are_mostly_missing_are_a_limit(detector: Any) -> None:
    vectors, labels, _ = backdoors.shifted(0)
    with pytest.raises(LimitReached, match="3,000 of 3,000 labelled rows have no usable vector"):
        _fact(detector, vectors * np.nan, labels)


@pytest.mark.parametrize(("share", "gaps"), [(0.005, 0), (0.3, 1)])
@pytest.mark.parametrize("detector", DETECTORS)
def test_more_than_a_few_missing_vectors_are_a_gap(detector: Any, share: float, gaps: int) -> None:
    vectors, labels, _ = backdoors.shifted(0)
    holes = vectors.copy()
    holes[: int(share * len(holes))] = np.nan
    found = [item for item in _said(detector, holes, labels) if isinstance(item, Gap)]
    assert len(found) == gaps


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_sample_is_said_with_its_size(detector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels, _ = backdoors.shifted(0)
    monkeypatch.setattr(projections, "MAX_ROWS", 1_500)
    said = _fact(detector, vectors, labels)
    kept = int(said.split("; a sample of ")[1].split(" of 3,000 rows")[0].replace(",", ""))
    assert 1_350 < kept < 1_650


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("rows", [30, 31])
def test_more_than_one_in_a_hundred_too_large_is_a_limit(detector: Any, rows: int) -> None:
    vectors, labels, _ = backdoors.shifted(0)
    vectors[100 : 100 + rows] *= 1e9
    if rows == 30:
        assert "; left out: 30 labelled rows without" in _fact(detector, vectors, labels)
        return
    with pytest.raises(LimitReached, match=r"31 of 3,000 labelled rows hold numbers beyond"):
        _fact(detector, vectors, labels)


@pytest.mark.parametrize(
    ("names", "is_vector"),
    [
        ([f"pixel{i}" for i in range(20)], True),
        ([f"pixel_{i}" for i in range(20)], True),
        ([f"{i}x{j}" for i in range(5) for j in range(4)], True),
        ([*(f"V{i}" for i in range(30)), "age"], True),
        ([f"pixel{i}" for i in range(10)], False),
        ([f"col_{i}" for i in range(40)], False),
        ([f"col_{i}" for i in range(64)], True),
        ([f"{sensor}_{i}" for sensor in ("left", "right") for i in range(32)], True),
        ([f"{sensor}_{i}" for sensor in ("left", "right") for i in range(31)], False),
        ([f"{first}{second}" for first in "abcdefgh" for second in "ijklmnop"], False),
        (["length", "width", "depth"], False),
        ([], False),
        ([f"{name}_{axis}" for name in ("belt", "arm", "hand") for axis in "xyz"] * 5, False),
    ],
)
def test_columns_that_are_one_vector(names: list[str], is_vector: bool) -> None:
    ones = (1.0,) * len(names)
    assert Numbers(tuple(names), ones, ones).is_vector is is_vector


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("vectors", [Words(("text",)), Numbers(("a", "b"), (0, 0), (1, 1))])
def test_vectors_in_which_honest_rows_form_groups(detector: Any, vectors: Any) -> None:
    dataset = FakeDataset(part(*backdoors.shifted(0)[:2]))
    dataset.vectors = vectors
    (fact,) = returned(detector, dataset)
    assert isinstance(fact, Fact)
    assert str(fact.value).startswith("not applied")
