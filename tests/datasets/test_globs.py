"""Patterns of file names."""

from __future__ import annotations

import time

import pytest

from poisonscan.datasets.globs import leaves, matching

NAMES = ["a.csv", "data/train-0.parquet", "data/test-0.parquet", "data/x/deep.csv", ".git/a.csv"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", ["a.csv"]),
        ("**/*.csv", ["a.csv", "data/x/deep.csv"]),
        ("data/**", ["data/train-0.parquet", "data/test-0.parquet", "data/x/deep.csv"]),
        ("./data/train-*", ["data/train-0.parquet"]),
        ("data/t??t-[0-9].parquet", ["data/test-0.parquet"]),
        ("data/*/*.csv", ["data/x/deep.csv"]),
        (".git/*", [".git/a.csv"]),
        ("data", []),
    ],
)
def test_matching(pattern: str, expected: list[str]) -> None:
    assert matching(pattern, NAMES) == expected


@pytest.mark.parametrize(
    "pattern", ["/etc/passwd", "../x.csv", "a/../../x", "hf://datasets/x/y", "C:\\x.csv"]
)
def test_patterns_that_lead_out_of_the_folder(pattern: str) -> None:
    assert leaves(pattern)


def test_hostile_patterns_take_no_time() -> None:
    started = time.process_time()
    assert matching("*a" * 400 + "b", ["a" * 250] * 100) == []
    assert matching("**/" * 60 + "b", ["a/" * 200 + "c"] * 100) == []
    assert time.process_time() - started < 2
    with pytest.raises(ValueError, match="pattern of more than"):
        matching("a" * 2_000, NAMES)
