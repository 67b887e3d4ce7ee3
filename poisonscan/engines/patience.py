"""How long a process may work without a sign that it gets on: a decoder may never end.

The kernel counts the CPU time, so that no library can put it off, and a busy machine is no reason.
"""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS: Final = 300
"""CPU time from one sign to the next; a batch of rows takes seconds of it at most."""

_seconds = 0.0
"""That of this process; 0 where nothing is counted."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Within, this process dies of ``SIGPROF`` where it gives no sign for so long.

    Only for processes that were forked for a task.
    """
    global _seconds
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _seconds = seconds
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        _seconds = 0.0
        signal.setitimer(signal.ITIMER_PROF, 0)


def sign() -> None:
    """Say that work gets on."""
    if _seconds:
        signal.setitimer(signal.ITIMER_PROF, _seconds)


def ran_out(code: int) -> bool:
    """Whether a process ended for lack of a sign, by its exit code."""
    return code < 0 and code == -getattr(signal, "SIGPROF", 0)
