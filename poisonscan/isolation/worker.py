"""What happens inside a worker: open the files, give everything else up, read, tell."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from poisonscan.files import Detectors, Item, Task, scan_file
from poisonscan.finding import Finding, Gap
from poisonscan.isolation import sandbox, wire
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import hold, view

_BUFFERED: Final = 1 << 16
_RATE: Final = 10_000_000
"""Bytes a second below which a file counts as stuck, beside the seconds that every file has."""

END: Final = b"."
"""Says that a file is finished."""


def seconds(blob: Blob, limit: int) -> int:
    """Time that a file may take: the limit, and more for a large one."""
    return limit + blob.size // _RATE


def serve(
    blobs: Sequence[Blob], task: Task, write: Callable[[bytes], object], library: Any
) -> None:
    """Scan files in this process, which must be a worker, and tell what comes of it.

    Args:
        blobs: files on disk; they are opened before anything is given up.
        task: what to do with each.
        write: takes whole lines. The first names the layers of isolation; ``END`` ends each file.
        library: of `sandbox.libc`.
    """
    detectors = Detectors(task.rules)
    opened = [_open(blob) for blob in blobs]
    write(" ".join(sandbox.enter(library, task.limits.memory)).encode() + b"\n")
    pending: list[bytes] = []
    size = 0
    for blob, descriptor in opened:
        if blob.size > _BUFFERED:  # it may take a while, or for ever
            write(b"".join(pending))
            pending, size = [], 0
        sandbox.allow_seconds(seconds(blob, task.limits.seconds))
        for item in _scan(blob, descriptor, task, detectors):
            line = wire.encode(item) + b"\n"
            pending.append(line)
            size += len(line)
            # A finding is told at once: what it was found in may yet take the process down.
            if isinstance(item, Finding) or size > _BUFFERED:
                write(b"".join(pending))
                pending, size = [], 0
        pending.append(END + b"\n")
    write(b"".join(pending))


def _open(blob: Blob) -> tuple[Blob, int | Gap]:
    if blob.file is None:
        return blob, Gap(blob.path, "not a file on disk")
    try:
        return blob, hold(blob.file)
    except OSError as error:
        return blob, Gap(blob.path, f"cannot be read: {error.strerror or error}")


def _scan(blob: Blob, descriptor: int | Gap, task: Task, detectors: Detectors) -> Iterator[Item]:
    if isinstance(descriptor, Gap):
        yield descriptor
        return
    try:
        before = os.fstat(descriptor)
        once = functools.cache(functools.partial(view, descriptor))
        held = dataclasses.replace(blob, open=once)
        yield from scan_file(held, task, detectors)
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            yield Gap(blob.path, "the file changed while it was read: scan it again")
    finally:
        os.close(descriptor)
