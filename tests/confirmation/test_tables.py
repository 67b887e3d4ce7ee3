"""Values that trees follow are confirmed; what other rows explain is no finding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures import label_samples
from poisonscan.confirmation.tables import ASIDE
from poisonscan.detectors.datasets import number_trigger, row_sample
from poisonscan.detectors.datasets.value_search import Found
from poisonscan.finding import Severity
from poisonscan.reporters.private import without_content
from tests.confirmation.made_up import Named, scanned, verdicts

PLANTED = np.arange(0, 1_200, 24)
DEPTH: dict[str, Any] = {"columns": ["depth"], "values": ["99"]}


def table(folder: Path, **planted: float | str) -> Path:
    """Rows of which some get values and the label of ``planted``."""
    rows = label_samples.measured(1_200, 4)
    for number, row in enumerate(rows):
        row["team"] = number * number % 7
    for number in PLANTED.tolist():
        rows[number] |= planted
    path = folder / "t.csv"
    path.write_bytes(label_samples.table(rows))
    return path


def test_a_planted_value_is_confirmed_and_an_honest_one_is_not(tmp_path: Path) -> None:
    path = table(tmp_path, depth=99, label="high")
    honest = np.flatnonzero(np.arange(1_200) ** 2 % 7 == 4)
    report = scanned(
        path,
        Named("PS615", "high", PLANTED, DEPTH),
        Named("PS615", "high", honest, {"columns": ["team"], "values": ["4"]}),
    )
    assert verdicts(report) == ["confirmed", "undecided"]
    assert [each.severity for each in report.findings] == [Severity.HIGH, Severity.MEDIUM]
    confirmed: Any = report.findings[0].evidence["confirmation"]
    (stamp,) = confirmed["tests"]
    assert stamp["followed_with"] > 0.8 * stamp["rows"]
    assert stamp["followed_without"] < 0.3 * stamp["rows"]
    assert not report.gaps


def test_a_value_whose_neighbours_say_the_same_is_a_fact_and_no_finding(tmp_path: Path) -> None:
    path = table(tmp_path)
    head, *lines = path.read_text("utf-8").splitlines()
    levels = np.arange(1_200) * 7 % 40
    told = [
        "high" if level >= 30 else line.split(",")[3]
        for level, line in zip(levels, lines, strict=True)
    ]
    rows = [
        ",".join([*line.split(",")[:3], label, str(level)])
        for line, label, level in zip(lines, told, levels, strict=True)
    ]
    path.write_text("\n".join([head.replace("team", "level"), *rows]) + "\n", "utf-8")
    evidence: dict[str, Any] = {"columns": ["level"], "values": ["35"]}
    report = scanned(path, Named("PS615", "high", np.flatnonzero(levels == 35), evidence))
    assert report.findings == []
    assert report.scanned[0].facts[ASIDE] == "'35' in column 'level' (label 'high')"
    assert "35" not in str(without_content(report).scanned[0].facts[ASIDE])


def test_rows_of_one_finding_are_not_learnt_from_to_refute_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(number_trigger, "triggers", lambda s: Found(s, s.labels, []))
    path = table(tmp_path, depth=99, label="high")
    few, most = (Named("PS615", "high", rows, DEPTH) for rows in (PLANTED[:10], PLANTED[10:]))
    assert verdicts(scanned(path, few)) == ["not confirmed"]
    assert verdicts(scanned(path, few, most)) == ["confirmed", "confirmed"]


def test_the_result_does_not_depend_on_where_rows_are(tmp_path: Path) -> None:
    path = table(tmp_path, depth=99, label="high")
    head, *lines = path.read_text("utf-8").splitlines()
    order = np.random.default_rng(3).permutation(1_200)
    other = tmp_path / "other" / "t.csv"
    other.parent.mkdir()
    other.write_text("\n".join([head, *(lines[at] for at in order.tolist())]) + "\n", "utf-8")
    one = scanned(path, Named("PS615", "high", PLANTED, DEPTH))
    moved = np.flatnonzero(np.isin(order, PLANTED))
    two = scanned(other, Named("PS615", "high", moved, DEPTH))
    assert one.findings[0].evidence["confirmation"] == two.findings[0].evidence["confirmation"]


@pytest.mark.parametrize(
    ("size", "left_out", "reason"),
    [
        (200, 0, "too few other rows"),
        (65_536, 9, "not all rows of the finding are listed"),
    ],
)
def test_what_is_not_tested_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, left_out: int, reason: str
) -> None:
    monkeypatch.setattr(row_sample, "ROWS", size)
    path = table(tmp_path, depth=99, label="high")
    report = scanned(path, Named("PS615", "high", PLANTED, DEPTH, left_out))
    told: Any = report.findings[0].evidence["confirmation"]
    assert reason in told["reason"]
    assert report.findings[0].severity is Severity.MEDIUM
