"""Folders of pictures and recordings: tables that describe them, classes, and documentation."""

from __future__ import annotations

import gc
import io
import warnings
import wave
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from poisonscan.datasets.documentation import FEW
from poisonscan.finding import Gap, Skipped
from tests.datasets.files import (
    batches,
    content,
    encoded,
    label_names,
    only,
    opened,
    picture,
    told,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path


def _pictures(root: Path, *names: str) -> None:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(i)))


def _recording(seed: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8_000)
        out.writeframes(np.random.default_rng(seed).integers(-99, 99, 200, np.int16).tobytes())
    return buffer.getvalue()


def _recordings(root: Path, *names: str) -> None:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_recording(i))


ABOUT = [
    {"file_name": "b/2.png", "caption": "the second one", "label": "dog"},
    {"file_name": "1.png", "caption": "the first one", "label": "cat"},
]


def _loaded(root: Path, split: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        found = datasets.load_dataset(
            "imagefolder", data_dir=str(root), split=split, cache_dir=str(root.parent / "cache"),
            streaming=True,
        )  # fmt: skip
        rows = list(found.cast_column("image", datasets.Image(decode=False)))
        del found
        gc.collect()  # the library leaves a file open, which is to be said here and not later
        return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library's
@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_pictures_that_a_table_describes(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "d"
    _pictures(root, "train/1.png", "train/b/2.png")
    write(root / "train" / name, ABOUT)
    dataset = only(tmp_path)
    assert dataset.roles["image"] == ("file_name",)
    assert dataset.roles["text"] == ("caption",)
    expected = _loaded(root, "train", monkeypatch)
    assert label_names(dataset) == expected["label"]
    (batch,) = batches(dataset)
    assert told(dataset) == []
    assert not np.isnan(batch.features).any()
    texts = batch.texts
    assert [texts.values[i].as_py() for i in texts.indices] == expected["caption"]
    grey = np.asarray(picture(1).convert("L"))
    assert np.allclose(batch.pictures.planes[0], grey, atol=1)


def test_pictures_that_the_table_does_not_name_are_told(tmp_path: Path) -> None:
    _pictures(tmp_path, "d/1.png", "d/b/2.png", "d/3.png", "d/4.png")
    write(tmp_path / "d" / "metadata.csv", ABOUT)
    found, notes = opened(tmp_path)
    assert [d.path for d in found] == ["d/metadata.csv"]
    (note,) = notes
    assert isinstance(note, Skipped)
    assert "2 of 4 files here are not named in metadata.csv" in note.reason


def test_a_table_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    _pictures(tmp_path, "x.png", "d/1.png")
    rows = [{"file_name": name, "label": "a"} for name in ("1.png", "../x.png", "none.png")]
    write(tmp_path / "d" / "metadata.csv", rows)
    found, _ = opened(tmp_path)
    (dataset,) = (d for d in found if d.path == "d/metadata.csv")
    assert told(dataset)[0].startswith("2 rows with a picture that cannot be read: rows 1 (")


def test_a_table_of_other_things_describes_nothing(tmp_path: Path) -> None:
    _pictures(tmp_path, "d/1.png", "d/2.png")
    write(tmp_path / "d" / "metadata.csv", [{"text": "some words", "label": "a"}])
    found, gaps = opened(tmp_path)
    assert gaps == []
    assert [d.path for d in found] == ["d", "d/metadata.csv"]


# Recordings


def test_recordings_in_class_folders(tmp_path: Path) -> None:
    root = tmp_path / "d"
    names = ["train/cat/1.wav", "train/cat/2.wav", "train/dog/3.wav", "test/dog/4.wav"]
    _recordings(root, *names, "test/cat/5.wav")
    (root / "test" / "cat" / "5.wav").write_bytes(_recording(0))
    dataset = only(tmp_path)
    assert (dataset.path, dataset.format, dataset.rows) == ("d", "audio", 5)
    assert dataset.facts["audio"] == "not decoded: content is the digest of the files"
    assert [s.split for s in dataset.shards] == ["train", "test"]
    assert label_names(dataset) == ["cat", "cat", "dog", "cat", "dog"]
    rows = content(dataset)
    assert rows[3] == rows[0]
    assert len(set(rows)) == 4
    (row,) = dataset.describe(np.array([[1, 0]]))
    assert (row.path, row.label, row.split) == ("d/test/cat/5.wav", "cat", "test")


def test_recordings_that_a_table_describes(tmp_path: Path) -> None:
    root = tmp_path / "d"
    _recordings(root, "train/1.wav", "train/2.wav")
    rows = [
        {
            "file_name": f"{i}.wav",
            "transcription": f"what somebody says in recording {i}",
            "label": i,
        }
        for i in (2, 1)
    ]
    write(root / "train" / "metadata.csv", rows)
    dataset = only(tmp_path)
    assert label_names(dataset) == ["2", "1"]
    assert dataset.roles["text"] == ("transcription",)
    assert len(set(content(dataset))) == 2


def test_recordings_that_cannot_be_read_are_not_equal(tmp_path: Path) -> None:
    _recordings(tmp_path, "d/1.wav")
    rows = [{"file_name": name} for name in ("1.wav", "2.wav", "../../3.wav")]
    write(tmp_path / "d" / "metadata.jsonl", rows)
    dataset = only(tmp_path)
    assert len(set(content(dataset))) == 3
    what = "2 files named that cannot be read inside of the folder"
    assert told(dataset) == [f"{what}: '../../3.wav', '2.wav'"]


# Documentation


@pytest.mark.parametrize(
    "names",
    [
        ["README.md", "a.png", "b.png"],
        ["model.safetensors", "config.json", "loss.png"],
        ["README.md", "assets/a.png", "assets/b.png"],
        ["README.md", "docs/one/a.png", "docs/two/b.png"],
        ["README.md", "audio/../samples/a.wav"],
    ],
)
def test_pictures_of_a_readme(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_recording(0) if name.endswith("wav") else encoded(picture(0)))
    found, notes = opened(tmp_path)
    assert found == []
    assert [type(note) for note in notes] == [Skipped]
    assert "taken for documentation" in notes[0].reason


@pytest.mark.parametrize(
    "names",
    [
        ["a.png", "b.png"],
        ["README.md", "train/a.png", "train/b.png"],
        ["README.md", "cat/a.png", "dog/b.png"],
        ["README.md", *(f"{i}.png" for i in range(FEW))],
    ],
)
def test_pictures_of_a_dataset(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(0)))
    assert only(tmp_path).path == "."


def test_the_card_of_a_dataset_is_no_documentation(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\ntask_categories: [x]\n---\n")
    _pictures(tmp_path, "1.png", "2.png")
    assert only(tmp_path).rows == 2


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    _pictures(tmp_path, "d/1.png")
    (tmp_path / "d" / "metadata.parquet").write_bytes(b"PAR1 nonsense PAR1")
    _, notes = opened(tmp_path)
    assert isinstance(notes[0], Gap)
