from __future__ import annotations

import numpy as np
import pytest

from poisonscan.detectors.datasets.split_leaks import Leak, leaks


def drawn(contents: list[int], size: int, seed: int) -> Leak:
    """The leak of a part of some rows, drawn at random, in the rest."""
    order = np.random.default_rng(seed).permutation(len(contents))
    splits = (order < size).astype(np.int64)
    rows = np.array(contents, np.int64)
    sizes = np.array([len(rows) - size, size])
    (leak,) = leaks(["train", "test"], splits, rows, sizes)
    return leak


@pytest.mark.parametrize("size", [100, 500, 1_000], ids=["few", "some", "half"])
def test_as_many_are_in_common_as_expected(size: int) -> None:
    contents = [*range(1_000), *range(400), *range(300), *range(200), *range(100)]
    found = [drawn(contents, size, seed) for seed in range(30)]
    shared = np.mean([len(leak.groups) for leak in found])
    assert np.mean([leak.expected for leak in found]) == pytest.approx(shared, rel=0.1)
    assert not any(leak.matters("PS510") for leak in found)


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_a_training_split_that_says_all_several_times_hides_no_leak(times: int) -> None:
    training, test = list(range(1_000)) * times, list(range(400))
    splits = np.array([0] * len(training) + [1] * len(test))
    sizes = np.array([len(training), len(test)])
    (leak,) = leaks(["train", "test"], splits, np.array(training + test), sizes)
    assert len(leak.rows) == 400
    assert leak.matters("PS510")


def test_a_text_that_repeats_counts_once() -> None:
    (leak,) = leaks(
        ["test", "train"], np.array([0] * 50 + [1]), np.zeros(51, int), np.array([90, 9])
    )
    assert leak.groups.tolist() == [0]
    assert len(leak.rows) == 50
    assert leak.contents == 41
    assert leak.pairs.tolist() == [50, 0]


def test_equal_versions_are_left_out() -> None:
    groups, versions = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 0, 0])
    (leak,) = leaks(
        ["train", "validation"], np.array([0, 1, 1, 0, 1]), groups, np.array([9, 9]), versions
    )
    assert leak.rows.tolist() == [2]
    assert leak.sources.tolist() == [0]


@pytest.mark.parametrize(
    ("splits", "compared"),
    [
        (["train", "test"], [("test", "train")]),
        (["test", "train", "validation"], [("test", "train"), ("validation", "train")]),
        (["train_sft", "test_prefs"], [("test_prefs", "train_sft")]),
        (["en", "fr"], []),
        (["contest", "train"], []),
        (["test", "validation"], []),
    ],
    ids=["usual", "three", "named", "others", "part of a word", "no training"],
)
def test_splits_are_known_by_name(splits: list[str], compared: list[tuple[str, str]]) -> None:
    nothing = np.empty(0, np.int64)
    found = leaks(splits, nothing, nothing, np.full(len(splits), 5))
    assert [(leak.split, leak.source) for leak in found] == compared
