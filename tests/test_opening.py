"""A reader that takes its process down costs one file, or a part of one, and not the scan."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import poisonscan
from poisonscan.datasets import columnar, tables
from poisonscan.engines import local
from poisonscan.report import Report

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")

ROWS = 600


@pytest.fixture(autouse=True)
def _forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "may_fork", lambda: True)  # threads of pytest-xdist only wait


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("good", "mixed", "other"):
        labels = ["cat"] * (ROWS - 5) + ["dog"] * 5
        table = pa.table({name: [f"{name} {i}" for i in range(ROWS)], "label": labels})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=200)
    return tmp_path


def crash() -> None:
    ctypes.string_at(0)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def scan(folder: Path, **options: Any) -> Report:
    return poisonscan.scan(folder, kind="dataset", select=["PS301"], root=folder, **options)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(("die", "how"), [(crash, "SIGSEGV"), (kill, "SIGKILL")])
def test_a_file_that_cannot_be_opened_alive_is_a_gap(
    folder: Path, monkeypatch: pytest.MonkeyPatch, die: Callable[[], None], how: str, jobs: int
) -> None:
    def deadly(file: Any) -> Any:
        if file.path.endswith("mixed.parquet"):
            die()
        return columnar.parquet_layout(file)

    monkeypatch.setitem(tables._LAYOUTS, "parquet", deadly)
    report = scan(folder, jobs=jobs)
    assert [gap.path for gap in report.gaps] == ["mixed.parquet"]
    assert f"cannot be opened: the process that worked on it was killed by {how}, twice" in (
        report.gaps[0].reason
    )
    assert {entry.path for entry in report.scanned} == {"good.parquet", "other.parquet"}
    assert {finding.at.path for finding in report.findings} == {"good.parquet", "other.parquet"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_part_that_cannot_be_read_alive_is_a_gap_and_the_other_parts_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    def deadly(file: Any, parquet: Any, group: int, *rest: Any) -> Iterator[pa.RecordBatch]:
        opened = (folder / "opened").exists()
        if opened and file.path.endswith("mixed.parquet") and group == 1:
            crash()
        yield from real(file, parquet, group, *rest)

    real = columnar._row_group
    monkeypatch.setattr(columnar, "_row_group", deadly)
    monkeypatch.setattr(tables, "parquet_parts", lambda file: columnar.parquet_parts(file, 1))
    flow = sys.modules["poisonscan.scan"]

    def opened(*_: object) -> set[str]:
        (folder / "opened").touch()
        return set()

    monkeypatch.setattr(flow, "settle", opened)
    report = scan(folder, jobs=jobs)
    (gap,) = report.gaps
    assert gap.path == "mixed.parquet"
    assert "rows 200 to 399: not read: the process that worked on it" in gap.reason
    assert "killed by SIGSEGV, twice" in gap.reason
    rows = {entry.path: entry.rows for entry in report.scanned}
    assert rows == {"good.parquet": ROWS, "mixed.parquet": ROWS - 200, "other.parquet": ROWS}
