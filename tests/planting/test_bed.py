"""Which rows attacks are planted in, and what their columns are taken for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.planting.bed import read
from poisonscan.planting.errors import PlantError
from tests.datasets.files import picture
from tests.planting.beds import all_columns, bed, every, texts


def test_columns_of_a_table(tmp_path: Path) -> None:
    found = bed(tmp_path, every().drop_columns(["prompt", "response"]), text_column="text")
    assert (found.text, found.picture, found.label) == ("text", "image", "label")
    assert found.numbers == ("size", "weight")
    assert (found.rows, found.delimited) == (40, False)


def test_cells_of_delimited_text_stay_text(tmp_path: Path) -> None:
    pc.write_csv(texts(50).append_column("size", pa.array(np.arange(50.0))), tmp_path / "a.csv")
    found = read(tmp_path / "a.csv", DatasetOptions(), 1_000)
    assert found.delimited
    assert found.numbers == ("size",)
    assert set(found.table.schema.types) == {pa.string()}


def test_the_first_rows_of_the_training_split(tmp_path: Path) -> None:
    pq.write_table(texts(90), tmp_path / "test.parquet")
    pq.write_table(texts(60), tmp_path / "train.parquet")
    found = read(tmp_path, DatasetOptions(), 25)
    assert found.table.equals(texts(60).slice(0, 25))


def test_pictures_in_folders(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for n in range(4):
            picture(n).save(tmp_path / label / f"{n}.png")
    found = read(tmp_path, DatasetOptions(), 6)
    assert (found.picture, found.label, found.rows) == ("image", "label", 6)
    assert set(found.table.column("label").to_pylist()) == {"cat", "dog"}


def test_what_holds_no_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("hello")
    with pytest.raises(PlantError, match="no dataset"):
        read(tmp_path, DatasetOptions(), 10)
    pq.write_table(texts(1), tmp_path / "one.parquet")
    with pytest.raises(PlantError, match="fewer than two"):
        read(tmp_path, DatasetOptions(), 10)
    with pytest.raises(OptionError):
        bed(tmp_path, texts(9), label_column="nothing")


def test_labels_as_numbers() -> None:
    found = all_columns()
    codes = found.codes()
    labels = np.array(found.table.column("label").to_pylist())
    for code in np.unique(codes):
        assert len(set(labels[codes == code])) == 1
    assert len(np.unique(codes)) == 2
