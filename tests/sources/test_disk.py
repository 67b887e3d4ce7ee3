from __future__ import annotations

import os
from pathlib import Path

import pytest

from poisonscan.finding import Gap, Skipped
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import Disk, read


def names(target: Path, root: Path) -> list[str]:
    return [item.path for item in Disk(target, root).blobs()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b/2", "a", "b/1", ".git/config", "b/c/3"):
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path / "top"


def test_files_come_in_order_and_relative_to_the_root(folder: Path) -> None:
    assert names(folder, folder) == [".git", "a", "b/1", "b/2", "b/c/3"]
    assert names(folder / "b", folder) == ["b/1", "b/2", "b/c/3"]
    assert names(folder / "a", folder) == ["a"]


def test_targets_outside_of_the_root_are_named_from_their_own_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert names(folder / "b", elsewhere) == ["b/1", "b/2", "b/c/3"]
    monkeypatch.chdir(elsewhere)
    assert names(Path("../top/b"), elsewhere) == ["b/1", "b/2", "b/c/3"]
    assert names(Path("../top/a"), elsewhere) == ["a"]


def test_a_folder_of_tools_is_skipped(folder: Path) -> None:
    (first, *_) = Disk(folder, folder).blobs()
    assert isinstance(first, Skipped)


def test_a_link_into_a_folder_of_tools_is_told(folder: Path) -> None:
    (folder / ".git" / "deep").mkdir()
    (folder / ".git" / "deep" / "model.pkl").write_bytes(b"x")
    (folder / "all").symlink_to(".git")
    (folder / "some").symlink_to(".git/deep")
    (folder / "same").symlink_to("b")
    items = {item.path: item for item in Disk(folder, folder).blobs()}
    for name in ("all", "some"):
        gap = items[name]
        assert isinstance(gap, Gap)
        assert "folder of tools" in gap.reason
    assert isinstance(items["same"], Skipped)


def test_links_of_the_hub_cache_are_followed_and_no_others(tmp_path: Path) -> None:
    repository = tmp_path / "models--org--name"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / "abc").write_bytes(b"weights")
    snapshot = repository / "snapshots" / "commit"
    snapshot.mkdir(parents=True)
    (snapshot / "model.pt").symlink_to(Path("../../blobs/abc"))
    (tmp_path / "secret").write_bytes(b"secret")
    (snapshot / "other.pt").symlink_to(tmp_path / "secret")
    items = {item.path: item for item in Disk(snapshot, snapshot).blobs()}
    model = items["model.pt"]
    assert isinstance(model, Blob)
    assert bytes(model.open()) == b"weights"
    assert isinstance(items["other.pt"], Gap)


def test_small_and_large_files_are_read_alike(tmp_path: Path) -> None:
    for size in (0, 10, 3 << 20):
        path = tmp_path / str(size)
        path.write_bytes(b"x" * size)
        assert bytes(read(os.fspath(path))) == b"x" * size


def test_what_is_no_regular_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        read(os.fspath(tmp_path))
    (gap,) = Disk(Path(os.devnull), tmp_path).blobs()
    assert isinstance(gap, Gap)
