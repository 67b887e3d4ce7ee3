"""A helper process: reads what to do from standard input, tells on standard output."""

from __future__ import annotations

import functools
import json
import sys

from poisonscan.files import Task
from poisonscan.isolation import sandbox
from poisonscan.isolation.wire import encode
from poisonscan.isolation.worker import END, serve
from poisonscan.isolation.workers import Workers
from poisonscan.limits import Limits
from poisonscan.rules import all_rules
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import read


def main() -> None:
    """Scan the files that are asked for, one after another."""
    request = json.load(sys.stdin)
    rules = all_rules()
    task = Task(
        tuple(rules[rule] for rule in request["rules"]),
        request["kind"],
        Limits(**request["limits"]),
    )
    blobs = [_blob(*about) for about in request["blobs"]]
    if sys.platform == "linux":
        _relay(blobs, task)
    else:
        serve(blobs, task, _write, sandbox.libc())


def _blob(path: str, size: int, file: str, present: list[tuple[int, int]] | None) -> Blob:
    spans = None if present is None else tuple((begin, end) for begin, end in present)
    return Blob(path, size, functools.partial(read, file), file=file, present=spans)


def _relay(blobs: list[Blob], task: Task) -> None:
    """Let forked workers do it, which is safe in this process, and pass on what they tell."""
    workers = Workers(task)
    told = False
    for _, items in workers.run(blobs):
        if not told:
            _write(" ".join(workers.layers or ()).encode() + b"\n")
            told = True
        _write(b"".join(encode(item) + b"\n" for item in items) + END + b"\n")


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
