from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from poisonscan.reporters.write import try_out, write

if TYPE_CHECKING:
    from pathlib import Path


def test_writes_utf8_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    write(path, "a · b\n")
    assert path.read_bytes() == "a · b\n".encode()
    write(path, "c\n")
    assert path.read_bytes() == b"c\n"
    assert list(tmp_path.iterdir()) == [path]


def test_follows_no_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("mine")
    link.symlink_to(target)
    with pytest.raises(OSError, match="a link"):
        write(link, "x")
    assert target.read_text() == "mine"
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(OSError, match="a link"):
        write(link, "x")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_refuses_folders_and_pipes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, what in ((pipe, "not a regular file"), (tmp_path, "a folder")):
        with pytest.raises(OSError, match=what):
            try_out(path)
        with pytest.raises(OSError, match=what):
            write(path, "x")


def test_trying_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report"
    try_out(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    try_out(path)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["old"]
    with pytest.raises(FileNotFoundError):
        try_out(tmp_path / "no" / "report")


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "no" / "report", "x")


def test_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    path = tmp_path / ("r" * 255)
    write(path, "x")
    assert path.read_text() == "x"


def test_full_disk_keeps_the_old_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report"
    write(path, "old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="no such permissions on Windows")
def test_private_report_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("old")
    path.chmod(0o600)
    write(path, "new")
    assert path.stat().st_mode & 0o777 == 0o600


def test_unwritable_folder(tmp_path: Path) -> None:
    if os.name == "nt" or os.geteuid() == 0:
        pytest.skip("this user may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        write(tmp_path / "report", "x")
