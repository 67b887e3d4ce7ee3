"""Processes on this machine; the death of one costs one item."""

from __future__ import annotations

import contextlib
import os
import re
import time
import warnings
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic

from poisonscan.engines.base import Failure, Item, Result
from poisonscan.engines.forks import AHEAD, Forks
from poisonscan.engines.processes import limit_memory, may_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

MEMORY = 4 << 30
"""Bytes that a process may allocate to read a part of a dataset."""

_SETTLE = 0.1
"""Seconds between the last item started and the stop of the processes."""

_EXIT_CODES = re.compile(r"exit codes of the workers are \{([^}]+)\}")


_JOBS: ContextVar[int | None] = ContextVar("jobs", default=None)


@contextlib.contextmanager
def at_most(jobs: int | None) -> Iterator[None]:
    """Within, no more than so many cores are usable; None: all."""
    token = _JOBS.set(jobs)
    try:
        yield
    finally:
        _JOBS.reset(token)


def usable_cores() -> int:
    """Cores that this process may use, at least 1; before Python 3.13, those of the machine."""
    count = getattr(os, "process_cpu_count", os.cpu_count)
    cores: int = count() or 1
    return min(cores, _JOBS.get() or cores)


@dataclass(frozen=True, slots=True)
class LocalEngine:
    """Runs tasks in ``jobs`` processes.

    When a process dies (killed for its memory, a crash in a decoder), what it worked on is tried
    once more, alone; what dies again is a ``Failure`` and everything else goes on.

    Processes are forked, also for one job. Where that is not safe (threads, other systems than
    Linux) they come from a pool of joblib's, and one job or one item is done in this process,
    without such protection.

    Attributes:
        jobs: processes, at least 1.
        apart: whether one job or one item has a process of its own where it can be forked.
        memory: bytes that a process may allocate; not limited in this one.
    """

    jobs: int = field(default_factory=usable_cores)
    apart: bool = True
    memory: int = MEMORY

    def __post_init__(self) -> None:
        if self.jobs < 1:
            message = f"jobs must be at least 1, not {self.jobs}"
            raise ValueError(message)

    def map(
        self, task: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result | Failure[Item]]:
        """The outcome of ``task`` for each item, in the order of the items."""
        listed = list(items)
        jobs = min(self.jobs, len(listed))
        if listed and (jobs > 1 or self.apart) and may_fork():
            return Forks(task, listed, jobs, self.memory).outcomes()
        if jobs <= 1:
            return map(task, listed)
        return _Run(task, listed, jobs, self.memory).outcomes()


class _Run(Generic[Item, Result]):
    """One map over several processes."""

    def __init__(
        self, task: Callable[[Item], Result], items: list[Item], jobs: int, memory: int
    ) -> None:
        self.task = task
        self.items = items
        self.jobs = jobs
        self.memory = memory
        self.waiting = deque(range(len(items)))
        self.started: set[int] = set()
        self.done: dict[int, Result | Failure[Item]] = {}
        self.next = 0  # the first item whose outcome the caller does not have

    def outcomes(self) -> Generator[Result | Failure[Item], None, None]:
        """Outcomes in order. A pool that breaks, or runs too far ahead, is followed by another."""
        from concurrent.futures.process import BrokenProcessPool

        while self.next < len(self.items):
            try:
                with self._processes(self._feed(), self.jobs) as results:
                    for index, result in results:
                        self.started.discard(index)
                        self.done[index] = result
                        yield from self._ready()
            except BrokenProcessPool:
                for index in sorted(self.started):
                    self.done[index] = self._alone(index)
                self.started.clear()
            yield from self._ready()

    def _feed(self) -> Iterator[int]:
        """Items for the processes. joblib asks for more whenever one of them becomes free."""
        while self.waiting and self.waiting[0] < self.next + AHEAD * self.jobs:
            index = self.waiting.popleft()
            self.started.add(index)
            yield index

    def _ready(self) -> Iterator[Result | Failure[Item]]:
        while self.next in self.done:
            self.next += 1
            yield self.done.pop(self.next - 1)

    def _alone(self, index: int) -> Result | Failure[Item]:
        from concurrent.futures.process import BrokenProcessPool

        try:
            # joblib would run a single job in this process.
            with self._processes(iter([index]), jobs=2) as results:
                return next(results)[1]
        except BrokenProcessPool as error:
            return Failure(self.items[index], _reason(error))

    @contextlib.contextmanager
    def _processes(
        self, indexes: Iterator[int], jobs: int
    ) -> Iterator[Generator[tuple[int, Result], None, None]]:
        """Numbered results as they come; processes still at work are stopped on the way out."""
        from joblib import Parallel, delayed

        # Without max_nbytes=None, joblib would hand out large arrays as read-only memory maps.
        parallel = Parallel(
            n_jobs=jobs,
            backend="loky",
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="2*n_jobs",
            max_nbytes=None,
        )
        results = parallel(
            delayed(_numbered)(self.task, i, self.items[i], self.memory) for i in indexes
        )
        try:
            yield results
        except GeneratorExit:  # the caller wants no more
            self.waiting.clear()
            # loky's thread fails with a traceback if it is stopped while it takes an item.
            time.sleep(_SETTLE)
            raise
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # results that nobody wants any more
                results.close()


def _numbered(
    task: Callable[[Item], Result], index: int, item: Item, memory: int
) -> tuple[int, Result]:
    limit_memory(memory)
    return index, task(item)


def _reason(error: Exception) -> str:
    """Why a pool broke, in one sentence without a period."""
    codes = _EXIT_CODES.search(str(error))
    if codes:
        return f"the process that worked on it died twice ({codes[1]}), perhaps for lack of memory"
    first = str(error).partition("\n")[0]
    return f"the process that worked on it broke twice: {first}"
