from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import poisonscan
from poisonscan.cli import cli
from poisonscan.engines.base import EngineError, Failure
from poisonscan.engines.cluster import ClusterEngine, Died, connect

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "fixtures" / "demo"
# The libraries' own threads and sockets, which outlive a test.
quiet = pytest.mark.filterwarnings("ignore")


def square(number: int) -> int:
    return number * number


def failing(number: int) -> int:
    if number == 3:
        raise KeyError(number)
    return number


def deadly(item: int, fatal: int) -> int:
    if item == fatal:
        os._exit(3)
    return item


def deadly_at_first(item: int, folder: Path) -> int:
    mark = folder / "died"
    if item == 2 and not mark.exists():
        mark.touch()
        os._exit(1)
    return item


class Here:
    """A cluster of one core that is this process; it finishes the latest task first, or another."""

    def __init__(self, fatal: Sequence[int] = (), times: int = 2, take: int = -1) -> None:
        self.take = take
        self.left = dict.fromkeys(fatal, times)
        self.most = 0
        self.cancelled = 0

    def cores(self) -> int:
        return 1

    def share(self, task: Callable[[Any], Any]) -> Any:
        return task

    def submit(self, shared: Any, item: Any) -> Any:
        return shared, item

    def finished(self, handles: Sequence[Any]) -> Any:
        self.most = max(self.most, len(handles))
        return handles[self.take]

    def result(self, handle: Any) -> Any:
        task, item = handle
        if self.left.get(item, 0):
            self.left[item] -= 1
            raise Died("gone")
        return task(item)

    def cancel(self, handles: Sequence[Any]) -> None:
        self.cancelled += len(handles)

    def close(self) -> None:
        pass


def test_outcomes_come_in_order_and_no_more_is_started_than_is_taken() -> None:
    cluster = Here()
    assert list(ClusterEngine(cluster).map(square, range(50))) == [n * n for n in range(50)]
    assert cluster.most <= 4


def test_what_dies_once_is_tried_again_and_what_dies_twice_is_a_failure() -> None:
    assert list(ClusterEngine(Here([2], 1)).map(square, range(9))) == [n * n for n in range(9)]
    out = list(ClusterEngine(Here([2, 7])).map(square, range(9)))
    assert [n for n, got in enumerate(out) if isinstance(got, Failure)] == [2, 7]
    assert out[2] == Failure(2, "the process that worked on it died twice (gone)")
    assert out[8] == 64


def test_what_nobody_takes_is_cancelled() -> None:
    cluster = Here(take=0)
    outcomes = ClusterEngine(cluster).map(square, range(50))
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert cluster.cancelled == 3


@pytest.mark.parametrize("engine", ["spark", "dusk=1", ""])
def test_no_such_engine(engine: str) -> None:
    with pytest.raises(EngineError, match="is no engine"):
        poisonscan.scan(DEMO, engine=engine)
    result = CliRunner().invoke(cli, ["scan", str(DEMO), f"--engine={engine}"])
    assert (result.exit_code, "is no engine" in result.output) == (2, True)


def test_a_library_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setitem(sys.modules, "ray", None)
    for name in ("dask", "ray"):
        with pytest.raises(EngineError, match="pip install"):
            connect(name, "127.0.0.1:1")


@quiet
def test_nothing_answers() -> None:
    pytest.importorskip("distributed")
    with pytest.raises(EngineError, match="name the scheduler"):
        connect("dask", "")


@pytest.fixture(scope="module", params=["dask", "ray"])
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """A real cluster of two nodes: the engine that reaches it."""
    if importlib.util.find_spec("distributed" if request.param == "dask" else "ray") is None:
        pytest.skip(f"{request.param} is not installed")
    if os.name != "posix":
        pytest.skip("clusters are started on POSIX only")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.engines.clusters", request.param],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment, cwd="/", text=True,
    )  # fmt: skip
    assert started.stdin is not None
    assert started.stdout is not None
    try:
        yield f"{request.param}={started.stdout.readline().strip()}"
    finally:
        started.stdin.close()
        started.wait(60)


@pytest.fixture
def engine(address: str) -> Iterator[ClusterEngine]:
    with contextlib.closing(connect(*address.split("=", 1))) as engine:
        yield engine


@quiet
def test_a_cluster_gives_outcomes_in_order(engine: ClusterEngine) -> None:
    assert list(engine.map(square, range(30))) == [n * n for n in range(30)]


@quiet
def test_an_exception_of_the_task_reaches_the_caller(engine: ClusterEngine) -> None:
    with pytest.raises(KeyError):
        list(engine.map(failing, range(6)))


@quiet
def test_a_killed_worker_costs_a_retry(engine: ClusterEngine, tmp_path: Path) -> None:
    task = functools.partial(deadly_at_first, folder=tmp_path)
    assert list(engine.map(task, range(6))) == list(range(6))


@quiet
def test_a_worker_killed_again_costs_its_item_only(engine: ClusterEngine) -> None:
    out = list(engine.map(functools.partial(deadly, fatal=4), range(8)))
    assert [n for n, got in enumerate(out) if isinstance(got, Failure)] == [4]
    assert [got for got in out if isinstance(got, int)] == [0, 1, 2, 3, 5, 6, 7]


@quiet
def test_the_same_findings_as_on_this_machine(address: str, demo: poisonscan.Report) -> None:
    there = poisonscan.scan(DEMO, root=ROOT, engine=address)
    assert there.findings == demo.findings
    assert demo.findings
    assert (there.gaps, there.scanned) == (demo.gaps, demo.scanned)
