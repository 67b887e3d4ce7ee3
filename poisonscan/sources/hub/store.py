"""Puts a file into a folder if it is what the Hub lists, and nothing if it is not."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from poisonscan.sources.hub.errors import Again, HubError
from poisonscan.sources.hub.listing import Entry

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_Write = Callable[[bytes], None]


def store(pieces: Iterator[bytes], entry: Entry, file: Path) -> None:
    """Write a file that has the size and the hash that it must have, or none.

    Raises:
        HubError: it has not, or it cannot be written.
    """
    digest = _digest(entry)
    count = 0
    with _written(file) as write:
        for piece in pieces:
            count += len(piece)
            digest.update(piece)
            write(piece)
        if count != entry.size:
            message = f"{count:,} bytes came, and the Hub lists {entry.size:,}"
            raise Again(message)
        if digest.hexdigest() != entry.digest:
            kind = entry.named.partition(":")[0]
            message = (
                f"its content is not what the Hub lists: {kind} {digest.hexdigest()}, "
                f"not {entry.digest}. Do not use this file"
            )
            raise HubError(message)


def _digest(entry: Entry) -> hashlib._Hash:
    if len(entry.digest) == 64:
        return hashlib.sha256()
    # What git calls a blob: its hash begins with a header that says how long it is.
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % entry.size)
    return digest


@contextlib.contextmanager
def _written(file: Path) -> Iterator[_Write]:
    """Write a new file that is removed again when it is not finished.

    Raises:
        HubError: it cannot be written, or there is one.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, _NEW, 0o600)
    except FileExistsError as error:
        message = "another file of the repository has a name that is the same here"
        raise HubError(message) from error
    except OSError as error:
        raise cannot_store(error) from error

    def write(piece: bytes) -> None:
        view = memoryview(piece)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise cannot_store(error) from error

    finished = False
    try:
        yield write
        finished = True
    finally:
        os.close(descriptor)
        if not finished:
            file.unlink()


def cannot_store(error: OSError) -> HubError:
    """That a file cannot be written."""
    return HubError(f"it cannot be stored ({error.strerror}); --scratch names another folder")
