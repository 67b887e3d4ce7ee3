from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import poisonscan
from fixtures import label_samples
from poisonscan.detectors.datasets.number_columns import bounds, far
from poisonscan.detectors.datasets.number_summary import TAIL
from poisonscan.finding import Finding, Rows
from poisonscan.rules import rule

SAMPLES = {
    "PS612": label_samples.degenerate,
    "PS613": label_samples.outliers,
    "PS614": label_samples.impossible,
}


def found(path: Path, data: bytes) -> list[Finding]:
    path.write_bytes(data)
    report = poisonscan.scan(path, select=list(SAMPLES), jobs=1)
    assert report.gaps == []
    return list(report.each())


@pytest.mark.parametrize("rule_id", list(SAMPLES))
def test_samples(tmp_path: Path, rule_id: str) -> None:
    bad, good = SAMPLES[rule_id]()
    for name, data in bad.items():
        assert rule_id in {f.rule.id for f in found(tmp_path / name, data)}, name
    for name, data in good.items():
        assert found(tmp_path / name, data) == [], name


def tail(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    limits = rule("PS613").thresholds
    largest, smallest = np.sort(values)[::-1][:TAIL], np.sort(values)[:TAIL]
    centre = (largest[-1] + smallest[-1]) / 2
    return far(largest - centre, limits["chance"] / 20, limits["ratio"], 10)


@pytest.mark.parametrize(
    "kind", ["normal", "exponential", "pareto", "lognormal", "cauchy", "whole"]
)
def test_tails_are_not_outliers(kind: str) -> None:
    draw = np.random.default_rng(0)
    make: dict[str, Callable[[], np.ndarray[tuple[int], np.dtype[np.float64]]]] = {
        "normal": lambda: draw.normal(size=3_000),
        "exponential": lambda: draw.exponential(size=3_000),
        "pareto": lambda: draw.pareto(1.5, 3_000),
        "lognormal": lambda: draw.lognormal(0, 2, 3_000),
        "cauchy": lambda: np.abs(draw.standard_cauchy(3_000)),
        "whole": lambda: np.floor(draw.pareto(2, 3_000) * 10),
    }
    assert sum(tail(make[kind]()) > 0 for _ in range(100)) <= 1


@pytest.mark.parametrize("count", [1, 3, 10])
def test_outliers_are_counted(count: int) -> None:
    draw = np.random.default_rng(1)
    for values in (draw.normal(40, 10, 2_000), draw.exponential(20, 2_000)):
        assert tail(np.concatenate([values, np.linspace(99_000, 99_999, count)])) == count


def test_columns_without_a_tail() -> None:
    assert tail(np.zeros(100)) == 0
    assert tail(np.array([0.0] * 95 + [1.0] * 5)) == 0
    assert tail(np.array([0.0] * 60 + [99_999.0] * 60)) == 0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("age", (0, 150)),
        ("customerAge", (0, 150)),
        ("price_usd", (0, np.inf)),
        ("page", (-np.inf, np.inf)),
        ("percent", (0, 100)),
        ("storage", (-np.inf, np.inf)),
        ("discount", (-np.inf, np.inf)),
    ],
)
def test_bounds_by_whole_words(name: str, expected: tuple[float, float]) -> None:
    assert bounds(name) == expected


def test_a_centred_column_may_be_negative(tmp_path: Path) -> None:
    rows = label_samples.measured(400, 1)
    for number, row in enumerate(rows):
        row["age"] = (number * 37 % 101 - 50) / 20
    assert found(tmp_path / "centred.csv", label_samples.table(rows)) == []


def test_the_rows_are_named(tmp_path: Path) -> None:
    (finding,) = [
        f
        for f in found(tmp_path / "ages.csv", label_samples.impossible()[0]["ages.csv"])
        if f.rule.id == "PS614"
    ]
    assert isinstance(finding.at.part, Rows)
    assert [row.index for row in finding.at.part.rows] == [30, 60]


def test_columns_are_told_together(tmp_path: Path) -> None:
    rows = label_samples.measured(400, 1)
    for number, row in enumerate(rows):
        row |= {"a": row["length"], "b": row["width"], "c": row["depth"], "d": row["depth"]}
        if number in {7, 8}:
            row |= {"length": 9_000 + number, "width": 8_000}
            row |= {"a": row["length"], "b": row["width"]}
    found_here = found(tmp_path / "many.csv", label_samples.table(rows))
    copies, apart = sorted(found_here, key=lambda finding: finding.rule.id)
    assert copies.rule.id == "PS612"
    assert copies.message.startswith("3 groups of columns with the same numbers")
    assert apart.rule.id == "PS613"
    assert apart.evidence["columns"] == ["length", "width", "a", "b"]
    assert isinstance(apart.at.part, Rows)
    assert [row.index for row in apart.at.part.rows] == [7, 8]
