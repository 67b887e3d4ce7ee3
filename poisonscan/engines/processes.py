"""Forked processes: when forking is safe, what a process may take, and how one ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import resource

_IDLE: Final = ("ExecutorManagerThread", "QueueFeederThread")
"""Threads of joblib's pool, which wait for work that only this process gives."""
_TICK: Final = 0.002
_DATA: Final = 5
"""Which number of ``/proc/self/statm`` counts the pages of data."""


def may_fork() -> bool:
    """Whether no other thread may hold a lock that the forked process would wait for for ever."""
    others = (thread for thread in threading.enumerate() if thread != threading.current_thread())
    return sys.platform == "linux" and all(
        getattr(thread, "holds_no_locks", False) or thread.name in _IDLE for thread in others
    )


def held() -> int:
    """Bytes of data that this process holds, as a limit counts them; 0 where it cannot be known.

    A fork starts with those of the process that it came from.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_bytes().split()[_DATA])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def limit_memory(more: int) -> None:
    """Let this process allocate so many bytes beyond what it holds; file mappings do not count."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = [held() + more, *(value for value in (soft, hard) if value >= 0)]
        resource.setrlimit(resource.RLIMIT_DATA, (min(wanted), hard))


def reap(pid: int, *, patience: float) -> int:
    """The exit code of a forked process; one that does not end within its patience is killed."""
    deadline = time.monotonic() + patience
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= deadline:
            break
        time.sleep(_TICK)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def cause(code: int) -> str:
    """Why a process ended before its time, by its exit code."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = f"signal {-code}"
    return f"was killed by {name}"
