"""One line on standard error that says how far a long scan is. Nothing where nobody looks."""

from __future__ import annotations

import sys
import time
from typing import Final

from poisonscan.escape import clip, escape

_INTERVAL: Final = 0.1
_PATIENCE: Final = 0.5


class ProgressLine:
    """Shows progress on a terminal; silent in a pipe.

    Args:
        enabled: False keeps it silent on a terminal too.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr.isatty()
        self._started = time.monotonic()
        self._shown = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say how much is done; drawn at most ten times a second, and not for short work."""
        now = time.monotonic()
        if not self._enabled or now - self._started < _PATIENCE or now - self._shown < _INTERVAL:
            return
        self._shown = now
        line = f"  {clip(escape(what), 50)}  {done:,}/{total:,}  {now - self._started:.0f} s"
        sys.stderr.write(f"\r\x1b[2K{line}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
