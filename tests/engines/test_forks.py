"""Forked processes: one that dies costs its item, also when it is the only one."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from poisonscan.engines import forks, local, patience
from poisonscan.engines.base import Failure
from poisonscan.engines.forks import Forks
from poisonscan.engines.local import LocalEngine
from poisonscan.engines.processes import may_fork

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux")

JOBS = [1, 2, 3]


@pytest.fixture(autouse=True)
def _forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "may_fork", lambda: True)  # threads of pytest-xdist only wait


def killed(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crashed(_: int) -> None:
    ctypes.string_at(0)


def aborted(_: int) -> None:
    os.abort()


def left(_: int) -> None:
    os._exit(3)


DEATHS = [
    (killed, "was killed by SIGKILL, twice, perhaps for lack of memory"),
    (crashed, "was killed by SIGSEGV, twice"),
    (aborted, "was killed by SIGABRT, twice"),
    (left, "ended with exit code 3, twice"),
]


@pytest.mark.parametrize("jobs", JOBS)
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_outcomes_come_in_the_order_of_the_items(jobs: int, count: int) -> None:
    def slow_square(number: int) -> int:  # and it need not pickle
        time.sleep(0.05 if number == 0 else 0)
        return number * number

    outcomes = LocalEngine(jobs).map(slow_square, iter(range(count)))
    assert list(outcomes) == [n * n for n in range(count)]


@pytest.mark.parametrize("jobs", JOBS)
@pytest.mark.parametrize(("die", "how"), DEATHS, ids=["kill", "crash", "abort", "exit"])
def test_a_process_that_dies_costs_only_its_item(
    die: Callable[[int], None], how: str, jobs: int
) -> None:
    def task(item: int) -> int:
        if item == 3:
            die(item)
        return item * 10

    outcomes = list(LocalEngine(jobs).map(task, range(12)))
    assert outcomes.pop(3) == Failure(3, f"the process that worked on it {how}")
    assert outcomes == [n * 10 for n in range(12) if n != 3]


@pytest.mark.parametrize("jobs", JOBS)
def test_what_gets_no_further_costs_only_its_item(
    jobs: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also inside a library, which no handler in Python would interrupt."""
    monkeypatch.setattr(patience, "SECONDS", 0.2)

    def task(item: int) -> int:
        with (tmp_path / "log").open("a") as file:
            file.write(f"{item} ")
        if item == 1:
            re.match("(a+)+b", "a" * 64)  # takes longer than the universe is old
        for _ in range(item == 2 and 8):
            patience.sign()
            sum(range(1_500_000))
        return item

    outcomes = list(LocalEngine(jobs).map(task, range(4)))
    reason = "it got no further in 0.2 seconds of CPU time"
    assert outcomes == [0, Failure(1, reason, stuck=True), 2, 3]
    assert (tmp_path / "log").read_text().split().count("1") == 1


@pytest.mark.parametrize("jobs", JOBS)
def test_every_item_may_die(jobs: int) -> None:
    outcomes = LocalEngine(jobs).map(killed, range(4))
    assert [type(outcome) for outcome in outcomes] == [Failure] * 4


@pytest.mark.parametrize("jobs", JOBS)
def test_an_item_that_dies_once_is_tried_again(tmp_path: Path, jobs: int) -> None:
    def task(item: int) -> int:
        mark = tmp_path / "died"
        if item == 2 and not mark.exists():
            mark.touch()
            killed(item)
        return item

    assert list(LocalEngine(jobs).map(task, range(6))) == list(range(6))


def test_what_died_is_tried_again_alone(tmp_path: Path) -> None:
    def task(item: int) -> int:
        if item == 0:
            time.sleep(0.1)
            killed(item)
        with (tmp_path / "log").open("a") as file:
            file.write(f"{item} ")
        time.sleep(0.02)
        return item

    outcomes = list(LocalEngine(3).map(task, range(20)))
    assert isinstance(outcomes.pop(0), Failure)
    assert outcomes == list(range(1, 20))
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(1, 20))


@pytest.mark.parametrize("jobs", [1, 2])
def test_memory_is_limited(jobs: int) -> None:
    def task(size: int) -> int:
        return len(bytearray(size))

    engine = LocalEngine(jobs, memory=64 << 20)
    too_large = Failure(1 << 30, "what it takes does not fit into memory")
    assert list(engine.map(task, [1 << 30, 1 << 20])) == [too_large, 1 << 20]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_of_the_task_reaches_the_caller(jobs: int) -> None:
    def fails(item: int) -> int:
        if item == 3:
            raise KeyError(item)
        return item

    with pytest.raises(KeyError, match="3"):
        list(LocalEngine(jobs).map(fails, range(40)))


class Unreadable:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return int, ("no number",)


class OddError(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")
        self.lock = threading.Lock()


def test_results_and_exceptions_that_do_not_pickle() -> None:
    with pytest.raises((TypeError, AttributeError), match="pickle"):
        list(LocalEngine(1).map(lambda _: threading.Lock(), range(2)))
    outcomes = list(LocalEngine(1).map(lambda n: Unreadable() if n == 1 else n, range(4)))
    assert isinstance(failure := outcomes.pop(1), Failure)
    assert outcomes == [0, 2, 3]
    assert "not understood (ValueError), twice" in failure.reason

    def odd(_: int) -> None:
        raise OddError(1, 2)

    with pytest.raises(RuntimeError, match="OddError: 1 and 2"):
        list(LocalEngine(1).map(odd, range(2)))


def test_what_does_not_fit_into_memory_is_a_failure() -> None:
    class Large:
        def __reduce__(self) -> str:
            raise MemoryError

    outcomes = list(LocalEngine(1).map(lambda n: Large() if n == 1 else n, range(3)))
    assert outcomes == [0, Failure(1, "what it takes does not fit into memory"), 2]


def test_results_do_not_pile_up_behind_a_slow_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "AHEAD", 2)

    def task(item: int) -> int:
        (tmp_path / str(item)).touch()
        return item

    outcomes = LocalEngine(2).map(task, range(40))
    assert next(outcomes) == 0
    time.sleep(0.2)
    assert len(list(tmp_path.iterdir())) <= 1 + 2 * 2
    assert list(outcomes) == list(range(1, 40))


def test_a_caller_may_stop_early_and_nothing_stays() -> None:
    outcomes = LocalEngine(2).map(lambda _: os.getpid(), range(100))
    pid = next(outcomes)
    assert isinstance(pid, int)
    del outcomes
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_where_no_process_can_be_started_every_item_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(_: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(Forks, "_start", none)
    outcomes = list(LocalEngine(2).map(abs, range(3)))
    reason = "no process can be started (Resource temporarily unavailable)"
    assert outcomes == [Failure(n, reason) for n in range(3)]


def test_forks_are_left_out_where_they_are_not_wanted_or_not_safe() -> None:
    assert list(LocalEngine(1, apart=False).map(lambda _: os.getpid(), [0])) == [os.getpid()]
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    assert not may_fork()
    over.set()
    thread.join()
