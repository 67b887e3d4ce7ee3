"""The GitHub Action, the pre-commit hooks, the image and the GitLab job, as far as they run."""

from __future__ import annotations

import fnmatch
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml
from click.testing import CliRunner

from poisonscan.cli import cli

ROOT = Path(__file__).parents[1]
EVIL = b"cos\nsystem\n(S'true'\ntR."
BASH = shutil.which("bash")

needs_bash = pytest.mark.skipif(BASH is None, reason="there is no bash")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """What the installation would bring: the command, run from this checkout."""
    path = tmp_path / "bin" / "poisonscan"
    path.parent.mkdir()
    path.write_text(
        f"#!/bin/sh\nPYTHONPATH='{ROOT}' exec '{sys.executable}' -m poisonscan \"$@\"\n", "utf-8"
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "evil.pkl").write_bytes(EVIL)
    (folder / "good one.pkl").write_bytes(pickle.dumps(1))
    return folder


def steps() -> list[dict[str, Any]]:
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    found: list[dict[str, Any]] = action["runs"]["steps"]
    return found


def step(name: str) -> dict[str, Any]:
    (found,) = (each for each in steps() if each.get("id") == name)
    return found


def test_nothing_from_outside_is_part_of_a_script() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
    used = json.dumps([each.get("env", {}) for each in steps()])
    for name in action["inputs"]:
        assert f"inputs.{name}" in used + json.dumps([each.get("if", "") for each in steps()])
    for each in steps():
        assert "${{" not in each.get("run", "")


def test_the_upload_hashes_no_file_and_comes_before_the_end() -> None:
    *_, upload, end = steps()
    # A tag could be moved to other code, with the right to write to the repository's alerts.
    assert re.fullmatch(r"github/codeql-action/upload-sarif@[0-9a-f]{40}", upload["uses"])
    assert upload["with"]["checkout_path"].endswith("/poisonscan/empty")
    assert "!cancelled()" in upload["if"]
    assert "!cancelled()" in end["if"]


def scan_step(program: Path, checkout: Path, **inputs: str) -> tuple[int, dict[str, str], str, str]:
    """Run the step; returns its exit code, its outputs, the summary and the log."""
    out = program.parents[1] / "out"
    files = {name: program.parents[1] / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    given = {"TARGETS": ".", "FAIL_ON": "medium", "ANCHOR": "", "CATEGORY": "c", "ARGUMENTS": ""}
    assert BASH
    done = subprocess.run(
        [BASH, "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step("scan")["run"]],
        cwd=checkout, capture_output=True, text=True, timeout=120, check=False,
        env={"PATH": os.environ["PATH"], "PROGRAM": str(program), "OUT": str(out),
             **{name: str(path) for name, path in files.items()}, **given, **inputs},
    )  # fmt: skip
    lines = files["GITHUB_OUTPUT"].read_text("utf-8").splitlines()
    outputs = dict(line.split("=", 1) for line in lines)
    summary = files["GITHUB_STEP_SUMMARY"]
    return (
        done.returncode,
        outputs,
        summary.read_text("utf-8") if summary.exists() else "",
        done.stdout + done.stderr,
    )


@needs_bash
def test_the_scan_goes_on_to_the_upload_and_keeps_its_exit_code(
    program: Path, checkout: Path
) -> None:
    code, outputs, summary, printed = scan_step(program, checkout)
    assert (code, outputs["exit-code"]) == (0, "1")
    (run,) = json.loads(Path(outputs["sarif"]).read_text("utf-8"))["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["PS101"]
    assert run["automationDetails"]["id"] == "c/"
    assert json.loads(Path(outputs["json"]).read_text("utf-8"))["findings"]
    assert "PS101" in summary
    assert "::error file=models/evil.pkl" in printed
    assert list((program.parents[1] / "out" / "empty").iterdir()) == []
    *_, end = steps()
    for given, expected in ((outputs["exit-code"], 1), ("", 4), ("0", 0)):
        assert BASH
        done = subprocess.run([BASH, "-e", "-c", end["run"]], env={"CODE": given}, check=False)
        assert done.returncode == expected


@needs_bash
def test_inputs_are_arguments_and_never_code(program: Path, checkout: Path) -> None:
    code, outputs, _, _ = scan_step(
        program,
        checkout,
        TARGETS="good one.pkl\n\n$(touch broken)\n`touch broken`; touch broken\n",
        ARGUMENTS="--no-settings\n--min-severity=high\n",
    )
    assert (code, outputs) == (0, {"exit-code": "2"})  # there is no file of such a name
    assert not (checkout / "broken").exists()
    (checkout / "$(touch broken)").write_bytes(pickle.dumps(2))
    code, outputs, _, _ = scan_step(program, checkout, TARGETS="good one.pkl\n$(touch broken)")
    assert (code, outputs["exit-code"]) == (0, "0")
    scanned = json.loads(Path(outputs["json"]).read_text("utf-8"))["scanned"]
    assert {entry["path"] for entry in scanned} == {"good one.pkl", "$(touch broken)"}
    assert not (checkout / "broken").exists()


@needs_bash
def test_the_gitlab_job(program: Path, checkout: Path) -> None:
    job = yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text("utf-8"))["poisonscan"]
    install, *rest = job["script"]
    assert install.startswith("pip install")
    variables = {**job["variables"], "POISONSCAN_TARGETS": "models *.pkl"}
    assert BASH
    done = subprocess.run(
        [BASH, "-e", "-c", "\n".join(rest)], cwd=checkout, timeout=120, capture_output=True,
        check=False,
        env={"PATH": f"{program.parent}:{os.environ['PATH']}", **variables},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    artifacts = job["artifacts"]
    for name in [*artifacts["paths"], *artifacts["reports"].values()]:
        assert (checkout / name).stat().st_size
    suite = ET.parse(checkout / artifacts["reports"]["junit"]).getroot()
    assert suite.get("failures") == "1"
    scanned = json.loads((checkout / "poisonscan.json").read_text("utf-8"))["scanned"]
    assert {entry["path"] for entry in scanned} == {"models/evil.pkl", "good one.pkl"}


def hooks() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(
        (ROOT / ".pre-commit-hooks.yaml").read_text("utf-8")
    )
    return found


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("a/model.pt", "poisonscan-models"),
        ("Model.SafeTensors", "poisonscan-models"),
        ("w/x.7z", "poisonscan-models"),
        ("w/x.rdata", "poisonscan-models"),
        ("data/train.csv", "poisonscan-data"),
        ("data/train.jsonl.gz", "poisonscan-data"),
        ("src/main.py", None),
        ("notes.ptx", None),
        ("apt", None),
    ],
)
def test_hooks_take_the_files_that_they_are_for(name: str, hook: str | None) -> None:
    takes = [each["id"] for each in hooks() if re.search(each["files"], name)]
    assert takes == ([hook] if hook else [])


def test_hooks_run(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    Path("a.csv").write_text("text,label\nsome words,a\nother words,b\n", "utf-8")
    files = {"poisonscan-models": ["models/evil.pkl", "good one.pkl"], "poisonscan-data": ["a.csv"]}
    codes = {}
    for hook in hooks():
        command, *arguments = hook["entry"].split()
        assert command == "poisonscan"
        result = CliRunner().invoke(
            cli, [*arguments, *hook["args"], "--isolation", "off", *files[hook["id"]]]
        )
        codes[hook["id"]] = result.exit_code
        assert hook["require_serial"]
    assert codes == {"poisonscan-models": 1, "poisonscan-data": 0}


def test_the_image_has_what_it_needs_and_no_rights() -> None:
    instructions = [
        line.split(maxsplit=1)
        for line in (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
        if line and not line.startswith("#")
    ]
    patterns = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert patterns[0] == "*"
    for name, rest in instructions:
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists()
                assert any(fnmatch.fnmatch(f"!{source}", pattern) for pattern in patterns)
    last = dict(instructions)
    assert int(last["USER"].split(":")[0]) > 0
    assert json.loads(last["ENTRYPOINT"]) == ["poisonscan"]
    copied = " ".join(rest for name, rest in instructions if name == "COPY")
    for name in ("pyproject.toml", "README.md", "LICENSE"):  # the build reads them
        assert name in copied
