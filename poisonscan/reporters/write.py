"""Put a report on disk whole or not at all, and only where a report may go."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_FLAGS = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def write(path: Path, text: str) -> None:
    """Replace a file by ``text`` in UTF-8, in one step; see ``write_parts``.

    Raises:
        OSError: as ``write_parts`` does.
    """
    write_parts(path, (text,))


def write_parts(path: Path, parts: Iterable[str]) -> None:
    """Replace a file by text that comes in parts, in UTF-8 and in one step.

    The text goes to a new file in the same folder, to the disk, and then takes the name. A reader
    sees the old report or the new one, and a full disk leaves the old one as it was. A new file is
    never readable by more people than the one that it replaces.

    Raises:
        OSError: the folder is missing or not writable, the disk is full, or the path is a link, a
            folder, a device or a pipe.
    """
    temporary, descriptor = _begun(path)
    try:
        with open(descriptor, "wb") as stream:  # noqa: PTH123 - a descriptor
            stream.writelines(part.encode() for part in parts)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def try_out(path: Path) -> None:
    """Begin to write a file and leave it: what does not work later fails here, all but a full disk.

    Raises:
        OSError: as ``write_parts`` does.
    """
    temporary, descriptor = _begun(path)
    os.close(descriptor)
    temporary.unlink()


def _begun(path: Path) -> tuple[Path, int]:
    """An empty file in the folder of ``path``, open to be written."""
    mode = _mode(path)
    temporary = path.with_name(f".poisonscan-{secrets.token_hex(8)}.tmp")
    return temporary, os.open(temporary, _FLAGS, mode)


def _mode(path: Path) -> int:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0o666
    if not stat.S_ISREG(status.st_mode):
        kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder"}
        what = kinds.get(stat.S_IFMT(status.st_mode), "not a regular file")
        raise OSError(errno.EINVAL, f"it is {what}, which is not written over", str(path))
    return stat.S_IMODE(status.st_mode)
