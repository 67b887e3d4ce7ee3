"""One digest for one set of rows: whatever the format, the order, the shards and the workers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from poisonscan.datasets.batch import Role
from poisonscan.locking.row_sets import RowSet, RowSets
from poisonscan.locking.values import rows as encoded_rows
from tests.datasets.files import batches, encoded, only, picture, told, write

Row = dict[str, Any]
WORDS = st.text("abc ,\"'é日\n", max_size=12).map(lambda text: f"t{text}t")
ROWS = st.lists(
    st.fixed_dictionaries({
        "text": WORDS,
        "label": st.sampled_from(["cat", "dog"]),
        "count": st.integers(-(2**62), 2**62),
        "score": st.floats(-1e6, 1e6).map(lambda value: round(value, 4)),
        "known": st.booleans(),
    }).map(lambda row: dict(sorted(row.items()))),
    min_size=4,
    max_size=30,
)  # fmt: skip


def digest(folder: Path) -> dict[str, tuple[int, str]]:
    dataset = only(folder)
    found = RowSets(tuple(shard.split for shard in dataset.shards))
    for batch in batches(dataset, frozenset({Role.VALUES})):
        found.update(batch)
    return {split: (rows.rows, rows.digest) for split, rows in found.sets.items()}


def written(rows: list[Row], *names: str) -> dict[str, tuple[int, str]]:
    """The digest of rows that are spread over files of these names."""
    folder = Path(tempfile.mkdtemp())
    try:
        each = -(-len(rows) // len(names))
        for number, name in enumerate(names):
            write(folder / name, rows[number * each : (number + 1) * each])
        return digest(folder)
    finally:
        shutil.rmtree(folder)


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
@given(ROWS, st.randoms(use_true_random=False))
def test_formats_order_and_shards_do_not_show(rows: list[Row], random: Any) -> None:
    expected = written(rows, "train.parquet")
    assert list(expected) == ["train"]
    other = list(rows)
    random.shuffle(other)
    assert written(other, "train.csv") == expected
    assert written(other, "train.jsonl") == expected
    assert written(other, "train.arrow") == expected
    assert (
        written(other, "train-00000-of-00002.parquet", "train-00001-of-00002.parquet") == expected
    )


@pytest.mark.parametrize("name", ["train.parquet", "train.csv", "train.jsonl"])
def test_any_change_of_a_row_shows(name: str) -> None:
    rows: list[Row] = [{"text": f"row {i}", "label": "ab"[i % 2]} for i in range(20)]
    before = written(rows, name)
    relabelled = [*rows[:7], {**rows[7], "label": "a"}, *rows[8:]]
    one_letter = [*rows[:7], {**rows[7], "text": "row 7!"}, *rows[8:]]
    swapped = [{**rows[0], "label": "b"}, {**rows[1], "label": "a"}, *rows[2:]]
    renamed = [{"text": row["text"], "y": row["label"]} for row in rows]
    for changed in (relabelled, one_letter, swapped, renamed, rows[1:], [*rows, rows[0]]):
        assert written(changed, name) != before


def test_rows_that_are_moved_between_splits_show(tmp_path: Path) -> None:
    rows: list[Row] = [{"text": f"row {i}", "label": "ab"[i % 2]} for i in range(20)]
    for folder, cut in (("one", 10), ("other", 11)):
        write(tmp_path / folder / "train.csv", rows[:cut])
        write(tmp_path / folder / "test.csv", rows[cut:])
    one, other = digest(tmp_path / "one"), digest(tmp_path / "other")
    assert {split: rows for split, (rows, _) in one.items()} == {"train": 10, "test": 10}
    assert one["train"] != other["train"]


def test_how_often_a_row_is_there_counts() -> None:
    """A sum of lanes of 16 bits would not see 65,536 copies of one row become those of another."""
    sets = []
    for row in (b"a", b"b"):
        expanded = RowSet()
        expanded.add([row])
        for _ in range(16):  # doubled 16 times
            expanded.join(RowSet(expanded.rows, expanded.lanes.copy()))
        sets.append(expanded)
    assert [found.rows for found in sets] == [65_536, 65_536]
    assert sets[0].digest != sets[1].digest


def test_pictures_in_folders(tmp_path: Path) -> None:
    for folder in ("one", "other", "moved"):
        for number in range(6):
            label = "ab"[number % 2] if (folder, number) != ("moved", 3) else "a"
            name = f"{number}.png" if folder == "one" else f"p{9 - number}.png"
            path = tmp_path / folder / label / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(picture(number)))
    one, other, moved = (digest(tmp_path / name) for name in ("one", "other", "moved"))
    assert one == other
    assert one != moved
    assert one["train"][0] == 6


def test_the_digest_is_what_it_was() -> None:
    """Lock files outlive versions: a change of the encoding needs a new version of the format."""
    found = RowSet()
    table = {"text": pa.array(["a", "", "1.5"]), "n": pa.array([1, 2**60, None])}
    found.add(encoded_rows({**table, "l": pa.array([[1.0], [], None])}))
    assert found.digest == "c3638d4a2d9cbd419876ced1f9133e6b4c8744dd80346797d0063560c85b2adc"


def test_a_file_that_vanishes_is_named(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(picture(number)))
    dataset = only(tmp_path)
    (tmp_path / "b" / "3.png").unlink()
    (said,) = told(dataset, frozenset({Role.VALUES}))
    assert "b/3.png" in said
