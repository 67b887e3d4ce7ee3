"""Looking at a part of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import poisonscan
from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.sampling import Sample
from poisonscan.scan import TargetError
from tests.datasets.files import batches, only, opened, write

if TYPE_CHECKING:
    from pathlib import Path

    from poisonscan.datasets.dataset import Dataset

ROWS = [{"text": f"text number {i} of many", "label": i % 2} for i in range(4_000)]


def _texts(dataset: Dataset) -> list[str]:
    found = []
    for batch in batches(dataset):
        values = batch.texts.values.to_pylist()
        found += [values[i] for i in batch.texts.indices.tolist()]
    return found


def test_a_sample_follows_from_the_row_and_the_seed_alone() -> None:
    sample = Sample(0.25, 12_345)
    mask = sample.mask(0, 100_000)
    assert abs(mask.mean() - 0.25) < 0.01
    assert np.array_equal(mask[700:900], sample.mask(700, 200))
    assert np.array_equal(mask[700:900], Sample(0.25, 12_345, start=700).mask(0, 200))
    assert (mask != Sample(0.25, 12_346).mask(0, 100_000)).mean() > 0.3
    rows = np.flatnonzero(mask)
    places = np.array([0, 5, 5, len(rows) - 1])
    assert np.array_equal(sample.rows(places), rows[places])


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".jsonl"])
def test_rows_of_a_sample_are_named_as_in_the_file(tmp_path: Path, suffix: str) -> None:
    options: dict[str, Any] = {"row_group_size": 300} if suffix == ".parquet" else {}
    write(tmp_path / f"t{suffix}", ROWS, **options)
    dataset = only(tmp_path, sample=400)
    texts = _texts(dataset)
    assert 320 < len(texts) < 480
    positions = np.concatenate([batch.rows for batch in batches(dataset)])
    assert np.array_equal(positions[:, 1], np.arange(len(texts)))
    chosen = positions[[0, 7, 300]]
    for row, (_, place) in zip(dataset.describe(chosen), chosen.tolist(), strict=True):
        assert row.excerpt == texts[place]
        assert texts[place] == ROWS[row.index]["text"]
        assert dataset.place(0, place)[1] == row.index
    again = only(tmp_path, sample=400, seed=1)
    assert _texts(again) != texts
    assert dataset.partial == (
        "only about 400 of 4,000 rows, chosen at random (seed 0), were looked at"
    )


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_first_rows(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"train{suffix}", ROWS[:2_500])
    write(tmp_path / f"val{suffix}", ROWS[2_500:])
    for most in (1, 2_500, 3_000):
        dataset = only(tmp_path, max_rows=most)
        assert _texts(dataset) == [row["text"] for row in ROWS[:most]]
        assert dataset.partial == f"only the first {most:,} rows were looked at"
    assert only(tmp_path, max_rows=4_000).partial == ""
    assert only(tmp_path, sample=4_000).partial == ""


def test_the_report_says_it_and_the_exit_code_does_not(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", ROWS)
    report = poisonscan.scan(tmp_path / "t.csv", root=tmp_path, sample=500, select=["PS301"])
    assert report.complete
    (entry,) = report.scanned
    assert str(entry.facts["partial"]).startswith("only about 500 of 4,000 rows, chosen at random")
    assert 400 < (entry.rows or 0) < 600


def test_pictures(tmp_path: Path) -> None:
    from tests.datasets.files import encoded, picture

    for i in range(60):
        folder = tmp_path / f"{i % 2}"
        folder.mkdir(exist_ok=True)
        (folder / f"{i}.png").write_bytes(encoded(picture(i)))
    assert sum(batch.size for batch in batches(only(tmp_path, max_rows=25))) == 25
    dataset = only(tmp_path, sample=30)
    assert 15 < sum(batch.size for batch in batches(dataset)) < 45


def test_activations_belong_to_all_rows(tmp_path: Path) -> None:
    write(tmp_path / "t.csv", ROWS)
    np.save(tmp_path / "a.npy", np.zeros((4_000, 3), np.float32))
    with pytest.raises(OptionError, match="activations belong to all rows"):
        opened(tmp_path, sample=5, activations=str(tmp_path / "a.npy"))
    with pytest.raises(TargetError, match="activations belong to all rows"):
        poisonscan.scan(tmp_path / "t.csv", sample=5, activations=tmp_path / "a.npy")
