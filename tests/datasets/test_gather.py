"""Which files are one dataset."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from poisonscan.datasets import tables as tables_module
from poisonscan.datasets.columnar import parquet_parts
from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.folders import CHUNK
from poisonscan.datasets.naming import family, split_of
from tests.datasets.files import (
    batches,
    encoded,
    features,
    label_names,
    only,
    opened,
    picture,
    told,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"text": f"some text {i}", "label": i % 2} for i in range(6)]


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("train.csv", "train"),
        ("data/train-00000-of-00002.parquet", "train"),
        ("data/test-00000-of-00002.parquet", "test"),
        ("my_dev.jsonl", "validation"),
        ("val/x.csv", "validation"),
        ("test/train.csv", "train"),
        ("evaluation.set.csv", "test"),
        ("x.csv", "train"),
        ("latest.csv", "train"),
        ("valuable/trained.csv", "train"),
    ],
)
def test_splits(path: str, split: str) -> None:
    assert split_of(path) == split


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("train.csv", "test.csv", True),
        ("d/train-00000-of-00002.parquet", "d/test-00000-of-00001.parquet", True),
        ("d/part-1.csv", "d/part-22.csv", True),
        ("train/data.csv", "test/data.csv", True),
        ("d/sst2_train.tsv", "d/sst2_dev.tsv", True),
        ("d/part0001.csv", "d/part0012.csv", True),
        ("d/0000.csv", "d/0001.csv", True),
        ("d/train1.csv", "d/train2.csv", True),
        ("d/data_batch_1.csv", "d/data_batch_2.csv", True),
        ("cifar10.csv", "cifar100.csv", False),
        ("cifar10_train.csv", "cifar10_test.csv", True),
        ("data_v1.csv", "data_v2.csv", False),
        ("clean.csv", "poisoned.csv", False),
        ("a/train.csv", "b/train.csv", False),
        ("train_clean.csv", "train_poisoned.csv", False),
    ],
)
def test_families(one: str, other: str, same: bool) -> None:
    assert (family(one) == family(other)) is same


def test_files_that_differ_by_split_and_number_are_one_dataset(tmp_path: Path) -> None:
    for name in ["train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"]:
        write(tmp_path / "data" / f"{name}.parquet", ROWS)
    dataset = only(tmp_path)
    assert dataset.path == "data"
    assert [shard.split for shard in dataset.shards] == ["train", "train", "test"]
    assert dataset.rows == 18
    assert dataset.facts["splits"] == ["train", "test"]


def test_clean_and_poisoned_are_two_datasets(tmp_path: Path) -> None:
    for name in ["clean.csv", "poisoned.csv"]:
        write(tmp_path / name, ROWS)
    found, gaps = opened(tmp_path)
    assert gaps == []
    assert [dataset.path for dataset in found] == ["clean.csv", "poisoned.csv"]


def test_two_datasets_of_several_files_have_two_names(tmp_path: Path) -> None:
    for name in ["clean-1", "clean-2", "poisoned-1", "poisoned-2"]:
        write(tmp_path / "d" / f"{name}.csv", ROWS)
    found, _ = opened(tmp_path)
    assert [dataset.path for dataset in found] == ["d/clean*.csv", "d/poisoned*.csv"]


def test_other_columns_are_another_dataset(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS)
    write(tmp_path / "test.jsonl", [{"text": "no label"}])
    found, _ = opened(tmp_path)
    assert [(d.path, "label" in d.roles) for d in found] == [
        ("test.jsonl", False),
        ("train.jsonl", True),
    ]


def test_numbers_written_differently_in_two_files_are_one_column(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", [{"a": i, "label": "x"} for i in range(5)])
    write(tmp_path / "test.csv", [{"a": i / 2, "label": "y"} for i in range(5)])
    dataset = only(tmp_path)
    assert dataset.columns == {"a": "double", "label": "string"}
    assert features(dataset).shape == (10, 1)


def test_what_cannot_be_opened_is_a_gap(tmp_path: Path) -> None:
    write(tmp_path / "good.csv", ROWS)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense PAR1")
    (tmp_path / "bad.arrow").write_bytes(b"ARROW1 nonsense")
    (tmp_path / "bad.jsonl").write_text("nonsense\n")
    (tmp_path / "blank.jsonl").write_text("\n\n")
    found, gaps = opened(tmp_path)
    assert [dataset.path for dataset in found] == ["good.csv"]
    assert [gap.path for gap in gaps] == [
        "bad.arrow", "bad.jsonl", "bad.parquet", "blank.jsonl", "empty.csv",
    ]  # fmt: skip


def test_a_header_without_rows_is_an_empty_dataset(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n")
    dataset = only(tmp_path)
    assert batches(dataset) == []


# Folders of pictures


def _pictures(root: Path, *names: str) -> None:
    for i, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(i)))


def test_class_folders(tmp_path: Path) -> None:
    _pictures(tmp_path, "pets/cat/1.png", "pets/dog/1.png", "pets/dog/2.png")
    dataset = only(tmp_path)
    assert (dataset.path, dataset.format, dataset.rows) == ("pets", "image", 3)
    assert label_names(dataset) == ["cat", "dog", "dog"]
    assert dataset.feature_source == "high-pass pictures, 32x32 grey"
    assert features(dataset).shape == (3, 1_024)


def test_class_folders_in_splits(tmp_path: Path) -> None:
    _pictures(
        tmp_path, "train/cat/1.png", "train/dog/1.png", "test/dog/2.png", "test/cat/3.png",
        "test/cat/4.png",
    )  # fmt: skip
    dataset = only(tmp_path)
    assert dataset.path == "."
    assert [(s.split, len(s.files)) for s in dataset.shards] == [("train", 2), ("test", 3)]
    assert label_names(dataset) == ["cat", "dog", "cat", "cat", "dog"]
    assert label_names(only(tmp_path, split="test")) == ["cat", "cat", "dog"]


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    _pictures(tmp_path, "scans/a.png", "scans/b.png")
    dataset = only(tmp_path)
    assert (dataset.path, dataset.roles) == ("scans", {"image": ("image",)})


def test_flat_splits(tmp_path: Path) -> None:
    _pictures(tmp_path, "p/train/a.png", "p/test/b.png")
    dataset = only(tmp_path)
    assert (dataset.path, "label" in dataset.roles) == ("p", False)
    assert [shard.split for shard in dataset.shards] == ["train", "test"]


def test_two_folders_of_class_folders(tmp_path: Path) -> None:
    _pictures(tmp_path, "a/x/1.png", "a/y/1.png", "b/z/1.png", "b/w/1.png")
    found, _ = opened(tmp_path)
    assert [dataset.path for dataset in found] == ["a", "b"]


def test_a_bad_picture_does_not_stop_the_folder(tmp_path: Path) -> None:
    _pictures(tmp_path, "a/x/1.png", "a/y/2.png", "a/y/3.png")
    (tmp_path / "a" / "y" / "2.png").write_bytes(encoded(picture(1))[:80])
    (batch,) = batches(only(tmp_path))
    assert np.isnan(batch.features).any(axis=1).tolist() == [False, True, False]
    assert told(only(tmp_path))[0].startswith(
        "1 file with a picture that cannot be read: 'a/y/2.png' ("
    )


def test_many_pictures_are_several_shards(tmp_path: Path) -> None:
    data = encoded(picture(0, (4, 4)))
    (tmp_path / "p").mkdir()
    for i in range(CHUNK + 5):
        (tmp_path / "p" / f"{i:05}.png").write_bytes(data)
    dataset = only(tmp_path)
    assert [len(shard.files) for shard in dataset.shards] == [CHUNK, 5]
    assert sum(batch.size for batch in batches(dataset)) == CHUNK + 5


# Activations


def test_activations_belong_to_rows_in_reading_order(tmp_path: Path) -> None:
    matrix = np.arange(18 * 3, dtype=np.float64).reshape(18, 3)
    matrix[7, 1] = np.nan
    np.save(tmp_path / "acts.npy", matrix)
    for name in ["train-0", "train-1", "test"]:
        write(tmp_path / f"{name}.jsonl", ROWS)
    dataset = only(tmp_path, activations=str(tmp_path / "acts.npy"))
    assert dataset.feature_source == "activations in acts.npy (3 numbers)"
    assert dataset.rows == 18
    matrix[7] = np.nan
    assert np.array_equal(features(dataset), matrix.astype(np.float32), equal_nan=True)


def test_activations_of_pictures(tmp_path: Path) -> None:
    _pictures(tmp_path, "p/x/1.png", "p/y/1.png", "p/y/2.png")
    np.save(tmp_path / "acts.npy", np.eye(3, dtype=np.float32))
    dataset = only(tmp_path, activations=str(tmp_path / "acts.npy"))
    assert np.array_equal(features(dataset), np.eye(3))


def test_activations_that_do_not_fit(tmp_path: Path) -> None:
    file = tmp_path / "acts.npy"
    np.save(file, np.zeros((5, 3), np.float32))
    write(tmp_path / "a.csv", ROWS)
    with pytest.raises(OptionError, match="has 5 rows, the dataset 6"):
        opened(tmp_path, activations=str(file))
    write(tmp_path / "b.csv", ROWS)
    with pytest.raises(OptionError, match="there are 2 here"):
        opened(tmp_path, activations=str(file))


def test_a_big_parquet_file_is_several_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(1_000)]
    path = write(tmp_path / "t.parquet", rows, row_group_size=100)
    whole = only(tmp_path)
    monkeypatch.setattr(tables_module, "parquet_parts", partial(parquet_parts, size=4_000))
    dataset = only(tmp_path)
    assert len(whole.shards) == 1 < len(dataset.shards) < 10
    assert dataset.path == "t.parquet"
    assert sum(shard.size for shard in dataset.shards) < path.stat().st_size
    assert label_names(dataset) == label_names(whole)
    last = len(dataset.shards) - 1
    start = dataset.shards[last].start
    (row,) = dataset.describe(np.array([[last, 3]]))
    assert (row.index, row.excerpt) == (start + 3, f"text {start + 3}")
    assert dataset.place(last, 3) == ("t.parquet", start + 3)
    np.save(tmp_path / "acts.npy", np.arange(2_000, dtype=np.float32).reshape(-1, 2))
    with_activations = only(tmp_path, activations=str(tmp_path / "acts.npy"))
    assert np.array_equal(features(with_activations)[:, 0], np.arange(0, 2_000, 2))
