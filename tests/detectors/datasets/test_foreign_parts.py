"""Laws of the two detectors that look for a foreign part of a class."""

from __future__ import annotations

import numpy as np
import pytest

from poisonscan.detectors.base import DatasetDetector
from poisonscan.detectors.datasets import activation_clustering, moments, spectral_signature
from poisonscan.limits import LimitReached
from tests.detectors.datasets import backdoors
from tests.detectors.datasets.backdoors import flagged, part
from tests.fakes import FakeDataset, run

DETECTORS = [
    pytest.param(module.DETECTOR, id=module.__name__.rpartition(".")[2])
    for module in (activation_clustering, spectral_signature)
]
NULLS, HOSTILE = backdoors.nulls(), backdoors.hostile()


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", NULLS)
def test_clean_rows_are_quiet(detector: DatasetDetector, name: str) -> None:
    assert run(detector, FakeDataset(part(*NULLS[name]))) == []


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", HOSTILE)
def test_odd_shapes_are_quiet(detector: DatasetDetector, name: str) -> None:
    assert run(detector, FakeDataset(part(*HOSTILE[name]))) == []


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("seed", [101, 102, 103, 104])
def test_digits_are_quiet(detector: DatasetDetector, seed: int) -> None:
    hidden, labels, _ = backdoors.digit_activations(seed, 0.0, 0)
    assert run(detector, FakeDataset(part(hidden, labels))) == []


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize(("seed", "target"), [(101, 0), (102, 3), (103, 9)])
def test_a_trigger_in_digits_is_found_in_a_hidden_layer(
    detector: DatasetDetector, seed: int, target: int
) -> None:
    hidden, labels, poisoned = backdoors.digit_activations(seed, 0.05, target)
    (finding,) = run(detector, FakeDataset(part(hidden, labels)))
    found = flagged(finding, len(labels))
    assert finding.key == str(target)
    assert (found & poisoned).sum() / poisoned.sum() > 0.9
    assert (found & poisoned).sum() / found.sum() > 0.9


@pytest.mark.parametrize("detector", DETECTORS)
def test_pictures_are_quiet(detector: DatasetDetector) -> None:
    vectors, labels, _ = backdoors.marked_cifar(0.0, 0, 0)
    assert run(detector, FakeDataset(part(vectors, labels))) == []


@pytest.mark.parametrize("detector", DETECTORS)
def test_numbers_too_large_to_compute_with_are_a_limit(detector: DatasetDetector) -> None:
    vectors, labels, _ = backdoors.shifted(0)
    with pytest.raises(LimitReached, match="beyond 1,000,000"):
        run(detector, FakeDataset(part(vectors * 1e8, labels)))


@pytest.mark.parametrize("detector", DETECTORS)
def test_far_rows_hide_nothing(detector: DatasetDetector) -> None:
    vectors, labels, poisoned = backdoors.shifted(0, classes=5)
    vectors[np.flatnonzero(labels == 0)[:2]] = [[9e5], [3e38]]
    vectors[np.flatnonzero(labels == 1)[-1]] = -9e5
    (finding,) = run(detector, FakeDataset(part(vectors, labels)))
    np.testing.assert_array_equal(flagged(finding, len(labels)), poisoned)


@pytest.mark.parametrize("detector", DETECTORS)
def test_too_many_labels_are_a_limit(
    detector: DatasetDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moments, "MAX_CLASSES", 10)
    with pytest.raises(LimitReached, match="different labels"):
        run(detector, FakeDataset(part(*HOSTILE["a class for each row"])))
