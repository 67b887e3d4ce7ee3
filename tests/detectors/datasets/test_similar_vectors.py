"""Vectors that are alike, pairs without comparing all, and what chance explains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import poisonscan
from poisonscan.detectors.datasets import similar_vectors, vector_keys
from poisonscan.detectors.datasets.chance import background_pairs, least_by_chance
from poisonscan.detectors.datasets.near_pairs import Pairs, all_pairs, groups_of, near_pairs
from poisonscan.finding import Severity
from poisonscan.report import Report

RULES = ("PS508", "PS509")
Floats = NDArray[np.float64]


def scanned(folder: Path, vectors: Floats, labels: list[str]) -> Report:
    column = pa.array(list(vectors.astype(np.float32)), pa.list_(pa.float32(), vectors.shape[1]))
    pq.write_table(pa.table({"embedding": column, "label": labels}), folder / "train.parquet")
    return poisonscan.scan(folder, kind="dataset", select=RULES, jobs=1)


def planted(rows: int, copies: int, noise: float = 0.1, width: int = 32) -> Floats:
    """Vectors around a common direction, as embeddings are, and noisy copies of the first."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(rows, width))
    near = vectors[:copies] + rng.normal(scale=noise, size=(copies, width))
    return np.concatenate([vectors, near]) + 5


def pets(count: int) -> list[str]:
    return [("cat", "dog")[i % 2] for i in range(count)]


def test_different_vectors(tmp_path: Path) -> None:
    report = scanned(tmp_path, planted(1_000, 0), pets(1_000))
    assert report.findings == []
    assert report.gaps == []


def test_near_copies(tmp_path: Path) -> None:
    (finding,) = scanned(tmp_path, planted(1_000, 40), pets(1_040)).findings
    assert finding.rule.id == "PS508"
    assert "80 of 1,040 vectors point almost the same way as another" in finding.message


def test_far_copies_are_nothing(tmp_path: Path) -> None:
    assert scanned(tmp_path, planted(1_000, 40, noise=0.6), pets(1_040)).findings == []


def test_conflicting_labels(tmp_path: Path) -> None:
    labels = pets(1_000) + [("dog", "cat")[i % 2] for i in range(40)]
    report = scanned(tmp_path, planted(1_000, 40), labels)
    finding = next(f for f in report.each() if f.rule.id == "PS509")
    assert finding.severity == Severity.MEDIUM
    assert "at least 40 seem to be labelled wrongly" in finding.message


def test_collapsed_classes_are_quiet(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(2, 32))
    vectors = centers[np.arange(1_000) % 2] + rng.normal(scale=0.05, size=(1_000, 32))
    assert scanned(tmp_path, vectors, pets(1_000)).findings == []


def test_too_many_vectors_are_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_keys, "MAX_VECTORS", 50)
    report = scanned(tmp_path, planted(60, 0), pets(60))
    assert any("more than 50 vectors" in gap.reason for gap in report.gaps)


def test_zeros_and_missing_numbers(tmp_path: Path) -> None:
    vectors = planted(200, 0)
    vectors[:50] = 0
    vectors[50:60, 3] = np.nan
    assert scanned(tmp_path, vectors, pets(200)).findings == []


def test_other_features_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("x,y,label\n" + "1.0,2.0,a\n1.0,2.1,b\n" * 50)
    report = poisonscan.scan(tmp_path, kind="dataset", select=RULES, jobs=1)
    assert report.findings == []


# Pairs


def units(rows: int, copies: int, width: int = 48) -> NDArray[np.float32]:
    vectors = planted(rows, copies, width=width) - 5
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, np.float32)


def test_pairs_without_comparing_all() -> None:
    rows = units(5_000, 200)

    def cosines(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.asarray(np.einsum("ij,ij->i", rows[one], rows[other]), np.float32)

    every = all_pairs(rows, 0.9)
    assert len(every.first) == 200
    some = near_pairs(rows, 16, 5, cosines, least=0.9, most=1_000)
    true = set(zip(every.first.tolist(), every.second.tolist(), strict=True))
    found = set(zip(some.first.tolist(), some.second.tolist(), strict=True))
    assert found <= true
    assert len(found) > 0.98 * len(true)
    few = near_pairs(rows, 16, 5, cosines, least=0.9, most=50)
    assert len(few.first) == 50
    assert few.left_out >= 100


def test_equal_keys_cost_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.ones((20_000, 48), np.float32)
    compared = 0

    def cosines(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        nonlocal compared
        compared += len(one)
        return np.ones(len(one), np.float32)

    near_pairs(rows, 18, 2, cosines, least=0.9, most=100)
    assert compared <= 4 * 32 * 20_000


def test_groups() -> None:
    pairs = Pairs(np.array([0, 1, 4]), np.array([1, 3, 5]), np.ones(3, np.float32))
    groups = groups_of(pairs, 6)
    assert groups[0] == groups[1] == groups[3]
    assert groups[4] == groups[5] != groups[0]
    assert groups[2] not in (groups[0], groups[4])


def test_chance_raises_the_limit() -> None:
    rng = np.random.default_rng(0)

    def limit(width: int) -> float:
        vectors = rng.normal(size=(4_000, width))
        rows = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        pairs, share = background_pairs(rows)
        found = all_pairs(rows, 0.95).cosines
        found = np.concatenate([found, np.full(20, 0.999, np.float32)])
        return least_by_chance(found, pairs.cosines, share, 0.95, 0.05)

    assert limit(64) == pytest.approx(0.999)  # nothing but the copies is above 0.95
    assert limit(3) > 0.999  # in three dimensions much is close by chance


def test_all_with_all_or_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(similar_vectors, "ALL_WITH_ALL", 10)
    (finding,) = scanned(tmp_path, planted(1_000, 40), pets(1_040)).findings
    assert "in 40 groups" in finding.message
