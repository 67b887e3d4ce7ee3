from __future__ import annotations

from dataclasses import replace

from poisonscan.locking.compare import changes, shown
from poisonscan.locking.entries import (
    Entry,
    LockedCheckpoint,
    LockedDataset,
    LockedFile,
    LockedRows,
)
from poisonscan.locking.tensors import TensorDigest

A, B = "a" * 64, "b" * 64
OLD = Entry(
    "data",
    (LockedFile("train.csv", 5, A), LockedFile("w.pt", 9, A)),
    (LockedDataset("train.csv", {"train": LockedRows(3, A)}, ("no", "yes")),),
    (LockedCheckpoint("w.pt", (TensorDigest("x", "F32", (2,), A),)),),
)


def told(new: Entry) -> list[tuple[str, str]]:
    return [(change.kind, change.what) for change in changes(OLD, new)]


def test_nothing() -> None:
    assert told(OLD) == []


def test_class_names_decide_what_a_label_means() -> None:
    """The rows are the same, and every label says the opposite."""
    dataset = replace(OLD.datasets[0], classes=("yes", "no"))
    assert told(replace(OLD, datasets=(dataset,))) == [
        ("classes", "class names were 'no', 'yes' and are 'yes', 'no' now")
    ]


def test_a_file_of_another_name() -> None:
    files = (OLD.files[0], LockedFile("v.pt", 9, A))
    found = told(replace(OLD, files=files, checkpoints=()))
    assert ("file", "added, 9 bytes, the same as 'w.pt' was") in found
    assert ("file", "removed") in found


def test_datasets_that_come_and_go() -> None:
    more = LockedDataset("x\x1b.csv", {"test": LockedRows(1, B)})
    (change,) = changes(OLD, replace(OLD, datasets=(*OLD.datasets, more)))
    assert shown(change) == "data/x\\x1b.csv: a dataset that was not there, 'test' 1 rows"
    both = replace(OLD, datasets=(*OLD.datasets, more))
    assert [change.what for change in changes(both, OLD)] == ["the dataset is gone, 'test' 1 rows"]


def test_many_tensors_are_counted() -> None:
    tensors = tuple(TensorDigest(f"t{i}", "F32", (2,), B) for i in range(9))
    new = replace(OLD, checkpoints=(LockedCheckpoint("w.pt", tensors),))
    ((_, what),) = told(new)
    assert what == (
        "tensors 't0', 't1', 't2', 't3', 't4' and 4 more added; tensor 'x' removed"
    )  # fmt: skip


def test_a_commit_and_a_split() -> None:
    splits = {"train": LockedRows(3, A), "more": LockedRows(2, B)}
    new = replace(
        OLD, commit="c" * 40, datasets=(replace(OLD.datasets[0], splits=splits),)
    )  # fmt: skip
    assert [kind for kind, _ in told(new)] == ["commit", "rows"]
    assert told(new)[1][1] == "split 'more' of 2 rows is new"
