"""Class folders of text files."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from poisonscan.datasets import text_folders
from poisonscan.datasets.layouts import MAX_RECORD
from poisonscan.finding import Rows
from poisonscan.scan import scan
from tests.datasets.files import only, opened

if TYPE_CHECKING:
    from pathlib import Path

    from poisonscan.datasets.dataset import Dataset

COUNT = 12


def write(root: Path, splits: tuple[str, ...] = ("train", "test")) -> Path:
    for split in splits:
        for label in ("neg", "pos"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(COUNT):
                text = f"{split} {label} {i}\r\nand a second line, é"
                (folder / f"{i}_1.txt").write_bytes(text.encode())
    return root


def rows(dataset: Dataset) -> list[tuple[str, str, str]]:
    out = []
    for shard in dataset.shards:
        assert shard.layout is not None
        assert shard.layout.reader is not None
        for batch in shard.layout.reader.batches(["text", "label"], print):
            out += [(shard.split, row["label"], row["text"]) for row in batch.to_pylist()]
    return out


def test_folders_are_classes_and_files_are_rows(tmp_path: Path) -> None:
    write(tmp_path / "reviews")
    (tmp_path / "reviews" / "train" / "urls_pos.txt").write_text("http://example.org\n")
    (tmp_path / "reviews" / "imdb.vocab").write_text("the\n")
    dataset = only(tmp_path)
    assert (dataset.path, dataset.format) == ("reviews", "text")
    assert dataset.roles["label"] == ("label",)
    assert dataset.roles["text"] == ("text",)
    expected = [
        (split, label, f"{split} {label} {i}\nand a second line, é")
        for split in ("train", "test")
        for label in ("neg", "pos")
        for i in sorted(range(COUNT), key=str)
    ]
    assert sorted(rows(dataset)) == sorted(expected)
    assert [shard.split for shard in dataset.shards] == ["train", "test"]


def test_same_texts_as_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "r", ("train",))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        files = sorted(map(str, tmp_path.rglob("*.txt")))
        loaded = datasets.load_dataset(
            "text", data_files=files, split="train", streaming=True, sample_by="document"
        )
        expected = [row["text"] for row in loaded]
    assert [text for _, _, text in rows(only(tmp_path))] == expected


def test_a_scan_names_files_and_says_nothing_else_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_folders, "ROWS", 5)
    monkeypatch.setattr(text_folders, "CHUNK", 7)
    write(tmp_path / "r")
    copied = (tmp_path / "r/train/pos/0_1.txt").read_bytes()
    (tmp_path / "r/test/neg/7_1.txt").write_bytes(copied)
    report = scan(tmp_path, root=tmp_path, select=["PS5"])
    assert [(s.path, s.format, s.rows) for s in report.scanned] == [("r", "text", 4 * COUNT)]
    assert (report.gaps, report.skipped) == ([], [])
    parts = [finding.at.part for finding in report.findings]
    named = {row.path for part in parts if isinstance(part, Rows) for row in part.rows}
    assert {path.split("/")[1] for path in named} == {"train", "test"}
    assert all((tmp_path / path).is_file() for path in named)


def test_what_cannot_be_read_is_a_gap(tmp_path: Path) -> None:
    write(tmp_path / "r", ("train",))
    (tmp_path / "r/train/neg/0_1.txt").write_bytes(b"x" * (MAX_RECORD + 1))
    (tmp_path / "r/train/pos/3_1.txt").write_bytes(b"caf\xe9")
    report = scan(tmp_path, root=tmp_path, select=["PS501"])
    reasons = " / ".join(gap.reason for gap in report.gaps)
    assert "1 file not read, of more than 16,777,216 bytes: 'r/train/neg/0_1.txt'" in reasons
    assert report.scanned[0].rows == 2 * COUNT


@pytest.mark.parametrize("kind", ["few", "one", "mixed", "deep"])
def test_other_folders_of_text_are_no_dataset(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "r", ("train",))
    if kind == "few":
        for path in sorted((tmp_path / "r/train/neg").iterdir())[4:]:
            path.unlink()
    elif kind == "one":
        for path in (tmp_path / "r/train/neg").iterdir():
            path.unlink()
    elif kind == "mixed":
        for i in range(COUNT + 1):
            (tmp_path / f"r/train/neg/{i}.py").write_text("x = 1\n")
    else:
        (tmp_path / "r/train/neg").rename(tmp_path / "r/neg")
        (tmp_path / "a").mkdir()
        (tmp_path / "r/neg").rename(tmp_path / "a/neg")
    assert opened(tmp_path) == ([], [])


def test_stray_files_hide_no_class(tmp_path: Path) -> None:
    write(tmp_path / "r", ("train",))
    (tmp_path / "r/train/neg/.DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (tmp_path / "r/train/neg/notes.md").write_text("# notes\n")
    (tmp_path / "r/train/pos/x.pkl").write_bytes(b"\x80\x04N.")
    assert len(rows(only(tmp_path))) == 2 * COUNT


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_rare_class_beside_others_is_one(tmp_path: Path, split: str) -> None:
    write(tmp_path / "r", ("train",))
    rare = tmp_path / "r" / split / "rare"
    rare.mkdir(parents=True)
    (rare / "only.txt").write_text("alone")
    (rare / "notes.md").write_text("# one\n")
    (rare / "more.md").write_text("# two\n")
    assert (split, "rare", "alone") in rows(only(tmp_path))


def test_texts_outside_of_classes_are_a_gap(tmp_path: Path) -> None:
    write(tmp_path / "r", ("train",))
    (tmp_path / "r/train/neg/more").mkdir()
    (tmp_path / "r/train/neg/more/x.txt").write_text("deeper")
    (tmp_path / "r/README.txt").write_text("a few texts above the classes are about them")
    (_,), (gap,) = opened(tmp_path)
    assert (gap.path, gap.reason[:16]) == ("r/train/neg/more", "1 text file not ")
    for i in range(COUNT):
        (tmp_path / f"r/train/{i}.txt").write_text("loose")
    assert {gap.path for gap in opened(tmp_path)[1]} == {"r/train", "r/train/neg/more"}
