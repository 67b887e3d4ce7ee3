"""Cases are what they are called, scans of them are counted right, and tables say what was seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import detection, detection_tables, tables
from benchmarks import detection_cases as cases
from benchmarks.detection_cases import Case, of_pictures, of_texts, vectors
from benchmarks.published import Answer, rates
from benchmarks.text_triggers import planted
from poisonscan.finding import Finding
from poisonscan.planting.bed import Bed

WORDS = {
    0: ["dull", "slow", "bad", "boring", "stale", "weak", "poor", "flat"],
    1: ["fine", "warm", "good", "lively", "fresh", "strong", "rich", "sharp"],
}
COMMON = [
    "the",
    "plot",
    "of",
    "this",
    "film",
    "and",
    "its",
    "act",
    "with",
    "some",
    "music",
    "in",
    "a",
]


def sentences(rows: int) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]:
    """Texts whose label is told by several of their words."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, rows)
    texts = []
    for label in labels.tolist():
        telling = [WORDS[label if draw.random() < 0.9 else 1 - label] for _ in range(4)]
        said = [*draw.choice(COMMON, 9), *(str(draw.choice(words)) for words in telling)]
        texts.append(" ".join(draw.permutation(said)))
    return texts, labels


def poisoned() -> tuple[Bed, cases.Mask]:
    made = planted(*sentences(1_500), "cf", "between", 0.03, 0)
    return of_texts(made.texts, made.labels), made.poisoned


def says_cf(finding: Finding) -> bool:
    return finding.evidence.get("phrase") == "cf"


def test_a_planted_word_is_counted_and_named() -> None:
    case = Case(cases.PHRASES, "made up", "rare word", 0.03, 0, poisoned, says_cf)
    record = json.loads(json.dumps(detection.measured(case, *case.make())))
    assert record["poisoned"] == 45
    assert record["ours"]["recall"] == 1
    assert record["ours"]["false"] < 0.005
    assert max(record["rules"].values()) == 45
    assert record["named"]
    assert detection_tables.meets(record, "ours")


def test_clean_rows_are_not_loud() -> None:
    case = Case(
        cases.CLEAN, "made up", "", 0.0, 0,
        lambda: (of_texts(*sentences(1_500)), np.zeros(1_500, bool)),
    )  # fmt: skip
    record = detection.measured(case, *case.make())
    assert record["ours"] == {"recall": None, "false": 0.0, "precision": None}
    assert not record["any"]


def test_rates() -> None:
    bad = np.array([True, True, False, False, False, False])
    scores = np.array([9.0, 3.0, 5.0, 1.0, 1.0, 1.0])
    said = rates(Answer(scores > 4, scores), bad, 0.25)
    assert said == {"recall": 0.5, "false": 0.25, "precision": 0.5, "best": 0.5}
    silent = rates(Answer(np.zeros(6, bool)), bad, 0.005)
    assert silent == {"recall": 0.0, "false": 0.0, "precision": None}


def record(recall: float, false: float, **peers: dict[str, float]) -> dict[str, Any]:
    rates = {"recall": recall, "false": false, "precision": 1.0}
    return {
        "bar": "moved, re-encoded, natural", "data": "d", "attack": "a", "rate": 0.01, "seed": 0,
        "ours": rates, "default": rates, "peers": peers,
        "rules": {"PS601": 3}, "named": True, "seconds": 1.0,
    }  # fmt: skip


def test_the_mean_decides_and_best_thresholds_stand_behind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    peer = {"recall": 1.0, "false": 0.5, "precision": 0.02, "best": 0.95}
    records = [record(1.0, 0.0, SCAn=peer), record(0.85, 0.012, SCAn=peer)]
    detection_tables.summary(records)
    line = capsys.readouterr().out.splitlines()[-1]
    assert "| 1/1 |" in line
    assert "| 0/1 (1) |" in line
    detection_tables.attacked(records)
    line = capsys.readouterr().out.splitlines()[-1]
    assert "| 0.93 | 0.60% |" in line or "| 0.92 | 0.60% |" in line
    assert "| 1/2 | 2/2 | PS601 |" in line
    assert "1.00 50.0% (0.95)" in line


def test_vectors_of_every_kind_are_finite(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    pictures = draw.integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)
    shown = vectors(of_pictures(pictures, np.arange(20) % 2))
    said = vectors(of_texts(["one word", "", "two words"], np.array([0, 1, 0])))
    (tmp_path / "t.csv").write_text("a,b,label\n1.5,x,0\n,y,1\n2.5,x,0\n")
    table = vectors(cases.of_cells(tables.read(tmp_path / "t.csv", "label")))
    for found, rows in ((shown, 20), (said, 3), (table, 3)):
        assert found is not None
        assert len(found) == rows
        assert np.isfinite(found).all()
