"""Records that do not fit into memory: the scan finds the same, and leaves nothing behind."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import poisonscan
from poisonscan.datasets import spill

RULES = ("PS501", "PS502", "PS503", "PS504", "PS505")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files whose rows are copies and near copies of each other."""
    rng = np.random.default_rng(0)
    place = tmp_path_factory.mktemp("rows")
    known = [" ".join(f"w{i}" for i in row) for row in rng.integers(500, size=(300, 20))]
    for number in range(4):
        texts = [known[i] for i in rng.integers(300, size=150)]
        texts += [f"{known[i]} and {i} more" for i in range(number, 300, 4)]
        labels = rng.integers(2, size=len(texts))
        pq.write_table(pa.table({"text": texts, "label": labels}), place / f"{number}.parquet")
    return place


def scan(folder: Path, scratch: Path, jobs: int = 1) -> poisonscan.Report:
    return poisonscan.scan(folder, kind="dataset", select=RULES, jobs=jobs, scratch=scratch)


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_spilled_is_found_all_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    expected = scan(folder, tmp_path)
    assert {f.rule.id for f in expected.each()} >= {"PS501", "PS502", "PS503", "PS504"}
    written = multiprocessing.Value("q", 0)  # in forked processes too
    write = spill.Records._write

    def counted(self: spill.Records) -> None:
        write(self)
        with written:
            written.value += len(list(Path(self._scratch).iterdir()))

    monkeypatch.setattr(spill, "MEMORY", 1 << 10)
    monkeypatch.setattr(spill, "PART", 1 << 12)
    monkeypatch.setattr(spill, "FREE", 0)
    monkeypatch.setattr(spill.Records, "_write", counted)
    report = scan(folder, tmp_path, jobs)
    assert written.value
    assert report.findings == expected.findings
    assert report.scanned == expected.scanned
    assert report.gaps == expected.gaps == []
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_gap(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "MEMORY", 1 << 10)
    monkeypatch.setattr(spill, "FREE", 1 << 62)
    report = scan(folder, tmp_path)
    assert {gap.reason for gap in report.gaps} == {
        "limit reached: the disk of the scratch folder is nearly full"
    }
    assert {gap.detector for gap in report.gaps} == {
        "detectors.datasets.exact_duplicates",
        "detectors.datasets.near_duplicates",
    }
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_what_fits_into_memory_is_grouped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    report = scan(folder, gone)
    assert report.gaps == []
    assert report.findings
    monkeypatch.setattr(spill, "MEMORY", 1 << 10)
    report = scan(folder, gone)
    assert report.gaps
    assert all("no folder could be made" in gap.reason for gap in report.gaps)
