"""Puts a file into a folder if it is what the Hub lists, and nothing if it is not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from poisonscan.sources.disk import hold
from poisonscan.sources.hub.connection import PIECE
from poisonscan.sources.hub.errors import Again, HubError
from poisonscan.sources.hub.listing import Entry

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_Write = Callable[[bytes], None]


def store(pieces: Iterable[bytes], entry: Entry, file: Path) -> None:
    """Write a file that has the size and the hash that it must have, or none.

    Raises:
        HubError: it has not, or it cannot be written.
    """
    with _written(file) as write:
        _check(pieces, entry, write)


def linked(kept: Path, file: Path, entry: Entry) -> bool:
    """Give a file that is on disk a second name if it is what it must be: it is not copied.

    Returns:
        Whether that is possible there.

    Raises:
        HubError: it is not what it must be.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        os.link(os.path.realpath(kept), file)
    except OSError:
        return False
    try:
        _check(pieces_of(file), entry, lambda _: None)
    except HubError:
        file.unlink()
        raise
    return True


def pieces_of(file: Path) -> Iterator[bytes]:
    """What a cached file holds.

    Raises:
        HubError: it cannot be read.
    """
    try:
        with os.fdopen(hold(os.fspath(file)), "rb") as stream:
            while piece := stream.read(PIECE):
                yield piece
    except OSError as error:
        message = f"the cached file cannot be read: {error.strerror or error}"
        raise HubError(message) from error


def put(source: Path, place: Path, *, symbolic: bool = False) -> None:
    """Let a file stand in another place as well, at once and whatever stands there now.

    Args:
        source: the file.
        place: where it is to stand; its folder exists.
        symbolic: by a relative symbolic link, where there are any.

    Raises:
        OSError: it cannot be put there.
    """
    with _beside(place) as new:
        if symbolic:
            with contextlib.suppress(OSError):
                new.symlink_to(os.path.relpath(source, place.parent))
                return
        try:
            new.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, new)


def write(data: bytes, place: Path) -> None:
    """Let a place hold these bytes, at once.

    Raises:
        OSError: it cannot.
    """
    with _beside(place) as new:
        new.write_bytes(data)


@contextlib.contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A name for what takes the place when it is finished; whoever looks sees the old or the new.

    Raises:
        OSError: it cannot take the place.
    """
    new = place.with_name(f"{secrets.token_hex(8)}.incomplete")
    try:
        yield new
        new.replace(place)
    finally:
        new.unlink(missing_ok=True)  # it is still there, too, where both were the same file before


def _check(pieces: Iterable[bytes], entry: Entry, take: _Write) -> None:
    """Pass pieces on, and raise if they are not what the Hub lists."""
    digest = _digest(entry)
    count = 0
    for piece in pieces:
        count += len(piece)
        digest.update(piece)
        take(piece)
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

    Who may read its folder may read it: it may be kept in a cache that is shared.

    Raises:
        HubError: it cannot be written, or there is one.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(file, _NEW, 0o666)
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
