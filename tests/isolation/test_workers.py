"""Hostile files against the processes that read them: one file is lost, nothing else."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import poisonscan
from poisonscan.files import Item, Task
from poisonscan.finding import Gap, Location, Skipped
from poisonscan.formats.base import TableFile
from poisonscan.isolation import wire, worker, workers
from poisonscan.isolation.answer import Answer
from poisonscan.isolation.wire import encode as wire_encode
from poisonscan.isolation.workers import IsolationError, Workers
from poisonscan.limits import Limits
from poisonscan.report import Report
from poisonscan.rules import all_rules, rule
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import read

linux = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux")
EVIL = b"cos\nsystem\n(S'true'\ntR."


def run(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Blob], object],
    *,
    limits: Limits | None = None,
    jobs: int = 1,
) -> dict[str, list[Item]]:
    """Read the files a, b and c; reading b does ``act``, after one finding."""

    def scan_file(blob: Blob, task: Task, detectors: object) -> Iterator[Item]:
        if blob.path == "b":
            yield rule("PS101").finding(Location("b"), "Found before.", key="x")
            told = act(blob)
            yield Gap("b", f"returned {told}")
        yield Skipped(blob.path, "read")

    monkeypatch.setattr(worker, "scan_file", scan_file)
    monkeypatch.setattr(workers, "_may_fork", lambda: True)
    blobs = []
    for name in ("a", "b", "c"):
        path = folder / name
        path.write_bytes(name.encode() * 5_000)
        blobs.append(Blob(name, 5_000, functools.partial(read, str(path)), file=str(path)))
    task = Task(tuple(all_rules().values()), limits=limits or Limits())
    return {blob.path: items for blob, items in Workers(task, jobs).run(blobs)}


def only_b_is_lost(results: dict[str, list[Item]]) -> str:
    """Why b was not read whole, with all that must hold besides."""
    assert list(results) == ["a", "b", "c"]
    assert results["a"] == [Skipped("a", "read")]
    assert results["c"] == [Skipped("c", "read")]
    finding, gap = results["b"]
    assert getattr(finding, "message", "") == "Found before."
    assert isinstance(gap, Gap)
    return gap.reason


def segfault(_blob: Blob) -> None:
    ctypes.string_at(0)


def spin(_blob: Blob) -> None:
    while True:
        pass


def wait(_blob: Blob) -> None:
    threading.Event().wait()


@linux
@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (segfault, "not scanned whole: the process that read it was killed by SIGSEGV"),
        (lambda _: os._exit(3), "not scanned whole: the process that read it ended with exit"),
        (lambda _: os._exit(0), "not scanned whole: the process that read it ended with exit"),
    ],
)
def test_the_death_of_a_worker_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Blob], object], reason: str
) -> None:
    assert only_b_is_lost(run(tmp_path, monkeypatch, act)).startswith(reason)


@linux
def test_a_mapping_cut_short_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = os.open(tmp_path / "mapped", os.O_RDWR | os.O_CREAT)
    os.write(kept, b"x" * 5_000)

    monkeypatch.setattr(workers, "_keep_only", lambda _: None)  # else it could not be changed
    monkeypatch.setattr(workers, "_BATCH", 1)  # nor a second time

    def cut_short(_blob: Blob) -> int:
        mapping = mmap.mmap(kept, 0, access=mmap.ACCESS_READ)
        os.ftruncate(kept, 0)
        return mapping[4_000]

    try:
        results = run(tmp_path, monkeypatch, cut_short)
    finally:
        os.close(kept)
    assert "killed by SIGBUS" in only_b_is_lost(results)


@linux
def test_endless_work_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine the wall time that a file has could end before its CPU time.
    monkeypatch.setattr("poisonscan.isolation.answer._GRACE", 600)
    results = run(tmp_path, monkeypatch, spin, limits=Limits(seconds=1))
    assert "too much CPU time" in only_b_is_lost(results)


@linux
def test_endless_waiting_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poisonscan.isolation.answer._GRACE", 0.2)
    results = run(tmp_path, monkeypatch, wait, limits=Limits(seconds=0))
    assert "it takes too long" in only_b_is_lost(results)


@linux
def test_what_the_calling_process_holds_takes_nothing_from_the_memory_of_a_worker(
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(EVIL)
    held = mmap.mmap(-1, Limits().memory + (64 << 20), flags=mmap.MAP_PRIVATE)
    try:
        report = poisonscan.scan(path)
    finally:
        held.close()
    assert not report.gaps
    assert [finding.rule.id for finding in report.findings] == ["PS101"]


@linux
def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(_blob: Blob) -> object:
        try:
            return len(bytearray(1 << 30))
        except MemoryError:
            return "MemoryError"

    limits = Limits(memory=512 << 20)
    results = run(tmp_path, monkeypatch, greedy, limits=limits)
    assert Gap("b", "returned MemoryError") in results["b"]


@linux
def test_a_worker_can_do_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")

    def refused(action: Callable[[], object]) -> bool:
        try:
            action()
        except (OSError, subprocess.CalledProcessError):  # a child may die before it is refused
            return True
        return False

    def act(_blob: Blob) -> object:
        return [
            refused(secret.read_text),
            refused(lambda: (tmp_path / "new").write_text("x")),
            refused(lambda: list(tmp_path.iterdir())),
            refused(socket.socket),
            refused(lambda: subprocess.run(["/bin/true"], check=True)),
            refused(lambda: os.kill(os.getppid(), 0)),
        ]

    task = Task(tuple(all_rules().values()))
    probe = Workers(task)
    path = tmp_path / "probe"
    path.write_bytes(b"x")
    list(probe.run([Blob("probe", 1, functools.partial(read, str(path)), file=str(path))]))
    if not {"landlock", "seccomp"} <= (probe.layers or frozenset()):
        pytest.skip("this kernel offers no Landlock or no seccomp")
    results = run(tmp_path, monkeypatch, act)
    assert Gap("b", f"returned {[True] * 6}") in results["b"]
    assert not (tmp_path / "new").exists()


@linux
def test_a_worker_that_lies_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(item: Item) -> bytes:
        if isinstance(item, Gap):
            return b'["Gap", 1, 2, 3]'
        return wire_encode(item)

    monkeypatch.setattr(wire, "encode", lie)
    assert "not understood" in only_b_is_lost(run(tmp_path, monkeypatch, lambda _: "x"))


@linux
def test_several_workers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_BATCH", 1)
    results = run(tmp_path, monkeypatch, segfault, jobs=3)
    assert sorted(results) == ["a", "b", "c"]
    assert any(isinstance(item, Gap) for item in results["b"])
    assert results["a"] == [Skipped("a", "read")]


def scan_with_threads(folder: Path, **options: Any) -> Report:
    """Scan while another thread is alive, so that forking is not safe."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        return poisonscan.scan(folder, **options)
    finally:
        over.set()
        thread.join()


def test_a_helper_process_gives_the_same_report(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    (tmp_path / "good.pkl").write_bytes(b"N.")
    (tmp_path / "rows.csv").write_bytes(b"text,label\ngood,1\nbad,0\n")
    one, other = poisonscan.scan(tmp_path), scan_with_threads(tmp_path)
    for report in (one, other):
        report.seconds = 0.0
    assert one == other
    assert one.isolation


def test_the_death_of_the_helper_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.pkl").write_bytes(EVIL)
    start = workers._start_helper
    started: list[int] = []

    def dies(blobs: Any, task: Task) -> subprocess.Popen[bytes]:
        started.append(len(blobs))
        if len(started) == 1:
            monkeypatch.setattr(sys, "executable", "/bin/false")
            process = start(blobs, task)
            monkeypatch.undo()
            monkeypatch.setattr(workers, "_start_helper", dies)
            return process
        return start(blobs, task)

    monkeypatch.setattr(workers, "_start_helper", dies)
    report = scan_with_threads(tmp_path)
    assert started == [3, 2]
    assert len(report.findings) == 2
    (gap,) = report.gaps
    assert gap.path.endswith("a.pkl")
    assert "exit code 1" in gap.reason


def test_required_isolation_that_is_missing_is_an_error() -> None:
    worked = Workers(Task(()), mode="require")
    worked.note(("process", "memory", "landlock", "seccomp"))
    with pytest.raises(IsolationError, match="no landlock"):
        worked.note(("process", "memory"))


def test_without_isolation_the_result_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    report = poisonscan.scan(tmp_path, isolation="off")
    assert [finding.rule.id for finding in report.findings] == ["PS101"]
    assert report.isolation == ()


def nothing() -> memoryview:
    return memoryview(b"")


def test_files_are_batched_by_number_and_size() -> None:
    small = [Blob(str(i), 10, nothing) for i in range(514)]
    assert [len(batch) for batch in workers.batches(small)] == [256, 256, 2]
    large = [Blob(str(i), 60 << 20, nothing) for i in range(3)]
    assert [len(batch) for batch in workers.batches(large)] == [1, 1, 1]
    assert list(workers.batches([])) == []


@linux
def test_a_file_that_changes_while_it_is_read_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = os.open(tmp_path / "b", os.O_RDWR | os.O_CREAT)

    monkeypatch.setattr(workers, "_keep_only", lambda _: None)
    monkeypatch.setattr(workers, "_BATCH", 1)

    def change(_blob: Blob) -> str:
        os.ftruncate(kept, 10)
        return "changed"

    try:
        results = run(tmp_path, monkeypatch, change)
    finally:
        os.close(kept)
    assert any(isinstance(i, Gap) and "changed while it was read" in i.reason for i in results["b"])


HOSTILE = "import pathlib; pathlib.Path(__file__).with_name('executed').touch()\n"


@pytest.mark.parametrize("name", ["json.py", "lzma.py", "poisonscan/__init__.py", "yaml.py"])
@pytest.mark.parametrize("start", ["helper", "module"])
def test_no_module_is_taken_from_the_scanned_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, start: str
) -> None:
    planted = tmp_path / name
    planted.parent.mkdir(exist_ok=True)
    planted.write_text(HOSTILE)
    (tmp_path / "evil.pkl").write_bytes(EVIL)
    monkeypatch.chdir(tmp_path)
    if start == "helper":
        report = scan_with_threads(tmp_path, kind="model")
        assert "PS101" in {finding.rule.id for finding in report.findings}
    elif name != "poisonscan/__init__.py":  # -m itself takes that one: the user asked for it
        command = [sys.executable, "-m", "poisonscan", "scan", "evil.pkl"]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    assert not list(tmp_path.rglob("executed"))


@linux
def test_a_quick_killer_does_not_take_others_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = run(tmp_path, monkeypatch, spin, limits=Limits(seconds=1))
    only_b_is_lost(results)


@linux
def test_when_no_process_can_be_started_every_file_is_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    (tmp_path / "evil.pkl").write_bytes(EVIL)
    monkeypatch.setattr(workers, "_may_fork", lambda: True)
    monkeypatch.setattr(os, "fork", refuse)
    report = poisonscan.scan(tmp_path)
    (gap,) = report.gaps
    assert "no process can be started" in gap.reason
    assert report.exit_code() == 3


@linux
def test_many_more_files_than_may_be_open(tmp_path: Path) -> None:
    for index in range(300):
        (tmp_path / f"{index}.pkl").write_bytes(b"N.")
    code = (
        "import resource, poisonscan; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024));"
        f"report = poisonscan.scan({str(tmp_path)!r}); print(len(report.scanned), len(report.gaps))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["300", "0"]


@linux
def test_an_answer_about_another_file_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lie(item: Item) -> bytes:
        if isinstance(item, Gap):
            return wire_encode(TableFile("b", "/etc/passwd", "csv", 1))
        return wire_encode(item)

    monkeypatch.setattr(wire, "encode", lie)
    assert "another file" in only_b_is_lost(run(tmp_path, monkeypatch, lambda _: "x"))


def test_a_long_line_is_read_once() -> None:
    answer = Answer([Blob("a", 1, nothing)], 60)
    line = wire_encode(Gap("a", "x" * 3_000_000)) + b"\n"
    data = b"process\n" + line + b".\n"
    pieces = (data[at : at + 4_096] for at in range(0, len(data), 4_096))
    (found,) = [done for piece in pieces for done in answer.feed(piece)]
    assert found[1] == [Gap("a", "x" * 3_000_000)]
