"""What the peers say, read as their users would read it; each answer was seen from the tool."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.model_detection import below, only_by_others
from benchmarks.peers import Answer, Verdict

SUMMARY = "----------- SCAN SUMMARY -----------\nScanned files: {}\nInfected files: 0\n"
UNSAFE = "Warning: Fickling detected that the pickle file may be unsafe.\n"


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(0, "{}"), Verdict.CLEAN),
        (Answer(1, "{}"), Verdict.FLAGGED),
        (Answer(3, '{"totals": {"gaps": 1}}'), Verdict.ERROR),
        (Answer(3, '{"totals": {"gaps": 0}}'), Verdict.SKIPPED),
        (Answer(1, "", "Traceback (most recent call last):"), Verdict.ERROR),
        (Answer(peers.TIMED_OUT), Verdict.ERROR),
    ],
)
def test_poisonscan(answer: Answer, verdict: Verdict) -> None:
    assert peers.poisonscan_verdict(answer) is verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(0, SUMMARY.format(1)), Verdict.CLEAN),
        (Answer(0, SUMMARY.format(0)), Verdict.SKIPPED),
        (Answer(0, "WARNING: could not parse x.pkl as pickle\n" + SUMMARY), Verdict.ERROR),
        (Answer(1, "x.pkl: dangerous import 'posix system' FOUND\n" + SUMMARY), Verdict.FLAGGED),
        (Answer(2, "", "Unhandled exception"), Verdict.ERROR),
        (Answer(1, "", "Traceback (most recent call last):"), Verdict.ERROR),
    ],
)
def test_picklescan(answer: Answer, verdict: Verdict) -> None:
    assert peers.picklescan_verdict(answer) is verdict


def modelscan(*, issues: int = 0, errors: int = 0, scanned: int = 0) -> str:
    summary = {"scanned": {"total_scanned": scanned}}
    return json.dumps({"summary": summary, "issues": [{}] * issues, "errors": [{}] * errors})


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(0, report=modelscan(scanned=1)), Verdict.CLEAN),
        (Answer(3, report=modelscan()), Verdict.SKIPPED),
        (Answer(0, "No issues found!", report=modelscan()), Verdict.SKIPPED),
        (Answer(3, report=modelscan(errors=1)), Verdict.ERROR),
        (Answer(1, report=modelscan(issues=1, scanned=1)), Verdict.FLAGGED),
        (Answer(2, report=modelscan(issues=1, errors=1)), Verdict.FLAGGED),
        (Answer(1, "", "Traceback (most recent call last):"), Verdict.ERROR),
    ],
)
def test_modelscan(answer: Answer, verdict: Verdict) -> None:
    assert peers.modelscan_verdict(answer) is verdict


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(0), Verdict.CLEAN),
        (Answer(1, "`from posix import system` is suspicious", UNSAFE), Verdict.FLAGGED),
        (Answer(1, "", "Traceback (most recent call last):"), Verdict.ERROR),
        (Answer(2, "", "Fickling failed to parse this pickle file."), Verdict.ERROR),
    ],
)
def test_fickling(answer: Answer, verdict: Verdict) -> None:
    assert peers.fickling_verdict(answer) is verdict


def modelaudit(*severities: str, kind: str = "pickle") -> str:
    issues = [{"severity": s, "location": f"/m/{i}.pkl (pos 3)"} for i, s in enumerate(severities)]
    return json.dumps({"issues": issues, "assets": [{"path": "/m/0.pkl", "type": kind}]})


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(0, report=modelaudit()), Verdict.CLEAN),
        (Answer(0, report=modelaudit("info")), Verdict.CLEAN),
        (Answer(0, report=modelaudit(kind="unknown")), Verdict.SKIPPED),
        (Answer(1, report=modelaudit("warning")), Verdict.FLAGGED),
        (Answer(2, report=modelaudit("critical")), Verdict.FLAGGED),
        (Answer(1, report=modelaudit("info")), Verdict.FLAGGED),
        (Answer(2, report=modelaudit("info")), Verdict.ERROR),
        (Answer(1, "", "Traceback (most recent call last):"), Verdict.ERROR),
    ],
)
def test_modelaudit(answer: Answer, verdict: Verdict) -> None:
    assert peers.modelaudit_verdict(answer) is verdict


def test_a_report_on_several_files_tells_them_apart() -> None:
    files = [f"/m/{i}.pkl" for i in range(5)] + ["/m/1.pkl2"]
    report = {
        "issues": [
            {"severity": "info", "location": files[0]},
            {"severity": "warning", "location": f"{files[1]} (pos 3)"},
        ],
        "assets": [{"path": f, "type": "unknown" if f == files[3] else "pickle"} for f in files],
        "file_metadata": {
            files[0]: {"risk_score": 0.0},
            files[2]: {"scan_outcome": "inconclusive"},
            files[3]: {"risk_score": 0.0},
            files[5]: {"risk_score": 0.0},
        },
    }
    told = peers.modelaudit_separate(json.dumps(report), {file: Path(file) for file in files})
    assert [told.get(Path(file)) for file in files] == [
        Verdict.CLEAN,
        Verdict.FLAGGED,
        Verdict.ERROR,
        Verdict.SKIPPED,
        None,
        Verdict.CLEAN,
    ]


def test_a_report_on_a_folder_tells_what_became_of_every_file() -> None:
    report = {
        "summary": {"scanned": {"scanned_files": ["0/a.zip:x.pkl", "1/b.pkl"]}},
        "issues": [{"source": "0/a.zip:x.pkl"}],
        "errors": [{"source": "2/c.pkl"}],
    }
    names = {name: Path(name) for name in ("0/a.zip", "1/b.pkl", "2/c.pkl", "3/d.txt", "1/b.pk")}
    told = peers.modelscan_separate(json.dumps(report), names)
    assert [told[path].value[0] for path in names.values()] == ["f", "c", "e", "s", "s"]
    assert peers.modelscan_separate("", names) == {}


def test_a_command_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    slow = [sys.executable, "-c", "while True: pass"]
    assert peers.run(slow, tmp_path, dict(os.environ), 1).code == peers.TIMED_OUT


def test_a_command_is_measured_with_what_it_starts(tmp_path: Path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytes(1 << 28)'])"
    answer = peers.run([sys.executable, "-c", code], tmp_path, dict(os.environ), 60)
    assert answer.code == 0
    assert answer.cpu > 0


def test_no_peer_may_call_home_or_float_its_version() -> None:
    for peer in peers.PEERS:
        assert "==" in peer.requirements[0]
    assert peers.PEERS[-1].environment["PROMPTFOO_DISABLE_TELEMETRY"] == "1"


def test_files_are_grouped_by_folder(tmp_path: Path) -> None:
    for name in ("a/b/one", "a/two", "three"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert {name: len(files) for name, files in below(tmp_path).items()} == {"a": 2, ".": 1}


def test_missed_files_are_named_with_who_found_them(capsys: pytest.CaptureFixture[str]) -> None:
    file = Path("x.pkl")
    said = {"poisonscan": {file: Verdict.CLEAN}, "fickling": {file: Verdict.FLAGGED}}
    only_by_others({"group": [file]}, said)
    assert capsys.readouterr().out == "missed (clean): x.pkl; flagged by ['fickling']\n"
