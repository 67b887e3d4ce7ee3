"""One line on standard error that says how far a long scan is. Nothing where nobody looks."""

from __future__ import annotations

import sys
import threading
import time
from typing import Final

from poisonscan.escape import clip, escape

_PATIENCE: Final = 0.5
_INTERVAL: Final = 0.2


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
        self._what = ""
        self._started = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if enabled and sys.stderr.isatty():
            self._thread = _Drawing(target=self._draw, daemon=True)
            self._thread.start()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say how much is done; it shows when the scan has lasted for half a second."""
        share = f"  {done / total:4.0%}" if total else ""
        self._what = f"{clip(escape(what), 60)}  {done:,}/{total:,}{share}"

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
            seconds = time.monotonic() - self._started
            sys.stderr.write(f"\r\x1b[2K  {self._what}  {seconds:.0f} s")
            sys.stderr.flush()
            if self._over.wait(_INTERVAL):
                break
        sys.stderr.write("\r\x1b[2K")
        sys.stderr.flush()
