"""Scan files in worker processes: the death of one costs one file, and its findings stay.

On Linux a worker is forked for each batch of files: some two milliseconds, and nothing that a file
did to it outlives the batch. Where forking is not safe (threads, other systems) one helper process
does the same in a Python of its own.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, Final, Literal

from poisonscan.files import Detectors, Item, Task, scan_file
from poisonscan.formats.registry import preload
from poisonscan.isolation import sandbox
from poisonscan.isolation.answer import Answer
from poisonscan.isolation.wire import WireError
from poisonscan.isolation.worker import serve
from poisonscan.rules import pickle_names
from poisonscan.sources.base import Blob

Mode = Literal["auto", "require", "off"]
_BATCH: Final = 256
_BATCH_BYTES: Final = 64 << 20
_READ: Final = 1 << 20
_WANTED: Final = frozenset({"process", "memory", "landlock", "seccomp"})


class IsolationError(RuntimeError):
    """Isolation was required and the system does not offer it."""


class Workers:
    """Runs a task over files.

    Args:
        task: what to do with each file.
        jobs: processes at a time, at least 1.
        mode: ``auto`` isolates as well as the system can; ``require`` refuses to work with less
            than all layers; ``off`` reads the files in this process.

    Attributes:
        layers: of isolation that every worker had.
    """

    def __init__(self, task: Task, jobs: int = 1, mode: Mode = "auto") -> None:
        self.task = task
        self.jobs = jobs
        self.mode = mode
        self.layers: frozenset[str] | None = None

    def run(self, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, list[Item]]]:
        """Each file with what came of it, in the order in which they are finished.

        Raises:
            IsolationError: a layer is missing and the mode is ``require``.
        """
        if self.mode == "off":
            self.layers = frozenset()
            detectors = Detectors(self.task.rules)
            for blob in blobs:
                held = replace(blob, open=functools.cache(blob.open))
                yield blob, list(scan_file(held, self.task, detectors))
        elif sys.platform == "linux" and _may_fork():
            yield from _Forks(self).run(blobs)
        else:
            yield from self._helper(deque(blobs))

    def note(self, layers: tuple[str, ...]) -> None:
        """Take note of the layers that a worker had.

        Raises:
            IsolationError: one is missing and the mode is ``require``.
        """
        self.layers = frozenset(layers) if self.layers is None else self.layers & set(layers)
        missing = sorted(_WANTED - self.layers)
        if self.mode == "require" and missing:
            message = f"this system does not offer all of the isolation asked for: no {missing[0]}"
            raise IsolationError(message)

    def _helper(self, left: deque[Blob]) -> Iterator[tuple[Blob, list[Item]]]:
        """The same in a process that was started anew; after its death, in another."""
        while left:
            answer = Answer(left, self.task.limits.seconds)
            with _start_helper(left, self.task, self.jobs) as process:
                try:
                    yield from self._listen(process, answer)
                    reason = _cause(process.wait())
                except WireError as error:
                    reason = f"the worker's answer was not understood ({error})"
                finally:
                    process.kill()
            left = answer.left
            if left:
                yield answer.blame(f"not scanned whole: {reason}")

    def _listen(
        self, process: subprocess.Popen[bytes], answer: Answer
    ) -> Iterator[tuple[Blob, list[Item]]]:
        stream: Any = process.stdout
        while True:
            watch = threading.Timer(max(answer.deadline - time.monotonic(), 0), process.kill)
            watch.start()
            try:
                data = stream.read1(1 << 16)
            finally:
                watch.cancel()
            if not data:
                return
            known = answer.layers is not None
            done = list(answer.feed(data))
            if not known and answer.layers is not None:
                self.note(answer.layers)
            yield from done


class _Forks:
    """One forked worker for each batch of files, several at a time."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._library = sandbox.libc()
        self._running: dict[int, tuple[int, Answer]] = {}  # by the pipe's descriptor

    def run(self, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, list[Item]]]:
        waiting = deque(batches(blobs))
        if len(waiting) > 1:  # what is loaded here need not be loaded in each of the workers
            preload({blob.suffix for blob in blobs})
            Detectors(self._workers.task.rules).load_all()
            pickle_names()
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or self._running:
                    while waiting and len(self._running) < self._workers.jobs:
                        selector.register(self._start(waiting.popleft()), selectors.EVENT_READ)
                    yield from self._wait(selector, waiting)
            except KeyboardInterrupt:
                for _, answer in self._running.values():
                    if answer.left:
                        yield answer.blame("interrupted: not scanned whole")
                raise
            finally:
                for pipe, (pid, _) in self._running.items():
                    _kill(pid)
                    os.close(pipe)

    def _start(self, batch: list[Blob]) -> int:
        """Fork a worker; returns where it writes."""
        task = self._workers.task
        reading, writing = os.pipe()
        with warnings.catch_warnings():
            # Threads that only belong to a matrix library do not matter: nothing of it runs there.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                faulthandler.disable()
                os.close(reading)
                serve(batch, task, _writer(writing), self._library)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        self._running[reading] = pid, Answer(batch, task.limits.seconds)
        return reading

    def _wait(
        self, selector: selectors.BaseSelector, waiting: deque[list[Blob]]
    ) -> Iterator[tuple[Blob, list[Item]]]:
        """Take what workers tell until one of them ends or is out of time."""
        soonest = min(answer.deadline for _, answer in self._running.values())
        ready = selector.select(max(soonest - time.monotonic(), 0))
        for key, _ in ready:
            pipe = int(key.fd)
            answer = self._running[pipe][1]
            data, reason = os.read(pipe, _READ), ""
            try:
                known = answer.layers is not None
                yield from answer.feed(data)
                if not known and answer.layers is not None:
                    self._workers.note(answer.layers)
            except WireError as error:
                reason = f"the worker's answer was not understood ({error})"
            if not data or reason:
                yield from self._end(selector, pipe, reason, waiting)
        now = time.monotonic()
        for pipe, (_, answer) in list(self._running.items()):
            if answer.left and answer.deadline < now:
                yield from self._end(selector, pipe, "limit reached: it takes too long", waiting)

    def _end(
        self,
        selector: selectors.BaseSelector,
        pipe: int,
        reason: str,
        waiting: deque[list[Blob]],
    ) -> Iterator[tuple[Blob, list[Item]]]:
        """A worker is through or beyond help; files that it did not get to are tried again."""
        pid, answer = self._running.pop(pipe)
        selector.unregister(pipe)
        os.close(pipe)
        code = _kill(pid) if reason else os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if answer.left:
            yield answer.blame(f"not scanned whole: {reason or _cause(code)}")
        if answer.left:
            waiting.appendleft(list(answer.left))


def _may_fork() -> bool:
    """Whether no other thread may hold a lock that the forked process would wait for for ever."""
    others = (thread for thread in threading.enumerate() if thread != threading.current_thread())
    return all(getattr(thread, "holds_no_locks", False) for thread in others)


def batches(blobs: Sequence[Blob]) -> Iterator[list[Blob]]:
    """Files that one worker takes: many small ones, or one large one."""
    batch: list[Blob] = []
    size = 0
    for blob in blobs:
        if batch and (len(batch) == _BATCH or size + blob.size > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(blob)
        size += blob.size
    if batch:
        yield batch


def _writer(descriptor: int) -> Any:
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]

    return write


def _kill(pid: int) -> int:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _cause(code: int) -> str:
    """Why a worker ended before its time."""
    if code >= 0:
        return f"the process that read it ended with exit code {code}"
    name = signal.Signals(-code).name
    if name == "SIGXCPU":
        return "limit reached: it takes too much CPU time"
    return f"the process that read it was killed by {name}"


def _start_helper(blobs: Sequence[Blob], task: Task, jobs: int) -> subprocess.Popen[bytes]:
    """A Python that runs `main` below, with its work on standard input."""
    request = {
        "blobs": [[blob.path, blob.size, blob.file] for blob in blobs],
        "rules": [rule.id for rule in task.rules],
        "kind": task.kind,
        "limits": asdict(task.limits),
        "jobs": jobs,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "poisonscan.isolation"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    stream: Any = process.stdin
    with contextlib.suppress(BrokenPipeError), stream:
        stream.write(json.dumps(request).encode())
    return process
