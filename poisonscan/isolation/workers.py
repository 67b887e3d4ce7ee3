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
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from poisonscan.engines.processes import cause, reap
from poisonscan.engines.processes import may_fork as _may_fork
from poisonscan.files import Detectors, Item, Task, scan_file
from poisonscan.finding import Gap
from poisonscan.formats.registry import preload
from poisonscan.isolation import sandbox
from poisonscan.isolation.answer import Answer
from poisonscan.isolation.wire import WireError
from poisonscan.isolation.worker import open_blob, scan_opened, serve
from poisonscan.rules import pickle_names
from poisonscan.sources.base import Blob

Mode = Literal["auto", "require", "off"]
_BATCH: Final = 256
_BATCH_BYTES: Final = 64 << 20
_READ: Final = 1 << 20
_MOST_FILES: Final = 1 << 20
_GOODBYE: Final = 1.0
"""Seconds that a worker has to end once it has told everything."""
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
                if blob.present is not None:
                    yield blob, list(scan_opened(*open_blob(blob), self.task, detectors))
                    continue
                held = replace(blob, open=functools.cache(blob.open))
                yield blob, list(scan_file(held, self.task, detectors))
        elif _may_fork():
            yield from _Forks(self).run(blobs)
        else:
            yield from self._helper(deque(blobs))

    def take(self, answer: Answer, data: bytes) -> Iterator[tuple[Blob, list[Item]]]:
        """What a worker tells: each file that is finished by it, also before it tells nonsense.

        Raises:
            IsolationError: a layer is missing and the mode is ``require``.
            WireError: it is not what a worker tells.
        """
        new = answer.layers is None
        for done in answer.feed(data):
            if new and answer.layers is not None:
                self.note(answer.layers)
                new = False
            yield done
        if new and answer.layers is not None:
            self.note(answer.layers)

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
            with _start_helper(left, self.task) as process:
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
            yield from self.take(answer, data)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files for one worker; ``at_once``: it tells of each when it is done."""

    blobs: list[Blob]
    at_once: bool = False


class _Forks:
    """One forked worker for each batch of files, several at a time."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._library = sandbox.libc()
        self._running: dict[int, tuple[int, Answer, bool]] = {}  # by the pipe's descriptor

    def run(self, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, list[Item]]]:
        waiting = deque(_Batch(batch) for batch in batches(blobs))
        if len(waiting) > 1:  # what is loaded here need not be loaded in each of the workers
            preload({blob.suffix for blob in blobs})
            Detectors(self._workers.task.rules).load_all()
            pickle_names()
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or self._running:
                    while waiting and len(self._running) < self._workers.jobs:
                        try:
                            self._start(waiting[0], selector)
                        except OSError as error:
                            if not self._running:
                                reason = (
                                    f"not scanned: no process can be started ({error.strerror})"
                                )
                                for blob in waiting.popleft().blobs:
                                    yield blob, [Gap(blob.path, reason)]
                            break
                        waiting.popleft()
                    if self._running:
                        yield from self._wait(selector, waiting)
            except KeyboardInterrupt:
                for _, answer, _ in self._running.values():
                    if answer.left:
                        yield answer.blame("interrupted: not scanned whole")
                raise
            finally:
                for pipe, (pid, _, _) in self._running.items():
                    reap(pid, patience=0)
                    os.close(pipe)

    def _start(self, batch: _Batch, selector: selectors.BaseSelector) -> None:
        """Fork a worker.

        Raises:
            OSError: there are too many processes or open files.
        """
        task = self._workers.task
        reading, writing = os.pipe()
        # An interrupt between the fork and the next line would make the child act as its parent.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with warnings.catch_warnings():
                # Threads of a matrix library do not matter: nothing of it runs there.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(reading)
            os.close(writing)
            raise
        if pid == 0:
            status = 1
            try:
                _keep_only(writing)
                serve(batch.blobs, task, _writer(writing), self._library, at_once=batch.at_once)
                status = 0
            finally:
                os._exit(status)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writing)
        self._running[reading] = pid, Answer(batch.blobs, task.limits.seconds), batch.at_once
        selector.register(reading, selectors.EVENT_READ)

    def _wait(
        self, selector: selectors.BaseSelector, waiting: deque[_Batch]
    ) -> Iterator[tuple[Blob, list[Item]]]:
        """Take what workers tell until one of them ends or is out of time."""
        soonest = min(answer.deadline for _, answer, _ in self._running.values())
        ready = selector.select(max(soonest - time.monotonic(), 0))
        for key, _ in ready:
            pipe = int(key.fd)
            answer = self._running[pipe][1]
            data, reason = os.read(pipe, _READ), ""
            try:
                yield from self._workers.take(answer, data)
            except WireError as error:
                reason = f"the worker's answer was not understood ({error})"
            if not data or reason:
                yield from self._end(selector, pipe, reason, waiting)
        now = time.monotonic()
        for pipe, (_, answer, _) in list(self._running.items()):
            if answer.left and answer.deadline < now:
                yield from self._end(selector, pipe, "limit reached: it takes too long", waiting)

    def _end(
        self,
        selector: selectors.BaseSelector,
        pipe: int,
        reason: str,
        waiting: deque[_Batch],
    ) -> Iterator[tuple[Blob, list[Item]]]:
        """A worker is through or beyond help; files that it did not get to are tried again."""
        pid, answer, at_once = self._running.pop(pipe)
        selector.unregister(pipe)
        os.close(pipe)
        code = reap(pid, patience=0 if reason else _GOODBYE)
        if len(answer.left) > 1 and not at_once:
            # Which of them it was is not known for sure, as some may be done and not told yet.
            waiting.appendleft(_Batch(list(answer.left), at_once=True))
            return
        if answer.left:
            yield answer.blame(f"not scanned whole: {reason or _cause(code)}")
        if answer.left:
            waiting.appendleft(_Batch(list(answer.left)))


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


def _keep_only(descriptor: int) -> None:
    """Close everything else that the forked process has open, and heed no interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.closerange(3, descriptor)
    os.closerange(descriptor + 1, _MOST_FILES)


def _cause(code: int) -> str:
    """Why a worker ended before its time."""
    if sys.platform != "win32" and code == -signal.SIGXCPU:
        return "limit reached: it takes too much CPU time"
    return f"the process that read it {cause(code)}"


def _start_helper(blobs: Sequence[Blob], task: Task) -> subprocess.Popen[bytes]:
    """A Python that runs ``poisonscan.isolation``, with its work on standard input.

    The current folder may be the one that is scanned: no module is taken from it.
    """
    request = {
        "blobs": [[blob.path, blob.size, blob.file, blob.present] for blob in blobs],
        "rules": [rule.id for rule in task.rules],
        "kind": task.kind,
        "limits": asdict(task.limits),
    }
    here = os.path.realpath(".")
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    places = [str(Path(__file__).resolve().parents[2])]
    places += [place for place in given if place and os.path.realpath(place) != here]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "poisonscan.isolation"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    stream: Any = process.stdin
    with contextlib.suppress(BrokenPipeError), stream:
        stream.write(json.dumps(request).encode())
    return process
