"""Tar archives whose members are rows."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from poisonscan.datasets.webdataset import fields_of, split_name
from poisonscan.scan import scan
from tests.datasets.files import batches, content, encoded, label_names, only, opened, picture

if TYPE_CHECKING:
    from pathlib import Path


def archive(path: Path, members: dict[str, bytes], *, packed: bool = False) -> Path:
    """Write a tar archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if packed else "w") as out:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def rows(count: int, start: int = 0) -> dict[str, bytes]:
    """Members of rows: a picture, a class, a text and an object each."""
    out = {}
    for i in range(start, start + count):
        key = f"a/{i:04}"
        out[f"{key}.jpg"] = encoded(picture(i))
        out[f"{key}.cls"] = str(i % 2).encode()
        out[f"{key}.txt"] = f"a text about picture {i}".encode()
        out[f"{key}.json"] = json.dumps({"score": i / 2, "tags": ["x", "y"]}).encode()
    return out


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a/b.jpg", ("a/b", "jpg")),
        ("a.b/c.seg.png", ("a.b/c", "seg.png")),
        ("a", ("", "")),
        (".hidden", ("", "")),
    ],
)
def test_key_and_field(name: str, expected: tuple[str, str]) -> None:
    assert split_name(name) == expected


def test_shards(tmp_path: Path) -> None:
    archive(tmp_path / "d" / "train-000000.tar", rows(5))
    archive(tmp_path / "d" / "train-000001.tar", rows(4, 5))
    archive(tmp_path / "d" / "test-000000.tar", rows(3, 20))
    dataset = only(tmp_path)
    assert (dataset.path, dataset.format) == ("d", "webdataset")
    assert [s.split for s in dataset.shards] == ["train", "train", "test"]
    assert label_names(dataset) == [str(i % 2) for i in (*range(9), 20, 21, 22)]
    assert dataset.roles["text"] == ("txt",)
    assert dataset.roles["image"] == ("jpg",)
    assert dataset.columns["score"] == "double"
    assert dataset.columns["tags"] == "string"
    found = batches(dataset)
    assert [b.size for b in found] == [5, 4, 3]
    assert np.allclose(found[0].pictures.planes[2], np.asarray(picture(2).convert("L")), atol=1)
    (row,) = dataset.describe(np.array([[1, 2]]))
    assert (row.path, row.index, row.label) == ("d/train-000001.tar", 2, "1")
    assert row.excerpt == "a text about picture 7"


def test_same_rows_as_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "d" / "train-000000.tar", rows(6))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        loaded = datasets.load_dataset(
            "webdataset", data_files=str(path), split="train", streaming=True
        )
        expected: list[Any] = list(loaded.cast_column("jpg", datasets.Image(decode=False)))
    dataset = only(tmp_path)
    shard = dataset.shards[0]
    assert shard.layout is not None
    assert shard.layout.reader is not None
    found = list(shard.layout.reader.batches(["jpg", "cls", "txt", "score", "__key__"], print))
    seen = [row for batch in found for row in batch.to_pylist()]
    assert len(seen) == len(expected)
    for one, other in zip(seen, expected, strict=True):
        assert one["jpg"] == other["jpg"]["bytes"]
        assert (one["cls"], one["txt"]) == (other["cls"], other["txt"])
        assert one["score"] == other["json"]["score"]
        assert one["__key__"] == other["__key__"]


def test_labels_of_objects(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for i in range(6):
        members[f"{i}.png"] = encoded(picture(i // 2))
        members[f"{i}.json"] = json.dumps({"label": "ab"[i % 2], "n": 1 << 70}).encode()
    archive(tmp_path / "x.tar", members)
    dataset = only(tmp_path)
    assert label_names(dataset) == ["a", "b"] * 3
    digests = content(dataset)
    assert [digests[0] == digests[1], digests[1] == digests[2]] == [True, False]


def test_compressed_archives(tmp_path: Path) -> None:
    archive(tmp_path / "x.tar.gz", rows(4), packed=True)
    assert label_names(only(tmp_path)) == ["0", "1", "0", "1"]


def test_what_is_not_looked_at_is_told(tmp_path: Path) -> None:
    members: dict[str, bytes] = {}
    for i in range(3):
        members |= {f"{i}.mp3": bytes([i // 2]), f"{i}.cls": b"7", f"{i}.odd": b"x"}
    archive(tmp_path / "x.tar", members)
    dataset = only(tmp_path)
    assert dataset.facts["only compared by digest"] == "mp3, odd"
    digests = content(dataset)
    assert [digests[0] == digests[1], digests[1] == digests[2]] == [True, False]


@pytest.mark.parametrize(
    "members",
    [
        {"archive/data.pkl": b"x", "archive/version": b"3"},
        {"model_config.yaml": b"a: 1", "model_weights.ckpt": b"x"},
        {"a.jpg": b"x"},
        {"src/a.c": b"x", "src/b.h": b"x", "Makefile": b"x"},
        {"a.jpg": b"x", "b.txt": b"x", "c.json": b"{}"},
        {"a.npy": b"x", "b.npy": b"x"},
        {},
    ],
)
def test_other_archives(tmp_path: Path, members: dict[str, bytes]) -> None:
    path = archive(tmp_path / "x.tar", members)
    assert not fields_of(str(path))
    assert opened(tmp_path) == ([], [])


def test_broken_archives(tmp_path: Path) -> None:
    data = archive(tmp_path / "x.tar", rows(8)).read_bytes()
    whole = len(label_names(only(tmp_path)))
    (tmp_path / "x.tar").write_bytes(data[: len(data) // 2])
    report = scan(tmp_path, kind="dataset", root=tmp_path)
    (entry,) = report.scanned
    assert 0 < (entry.rows or 0) < whole
    assert any("the archive" in gap.reason for gap in report.gaps)
    for cut in range(0, len(data), 997):
        (tmp_path / "x.tar").write_bytes(data[:cut])
        opened(tmp_path)
    (tmp_path / "x.tar").write_bytes(gzip.compress(data)[:-20])
    opened(tmp_path)


def test_members_are_checked_as_models_all_the_same(tmp_path: Path) -> None:
    members = rows(6)
    members["zz.bin"] = b"cos\nsystem\n(S'id'\ntR."
    archive(tmp_path / "train.tar", members)
    report = scan(tmp_path, root=tmp_path)
    assert {finding.severity.name for finding in report.findings} & {"CRITICAL", "HIGH"}
    assert ("train.tar", "dataset", 7) in [(s.path, s.kind, s.rows) for s in report.scanned]
    assert not [gap for gap in report.gaps if "not read as a dataset" in gap.reason]
