"""Patterns and lists of targets."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from poisonscan.cli import cli

EVIL = b"cos\nsystem\n(S'true'\ntR."
GOOD = pickle.dumps(1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.pkl", "b.pkl", "[x].pkl", "inner/c.pkl", "inner/deep/d e.pkl", ".hidden.pkl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str, given: bytes | None = None) -> Result:
    command = ["model", "--isolation", "off", "-o", "json", *arguments]
    return CliRunner().invoke(cli, command, input=given)


def scanned(*arguments: str, given: bytes | None = None) -> set[str]:
    result = run(*arguments, given=given)
    assert result.exit_code == 0, result.output
    return {entry["path"] for entry in json.loads(result.stdout)["scanned"]}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("?.pkl", {"a.pkl", "b.pkl"}),
        ("[ab].pkl", {"a.pkl", "b.pkl"}),
        ("[x].pkl", {"[x].pkl"}),  # it exists, so it is no pattern
        ("inner/*", {"inner/c.pkl", "inner/deep/d e.pkl"}),
        ("**/d*.pkl", {"inner/deep/d e.pkl"}),
    ],
)
def test_patterns(folder: Path, pattern: str, expected: set[str]) -> None:
    assert scanned(pattern) == expected


def test_a_pattern_that_matches_nothing_is_wrong_usage(folder: Path) -> None:
    result = run("a.pkl", "*.pt")
    assert result.exit_code == 2
    assert "'*.pt' matches nothing" in result.stderr


@pytest.mark.parametrize(
    "given", [b"a.pkl\ninner/deep/d e.pkl\n", b"a.pkl\r\n\r\ninner/deep/d e.pkl",
              b"a.pkl\0inner/deep/d e.pkl\0"],
)  # fmt: skip
def test_a_list_on_standard_input(folder: Path, given: bytes) -> None:
    expected = {"a.pkl", "inner/deep/d e.pkl"}
    assert scanned("-", given=given) == expected
    assert scanned("--files-from", "-", given=given) == expected
    (folder / "list.txt").write_bytes(given)
    assert scanned("--files-from", "list.txt") == expected
    assert scanned("b.pkl", "--files-from", "list.txt") == {*expected, "b.pkl"}


def test_names_in_a_list_are_no_patterns_and_need_not_be_utf_8(folder: Path) -> None:
    assert run("-", given=b"*.pkl\n").exit_code == 2
    name = os.fsdecode(b"\xff.pkl")
    try:
        (folder / name).write_bytes(EVIL)
    except OSError:
        pytest.skip("this file system takes no such name")
    result = run("-", given=b"\xff.pkl\n")
    assert result.exit_code == 1
    assert "udcff.pkl" in result.stdout


def test_an_empty_list_is_never_clean(folder: Path) -> None:
    assert run("-", given=b"").exit_code == 3
    assert run("-", given=b"missing.pkl").exit_code == 2
    assert run("--files-from", "nothing-here").exit_code == 2
    result = run()
    assert result.exit_code == 2
    assert "Missing argument" in result.stderr


def test_what_a_list_names_cannot_bring_settings(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = folder / "inner"
    (top / "poisonscan.toml").write_text('fail-on = "none"', "utf-8")
    (top / ".git").mkdir()
    (top / "c.pkl").write_bytes(EVIL)
    monkeypatch.chdir(top / "deep")
    for arguments, given in ((("..",), None), (("-",), b"..\n"), (("../../inn*",), None)):
        result = run(*arguments, given=given)
        assert result.exit_code == 1, arguments
        assert "is not used" in result.stderr
