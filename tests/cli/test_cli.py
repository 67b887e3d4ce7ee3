"""The command line as people and build servers use it."""

from __future__ import annotations

import json
import os
import pickle
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from poisonscan.cli import cli, main

EVIL = b"cos\nsystem\n(S'true'\ntR."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    (tmp_path / "good.pkl").write_bytes(pickle.dumps(1))
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps(list(range(500)))[:-20])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments), auto_envvar_prefix="POISONSCAN")


@pytest.mark.parametrize("form", ["text", "json", "sarif"])
@pytest.mark.parametrize(
    ("target", "code"), [("good.pkl", 0), ("evil.pkl", 1), ("cut.pkl", 3), (".", 1)]
)
def test_exit_codes_are_the_same_in_every_format(
    folder: Path, form: str, target: str, code: int
) -> None:
    assert folder
    assert run("scan", target, "-o", form).exit_code == code


def test_an_empty_folder_exits_with_3(tmp_path: Path) -> None:
    result = run("scan", str(tmp_path))
    assert result.exit_code == 3
    assert "Nothing was scanned" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan"],
        ["scan", "nothing-here"],
        ["scan", "good.pkl", "--select", "PS999"],
        ["scan", "good.pkl", "-o", "pdf"],
        ["scan", "good.pkl", "-o", "json="],
        ["scan", "good.pkl", "-o", "json=no/such/folder/a.json"],
        ["scan", "good.pkl", "-o", "json", "-o", "text"],
        ["scan", "good.pkl", "--fail-on", "sometimes"],
        ["scan", "good.pkl", "--jobs", "0"],
        ["model", "good.pkl", "--label-column", "a"],
        ["explain", "PS999"],
        ["nonsense"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(folder: Path, arguments: list[str]) -> None:
    assert folder
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.output or "Usage" in result.output


def test_fail_on(folder: Path) -> None:
    assert folder
    assert run("scan", "evil.pkl", "--fail-on", "none").exit_code == 0
    assert run("scan", ".", "--fail-on", "none").exit_code == 3
    assert run("scan", "evil.pkl", "--fail-on", "critical").exit_code == 1


def test_min_severity_hides_what_is_below(folder: Path) -> None:
    (folder / "unknown.pkl").write_bytes(b"cmycompany\nNet\n(tR.")
    assert "PS102" in run("scan", "unknown.pkl").output
    result = run("scan", "unknown.pkl", "--min-severity", "high")
    assert "PS102" not in result.output
    assert "1 below the severity asked for" in result.output
    assert result.exit_code == 1  # what is hidden still fails the build


def test_clean_is_said_only_when_every_rule_looked(folder: Path) -> None:
    assert folder
    assert run("scan", "good.pkl").output.splitlines()[-1].startswith("Clean")
    result = run("scan", "evil.pkl", "--ignore", "PS1")
    assert result.exit_code == 0
    assert "Clean" not in result.output
    assert "rules applied" in result.output


def test_a_report_does_not_replace_what_is_scanned(folder: Path) -> None:
    (folder / "data.csv").write_text("a,b\n1,2\n", "utf-8")
    for arguments in (["evil.pkl", "-o", "json=evil.pkl"], [".", "-o", "json=data.csv"]):
        result = run("scan", *arguments)
        assert result.exit_code == 2
        assert "would be replaced" in result.output
    assert (folder / "evil.pkl").read_bytes() == EVIL
    assert run("scan", "evil.pkl", "-o", "json=r.json", "-o", "sarif=r.json").exit_code == 2
    for _ in range(2):  # a report replaces a report
        assert run("scan", ".", "-o", "json=r.json").exit_code == 1


def test_several_reports_in_one_run(folder: Path) -> None:
    result = run("scan", ".", "-o", "text", "-o", "json=r.json", "-o", "sarif=r.sarif")
    assert result.exit_code == 1
    assert "PS101" in result.output
    assert json.loads((folder / "r.json").read_text("utf-8"))["findings"][0]["rule"] == "PS101"
    assert json.loads((folder / "r.sarif").read_text("utf-8"))["version"] == "2.1.0"


def test_a_report_that_cannot_be_written_exits_with_4(folder: Path) -> None:
    (folder / "link.json").symlink_to(folder / "elsewhere.json")
    result = run("scan", "good.pkl", "-o", "json=link.json")
    assert result.exit_code == 4
    assert "could not be written" in result.output
    assert not (folder / "elsewhere.json").exists()


def test_text_ends_with_one_line_of_totals(folder: Path) -> None:
    assert folder
    last = run("scan", ".").output.rstrip("\n").splitlines()[-1]
    assert "1 finding (1 critical)" in last
    assert "1 not checked" in last


def test_quiet_and_verbose(folder: Path) -> None:
    (folder / "README.md").write_text("text", "utf-8")
    usual, quiet, verbose = (run("scan", ".", *flags).output for flags in ([], ["-q"], ["-v"]))
    assert len(quiet) < len(usual) <= len(verbose)
    assert "README.md" in verbose
    assert "README.md" not in quiet


def test_colour(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder
    assert "\x1b[" in run("scan", "evil.pkl", "--color", "always").output
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in run("scan", "evil.pkl").output
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in run("scan", "evil.pkl").output


def test_options_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert folder
    monkeypatch.setenv("POISONSCAN_SCAN_FAIL_ON", "none")
    assert run("scan", "evil.pkl").exit_code == 0


def test_hostile_names_do_not_reach_the_terminal(folder: Path) -> None:
    (folder / "a\x1b[2J\u202eb.pkl").write_bytes(EVIL)
    output = run("scan", ".").output
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "\\x1b[2J\\u202eb.pkl" in output.replace("\n", "").replace(" ", "")


def test_rules_and_explain() -> None:
    listed = run("rules").output
    assert "PS101  critical  pickle-runs-code" in listed
    assert json.loads(run("rules", "--format", "json").output)[0]["id"]
    for name in ("PS101", "ps101", "pickle-runs-code"):
        shown = run("explain", name).output
        assert "What to do" in shown
        assert "CWE-502" in shown


def test_version_and_help() -> None:
    assert run("--version").exit_code == 0
    for command in ([], ["scan"], ["model"], ["dataset"], ["rules"], ["explain"]):
        result = run(*command, "--help")
        assert result.exit_code == 0
        assert "Usage" in result.output


def test_an_internal_error_exits_with_4(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert folder

    def broken(*_: object, **__: object) -> None:
        message = "boom"
        raise RuntimeError(message)

    monkeypatch.setattr("poisonscan.cli.scan.run_scan", broken)
    monkeypatch.setattr(sys, "argv", ["poisonscan", "scan", "good.pkl"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 4
    assert "internal error: RuntimeError: boom" in capsys.readouterr().err


def test_an_interrupt_anywhere_exits_with_130(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("poisonscan.cli.delivery.emit", interrupted)
    monkeypatch.setattr(sys, "argv", ["poisonscan", "scan", "good.pkl"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 130


def test_a_listing_may_be_cut_short(folder: Path) -> None:
    command = f"{sys.executable} -m poisonscan rules | head -1"
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False)
    assert done.stderr == b""


def test_the_module_runs(folder: Path) -> None:
    assert folder
    done = subprocess.run(
        [sys.executable, "-m", "poisonscan", "scan", "evil.pkl"], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == b""


def _wait_for_workers(pid: int) -> None:
    """Wait until a process has begun to scan: a busy machine takes its time to start one."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for _ in range(600):
        if children.exists() and children.read_text():
            return
        time.sleep(0.05)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupt_exits_with_130(tmp_path: Path) -> None:
    (tmp_path / "big.pkl").write_bytes(b"N0" * 20_000_000 + b"N.")
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    process = subprocess.Popen(
        [sys.executable, "-m", "poisonscan", "scan", "evil.pkl", "big.pkl"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _wait_for_workers(process.pid)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"PS101" in out
    assert b"interrupted" in out


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_progress_shows_on_a_terminal_only(tmp_path: Path) -> None:
    for index in range(3):
        (tmp_path / f"{index}.pkl").write_bytes(b"N0" * 600_000 + b"N.")
    command = [sys.executable, "-m", "poisonscan", "scan", ".", "--jobs", "1"]
    terminal, theirs = pty.openpty()
    seen = b""
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        try:
            while chunk := os.read(terminal, 4096):
                seen += chunk
        except OSError:
            pass  # how Linux says that the other end is closed
        process.communicate()
    os.close(terminal)
    assert b"files" in seen
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert piped.stderr == b""
