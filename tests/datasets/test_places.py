"""All rows of a finding, as numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.describe import Later
from poisonscan.datasets.shards import Shard
from poisonscan.json_form import as_json
from poisonscan.places import Held
from tests.datasets.files import only, picture

if TYPE_CHECKING:
    from pathlib import Path

CSV = "text,label\n" + "".join(f"row {i},{i % 2}\n" for i in range(50))


def test_all_rows_are_listed_and_the_first_described(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    rows = np.array([[0, 7], [0, 3], [0, 40]], np.int64)
    named = only(tmp_path).named(rows, np.array([3.0, 2.0, 1.0]), count=5, shown=1)
    assert [(row.index, row.excerpt) for row in named.rows] == [(7, "row 7")]
    assert named.every is not None
    assert [(row.index, row.score) for row in named.every.rows()] == [(7, 3), (3, 2), (40, 1)]
    assert (named.count, len(named.every), named.every.left_out) == (5, 3, 2)
    assert not any(row.whole for row in (*named.rows, *named.every.rows()))
    assert list(named.every.files().values()) == [Held(whole=False, header=True)]


def test_reports_do_not_show_the_list(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    shown = as_json(only(tmp_path).named(np.array([[0, 7], [0, 3]], np.int64), shown=1))
    assert isinstance(shown, dict)
    assert set(shown) == {"rows", "count"}


def test_there_is_room_for_so_many_rows_of_all_findings(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    dataset = replace(only(tmp_path), later=Later(5))
    rows = np.array([[0, i] for i in range(4)], np.int64)
    parts = [dataset.named(rows, partial=True).every for _ in range(3)]
    listed = [(len(part), part.left_out) for part in parts if part is not None]
    assert listed == [(4, 0), (1, 3), (0, 4)]
    assert all(part is not None and part.partial for part in parts)


def test_other_rows_may_be_those_to_take_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV)
    copies = np.array([[0, 1], [0, 5], [0, 9]], np.int64)
    every = only(tmp_path).named(copies, taken=copies[1:]).every
    assert every is not None
    assert [row.index for row in every.rows()] == [5, 9]


def test_a_picture_is_a_row_by_itself(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        picture(len(path.name)).save(path)
    dataset = only(tmp_path)
    every = dataset.named(np.array([[0, 1]], np.int64)).every
    assert every is not None
    (row,) = every.rows()
    assert row.path.endswith("2.png")
    assert every.files() == {row.path: Held(whole=True)}
    assert row.whole


def test_rows_of_a_sample_are_found_in_their_file() -> None:
    class Odd:
        def rows(self, places: np.ndarray) -> np.ndarray:
            return 2 * places + 1

    from poisonscan.datasets.layouts import Layout
    from poisonscan.datasets.places import ListedRows

    layout = Layout(None)
    shard = Shard("t.csv", "train", 9, layout=layout, start=100, sample=Odd())  # type: ignore[arg-type]
    listed = ListedRows((shard,), np.zeros(2, np.int32), np.array([0, 3]), None)
    assert [(row.path, row.index) for row in listed.rows()] == [("t.csv", 101), ("t.csv", 107)]
