from __future__ import annotations

import functools
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from poisonscan.engines import local
from poisonscan.engines.base import Engine, Failure
from poisonscan.engines.local import LocalEngine, at_most, usable_cores

posix = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")


@pytest.fixture(autouse=True)
def _no_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "may_fork", lambda: False)


def square(number: int) -> int:
    return number * number


def slow_square(number: int) -> int:
    time.sleep(0.3 if number == 0 else 0)
    return number * number


def process(_: int) -> int:
    return os.getpid()


def deadly(item: int, fatal: frozenset[int], how: str) -> int:
    if item in fatal and how == "exit":
        os._exit(3)
    if item in fatal:
        os.kill(os.getpid(), signal.SIGKILL)
    return item * 10


def deadly_at_first(item: int, folder: Path) -> int:
    mark = folder / "died"
    if item == 2 and not mark.exists():
        mark.touch()
        os._exit(1)
    return item


def counted(item: int, folder: Path, fatal: int) -> int:
    with (folder / str(item)).open("a") as file:
        file.write("x")
    if item == fatal:
        os._exit(1)
    return item


def fails(item: int) -> int:
    if item == 3:
        raise KeyError(item)
    return item


def add_one(array: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    array += 1
    return float(array.sum())


def result_that_does_not_pickle(item: int) -> object:
    return threading.Lock() if item == 1 else item


class Unreadable:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return int, ("no number",)


def result_that_does_not_unpickle(item: int) -> object:
    return Unreadable() if item == 1 else item


@pytest.mark.parametrize("jobs", [1, 2, 3])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_outcomes_come_in_the_order_of_the_items(jobs: int, count: int) -> None:
    engine: Engine = LocalEngine(jobs)
    assert list(engine.map(slow_square, iter(range(count)))) == [n * n for n in range(count)]


def test_one_item_or_one_job_runs_in_this_process_and_more_do_not() -> None:
    here = os.getpid()
    assert list(LocalEngine(2).map(process, [0])) == [here]
    assert list(LocalEngine(1).map(process, range(3))) == [here] * 3
    assert here not in set(LocalEngine(2).map(process, range(3)))


@posix
@pytest.mark.parametrize(("how", "said"), [("exit", "EXIT(3)"), ("kill", "SIGKILL(-9)")])
def test_a_process_that_dies_costs_only_its_item(how: str, said: str) -> None:
    task = functools.partial(deadly, fatal=frozenset({3}), how=how)
    outcomes = list(LocalEngine(2).map(task, range(12)))
    failure = outcomes.pop(3)
    assert outcomes == [n * 10 for n in range(12) if n != 3]
    assert isinstance(failure, Failure)
    assert failure.item == 3
    assert said in failure.reason


@posix
def test_every_item_may_die() -> None:
    task = functools.partial(deadly, fatal=frozenset(range(3)), how="kill")
    outcomes = list(LocalEngine(2).map(task, range(3)))
    assert [type(outcome) for outcome in outcomes] == [Failure] * 3


def test_an_item_that_dies_once_is_tried_again(tmp_path: Path) -> None:
    task = functools.partial(deadly_at_first, folder=tmp_path)
    assert list(LocalEngine(2).map(task, range(6))) == list(range(6))


def test_after_a_death_only_what_was_under_way_runs_again(tmp_path: Path) -> None:
    task = functools.partial(counted, folder=tmp_path, fatal=20)
    outcomes = list(LocalEngine(2).map(task, range(60)))
    assert isinstance(outcomes[20], Failure)
    runs = {int(path.name): len(path.read_text()) for path in tmp_path.iterdir()}
    assert set(runs) == set(range(60))
    assert max(runs.values()) == 2
    assert sum(count == 2 for count in runs.values()) <= 2 * 8


def test_results_do_not_pile_up_behind_a_slow_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "AHEAD", 2)
    task = functools.partial(counted, folder=tmp_path, fatal=-1)
    outcomes = LocalEngine(2).map(task, range(40))
    assert next(outcomes) == 0
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) <= 1 + 2 * 2  # the rest waits until the caller goes on
    assert list(outcomes) == list(range(1, 40))


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_exception_of_the_task_reaches_the_caller(jobs: int) -> None:
    with pytest.raises(KeyError, match="3"):
        list(LocalEngine(jobs).map(fails, range(40)))
    assert list(LocalEngine(jobs).map(square, range(3))) == [0, 1, 4]  # and nothing is left behind


def test_what_does_not_pickle_is_an_error_and_no_hang() -> None:
    with pytest.raises((pickle.PicklingError, TypeError), match="pickle"):
        list(LocalEngine(2).map(str, [threading.Lock(), threading.Lock()]))
    with pytest.raises((pickle.PicklingError, TypeError), match="pickle"):
        list(LocalEngine(2).map(result_that_does_not_pickle, range(4)))


def test_a_result_that_cannot_be_read_back_costs_only_its_item() -> None:
    outcomes = list(LocalEngine(2).map(result_that_does_not_unpickle, range(6)))
    failure = outcomes.pop(1)
    assert outcomes == [0, 2, 3, 4, 5]
    assert isinstance(failure, Failure)
    assert "broke twice" in failure.reason


def test_tasks_may_change_their_large_arrays() -> None:
    arrays = [np.zeros(300_000) for _ in range(2)]
    assert list(LocalEngine(2).map(add_one, arrays)) == [300_000.0] * 2


def test_a_caller_may_stop_early() -> None:
    outcomes = LocalEngine(2).map(square, range(1_000))
    assert next(outcomes) == 0
    del outcomes
    assert list(LocalEngine(2).map(square, range(3))) == [0, 1, 4]


INTERRUPTED = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
from tests.engines.test_local import sleeps
from poisonscan.engines.local import LocalEngine
try:
    for _ in LocalEngine(2).map(sleeps, [{folder!r}] * 8):
        pass
except KeyboardInterrupt:
    sys.exit(130)
"""


def sleeps(folder: str) -> None:
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


@posix
@pytest.mark.parametrize("group", [True, False], ids=["terminal", "kill"])
def test_an_interrupt_stops_the_workers_and_reaches_the_caller(tmp_path: Path, group: bool) -> None:
    root = str(Path(__file__).parents[2])
    script = INTERRUPTED.format(paths=[root], folder=str(tmp_path))
    child = subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    started = time.monotonic()
    (os.killpg if group else os.kill)(child.pid, signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors.decode()
    assert errors == b""
    assert time.monotonic() - started < 30
    for worker in tmp_path.iterdir():
        assert not _lives(int(worker.name))


def _lives(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


def test_no_more_cores_are_usable_than_jobs_were_asked_for() -> None:
    everything = usable_cores()
    with at_most(1):
        assert usable_cores() == 1
        with at_most(None):
            assert usable_cores() == everything
        with at_most(1_000):
            assert usable_cores() == everything
    assert usable_cores() == everything


def test_jobs() -> None:
    assert LocalEngine().jobs == usable_cores() >= 1
    with pytest.raises(ValueError, match="at least 1"):
        LocalEngine(0)
