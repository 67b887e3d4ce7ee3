"""Dataset detectors in rounds: one pass serves all of them, and none takes the others down."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import poisonscan
from poisonscan.datasets.batch import Aggregate, Batch, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.engines.base import Failure
from poisonscan.finding import Fact, Finding
from poisonscan.limits import LimitReached
from poisonscan.passes import Passes
from poisonscan.shard_scan import attempt, scan_shard
from tests.datasets.files import only

SAMPLES = Path(__file__).parents[1] / "fixtures" / "samples" / "datasets"
LABELS = "poisonscan.detectors.datasets.label_distribution.DETECTOR"
COPIES = "poisonscan.detectors.datasets.exact_duplicates.DETECTOR"

if TYPE_CHECKING:
    from poisonscan.datasets.flaws import Sink


@dataclass(unsafe_hash=True)
class RowCount:
    """Counts rows, and how often it was filled anew."""

    name: str = "rows"
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL}), compare=False)
    rows: int = field(default=0, compare=False)

    def update(self, batch: Batch) -> None:
        self.rows += batch.size

    def merge(self, other: RowCount) -> None:
        self.rows += other.rows


class Counting:
    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL})

    def __init__(self, *names: str) -> None:
        self.names = names
        self.seen: list[int] = []

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact]]:
        assert dataset.path
        for name in self.names:
            count: RowCount = yield RowCount(name)
            self.seen.append(count.rows)
        counted: Any = np.int64(self.seen[-1])  # as detectors count
        return [Fact("counted", counted)]


class Raising(RowCount):
    def update(self, batch: Batch) -> None:
        message = "boom in update"
        raise RuntimeError(message)


class MergeRaising(RowCount):
    def merge(self, other: RowCount) -> None:
        message = "boom in merge"
        raise RuntimeError(message)


class Asking:
    """Asks for one aggregate, then raises or not."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL})

    def __init__(self, request: Aggregate, error: Exception | None = None) -> None:
        self.request = request
        self.error = error

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        assert dataset.path
        yield self.request
        if self.error:
            raise self.error
        return []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, start in (("train", 0), ("test", 100)):
        rows = {"text": [f"text number {start + i}" for i in range(100)], "label": [0, 1] * 50}
        pq.write_table(pa.table(rows), tmp_path / f"{split}.parquet")
    return tmp_path


def scan(folder: Path, *rules: str) -> poisonscan.Report:
    return poisonscan.scan(folder, kind="dataset", select=rules, jobs=1, isolation="off")


def test_one_pass_serves_all_that_ask_in_a_round(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[frozenset[Role]] = []
    batches = Dataset.batches

    def counted(self: Dataset, shard: int, roles: frozenset[Role], problem: Sink) -> Any:
        read.append(roles)
        return batches(self, shard, roles, problem)

    monkeypatch.setattr(Dataset, "batches", counted)
    first, second = Counting("a", "b"), Counting("c")
    monkeypatch.setattr(LABELS, first)
    monkeypatch.setattr(COPIES, second)
    report = scan(folder, "PS301", "PS501")
    assert first.seen == [200, 200]
    assert second.seen == [200]
    assert len(read) == 4  # two rounds of two shards, not three
    told = report.scanned[0].facts["counted"]
    assert (type(told), told) == (int, 200)


def test_what_is_stuck_is_tried_in_one_pass_only(folder: Path) -> None:
    tried: list[int] = []

    class Stuck:
        def map(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
            for item in items:
                tried.append(item)
                yield Failure(item, "it got no further", stuck=True) if item else task(item)

    passes = Passes(only(folder), Stuck(), scan_shard, attempt, lambda *_: None)
    report = passes.run({"counting": Counting("a", "b")})
    assert tried == [0, 1, 0]
    assert [(gap.path, gap.reason) for gap in report.gaps] == [
        ("test.parquet", "rows 0 to 99: not read: it got no further")
    ]
    assert report.scanned[0].rows == 100


def test_equal_requests_are_filled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = 0
    update = RowCount.update

    def counted(self: RowCount, batch: Batch) -> None:
        nonlocal updates
        updates += 1
        update(self, batch)

    monkeypatch.setattr(RowCount, "update", counted)
    monkeypatch.setattr(LABELS, Counting("same"))
    monkeypatch.setattr(COPIES, Counting("same"))
    scan(folder, "PS301", "PS501")
    assert updates == 2


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (Asking(Raising()), "boom in update"),
        (Asking(MergeRaising()), "boom in merge"),
        (Asking(RowCount(), RuntimeError("boom behind")), "boom behind"),
        (Asking(RowCount(), LimitReached("more than enough")), "limit reached: more than enough"),
    ],
)
def test_a_detector_that_fails_is_a_gap_and_the_others_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch, broken: Asking, reason: str
) -> None:
    monkeypatch.setattr(LABELS, broken)
    monkeypatch.setattr(COPIES, Counting("rows"))
    report = scan(folder, "PS301", "PS501")
    (gap,) = report.gaps
    assert reason in gap.reason
    assert gap.detector == "detectors.datasets.label_distribution"
    told = report.scanned[0].facts["counted"]
    assert (type(told), told) == (int, 200)
    assert report.exit_code() == 3


def test_a_detector_that_lacks_a_role_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "\n".join(f"text {i}" for i in range(50)), "utf-8")
    report = scan(tmp_path)
    assert report.exit_code() == 0
    assert "label distribution" in str(report.scanned[0].facts["not applicable"])


def test_a_corrupt_row_group_is_a_gap_and_the_rows_before_it_count() -> None:
    report = poisonscan.scan(SAMPLES / "corrupt-row-group.parquet")
    assert report.gaps
    assert all("corrupt-row-group.parquet" in gap.path for gap in report.gaps)
    assert report.exit_code() == 3
    assert report.scanned[0].rows


@pytest.mark.parametrize(
    "name",
    [
        "truncated.parquet",
        "truncated-stream.arrow",
        "broken-line.jsonl",
        "empty.csv",
    ],
)
def test_broken_datasets_are_never_clean(tmp_path: Path, name: str) -> None:
    shutil.copy(SAMPLES / name, tmp_path)
    report = poisonscan.scan(tmp_path)
    assert report.exit_code() in (1, 3)
    assert report.gaps
    assert all(name in gap.path for gap in report.gaps)


def test_bytes_that_are_no_utf_8_are_read_all_the_same() -> None:
    report = poisonscan.scan(SAMPLES / "not-utf-8.csv")
    assert report.scanned[0].rows == 5
    (gap,) = report.gaps
    assert "UTF-8" in gap.reason


def test_a_broken_dataset_does_not_hide_another(tmp_path: Path) -> None:
    for name in ("truncated.parquet", "label-variants.csv"):
        shutil.copy(SAMPLES / name, tmp_path)
    report = poisonscan.scan(tmp_path)
    assert "PS303" in {finding.rule.id for finding in report.findings}
    assert report.gaps
    assert report.exit_code() == 1


def test_more_processes_find_the_same(folder: Path) -> None:
    shutil.copy(SAMPLES / "label-variants.csv", folder)
    one = poisonscan.scan(folder, jobs=1)
    two = poisonscan.scan(folder, jobs=2)
    assert [f.fingerprint for f in one.findings] == [f.fingerprint for f in two.findings]
    assert one.scanned == two.scanned
    assert one.gaps == two.gaps


@pytest.mark.parametrize("jobs", [1, 2])
def test_options(folder: Path, jobs: int) -> None:
    report = poisonscan.scan(folder, split="test", label_column="label", jobs=jobs)
    assert report.scanned[0].rows == 100
    with pytest.raises(poisonscan.TargetError, match="text"):
        poisonscan.scan(folder, label_column="nothing", jobs=jobs)
    with pytest.raises(poisonscan.TargetError):
        poisonscan.scan(folder, split="nothing", jobs=jobs)


def test_a_folder_of_pictures_leaves_no_gaps(tmp_path: Path) -> None:
    for label, shade in (("cat", 10), ("dog", 90)):
        (tmp_path / label).mkdir()
        for number in range(4):
            Image.new("RGB", (8, 8), (shade + number, 0, 0)).save(
                tmp_path / label / f"{number}.png"
            )
    report = poisonscan.scan(tmp_path)
    assert report.scanned[0].rows == 8
    assert report.gaps == []
