"""Pictures in columns of any form are seen alike, or it is said that they are not seen."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import poisonscan
from poisonscan.datasets.batch import Role
from poisonscan.datasets.pictures import decode_column
from poisonscan.datasets.pixel_lists import files_of_lists, hold_pixels
from poisonscan.datasets.shards import DatasetOptions
from poisonscan.planting.bed import read
from tests.datasets.files import only

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ROWS = 24
PICTURES = np.random.default_rng(1).integers(0, 256, (ROWS, 12, 10, 3), dtype=np.uint8)


def png(picture: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


FILES = [png(picture) for picture in PICTURES]
LISTS = PICTURES.tolist()
BYTES = pa.list_(pa.list_(pa.list_(pa.uint8())))
FORMS: dict[str, pa.Array] = {
    "bytes": pa.array(FILES),
    "a struct of bytes": pa.array([{"bytes": file} for file in FILES]),
    "a struct of more": pa.array([{"caption": "a", "bytes": file} for file in FILES]),
    "lists of bytes": pa.array(LISTS, BYTES),
    "lists of numbers": pa.array(LISTS),
    "lists of shares": pa.array((PICTURES / 255).tolist()),
    "channels first": pa.array(PICTURES.transpose(0, 3, 1, 2).tolist(), BYTES),
    "lists of one length": pa.array(LISTS, pa.list_(pa.list_(pa.list_(pa.uint8(), 3), 10), 12)),
}


def write(folder: Path, column: pa.Array, name: str = "image") -> Path:
    table = pa.table({name: column, "label": [i % 2 for i in range(len(column))]})
    pq.write_table(table, folder / "t.parquet")
    return folder / "t.parquet"


@pytest.mark.parametrize("form", FORMS)
def test_pictures_are_seen_alike_in_all_forms(tmp_path: Path, form: str) -> None:
    write(tmp_path, FORMS[form])
    dataset = only(tmp_path)
    assert dataset.roles["image"] == ("image",)
    wanted = decode_column(pa.array(FILES), tmp_path)
    problems: list[Any] = []
    (batch,) = dataset.batches(0, frozenset({Role.PICTURES}), problems.append)
    assert problems == []
    assert np.array_equal(batch.pictures.planes, wanted.planes)
    assert np.array_equal(batch.pictures.digests, wanted.digests)


@pytest.mark.parametrize("form", ["lists of bytes", "a struct of bytes"])
def test_rows_without_a_picture_first(tmp_path: Path, form: str) -> None:
    column = FORMS[form]
    write(tmp_path, pa.concat_arrays([pa.nulls(20, column.type), column]))
    assert only(tmp_path).roles["image"] == ("image",)


def test_what_is_no_picture_is_told_row_by_row(tmp_path: Path) -> None:
    ragged = [[[1] * 8] * 9 + [[1] * 7]]
    large, missing = [[[300] * 9] * 9], [[[None] * 9] * 9]
    good = [[[7] * 9] * 9, None, [[8] * 10] * 10]
    column = pa.array(good + ragged + large + missing, pa.list_(pa.list_(pa.int64())))
    pixels = decode_column(column, tmp_path)
    assert [row for row, _ in pixels.problems] == [3, 4, 5]
    assert pixels.planes[[0, 2], 0, 0].tolist() == [7, 8]
    assert np.isnan(pixels.planes[1]).all()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([bytes(picture) for picture in PICTURES[..., 0].copy()]),
        pa.array(PICTURES.reshape(ROWS, -1).tolist(), pa.list_(pa.uint8())),
        pa.array([base64.b64encode(file).decode() for file in FILES]),
        pa.array([{"data": file} for file in FILES]),
    ],
    ids=["raw", "flat", "base64", "another struct"],
)
def test_pictures_that_are_not_read_are_a_gap(tmp_path: Path, column: pa.Array) -> None:
    report = poisonscan.scan(write(tmp_path, column), kind="dataset", root=tmp_path)
    assert "seems to hold pictures, in no form that is read" in "".join(
        gap.reason for gap in report.gaps
    )


@pytest.mark.parametrize("name", ["board", "tokens"])
def test_boards_of_numbers_are_no_pictures(tmp_path: Path, name: str) -> None:
    boards = pa.array([[[cell % 9 for cell in range(9)]] * 9] * ROWS)
    report = poisonscan.scan(write(tmp_path, boards, name), kind="dataset", root=tmp_path)
    assert report.gaps == []
    assert "image" not in only(tmp_path).roles


def test_lists_that_something_is_planted_in_become_files(tmp_path: Path) -> None:
    bed = read(write(tmp_path, FORMS["lists of bytes"]), DatasetOptions(), ROWS)
    assert bed.picture == "image"
    first = bed.table.column("image")[0].as_py()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(first))), PICTURES[0])


_NUMBERS = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 255.0, 256.0, float("nan"), float("inf"), None])
_PICTURES = st.tuples(st.integers(0, 9), st.integers(0, 9), _NUMBERS, _NUMBERS)


@given(st.lists(st.one_of(st.none(), _PICTURES), max_size=5))
def test_any_lists_give_a_file_each(drawn: list[Any]) -> None:
    rows = [d and [[d[2]] * d[1]] * d[0] + [[d[3]] * d[1]] for d in drawn]
    column = pa.array(rows, pa.list_(pa.list_(pa.float64())))
    hold_pixels(column, "image")
    files = files_of_lists(column)
    assert [file is None for file in files.to_pylist()] == [row is None for row in rows]


def test_rows_of_many_sizes_become_what_each_becomes_alone() -> None:
    draw = np.random.default_rng(0)
    rows: list[Any] = [
        (draw.integers(0, 256, (8 + i % 3, 8 + i % 2)) / (1, 255)[i % 5 == 0]).tolist()
        for i in range(40)
    ]
    rows[7], rows[9], rows[11] = [[0.5] * 9], [[300.0] * 8] * 8, [[float("nan")] * 8] * 8
    column = pa.array(rows, pa.list_(pa.list_(pa.float64())))
    together = files_of_lists(column)
    assert together.to_pylist() == [
        files_of_lists(column.slice(row, 1))[0].as_py() for row in range(len(rows))
    ]
    assert {row for row, file in enumerate(together.to_pylist()) if not file} == {7, 9, 11}
