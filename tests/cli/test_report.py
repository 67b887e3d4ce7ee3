"""``poisonscan report``."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from poisonscan.cli import cli
from poisonscan.reporters.base import REPORTERS
from tests.reporters.test_json import VALIDATOR

EVIL = b"cos\nsystem\n(S'true'\ntR."


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    (tmp_path / "good.pkl").write_bytes(pickle.dumps(1))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_reports_are_made_again_without_the_files(folder: Path) -> None:
    formats = list(REPORTERS)
    first = [f"-o{name}={name}.first" for name in formats]
    targets = ("evil.pkl", "good.pkl", "labels.csv", "cut.pkl")
    (folder / "labels.csv").write_text("text,label\n" + "a b,x\n" * 40 + "c d,X\n", "utf-8")
    (folder / "cut.pkl").write_bytes(pickle.dumps(list(range(500)))[:-20])
    arguments = (*targets, "--select", "PS1,PS303", "-o", "json=results.json", *first)
    assert run("scan", *arguments).exit_code == 1
    VALIDATOR.validate(json.loads((folder / "results.json").read_text("utf-8")))
    (folder / "evil.pkl").unlink()
    again = [f"-o{name}={name}.again" for name in formats]
    assert run("report", "results.json", *again).exit_code == 1
    for name in formats:
        once, twice = (folder / f"{name}.{n}" for n in ("first", "again"))
        assert once.read_text("utf-8") == twice.read_text("utf-8")


def test_exit_codes_are_those_of_the_scan(folder: Path) -> None:
    assert folder
    for target, fail_on, code in (("evil.pkl", "medium", 1), ("evil.pkl", "none", 0)):
        assert run("scan", target, "--fail-on", "none", "-o", "json=r.json").exit_code == 0
        assert run("report", "r.json", "--fail-on", fail_on, "-o", "text=r.txt").exit_code == code
    assert run("scan", "good.pkl", "-o", "json=r.json").exit_code == 0
    assert run("report", "r.json").exit_code == 0
    assert run("scan", "evil.pkl", "good.pkl", "-o", "json=r.json").exit_code == 1
    result = run("report", "r.json", "--min-severity", "high", "-o", "json")
    assert result.exit_code == 1


def test_what_the_scan_left_out_is_never_clean(folder: Path) -> None:
    document = json.loads(run("scan", "good.pkl", "-o", "json").output)
    document["hidden"] = 2
    (folder / "r.json").write_text(json.dumps(document), "utf-8")
    result = run("report", "r.json")
    assert result.exit_code == 3
    assert "left out 2 findings" in result.output
    assert "Clean" not in result.output


@pytest.mark.parametrize(
    ("content", "why"),
    [("{}", "not a report"), ("a,b", "not JSON"), ("\x1b[2J", "not JSON")],
)
def test_what_is_no_report_exits_with_2(folder: Path, content: str, why: str) -> None:
    (folder / "r.json").write_text(content, "utf-8")
    result = run("report", "r.json")
    assert result.exit_code == 2
    assert why in result.output
    assert "\x1b" not in result.output


def test_the_report_that_is_read_is_not_replaced(folder: Path) -> None:
    assert run("scan", "good.pkl", "-o", "json=r.json").exit_code == 0
    before = (folder / "r.json").read_bytes()
    assert run("report", "r.json", "-o", "text=r.json").exit_code == 2
    assert (folder / "r.json").read_bytes() == before
