"""That a column of pictures beside those that are looked at is told of."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import poisonscan
from poisonscan.report import Report

ROWS = 40


def test_columns_of_pictures_beyond_the_fourth_are_a_gap(tmp_path: Path) -> None:
    asked = {name: pictures(seed) for seed, name in enumerate(("a", "b", "c", "d", "mask"))}
    (gap,) = report(tmp_path, **asked).gaps
    assert "column 'mask' holds pictures too" in gap.reason
    assert "the first 4" in gap.reason


def test_who_chooses_a_column_of_pictures_is_not_told_of_others(tmp_path: Path) -> None:
    asked = {"picture": pictures(0), "mask": pictures(1)}
    assert not report(tmp_path, image_column="mask", **asked).gaps


def test_one_column_of_pictures_leaves_no_gap(tmp_path: Path) -> None:
    assert not report(tmp_path, picture=pictures(0), caption=pa.array(["a b c"] * ROWS)).gaps


def pictures(seed: int) -> pa.Array:
    values = np.random.default_rng(seed).integers(0, 256, (ROWS, 8, 8), np.uint8)
    files = []
    for value in values:
        file = io.BytesIO()
        Image.fromarray(value).save(file, "PNG")
        files.append(file.getvalue())
    return pa.array(files)


def report(folder: Path, *, image_column: str | None = None, **columns: Any) -> Report:
    table = pa.table({**columns, "label": pa.array(["a", "b"] * (ROWS // 2))})
    pq.write_table(table, folder / "rows.parquet")
    return poisonscan.scan(
        folder / "rows.parquet", kind="dataset", root=folder, image_column=image_column
    )
