"""Networks that the user names are found, and scanned, before they are run."""

from __future__ import annotations

import json
import os
import pickle
import re
import sys
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

import poisonscan
from poisonscan import OwnModel, TargetError
from poisonscan.vetting import kept_for_now, located
from tests.datasets.networks import network

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Hub's cache as its own client writes it, with one model."""
    for name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_OFFLINE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "hub" / "models--org--name"
    snapshot = root / "snapshots" / COMMIT
    for folder in (snapshot, root / "blobs", root / "refs"):
        folder.mkdir(parents=True)
    (root / "refs" / "main").write_text(COMMIT)
    save_file({"a": np.zeros(3, np.float32)}, root / "blobs" / ("a" * 64))
    (snapshot / "model.safetensors").symlink_to(f"../../blobs/{'a' * 64}")
    (root / "blobs" / ("b" * 40)).write_text(json.dumps({"model_type": "bert"}))
    (snapshot / "config.json").symlink_to(f"../../blobs/{'b' * 40}")
    return snapshot


def test_a_name_is_looked_up_in_the_cache_and_a_path_wins(cache: Path, tmp_path: Path) -> None:
    for name in ("org/name", "hf://org/name", f"hf://org/name@{COMMIT}"):
        assert located(name) == str(cache)
    assert OwnModel(located("org/name")).name == f"org/name@{COMMIT}"
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert located("org/name") == "org/name"
    assert located("hf://org/name") == str(cache)


def test_what_is_nowhere_is_said_and_never_fetched(cache: Path) -> None:
    for name, reason in [
        ("org/other", r"poisonscan model 'hf://org/other@main' --download"),
        ("hf://org/name@v2", "does not hold it"),
        ("none.onnx", "no such file or folder"),
        ("../../org/name", "no such file or folder"),
        ("hf://datasets/org/name", "repository of a model as a whole"),
        ("hf://org/name/model.safetensors", "repository of a model as a whole"),
    ]:
        with pytest.raises(TargetError, match=reason):
            located(name)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "t.csv").write_text("text,label\n" + "some words,a\nother words,b\n" * 20)
    return tmp_path / "t.csv"


def test_a_model_of_the_cache_is_scanned_with_all_its_files(cache: Path, table: Path) -> None:
    (cache / "extra.pkl").write_bytes(pickle.dumps(os.system))
    with pytest.raises(TargetError, match=r"'org/name' is not used: PS1\d\d"):
        poisonscan.scan(table, model=OwnModel("org/name"))
    (cache / "extra.pkl").unlink()
    (cache / "notes.json").symlink_to("../../../../t.csv")
    with pytest.raises(TargetError, match=r"could not be checked.*notes\.json.*link that leaves"):
        poisonscan.scan(table, model=OwnModel("org/name"))


def test_code_beside_the_weights_is_refused(cache: Path, table: Path) -> None:
    (cache / "config.json").unlink()
    about = {"model_type": "bert", "auto_map": {"AutoModel": "own.Model"}}
    (cache / "config.json").write_text(json.dumps(about))
    (cache / "own.py").write_text("class Model: pass\n")
    with pytest.raises(TargetError, match="not used: PS106"):
        poisonscan.scan(table, model=OwnModel("org/name"))


def test_files_that_are_no_network_say_what_to_do(table: Path, tmp_path: Path) -> None:
    """Weights alone; a pickle, though harmless; what looks like a table."""
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "w.safetensors")
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"a": [1.0, 2.0]}))
    for name, form in [("w.safetensors", "safetensors"), ("w.pt", "pickle")]:
        message = rf"{re.escape(name)}' is not used: it is {form}\..*pickles are never loaded"
        with pytest.raises(TargetError, match=message):
            poisonscan.scan(table, model=OwnModel(str(tmp_path / name)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(network(tmp_path / "net.onnx"), "net.onnx")
        archive.write(tmp_path / "w.safetensors", "w.safetensors")
    with pytest.raises(TargetError, match=r"a\.zip' is not used: it is (zip|safetensors)\."):
        poisonscan.scan(table, model=OwnModel(str(tmp_path / "a.zip")))
    with pytest.raises(TargetError, match="no model of a known format"):
        poisonscan.scan(table, model=OwnModel(str(table)))


def test_a_folder_needs_the_extra(
    cache: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    message = r"run by torch, and 'tokenizers' is not installed: pip install 'poisonscan\[torch\]'"
    with pytest.raises(TargetError, match=message):
        poisonscan.scan(table, model=OwnModel("org/name"))


def test_what_is_kept_for_a_scan_is_gone_after_it(tmp_path: Path) -> None:
    model = OwnModel(network(tmp_path / "net.onnx"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with kept_for_now(model, str(scratch)) as found:
        assert [str(path) for path in scratch.iterdir()] == [found.scratch]
    assert list(scratch.iterdir()) == []
    own = OwnModel(model.file, cache=str(tmp_path / "kept"))
    with kept_for_now(own, str(scratch)) as found:
        assert found == own
    with kept_for_now(model, str(tmp_path / "none")) as found:  # it is only slower
        assert found == model
