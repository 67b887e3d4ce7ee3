from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.locking.document import parse, read, text
from poisonscan.locking.entries import (
    Entry,
    Lock,
    LockedCheckpoint,
    LockedDataset,
    LockedFile,
    LockedRows,
    LockError,
    Unchecked,
)
from poisonscan.locking.tensors import TensorDigest

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "lock.schema.json").read_text("utf-8"))
HEX = "0123456789abcdef" * 4
LOCK = Lock(
    (
        Entry(
            "data",
            (LockedFile("a\x1b[31m.csv", 3, HEX), LockedFile("b/c.pt", 4, HEX)),
            (LockedDataset(".", {"train": LockedRows(5, HEX)}, ("no", "yes")),),
            (LockedCheckpoint("b/c.pt", (TensorDigest("w", "F32", (2, 3), HEX),), ("a note",)),),
            {"PS101": 2},
            (Unchecked("x", "why"),),
        ),
        Entry("hf://org/name", (LockedFile("f", 1, HEX, f"sha256:{HEX}"),), commit="c" * 40,
              revision="main"),
    ),
    "1.0",
    HEX,
)  # fmt: skip


def document() -> Any:
    return json.loads(text(LOCK))


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    place.write_text(text(LOCK), "utf-8")
    assert text(read(place)) == text(LOCK)
    assert read(place) == LOCK
    jsonschema.validate(document(), SCHEMA)


def test_a_line_each_for_reviews() -> None:
    lines = text(LOCK).splitlines()
    for part in ('"a\\u001b[31m.csv"', '"b/c.pt", "size"', '"name": "w"', '"train"', '"PS101"'):
        (line,) = (line for line in lines if part in line)
        assert not re.search(r"[\[{]$", line)
    assert max(map(len, lines)) < 300


FILE = {"path": "x", "size": 1, "sha256": HEX}
HOSTILE: dict[str, Callable[[Any], Any]] = {
    "no object": lambda d: [d],
    "another version": lambda d: {**d, "poisonscan_lock": 2},
    "a version that is true": lambda d: {**d, "poisonscan_lock": True},
    "no rules": lambda d: {**d, "rules": "x"},
    "no targets": lambda d: {**d, "targets": {}},
    "a target that is none": lambda d: {**d, "targets": [1]},
    "a target twice": lambda d: {**d, "targets": [d["targets"][0]] * 2},
}
WRONG: dict[str, dict[str, Any]] = {
    "target above": {"target": "../data"},
    "target elsewhere": {"target": "/etc"},
    "target above on Windows": {"target": "..\\data"},
    "target with a NUL": {"target": "a\0b"},
    "an address without a commit": {"target": "hf://org/name"},
    "a file above": {"files": [{**FILE, "path": "a/../../b"}]},
    "a file at the root": {"files": [{**FILE, "path": "/etc/passwd"}]},
    "a file without a name": {"files": [{**FILE, "path": ""}]},
    "a file twice": {"files": [FILE, FILE]},
    "a size below 0": {"files": [{**FILE, "size": -1}]},
    "a huge size": {"files": [{**FILE, "size": 1 << 70}]},
    "a size that is true": {"files": [{**FILE, "size": True}]},
    "a size with a fraction": {"files": [{**FILE, "size": 1.5}]},
    "a short digest": {"files": [{**FILE, "sha256": HEX[:-1]}]},
    "a digest and a line": {"files": [{**FILE, "sha256": HEX + "\n"}]},
    "rows below 0": {
        "datasets": [{"path": ".", "splits": {"train": {"rows": -1, "digest": HEX}}}]
    },
    "splits that are none": {"datasets": [{"path": ".", "splits": {"train": 1}}]},
    "classes that are none": {"datasets": [{"path": ".", "splits": {}, "classes": [1]}]},
    "verdicts of no rule": {"verdicts": {"x": 1}},
    "verdicts that are none": {"verdicts": {"PS101": "1"}},
    "a commit that is none": {"commit": "main"},
    "tensors that were changed": {
        "checkpoints": [{"path": "x", "digest": HEX, "notes": [], "tensors": []}]
    },
    "a type that is none": {
        "checkpoints": [{"path": "x", "digest": HEX, "notes": [], "tensors": [
            {"name": "w", "dtype": "X", "shape": [], "sha256": HEX}]}]
    },
}  # fmt: skip


@pytest.mark.parametrize("name", [*HOSTILE, *WRONG])
def test_hostile_lock_files_are_refused(name: str) -> None:
    good = document()
    changed = (
        HOSTILE[name](good)
        if name in HOSTILE
        else {**good, "targets": [{**good["targets"][0], **WRONG[name]}]}
    )
    with pytest.raises(LockError) as caught:
        parse(json.dumps(changed).encode())
    assert "\x1b" not in str(caught.value)
    if name not in ("target with a NUL", "a size below 0"):
        assert caught.value.args[0]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b'{"poisonscan_lock": 1e999}',
        b'{"poisonscan_lock": 1, "poisonscan_lock": 1}', b'{"poisonscan_lock": NaN}',
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_json_is_refused(content: bytes) -> None:
    with pytest.raises(LockError):
        parse(content)


def test_a_lock_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poisonscan.locking.document.MAX_BYTES", 100)
    place = tmp_path / "lock"
    place.write_text(text(LOCK))
    with pytest.raises(LockError, match="larger"):
        read(place)


KEYS = st.sampled_from(
    ["poisonscan_lock", "targets", "target", "files", "path", "size", "sha256", "splits", "tensors"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


STEPS = st.sampled_from(
    ["targets", 0, 1, "files", "datasets", "checkpoints", "tensors", "splits", "train", "path"]
)


@given(st.lists(STEPS, max_size=6), JSON)
def test_any_part_may_be_anything(path: list[Any], value: Any) -> None:
    """It is read, or refused in words; nothing else."""
    changed = document()
    here = changed
    for step in path[:-1]:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            return
    if path:
        try:
            here[path[-1]] = value
        except (IndexError, TypeError):
            return
    try:
        found = parse(json.dumps(changed).encode())
    except LockError as error:
        assert str(error)
    else:
        assert parse(text(found).encode()) == found
