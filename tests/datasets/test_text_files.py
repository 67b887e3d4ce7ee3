"""Text files whose lines are rows."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import pytest

from poisonscan.datasets import lines, text_files
from poisonscan.datasets.layouts import MAX_RECORD
from poisonscan.scan import scan
from tests.datasets.files import batches, only, opened

if TYPE_CHECKING:
    from pathlib import Path

TEXT = 'a line\r\nanother "line"\n\nafter an empty one\ré界\n' * 300 + "the last one"


def test_same_rows_as_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes(TEXT.encode())
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        loaded = datasets.load_dataset("text", data_files=str(path), split="train", streaming=True)
        expected = [row["text"] for row in loaded]
    dataset = only(tmp_path)
    assert (dataset.path, dataset.columns) == ("train.txt", {"text": "string"})
    seen = []
    for batch in batches(dataset):
        texts = batch.texts
        seen += [texts.values[i].as_py() if i >= 0 else "" for i in texts.indices.tolist()]
    assert seen == expected


def test_splits(tmp_path: Path) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test"):
        (tmp_path / f"{name}.txt").write_text("some words\n")
    assert [s.split for s in only(tmp_path).shards] == ["train", "train", "test"]


@pytest.mark.parametrize(
    "name", ["README.txt", "LICENSE.txt", "requirements.txt", "notes.txt", "test.txt", "vocab.txt"]
)
def test_other_text_is_no_dataset(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("some words\nand more\n")
    assert opened(tmp_path) == ([], [])


def test_lists_of_packages_are_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("torch==2.1\nnumpy>=1.2\n-r base.txt\n")
    (tmp_path / "test.txt").write_text("pytest==2.1\n")
    assert opened(tmp_path) == ([], [])


def test_a_text_that_is_asked_for_is_one(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("some words\nand more\n")
    report = scan(tmp_path / "corpus.txt", kind="dataset", root=tmp_path)
    assert [(s.path, s.format, s.rows) for s in report.scanned] == [("corpus.txt", "text", 2)]
    assert report.skipped == []
    report = scan(tmp_path / "corpus.txt", root=tmp_path)
    assert report.scanned == []


def test_a_line_without_end_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_bytes(b"short\n" + b"x" * (MAX_RECORD + 2_000_000))
    report = scan(tmp_path, root=tmp_path)
    assert any("a line is longer than" in gap.reason for gap in report.gaps)


def test_a_big_file_is_several_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Windows and old Mac line ends count as lines, too.
    (tmp_path / "train.txt").write_bytes(TEXT.encode())
    monkeypatch.setattr(text_files, "spans", partial(lines.spans, size=5_000))
    monkeypatch.setattr(lines, "CHUNK", 1_000)
    dataset = only(tmp_path)
    assert len(dataset.shards) > 2
    assert sum(shard.size for shard in dataset.shards) == len(TEXT.encode())
    seen: list[str] = []
    places: list[int] = []
    for index, shard in enumerate(dataset.shards):
        assert shard.layout is not None
        assert shard.layout.reader is not None
        for batch in shard.layout.reader.batches(["text"], print):
            _, first = dataset.place(index, len(places) - shard.start)
            places += range(first, first + batch.num_rows)
            seen += batch.column(0).to_pylist()
    assert seen == TEXT.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert places == list(range(len(seen)))
