"""Forked processes for tasks: they have at once what this one has loaded, and die for themselves.

A fork takes milliseconds, so that even a single small file is read apart: a crash in a decoder
costs what was being decoded.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import pickle
import signal
import warnings
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import Pipe, wait
from typing import TYPE_CHECKING, Any, Final, Generic

from poisonscan.engines import patience
from poisonscan.engines.base import Failure, Item, Result
from poisonscan.engines.processes import cause, limit_memory, reap

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from multiprocessing.connection import Connection

AHEAD: Final = 8
"""Items per process that may be started beyond the first unfinished one: their results wait."""
_GOODBYE: Final = 1.0
"""Seconds that a process has to end once its pipe is closed."""
_NOT_UNDERSTOOD: Final = (
    OSError, pickle.UnpicklingError, ValueError, TypeError, AttributeError, ImportError,
    LookupError, MemoryError,
)  # fmt: skip
"""What reading an answer may raise."""
_DEATH_SIGNAL: Final = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


@dataclass(slots=True)
class _Worker:
    """A process, the pipe to it, and the item that it works on (-1: none)."""

    pid: int
    pipe: Connection
    index: int = -1


class Forks(Generic[Item, Result]):
    """One map over forked processes.

    Args:
        task: what to call; it need not pickle, its results do.
        items: with what.
        jobs: processes at a time, at least 1.
        memory: bytes that each may allocate.
    """

    def __init__(
        self, task: Callable[[Item], Result], items: Sequence[Item], jobs: int, memory: int
    ) -> None:
        self.task = task
        self.items = items
        self.jobs = jobs
        self.memory = memory
        self._waiting = deque(range(len(items)))
        self._workers: list[_Worker] = []
        self._dead: deque[int] = deque()  # tried once more, each while nothing else runs
        self._done: dict[int, Result | Failure[Item]] = {}
        self._next = 0  # the first item whose outcome the caller does not have
        self._library = _libc()

    def outcomes(self) -> Generator[Result | Failure[Item], None, None]:
        """Outcomes in the order of the items. What the task raises is raised."""
        # Memory that was freed and not given back would be part of every process.
        if hasattr(self._library, "malloc_trim"):  # it is glibc's
            self._library.malloc_trim(0)
        try:
            while self._next < len(self.items):
                self._feed()
                self._listen()
                while self._next in self._done:
                    self._next += 1
                    yield self._done.pop(self._next - 1)
        finally:
            for worker in self._workers:
                worker.pipe.close()
                reap(worker.pid, patience=0)

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.index >= 0]

    def _feed(self) -> None:
        """Give items to processes that have none, and start what is missing of them."""
        if self._dead:
            if not self._busy():
                self._give(self._dead[0])
            return
        room = self._next + AHEAD * self.jobs
        while self._waiting and self._waiting[0] < room and len(self._busy()) < self.jobs:
            if not self._give(self._waiting[0]):
                return
            self._waiting.popleft()

    def _give(self, index: int) -> bool:
        """Let a process work on an item; whether there is one."""
        try:
            idle = (worker for worker in self._workers if worker.index < 0)
            worker = next(idle, None) or self._start()
        except OSError as error:
            if self._busy():  # there are too many processes, or too little memory: wait for them
                return False
            reason = f"no process can be started ({error.strerror})"
            self._done[index] = Failure(self.items[index], reason)
            if self._dead:
                self._dead.popleft()
            return True
        worker.index = index
        with contextlib.suppress(BrokenPipeError):  # it is dead, as reading from it tells
            worker.pipe.send_bytes(index.to_bytes(8, "little"))
        return True

    def _listen(self) -> None:
        """Take what processes tell, once one of them does."""
        busy = {worker.pipe: worker for worker in self._busy()}
        for pipe in wait(list(busy)) if busy else ():
            worker = busy[pipe]  # type: ignore[index]  # nothing but these pipes was waited for
            try:
                fine, outcome = worker.pipe.recv()  # of a failure that is no error, fine is None
            except EOFError:
                self._bury(worker, "")
                continue
            except _NOT_UNDERSTOOD as error:
                self._bury(worker, f"told what is not understood ({type(error).__name__})")
                continue
            if fine is False:
                raise outcome
            index, worker.index = worker.index, -1
            if self._dead and index == self._dead[0]:
                self._dead.popleft()
            self._done[index] = outcome if fine else Failure(self.items[index], outcome)
            del outcome  # it may be large, and so may the next one

    def _bury(self, worker: _Worker, why: str) -> None:
        """A process is gone, or beyond help: its item is tried once more, unless it was stuck."""
        self._workers.remove(worker)
        worker.pipe.close()
        code = reap(worker.pid, patience=0 if why else _GOODBYE)
        index = worker.index
        again = bool(self._dead) and index == self._dead[0]
        stuck = patience.ran_out(code)
        if not again and not stuck:
            self._dead.append(index)
            return
        if again:
            self._dead.popleft()
        reason = f"the process that worked on it {why or cause(code)}, twice"
        if stuck:
            reason = f"it got no further in {patience.SECONDS:,} seconds of CPU time"
        elif code == -signal.SIGKILL and not why:
            reason += ", perhaps for lack of memory"
        self._done[index] = Failure(self.items[index], reason, stuck)

    def _start(self) -> _Worker:
        """Fork a process.

        Raises:
            OSError: there are too many processes or open files.
        """
        ours, theirs = Pipe()
        # An interrupt between the fork and the next lines would make the child act as its parent.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with warnings.catch_warnings():
                # Threads of Arrow and of matrix libraries do not matter: both look after forks.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    for other in (ours, *(worker.pipe for worker in self._workers)):
                        other.close()
                    self._serve(theirs)
                    status = 0
                finally:
                    os._exit(status)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._workers.append(_Worker(pid, ours))
        return self._workers[-1]

    def _serve(self, pipe: Connection) -> None:
        """What the forked process does until its pipe is closed."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self._library is not None:
            self._library.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        faulthandler.disable()
        nothing = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):  # a library that dies tells why on them
            os.dup2(nothing, standard)
        gc.freeze()  # what is shared with the parent is not looked through, which would copy it
        limit_memory(self.memory)
        while True:
            try:
                index = int.from_bytes(pipe.recv_bytes(), "little")
            except EOFError:
                return
            try:
                with patience.limited(patience.SECONDS):
                    outcome = self.task(self.items[index])
                pipe.send((True, outcome))  # pickled before any of it is sent
                del outcome  # it may be large, and the next one is made beside it
            except MemoryError:
                pipe.send((None, "what it takes does not fit into memory"))
            except Exception as error:  # noqa: BLE001 - it is the caller's, whatever it is
                _raise_there(pipe, error)


def _raise_there(pipe: Connection, error: Exception) -> None:
    """Tell of an exception; of one that does not pickle, what it says."""
    told = f"{type(error).__name__}: {error}"
    try:
        pipe.send((False, error))
    except (pickle.PicklingError, TypeError, AttributeError, ValueError):
        pipe.send((False, RuntimeError(told)))


def _libc() -> Any:
    """The C library, loaded before a process is forked; None where there is none."""
    try:
        import ctypes

        return ctypes.CDLL(None)
    except (ImportError, OSError):
        return None
