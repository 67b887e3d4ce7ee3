"""What happens inside a worker: open the files, give everything else up, read, tell."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from poisonscan.files import Detectors, Item, Task, scan_file
from poisonscan.finding import Finding, Gap
from poisonscan.formats.needed import needed
from poisonscan.isolation import sandbox, wire
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob, Missing
from poisonscan.sources.disk import hold, view
from poisonscan.sources.partial import Watched

_BUFFERED: Final = 1 << 16
_PATIENCE: Final = 0.2
"""Seconds after which what is pending is told."""
_RATE: Final = 10_000_000
"""Bytes a second below which a file counts as stuck, beside the seconds that every file has."""

END: Final = b"."
"""Says that a file is finished."""


def seconds(blob: Blob, limit: int) -> int:
    """Time that a file may take: the limit, and more for a large one."""
    return limit + blob.size // _RATE


class _Outgoing:
    """Lines on their way: many small ones are told together, unless somebody waits for them."""

    def __init__(self, write: Callable[[bytes], object], *, at_once: bool) -> None:
        self._write = write
        self._patience = 0.0 if at_once else _PATIENCE
        self._lines: list[bytes] = []
        self._size = 0
        self._told = time.monotonic()

    def add(self, line: bytes) -> None:
        self._lines.append(line + b"\n")
        self._size += len(line)
        if self._size > _BUFFERED or time.monotonic() - self._told >= self._patience:
            self.tell()

    def tell(self) -> None:
        self._write(b"".join(self._lines))
        self._lines, self._size, self._told = [], 0, time.monotonic()


def serve(
    blobs: Sequence[Blob],
    task: Task,
    write: Callable[[bytes], object],
    library: Any,
    *,
    at_once: bool = False,
) -> None:
    """Scan files in this process, which must be a worker, and tell what comes of it.

    Args:
        blobs: files on disk; they are opened before anything is given up.
        task: what to do with each.
        write: takes whole lines. The first names the layers of isolation; ``END`` ends each file.
        library: of `sandbox.libc`.
        at_once: tell of every file when it is done, so that it is known which one ends this.
    """
    detectors = Detectors(task.rules)
    sandbox.allow_files(len(blobs) + sum(blob.present is not None for blob in blobs))
    # Where files can still be opened later, few are open at a time.
    opened: Iterable[tuple[Blob, Opened]] = map(open_blob, blobs)
    if library is not None:
        opened = list(opened)
    write(" ".join(sandbox.enter(library, task.limits.memory)).encode() + b"\n")
    outgoing = _Outgoing(write, at_once=at_once)
    for blob, descriptor in opened:
        if blob.size > _BUFFERED:  # it may take a while, or for ever
            outgoing.tell()
        sandbox.allow_seconds(seconds(blob, task.limits.seconds))
        for item in scan_opened(blob, descriptor, task, detectors):
            outgoing.add(wire.encode(item))
            # A finding is told at once: what it was found in may yet take the process down.
            if isinstance(item, Finding):
                outgoing.tell()
        outgoing.add(END)
    outgoing.tell()


Opened = tuple[int, Watched | None] | Gap
"""The descriptor of a file, and what watches over it if parts of it are missing."""


def open_blob(blob: Blob) -> tuple[Blob, Opened]:
    """A file with what `scan_opened` needs of it; a gap where it cannot be opened."""
    if blob.file is None:
        return blob, Gap(blob.path, "not a file on disk")
    try:
        descriptor = hold(blob.file)
        if blob.present is None:
            return blob, (descriptor, None)
        try:
            return blob, (descriptor, Watched(descriptor, blob.size, blob.present))
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        return blob, Gap(blob.path, f"cannot be read: {error.strerror or error}")


def scan_opened(blob: Blob, opened: Opened, task: Task, detectors: Detectors) -> Iterator[Item]:
    """What comes of a file, which is closed then.

    Where parts of it are missing, the last item says which of these were looked at.
    """
    if isinstance(opened, Gap):
        yield opened
        return
    descriptor, watched = opened
    try:
        before = os.fstat(descriptor)
        once = functools.cache(functools.partial(view, descriptor))
        if watched is not None:
            once = functools.cache(lambda: watched.view)
            if lacks := needed(watched.view, blob.present or (), Budget(task.limits)):
                yield Missing(blob.path, lacks)
                return
        held = dataclasses.replace(blob, open=once)
        yield from scan_file(held, task, detectors)
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            yield Gap(blob.path, "the file changed while it was read: scan it again")
        if watched is not None:
            yield Missing(blob.path, watched.missed())
    finally:
        os.close(descriptor)
        if watched is not None:
            watched.close()
