"""One line on standard error that says how far a long scan is. Nothing where nobody looks."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from poisonscan.escape import clip, escape

_PATIENCE: Final = 0.5
_INTERVAL: Final = 0.2
_NARROWEST: Final = 40
# A rate of a moment tells little, and what is nearly done needs no forecast.
_SETTLED: Final = 2.0


@dataclass(frozen=True, slots=True)
class _State:
    """How far the scan is.

    Attributes:
        what: is being done.
        done: how much of it.
        total: how much there is.
        first: what was done when it began.
        since: when it began, on the clock of ``time.monotonic``.
        told: when ``done`` was last told.
    """

    what: str
    done: int
    total: int
    first: int
    since: float
    told: float


def line(state: _State | None, now: float, seconds: float, width: int) -> str:
    """The line: what, how much of how much, how fast, how long so far and how long still.

    Args:
        state: how far the scan is; None: nothing was told yet.
        now: on the clock of ``time.monotonic``.
        seconds: since the scan began.
        width: characters that fit; the name of what is done gives way.
    """
    if state is None:
        return f"  {_clock(seconds)}"
    parts = [f"{state.done:,}/{state.total:,}"]
    if state.total:
        parts[0] += f"  {state.done / state.total:4.0%}"
    ahead, took = state.done - state.first, state.told - state.since
    if ahead > 0 and took >= _SETTLED:
        rate = ahead / took
        parts.append(f"{rate:.3g}/s" if rate < 100 else f"{rate:,.0f}/s")
        if (left := (state.total - state.done) / rate - (now - state.told)) >= 1:
            parts.append(f"about {_clock(left)} left")
    parts.append(_clock(seconds))
    rest = "  ".join(parts)
    return f"  {clip(escape(state.what), max(width - len(rest) - 4, 10))}  {rest}"[:width]


def _clock(seconds: float) -> str:
    """``7 s``, ``2:05 min`` or ``1:07 h``."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"


class _Drawing(threading.Thread):
    """Writes to the terminal and does nothing else: forked processes need not wait for it."""

    holds_no_locks = True


class ProgressLine:
    """Shows progress on a terminal; silent in a pipe.

    A thread draws the line, so that the time goes on while one large file is read.

    Args:
        enabled: False keeps it silent on a terminal too.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._state: _State | None = None
        self._started = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if enabled and sys.stderr.isatty():
            self._thread = _Drawing(target=self._draw, daemon=True)
            self._thread.start()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say how much is done; it shows when the scan has lasted for half a second."""
        now, state = time.monotonic(), self._state
        if state is None or state.what != what or done < state.done:
            state = _State(what, done, total, done, now, now)
        self._state = replace(state, done=done, total=total, told=now)

    def clear(self) -> None:
        """Take the line away and draw no more."""
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None

    def _draw(self) -> None:
        if self._over.wait(_PATIENCE):
            return
        while True:
            width = max(shutil.get_terminal_size().columns, _NARROWEST) - 1
            now = time.monotonic()
            sys.stderr.write(f"\r\x1b[2K{line(self._state, now, now - self._started, width)}")
            sys.stderr.flush()
            if self._over.wait(_INTERVAL):
                break
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()
