"""Attacks are planted, scanned for and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_digits

from poisonscan.planting.bench import bench
from poisonscan.planting.errors import PlantError
from tests.planting.beds import texts


def test_what_is_found_is_counted(tmp_path: Path) -> None:
    pq.write_table(texts(1_500), tmp_path / "train.parquet")
    before = (tmp_path / "train.parquet").read_bytes()
    clean, word, copies = bench(tmp_path, attacks=["word", "copies"], rates=[0.02])
    assert (clean.attack, clean.planted, clean.found, clean.gaps) == ("", 0, 0, 0)
    assert (word.attack, word.planted) == ("word", 30)
    assert "PS601" in word.rules
    assert word.found >= 27
    assert word.wrong <= 3
    assert copies.found >= 29
    assert (tmp_path / "train.parquet").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["train.parquet"]


def test_a_word_in_rows_of_all_labels(tmp_path: Path) -> None:
    pq.write_table(texts(1_500), tmp_path / "train.parquet")
    _, word = bench(tmp_path, attacks=["word"], rates=[0.06], all_labels=True)
    assert (word.found, word.rules[0]) == (word.planted, "PS601")
    assert word.wrong <= 3


def test_rows_that_are_found_without_an_attack_do_not_count(tmp_path: Path) -> None:
    table = texts(300)
    pc.write_csv(table.take([*range(300), *[7] * 40]), tmp_path / "a.csv")
    clean, flips = bench(tmp_path / "a.csv", attacks=["flips"], rates=[0.01])
    assert clean.wrong >= 39
    assert clean.rules
    assert flips.planted == 3
    assert flips.wrong <= 3


def test_pictures_of_an_array_are_looked_at(tmp_path: Path) -> None:
    """Their pixels become files of a form that a scan takes for pictures only if it is told."""
    digits = load_digits()
    pixels = np.minimum(digits.images[:500] * 16, 255).astype(np.uint8).repeat(3, 1).repeat(3, 2)
    np.savez(tmp_path / "train.npz", x=pixels, y=digits.target[:500])
    clean, patch = bench(tmp_path, attacks=["patch"], rates=[0.05], profile="fast")
    assert (clean.gaps, patch.gaps) == (0, 0)
    assert (patch.found, patch.planted) == (25, 25)
    assert "PS404" in patch.rules


def test_attacks_that_are_not_known_or_do_not_fit(tmp_path: Path) -> None:
    pq.write_table(texts(50), tmp_path / "train.parquet")
    with pytest.raises(PlantError, match="no attack; those that fit these data: word"):
        next(bench(tmp_path, attacks=["magic"]))
    with pytest.raises(PlantError, match="patch needs columns of picture and label"):
        next(bench(tmp_path, attacks=["patch"]))
