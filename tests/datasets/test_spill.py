from __future__ import annotations

import copy
import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest

from poisonscan.datasets import spill
from poisonscan.datasets.spill import Records, SharedTable, Table
from poisonscan.limits import LimitReached


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "MEMORY", 1 << 14)
    monkeypatch.setattr(spill, "PART", 1 << 15)
    monkeypatch.setattr(spill, "FREE", 0)


def table(rows: int, seed: int = 0) -> Table:
    return np.random.default_rng(seed).integers(1 << 64, size=(rows, 2), dtype=np.uint64)


def everything(records: Records) -> Table:
    parts = records.parts()
    for before, after in itertools.pairwise(parts):
        assert before.high + 1 == after.low
    assert (parts[0].low, parts[-1].high) == (0, (1 << 64) - 1)
    found = []
    for part in parts:
        rows = part.read(lambda table: table)
        assert ((rows[:, 0] >= part.low) & (rows[:, 0] <= part.high)).all()
        found.append(rows)
    return ordered(np.concatenate(found))


def ordered(rows: Table) -> Table:
    return rows[np.lexsort((rows[:, 1], rows[:, 0]))]


def spilled(rows: Table, folder: Path, step: int = 300) -> Records:
    records = Records(2)
    records.use_scratch(str(folder))
    for start in range(0, len(rows), step):
        records.add(rows[start : start + step])
    return records


@pytest.mark.parametrize("rows", [0, 1, 1_000, 40_000])
def test_nothing_is_lost(rows: int, tmp_path: Path) -> None:
    records = spilled(table(rows), tmp_path)
    assert bool(list(tmp_path.iterdir())) == (rows > 1_000)
    assert records.count == rows
    np.testing.assert_array_equal(everything(records), ordered(table(rows)))


def test_workers_spill_and_are_merged(tmp_path: Path) -> None:
    workers = [spilled(table(rows, rows), tmp_path) for rows in (5_000, 10, 7_000)]
    merged = copy.deepcopy(workers[1])
    for other in (workers[0], workers[2]):
        merged.merge(pickle.loads(pickle.dumps(other)))
    expected = np.concatenate([table(rows, rows) for rows in (5_000, 10, 7_000)])
    assert merged.count == len(expected)
    np.testing.assert_array_equal(everything(merged), ordered(expected))


def test_a_process_that_wrote_a_file_writes_the_rest(tmp_path: Path) -> None:
    assert len(pickle.dumps(spilled(table(1_900), tmp_path))) < 5_000


def test_crowded_ranges_are_cut_into_several_parts(tmp_path: Path) -> None:
    rows = table(20_000)
    rows[:, 0] >>= np.uint64(10)  # all in four partitions
    records = spilled(rows, tmp_path)
    assert len(records.parts()) > 8
    np.testing.assert_array_equal(everything(records), ordered(rows))


def test_one_key_of_very_many_records_is_thinned(tmp_path: Path) -> None:
    rows = table(20_000)
    rows[:, 0] = 7
    records = spilled(rows, tmp_path)
    kept = [part.read(lambda table: table[np.argsort(table[:, 1])[:9]]) for part in records.parts()]
    assert sum(map(len, kept)) < 10_000
    monstrous = next(part for part in records.parts() if part.low <= 7 <= part.high)
    with pytest.raises(LimitReached, match="not alike"):
        monstrous.read(lambda table: table)


def test_files_go_when_they_are_dropped(tmp_path: Path) -> None:
    records = spilled(table(5_000), tmp_path)
    records.drop()
    assert list(tmp_path.iterdir()) == []


def test_no_folder() -> None:
    records = Records(2)
    records.add(table(100))
    with pytest.raises(LimitReached, match="do not fit into memory: there is no scratch folder"):
        records.add(table(5_000))


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(
        LimitReached, match=r"no scratch folder .* name one with --scratch that all"
    ):
        spilled(table(5_000), tmp_path / "gone")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "FREE", 1 << 62)
    with pytest.raises(LimitReached, match="nearly full"):
        spilled(table(5_000), tmp_path)


@pytest.mark.parametrize("left", [None, 100])
def test_a_file_that_is_gone_or_cut_short(tmp_path: Path, left: int | None) -> None:
    records = spilled(table(5_000), tmp_path)
    for path in tmp_path.iterdir():
        if left is None:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(LimitReached, match="a file in the scratch folder"):
        everything(records)


def test_another_machine_that_does_not_see_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    records = spilled(table(5_000), folder)
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(LimitReached, match=r"no scratch folder .*scratch' on the machine '.+'"):
        everything(records)


def test_a_big_table_is_shared_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "_SHARED", 100)
    for rows in (3, 3_000):
        shared = SharedTable(table(rows))
        shared.use_scratch("")
        np.testing.assert_array_equal(shared.table, table(rows))
        shared.use_scratch(str(tmp_path))
        assert len(pickle.dumps(shared)) < 1_000
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(shared)).table, table(rows))
    with pytest.raises(
        LimitReached, match=r"no scratch folder .* name one with --scratch that all"
    ):
        SharedTable(table(100)).use_scratch(str(tmp_path / "gone"))
