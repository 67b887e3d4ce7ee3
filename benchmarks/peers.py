"""The scanners that poisonscan is measured beside: how to install, call and understand each.

``python -m benchmarks.peers install FOLDER`` makes one virtual environment per peer below FOLDER,
with the versions named here. The other benchmarks take that folder and download nothing.

A verdict is what a user of the tool would be told, by its exit code and its report: *flagged*
(it reports something), *clean* (it looked and reports nothing), *error* (it failed, or says that
it could not read the file) and *skipped* (it did not look). The last two are not "clean", whatever
the exit code was: modelscan, for one, prints "No issues found" and picklescan ends with 0 for files
that they could not parse.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from threading import Event, Timer
from typing import Any

TIMED_OUT = -99
"""In place of an exit code, and no signal's number."""
MEMORY = 8 << 30
"""Bytes of address space that any of the tools may take, so that a benchmark cannot take the
machine down."""


class Verdict(StrEnum):
    """What a tool says of a file."""

    FLAGGED = "flagged"
    CLEAN = "clean"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call of a tool came to.

    Attributes:
        code: Exit code; negative for a signal, ``TIMED_OUT`` for a call that took too long.
        out: Standard output.
        err: Standard error.
        report: The report that it wrote to a file, or nothing.
        cpu: User and system seconds of the process and of all it waited for.
        peak: Largest resident set of any one process among them, in bytes.
    """

    code: int
    out: str = ""
    err: str = ""
    report: str = ""
    cpu: float = 0.0
    peak: int = 0


Partial = dict[Path, Verdict]
Names = Mapping[str, Path]
"""A file by the name that a report gives it."""


def _unseparated(report: str, names: Names) -> Partial:  # noqa: ARG001 - as the others
    return {}


@dataclass(frozen=True, slots=True)
class Peer:
    """One tool.

    Attributes:
        name: Its command.
        requirements: What pip installs.
        scan: Arguments that scan, before the paths; ``{report}`` stands for a file to write.
        idle: Arguments of a call that does nothing.
        read: The verdict on the one file or folder of a call.
        folders: Whether it takes a folder.
        at_once: Files that one call may take.
        gathers: Whether several files must lie in one folder for that.
        separate: Verdicts on single files of a call with several, as far as its report tells.
        environment: Variables to set.
    """

    name: str
    requirements: tuple[str, ...]
    scan: tuple[str, ...]
    idle: tuple[str, ...]
    read: Callable[[Answer], Verdict]
    folders: bool = True
    at_once: int = 1
    gathers: bool = False
    separate: Callable[[str, Names], Partial] = _unseparated
    environment: dict[str, str] = field(default_factory=dict)


def poisonscan_verdict(answer: Answer) -> Verdict:
    """0 clean, 1 findings, 3 nothing scanned or not all of it."""
    if answer.code == 1 and "Traceback" not in answer.err:
        return Verdict.FLAGGED
    if answer.code == 3 and _totals(answer.out).get("gaps") == 0:
        return Verdict.SKIPPED
    return Verdict.CLEAN if answer.code == 0 else Verdict.ERROR


def _totals(report: str) -> dict[str, Any]:
    totals = _object(report).get("totals", {})
    return totals if isinstance(totals, dict) else {}


def picklescan_verdict(answer: Answer) -> Verdict:
    """1 for dangerous globals; 0 also for what it could not parse, said in a warning."""
    if answer.code == 1 and "SCAN SUMMARY" in answer.out:
        return Verdict.FLAGGED
    if answer.code != 0 or "could not parse" in answer.out + answer.err:
        return Verdict.ERROR
    return Verdict.SKIPPED if "Scanned files: 0" in answer.out else Verdict.CLEAN


def modelscan_verdict(answer: Answer) -> Verdict:
    """By its report: issues, errors, then whether anything was scanned at all."""
    report = _object(answer.report)
    if report.get("issues"):
        return Verdict.FLAGGED
    if not report or report.get("errors") or answer.code not in (0, 3):
        return Verdict.ERROR
    scanned = report.get("summary", {}).get("scanned", {}).get("total_scanned", 0)
    return Verdict.CLEAN if scanned else Verdict.SKIPPED


def fickling_verdict(answer: Answer) -> Verdict:
    """1 with a warning for anything above "likely safe"; a crash ends with 1 as well."""
    if answer.code == 1 and "may be unsafe" in answer.err:
        return Verdict.FLAGGED
    return Verdict.CLEAN if answer.code == 0 else Verdict.ERROR


def modelaudit_verdict(answer: Answer) -> Verdict:
    """1 for warnings and critical issues, 2 for errors and what it calls inconclusive."""
    report = _object(answer.report)
    if any(_counts(issue) for issue in report.get("issues", [])):
        return Verdict.FLAGGED
    if not report or answer.code != 0:
        return Verdict.FLAGGED if report and answer.code == 1 else Verdict.ERROR
    known = any(asset.get("type") != "unknown" for asset in report.get("assets", []))
    return Verdict.CLEAN if known else Verdict.SKIPPED


def modelscan_separate(report: str, names: Names) -> Partial:
    """Its report names every file, whatever became of it."""
    found = _object(report)
    if not found:
        return {}
    flagged = [str(issue.get("source")) for issue in found.get("issues", [])]
    failed = [str(error.get("source")) for error in found.get("errors", [])]
    scanned = found.get("summary", {}).get("scanned", {}).get("scanned_files", [])
    order = ((Verdict.FLAGGED, flagged), (Verdict.ERROR, failed), (Verdict.CLEAN, scanned))
    return {
        file: next((v for v, places in order if _named(name, places)), Verdict.SKIPPED)
        for name, file in names.items()
    }


def modelaudit_separate(report: str, names: Names) -> Partial:
    """Files that its report says nothing of, a call of their own must tell."""
    found = _object(report)
    places = [str(issue.get("location")) for issue in found.get("issues", []) if _counts(issue)]
    known = {
        asset.get("path") for asset in found.get("assets", []) if asset.get("type") != "unknown"
    }
    told: Partial = {}
    for name, file in names.items():
        facts = found.get("file_metadata", {}).get(name)
        if _named(name, places):
            told[file] = Verdict.FLAGGED
        elif facts:
            partly = facts.get("scan_outcome") == "inconclusive" or facts.get("operational_error")
            looked = Verdict.ERROR if partly else Verdict.CLEAN
            told[file] = looked if name in known else Verdict.SKIPPED
    return told


def _named(name: str, places: Sequence[str]) -> bool:
    """A place is the file, or the file with ``:member`` or ``(pos N)`` after it."""
    rests = (place.removeprefix(name) for place in places if place.startswith(name))
    return any(rest[:1] in ("", ":", " ", "[", "!", "#") for rest in rests)


def _counts(issue: dict[str, Any]) -> bool:
    """What its exit code counts."""
    return issue.get("severity") in ("warning", "critical")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


OURS = Peer(
    "poisonscan",
    (),
    ("scan", "--fail-on", "low", "-o", "json", "--no-progress"),
    ("--version",),
    poisonscan_verdict,
)
PEERS = (
    Peer("picklescan", ("picklescan==1.0.5",), ("-p",), ("--help",), picklescan_verdict),
    Peer(
        "modelscan",
        ("modelscan[h5py]==0.8.8",),
        ("scan", "--show-skipped", "-r", "json", "-o", "{report}", "-p"),
        ("--version",),
        modelscan_verdict,
        at_once=200,
        gathers=True,
        separate=modelscan_separate,
    ),
    Peer(
        "fickling",
        ("fickling==0.1.12", "typing_extensions"),
        ("--check-safety", "--print-results", "--json-output", "{report}"),
        ("--version",),
        fickling_verdict,
        folders=False,
    ),
    Peer(
        "modelaudit",
        ("modelaudit[h5,onnx,sevenzip]==0.2.54", "msgpack"),
        ("scan", "--no-cache", "--format", "json", "--output", "{report}"),
        ("--version",),
        modelaudit_verdict,
        at_once=50,
        separate=modelaudit_separate,
        environment={"PROMPTFOO_DISABLE_TELEMETRY": "1"},
    ),
)


def installed(folder: Path) -> list[tuple[Peer, str]]:
    """The scanner itself and the peers found below a folder, each with its program."""
    ours = Path(sys.executable).with_name(OURS.name)
    found = [(OURS, str(ours))]
    for peer in PEERS:
        program = folder / peer.name / "bin" / peer.name
        if program.is_file():
            found.append((peer, str(program)))
        else:
            print(f"{peer.name} is not below {folder}: left out", file=sys.stderr)
    return found


def call(peer: Peer, program: str, paths: Sequence[Path], seconds: float) -> Answer:
    """Scan paths, or do nothing if there are none."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        arguments = [part.replace("{report}", str(report)) for part in peer.scan]
        arguments = [*arguments, *map(str, paths)] if paths else list(peer.idle)
        # A variable of the caller's Python, such as one against compiled files, is no tool's own.
        plain = {name: v for name, v in os.environ.items() if not name.startswith("PYTHON")}
        environment = plain | {"HOME": folder, "COLUMNS": "200"} | peer.environment
        answer = run([program, *arguments], Path(folder), environment, seconds)
        written = report.read_text("utf-8", "replace") if report.is_file() else ""
    return Answer(answer.code, answer.out, answer.err, written, answer.cpu, answer.peak)


def run(command: list[str], folder: Path, environment: dict[str, str], seconds: float) -> Answer:
    """Run a command in a folder, within limits of time and memory.

    ``seconds`` are CPU seconds of any one process, and a quarter of what the call may take by the
    clock: on a busy machine a slow start is not held against a tool.

    The kernel counts what this process holds at the time of the start towards the child's peak:
    a benchmark that reports peaks must itself stay small.
    """
    limits = f"ulimit -v {MEMORY >> 10}; ulimit -t {max(int(seconds), 1)}"
    limited = ["sh", "-c", f'{limits}; exec "$@"', "sh", *command]
    out, err = folder / "out", folder / "err"
    with out.open("wb") as out_file, err.open("wb") as err_file:
        child = subprocess.Popen(
            limited,
            stdin=subprocess.DEVNULL,
            stdout=out_file,
            stderr=err_file,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        late = Event()

        def stop() -> None:
            late.set()
            os.killpg(child.pid, signal.SIGKILL)

        timer = Timer(4 * seconds, stop)
        timer.start()
        _, status, usage = os.wait4(child.pid, 0)
        timer.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu = usage.ru_utime + usage.ru_stime
    stopped = late.is_set() or (child.returncode < 0 and cpu > 0.8 * seconds)
    return Answer(
        TIMED_OUT if stopped else child.returncode,
        out.read_text("utf-8", "replace"),
        err.read_text("utf-8", "replace"),
        cpu=cpu,
        peak=usage.ru_maxrss << 10,
    )


def install(folder: Path) -> None:
    """One virtual environment per peer: what one of them needs must not change another."""
    for peer in PEERS:
        home = folder / peer.name
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([home / "bin" / "pip", "install", "-q", *peer.requirements], check=True)
        print(f"{peer.name}: {home}")


def main() -> None:
    """Install the peers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["install"])
    parser.add_argument("folder", type=Path)
    install(parser.parse_args().folder.resolve())


if __name__ == "__main__":
    main()
