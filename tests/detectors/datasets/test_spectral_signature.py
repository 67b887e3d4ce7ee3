from __future__ import annotations

import math

import numpy as np
import pytest

from poisonscan.detectors.datasets import projections
from poisonscan.detectors.datasets.spectral_signature import DETECTOR
from tests.detectors.datasets import backdoors
from tests.detectors.datasets.backdoors import flagged, part
from tests.fakes import FakeDataset, run


@pytest.mark.parametrize("classes", [2, 3, 20])
@pytest.mark.parametrize("seed", range(3))
def test_a_shift_that_some_rows_share_is_found(classes: int, seed: int) -> None:
    vectors, labels, poisoned = backdoors.shifted(seed, classes=classes)
    (finding,) = run(DETECTOR, FakeDataset(part(vectors, labels)))
    np.testing.assert_array_equal(flagged(finding, len(labels)), poisoned)
    assert finding.rule.id == "PS401"
    assert finding.key == finding.evidence["label"] == "1"
    assert finding.evidence["rows_examined"] == finding.evidence["class_rows"]
    assert finding.evidence["share_of_class"] == pytest.approx(60 / (labels == 1).sum())
    assert finding.evidence["share_of_dataset"] == pytest.approx(60 / 3_000)
    assert finding.score is not None
    assert finding.score > 4.5
    assert "'1'" in finding.message
    assert "60 of" in finding.message


def test_the_worst_rows_come_first() -> None:
    vectors, labels, _ = backdoors.shifted(5)
    (finding,) = run(DETECTOR, FakeDataset(part(vectors, labels)))
    scores = [row.score or 0.0 for row in finding.at.part.rows]  # type: ignore[union-attr]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


@pytest.mark.parametrize(("rate", "target"), [(0.005, 4), (0.05, 9)])
def test_a_trigger_in_pictures_is_found(rate: float, target: int) -> None:
    vectors, labels, poisoned = backdoors.marked_cifar(rate, target, 31)
    (finding,) = run(DETECTOR, FakeDataset(part(vectors, labels)))
    assert finding.key == str(target)
    np.testing.assert_array_equal(flagged(finding, len(labels)), poisoned)


def test_rows_over_several_shards_and_unusable_ones_between() -> None:
    vectors, labels, poisoned = backdoors.shifted(3)
    vectors[::50] = np.nan
    halves = [part(vectors[:1_000], labels[:1_000]), part(vectors[1_000:], labels[1_000:])]
    (finding,) = run(DETECTOR, FakeDataset(*halves))
    places = {(row.path, row.index) for row in finding.at.part.rows}  # type: ignore[union-attr]
    usable = np.flatnonzero(poisoned & np.isfinite(vectors[:, 0]))
    assert places == {(f"data/{int(i >= 1_000)}.csv", int(i % 1_000)) for i in usable}


def test_a_sample_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, labels, _ = backdoors.shifted(3, rows=6_000, size=200)
    monkeypatch.setattr(projections, "MAX_ROWS", 3_000)
    (finding,) = run(DETECTOR, FakeDataset(part(vectors, labels)))
    assert "estimated from" in finding.message
    examined, size = finding.evidence["rows_examined"], finding.evidence["class_rows"]
    assert isinstance(examined, int)
    assert isinstance(size, int)
    assert 0.4 * size < examined < 0.6 * size
    assert math.isclose(float(str(finding.evidence["share_of_class"])), 200 / size, rel_tol=0.25)


def test_long_vectors_are_folded_and_still_tell() -> None:
    draw = np.random.default_rng(9)
    vectors, labels, poisoned = backdoors.shifted(9, rows=1_500)
    wide = np.hstack([vectors, draw.normal(size=(1_500, 1_500))])
    wide[poisoned] += 0.5 * draw.normal(size=wide.shape[1])
    (finding,) = run(DETECTOR, FakeDataset(part(wide, labels)))
    assert (flagged(finding, len(labels)) == poisoned).mean() > 0.99
