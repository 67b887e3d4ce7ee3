"""What became of the targets that the user named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poisonscan.finding import Gap, Scanned, Skipped
from poisonscan.report import Report
from poisonscan.reporters.base import Options
from poisonscan.reporters.text import render
from poisonscan.scan import scan
from poisonscan.targets import account

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["all", "model", "dataset"])
def test_a_named_file_that_is_skipped_says_why(tmp_path: Path, kind: str) -> None:
    files = {"notes.md": "# Notes\n", "model.json": "{}", "rows.csv": "text,label\na,b\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        report = scan(tmp_path / name, kind=kind, select=["PS3", "PS1"])  # type: ignore[arg-type]
        shown = render(report, Options())
        for skipped in report.skipped:
            assert skipped.named
            assert skipped.reason in " ".join(shown.split())
        assert report.skipped or report.gaps or report.scanned
    report = scan(tmp_path, kind=kind, select=["PS3", "PS1"])  # type: ignore[arg-type]
    assert not any(skipped.named for skipped in report.skipped)


def test_what_holds_nothing_is_not_clean(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "model.json").write_text("{}")
    report = scan([tmp_path / "model.json", tmp_path / "empty"], kind="model", root=tmp_path)
    assert report.gaps == [Gap("empty", "not checked: the folder holds no file")]
    assert report.exit_code() == 3


def test_only_targets_of_which_nothing_is_told_are_gaps(tmp_path: Path) -> None:
    for name in ("a/b/c.csv", "d.zip", "e.bin", "f.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("e.bin")
    report = Report(
        (),
        gaps=[Gap("d.zip!/x.csv", "cut short")],
        scanned=[Scanned("a/b/c.csv", "dataset", "csv", 7, 1), Scanned("e.bin", "model", "npy", 5)],
        skipped=[Skipped("f.md", "text"), Skipped("a/x.md", "text")],
    )
    names = ["a", "d.zip", "e.bin", "f.md", "link"]
    account(report, [tmp_path / name for name in names], tmp_path)
    assert len(report.gaps) == 1
    assert [skipped.named for skipped in report.skipped] == [True, False]
    account(report, [tmp_path, tmp_path / "a" / "b" / "c.csv"], tmp_path)
    assert len(report.gaps) == 1


def test_files_of_one_dataset_are_told_with_it(tmp_path: Path) -> None:
    names = [tmp_path / f"train-0000{number}-of-00002.csv" for number in range(2)]
    for name in names:
        name.write_text("text,label\nfine,1\nbad,0\n")
    report = scan(names, select=["PS301"], root=tmp_path)
    assert [entry.path for entry in report.scanned] == ["."]
    assert report.gaps == []


def test_where_nothing_was_scanned_all_reasons_are_shown() -> None:
    skipped = [Skipped(f"{number}.md", "prose") for number in range(30)]
    shown = render(Report(("x",), skipped=skipped), Options())
    assert shown.count(": prose") == 20
    assert "… and 10 more files (-v says which)" in shown
    assert "prose" not in render(Report(("x",), skipped=skipped), Options(verbosity=-1))
    report = Report(("x",), skipped=skipped, scanned=[Scanned("a", "model", "npy", 5)])
    assert "Skipped 30 files (-v says which and why)." in render(report, Options())
