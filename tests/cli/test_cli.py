"""The command line as people and build servers use it."""

from __future__ import annotations

import errno
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
    (folder / "deep").mkdir()
    for again in ("r.json", "deep/../r.json"):
        for option in (("-o", f"sarif={again}"), ("--rows-out", again)):
            assert run("dataset", ".", "-o", "json=r.json", *option).exit_code == 2
    for _ in range(2):  # a report replaces a report
        assert run("scan", ".", "-o", "json=r.json").exit_code == 1


def test_a_target_that_leads_in_circles_is_told_as_one(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    (folder / "r.json").write_text("{}")
    result = run("scan", "loop", "-o", "json=r.json")
    assert result.exit_code in (2, 3)
    assert "internal error" not in result.output


def test_several_reports_in_one_run(folder: Path) -> None:
    result = run("scan", ".", "-o", "text", "-o", "json=r.json", "-o", "sarif=r.sarif")
    assert result.exit_code == 1
    assert "PS101" in result.output
    assert json.loads((folder / "r.json").read_text("utf-8"))["findings"][0]["rule"] == "PS101"
    assert json.loads((folder / "r.sarif").read_text("utf-8"))["version"] == "2.1.0"


def test_a_report_that_cannot_be_written_is_refused_before_the_scan(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "link.json").symlink_to(folder / "elsewhere.json")
    (folder / "folder.json").mkdir()
    before = sorted(folder.iterdir())
    monkeypatch.setattr("poisonscan.cli.scan.run_scan", pytest.fail)
    for place in ("link.json", "folder.json", "no/a.json", "good.pkl/a.json"):
        for option in ("-o", "--rows-out"):
            result = run("scan", ".", option, f"json={place}" if option == "-o" else place)
            assert result.exit_code == 2
            assert "cannot be written" in result.output
        for command in ("lock", "baseline"):
            what = ("create", "--scan") if command == "baseline" else ()
            assert run(command, *what, ".", "-o", place).exit_code == 2
    assert sorted(folder.iterdir()) == before


def test_a_report_that_cannot_be_written_after_all_exits_with_4(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = run("scan", "good.pkl", "-o", "json=a.json")
    assert result.exit_code == 4
    assert "could not be written: No space left" in result.output
    assert not list(folder.glob("*a.json*"))
    assert not list(folder.glob(".poisonscan-*"))


def test_text_ends_with_totals_as_wide_as_the_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder
    monkeypatch.setenv("COLUMNS", "200")
    whole = run("scan", ".").output.rstrip("\n").splitlines()[-1]
    assert "1 finding (1 critical)" in whole
    assert "1 not checked" in whole
    monkeypatch.setenv("COLUMNS", "40")
    lines = run("scan", ".").output.rstrip("\n").splitlines()[-3:]
    lines = [line for line in lines if " · " in line or "finding" in line]
    assert max(map(len, lines)) <= 40
    assert whole.rpartition(" · ")[0] in " · ".join(lines)


@pytest.mark.parametrize("form", ["text", "markdown", "github", "html", "sarif", "json"])
def test_reports_say_that_a_profile_left_rules_out(folder: Path, form: str) -> None:
    rows = "".join(f"{n},{n % 2}\n" for n in range(40))
    (folder / "clean.csv").write_text("number,label\n" + rows)
    fast = run("dataset", "clean.csv", "--profile", "fast", "-o", form)
    assert fast.exit_code == 0
    said = "left out by profile" if form == "json" else "left out by the profile fast"
    assert said in fast.stdout
    assert said not in run("dataset", "clean.csv", "-o", form).stdout
    found = run("dataset", "clean.csv", "--profile", "fast", "--max-rows", "9", "-q")
    assert "left out by the profile fast" in " ".join(found.stdout.split())


def test_quiet_and_verbose(folder: Path) -> None:
    (folder / "README.md").write_text("text", "utf-8")
    usual, quiet, verbose = (run("scan", ".", *flags).output for flags in ([], ["-q"], ["-v"]))
    assert len(quiet) < len(usual) <= len(verbose)
    assert "README.md" in verbose
    assert "README.md" not in quiet
    both = run("scan", ".", "-q", "-v")
    assert both.exit_code == 2
    assert "leave one out" in both.output


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
    assert json.loads(run("rules", "--json").output)[0]["id"]
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


@pytest.mark.skipif(os.name == "nt", reason="needs a pipe that can be closed first")
@pytest.mark.parametrize(("command", "code"), [(("rules",), 141), (("scan", "evil.pkl"), 1)])
def test_output_may_be_cut_short(folder: Path, command: tuple[str, ...], code: int) -> None:
    """In silence; what a scan found is its exit code all the same."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "poisonscan", *command],
            cwd=folder, stdout=closed, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (code, b"")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("scna", "."), "did you mean 'scan'?"),
        (("good.pkl",), "did you mean `poisonscan scan good.pkl`?"),
        (("scan", ".", "--selct", "PS1"), "--select"),
        (("scan", ".", "--select", "pickle-run-code"), "did you mean 'pickle-runs-code'?"),
        (("explain", "pickles-run-code"), "did you mean 'pickle-runs-code'?"),
        (("scan", ".", "-o", "jsn"), "did you mean 'json'?"),
    ],
)
def test_what_was_meant_is_said(folder: Path, typed: tuple[str, ...], meant: str) -> None:
    assert folder
    result = run(*typed)
    assert result.exit_code == 2
    assert meant in result.output


def test_what_is_far_from_everything_suggests_nothing(folder: Path) -> None:
    assert folder
    assert "did you mean" not in run("frobnicate").output


def test_rules_for_nothing_that_is_there(folder: Path) -> None:
    (folder / "data.csv").write_text("a,b\n" + "1,2\n" * 9, "utf-8")
    for command in ("scan", "dataset"):
        result = run(command, "data.csv", "--select", "PS101")
        assert result.exit_code == 3
        assert "none of the selected rules" in " ".join(result.output.split())
    assert run("scan", "good.pkl", "--select", "PS501").exit_code == 3
    assert run("scan", "good.pkl", "data.csv", "--select", "PS101").exit_code == 0
    assert run("dataset", "data.csv", "--select", "PS302").exit_code == 0


def test_the_module_runs(folder: Path) -> None:
    assert folder
    done = subprocess.run(
        [sys.executable, "-m", "poisonscan", "scan", "evil.pkl"], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == b""


def _wait_for_work(pid: int) -> None:
    """Wait until a worker of a process has computed for a second: busy machines take their time."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    ticks = os.sysconf("SC_CLK_TCK")
    for _ in range(1_200):
        time.sleep(0.05)
        try:
            workers = [Path(f"/proc/{each}/stat") for each in children.read_text().split()]
            spent = [int(each.read_text().rpartition(")")[2].split()[11]) for each in workers]
        except (OSError, IndexError):
            continue
        if max(spent, default=0) >= ticks:
            return


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupt_exits_with_130(tmp_path: Path) -> None:
    (tmp_path / "big.pkl").write_bytes(b"N0" * 20_000_000 + b"N.")
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    process = subprocess.Popen(
        [sys.executable, "-m", "poisonscan", "scan", "evil.pkl", "big.pkl", "--jobs", "1"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _wait_for_work(process.pid)
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
