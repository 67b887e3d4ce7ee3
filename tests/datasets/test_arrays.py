"""Arrays with labels."""

from __future__ import annotations

import gzip
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from poisonscan.datasets import arrays
from poisonscan.scan import scan
from tests.datasets.files import batches, content, features, label_names, only, opened, shared

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (40, 32, 32, 3), np.uint8)
VECTORS = RNG.normal(size=(40, 16)).astype(np.float32)
LABELS = np.arange(40) % 3


def _grey(images: NDArray[Any]) -> NDArray[np.float64]:
    weights = np.array([0.299, 0.587, 0.114])
    return np.asarray(images.astype(np.float64) @ weights, np.float64)


def _means(dataset: Any) -> NDArray[np.float32]:
    planes = np.concatenate([batch.pictures.planes for batch in batches(dataset)])
    return np.asarray(planes.mean(axis=(1, 2)), np.float32)


@pytest.mark.parametrize(
    "images",
    [
        IMAGES,
        IMAGES.transpose(0, 3, 1, 2),
        IMAGES.astype(np.float32) / 255,
        IMAGES.astype(np.float64) / 255,
    ],
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pictures_of_an_npz(tmp_path: Path, images: NDArray[Any], save: Any) -> None:
    save(tmp_path / "d.npz", x=np.ascontiguousarray(images), y=LABELS)
    dataset = only(tmp_path)
    assert (dataset.path, dataset.roles["image"]) == ("d.npz", ("image",))
    assert label_names(dataset) == [str(label) for label in LABELS]
    assert np.allclose(_means(dataset), _grey(IMAGES).mean(axis=(1, 2)), atol=1)
    assert dataset.facts["arrays"] == "x and y"


def test_splits_of_an_npz(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "mnist.npz", x_train=IMAGES[..., 0], y_train=LABELS, x_test=IMAGES[:5, ..., 0],
        y_test=LABELS[:5],
    )  # fmt: skip
    dataset = only(tmp_path)
    assert dataset.path == "mnist.npz"
    assert [(s.split, s.rows) for s in dataset.shards] == [("train", 40), ("test", 5)]
    digests = content(dataset)
    assert digests[40:] == digests[:5]
    assert label_names(only(tmp_path, split="test")) == ["0", "1", "2", "0", "1"]


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors"])
def test_vectors(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "PART", 64)
    monkeypatch.setattr(arrays, "BATCH_ROWS", 7)
    if suffix == ".npz":
        np.savez(tmp_path / "x.npz", features=VECTORS, labels=LABELS)
    elif suffix == ".npy":
        np.save(tmp_path / "X.npy", VECTORS)
        np.save(tmp_path / "y.npy", LABELS.astype(np.int16).reshape(-1, 1))
    else:
        save_file({"x": VECTORS, "y": LABELS}, tmp_path / "train.safetensors")
    dataset = only(tmp_path)
    assert dataset.feature_source == "embedding column 'features' (16 numbers)"
    assert np.array_equal(features(dataset), VECTORS)
    assert label_names(dataset) == [str(label) for label in LABELS]
    assert (len(dataset.shards) > 1) == (suffix != ".npz")
    last = len(dataset.shards) - 1
    assert dataset.place(last, 0)[1] == dataset.shards[last].start


def test_files_of_splits(tmp_path: Path) -> None:
    for split, count in (("train", 30), ("test", 10)):
        np.save(tmp_path / f"X_{split}.npy", VECTORS[:count])
        np.save(tmp_path / f"y_{split}.npy", LABELS[:count])
    dataset = only(tmp_path)
    assert dataset.path == "."
    assert [(s.path, s.split) for s in dataset.shards] == [
        ("X_train.npy", "train"), ("X_test.npy", "test"),
    ]  # fmt: skip


def test_texts(tmp_path: Path) -> None:
    texts = np.array([f"a text of number {i}" for i in range(40)])
    np.savez(tmp_path / "d.npz", texts=texts, labels=np.array(["a", "b"] * 20))
    dataset = only(tmp_path)
    assert dataset.roles["text"] == ("text",)
    assert label_names(dataset)[:2] == ["a", "b"]


@pytest.mark.parametrize("packed", [True, False])
def test_idx(tmp_path: Path, packed: bool) -> None:
    images = IMAGES[..., 0]
    for kind, array in (("images", images), ("labels", LABELS.astype(np.uint8))):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        data = head + array.tobytes()
        name = f"train-{kind}-idx{array.ndim}-ubyte"
        (tmp_path / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    dataset = only(tmp_path)
    assert label_names(dataset) == [str(label) for label in LABELS]
    assert np.allclose(_means(dataset), images.mean(axis=(1, 2)), atol=1)
    report = scan(tmp_path, root=tmp_path)
    assert report.gaps == []


def test_the_real_mnist() -> None:
    dataset = only(shared("images", "mnist_10k"))
    assert dataset.shards[0].split == "test"
    assert sum(batch.size for batch in batches(dataset)) == 10_000
    assert sorted({str(name) for name in label_names(dataset)}) == [str(i) for i in range(10)]


@pytest.mark.parametrize(
    "members",
    [
        {"x": VECTORS, "y": LABELS[:-1]},
        {"x": VECTORS, "weights": LABELS},
        {"x": VECTORS},
        {"x": VECTORS, "y": VECTORS},
        {"x": np.array([{}] * 40), "y": LABELS},
        {"x": VECTORS, "data": VECTORS, "y": LABELS},
        {"layer1/bias": VECTORS, "layer1/kernel": LABELS},
        {"x": np.float32(1), "y": LABELS},
    ],
)
def test_what_is_no_pair_is_no_dataset(tmp_path: Path, members: dict[str, Any]) -> None:
    np.savez(tmp_path / "train.npz", **members)
    assert opened(tmp_path) == ([], [])


def test_broken_files_are_no_dataset(tmp_path: Path) -> None:
    np.savez(tmp_path / "train.npz", x=VECTORS, y=LABELS)
    data = (tmp_path / "train.npz").read_bytes()
    for cut in range(0, len(data), 97):
        (tmp_path / "train.npz").write_bytes(data[:cut])
        assert opened(tmp_path) == ([], [])
    for place in range(0, len(data), 31):
        (tmp_path / "train.npz").write_bytes(data[:place] + b"\xff" + data[place + 1 :])
        opened(tmp_path)
    for content_ in (b"", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x01\x00\x10\x00{'shape': (1"):
        (tmp_path / "x.npy").write_bytes(content_)
        opened(tmp_path)
    for content_ in (b"", b"\xff" * 8, b"\x02" + bytes(7) + b"{}", b"\x04" + bytes(7) + b"null"):
        (tmp_path / "train.safetensors").write_bytes(content_)
        opened(tmp_path)


def test_rows_that_are_not_there_cost_nothing(tmp_path: Path) -> None:
    for name, dtype in (("X", "<f4"), ("y", "<i8")):
        head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({10**14},%s), }}\n"
        text = (head % ("4" if name == "X" else "")).encode()
        start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        (tmp_path / f"{name}.npy").write_bytes(start + bytes(100))
    report = scan(tmp_path, kind="dataset", root=tmp_path)
    assert report.gaps
    for dtype in ("<U0", "|S0"):
        nothing = np.zeros(3, dtype)
        (tmp_path / "X.npy").unlink()
        np.save(tmp_path / "X.npy", nothing)
        np.save(tmp_path / "y.npy", LABELS[:3])
        opened(tmp_path)


def test_a_file_that_became_shorter_is_a_gap(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", VECTORS)
    np.save(tmp_path / "y.npy", LABELS)
    data = (tmp_path / "X.npy").read_bytes()
    (tmp_path / "X.npy").write_bytes(data[:-100])
    report = scan(tmp_path, kind="dataset", root=tmp_path)
    assert any("shorter than its header says" in gap.reason for gap in report.gaps)


def test_labels_that_are_cut_short_are_a_gap_for_every_rule(tmp_path: Path) -> None:
    np.save(tmp_path / "X.npy", VECTORS)
    np.save(tmp_path / "y.npy", LABELS)
    data = (tmp_path / "y.npy").read_bytes()
    (tmp_path / "y.npy").write_bytes(data[:-100])
    report = scan(tmp_path, kind="dataset", root=tmp_path, select=["PS301"])
    assert report.exit_code() == 3
    assert any("shorter than its header says" in gap.reason for gap in report.gaps)


def test_a_model_stays_a_model(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=VECTORS, y=LABELS)
    report = scan(tmp_path, root=tmp_path)
    assert [(s.path, s.kind) for s in report.scanned] == [("d.npz", "dataset"), ("d.npz", "model")]
    assert report.gaps == []
    report = scan(tmp_path, kind="model", root=tmp_path)
    assert [s.kind for s in report.scanned] == ["model"]
    report = scan(tmp_path, kind="dataset", root=tmp_path)
    assert [s.kind for s in report.scanned] == ["dataset"]
    assert report.skipped == []
