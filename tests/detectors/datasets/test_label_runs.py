from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import poisonscan
from fixtures import label_samples
from poisonscan.detectors.datasets import label_blocks
from poisonscan.detectors.datasets.label_blocks import LabelBlocks
from poisonscan.detectors.datasets.label_runs import dispersion, stretch
from poisonscan.finding import Severity
from poisonscan.limits import LimitReached
from poisonscan.report import Report
from tests.laws import NAMES, PLACES
from tests.laws import Rows as Part


def scanned(target: Path) -> Report:
    return poisonscan.scan(target, select=["PS306"], jobs=1)


def split_up(folder: Path, files: int, bad: int | None, share: float = 1.0) -> Path:
    """Shuffled rows in files; of one file the first rows of the other label are changed."""
    rows = label_samples.measured(2_000, 1)
    folder.mkdir()
    for number, part in enumerate(np.array_split(np.arange(len(rows)), files)):
        mine = [dict(rows[row]) for row in part]
        if number == bad:
            for row in mine[: int(share * len(mine))]:
                row["label"] = "high"
        np.random.default_rng(number).shuffle(mine)
        name = f"data-{number:05}-of-{files:05}.csv"
        (folder / name).write_bytes(label_samples.table(mine))
    return folder


@pytest.mark.parametrize("files", [5, 20])
def test_a_file_that_stands_out(tmp_path: Path, files: int) -> None:
    assert scanned(split_up(tmp_path / "clean", files, None)).findings == []
    (finding,) = scanned(split_up(tmp_path / "bad", files, 2, 0.8)).findings
    assert finding.evidence["file"] == f"bad/data-00002-of-{files:05}.csv"
    assert "'high'" in finding.message


def test_files_that_all_differ_are_sources(tmp_path: Path) -> None:
    tmp_path.joinpath("data").mkdir()
    for number in range(8):
        data = label_samples.table(label_samples.measured(200, number, 0.1 + number / 10))
        (tmp_path / "data" / f"data-{number:05}-of-00008.csv").write_bytes(data)
    assert scanned(tmp_path / "data").findings == []


def test_samples(tmp_path: Path) -> None:
    bad, good = label_samples.runs()
    for files, count in ((bad, 1), (good, 0)):
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            report = scanned(tmp_path / name)
            assert len(report.findings) == count, name
            assert report.gaps == []
            told = report.scanned[0].facts.get("order of labels")
            assert told == ("rows are sorted by label" if name == "sorted.csv" else None)


def test_the_rows_of_a_stretch_are_named(tmp_path: Path) -> None:
    (tmp_path / "block.csv").write_bytes(label_samples.runs()[0]["block-at-end.csv"])
    (finding,) = scanned(tmp_path / "block.csv").findings
    rows = finding.at.part.rows  # type: ignore[union-attr]
    assert [row.index for row in rows] == list(range(400, 460))
    assert {row.label for row in rows} == {"high"}


@pytest.mark.parametrize(
    ("added", "other", "severity"),
    [(64, 0, Severity.MEDIUM), (64, 7, Severity.LOW), (200, 0, Severity.LOW)],
)
def test_many_rows_or_rows_of_other_labels_too_are_a_low_finding(
    tmp_path: Path, added: int, other: int, severity: Severity
) -> None:
    """Behind 400 rows are some of one label; of every so many, one has the other."""
    rows = [{**row, "label": "high"} for row in label_samples.measured(added, 2)]
    for row in rows[::other] if other else ():
        row["label"] = "low"
    (tmp_path / "rows.csv").write_bytes(
        label_samples.table([*label_samples.measured(400, 1), *rows])
    )
    (finding,) = scanned(tmp_path / "rows.csv").findings
    assert finding.severity == severity


def test_shuffled_rows_have_no_stretch() -> None:
    draw = np.random.default_rng(0)
    for share in (0.5, 0.8, 0.97):
        for _ in range(40):
            hits = draw.binomial(16, share, 500)
            assert stretch(np.stack([hits, 16 - hits], axis=1)) is None


@pytest.mark.parametrize("first", [True, False])
def test_a_file_that_is_sorted_but_for_a_few_rows_has_no_stretch(first: bool) -> None:
    ordered = np.array([0] * 96 + [1] * 112)
    ordered[-3] = 0
    labels = ordered if first else ordered[::-1]
    counts = np.stack([np.bincount(part, minlength=2) for part in np.split(labels, 13)])
    assert stretch(counts) is None


@pytest.mark.parametrize(("runs", "found"), [(False, True), (True, False)])
@pytest.mark.parametrize("start", [800, 808])
def test_a_label_that_comes_in_runs_elsewhere_has_no_stretch(
    runs: bool, found: bool, start: int
) -> None:
    """Of 1,600 rows most have a rare label; 64 in a row share one that others have too.

    Where they begin in the middle of a block half of it is theirs, which is no run elsewhere.
    """
    draw = np.random.default_rng(0)
    labels = draw.integers(1, 700, 1_600)
    labels[start : start + 64] = 0
    elsewhere = np.r_[160:176, 480:496, 1_200:1_216] if runs else draw.integers(0, 780, 48)
    labels[elsewhere] = 0
    counts = np.stack([np.bincount(part, minlength=700) for part in np.split(labels, 100)])
    assert dispersion(counts) < 1.5
    assert stretch(counts) == ((50, 54, 0) if found else None)


def test_dispersion_of_shuffled_rows_is_about_one() -> None:
    counts = np.random.default_rng(0).multinomial(16, [0.5, 0.3, 0.2], 1_000)
    assert 0.9 < dispersion(counts) < 1.1
    assert dispersion(np.array([[16, 0], [0, 16]] * 20)) > 10
    assert dispersion(np.array([[16], [16]])) == np.inf


def test_blocks_are_joined_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Part(("cat", "dog") * 200, (0,) * 400, np.zeros((400, 3), np.float32))
    monkeypatch.setattr(label_blocks, "CELLS", 20)
    whole, left, right = (LabelBlocks(PLACES) for _ in range(3))
    whole.update(rows.batch(0, 0, 400, NAMES))
    left.update(rows.batch(0, 0, 130, NAMES))
    right.update(rows.batch(0, 130, 400, NAMES))
    left.merge(right)
    one, other = whole.blocks(), left.blocks()
    assert one.rows == other.rows == 64
    np.testing.assert_array_equal(one.counts[0], other.counts[0])


def test_too_many_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_blocks, "CLASSES", 1)
    blocks = LabelBlocks(PLACES)
    blocks.update(Part(("cat", "dog"), (0, 0), np.zeros((2, 3), np.float32)).batch(0, 0, 2, NAMES))
    with pytest.raises(LimitReached):
        blocks.blocks()
