"""Files and folders on disk, opened so that no name, link or device leads astray."""

from __future__ import annotations

import functools
import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from poisonscan.finding import Gap, Skipped
from poisonscan.sources.base import Blob

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
IGNORED = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules"})
"""Folders of tools, which are no part of what is scanned."""
_COPY_BELOW = 1 << 20


def read(file: str) -> memoryview:
    """A read-only view of a regular file.

    Small files are copied, so that a file cut short while it is read cannot take the process down;
    large ones are mapped.

    Raises:
        OSError: it cannot be opened or is not a regular file.
    """
    descriptor = hold(file)
    try:
        return view(descriptor)
    finally:
        os.close(descriptor)


def hold(file: str) -> int:
    """An open descriptor of a regular file; whoever asks closes it.

    Raises:
        OSError: it cannot be opened or is not a regular file.
    """
    descriptor = os.open(file, _FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        message = "not a regular file"
        raise OSError(message)
    return descriptor


def view(descriptor: int) -> memoryview:
    """A read-only view of all bytes of an open file, as `read` gives it.

    Raises:
        OSError: it cannot be read.
    """
    if os.fstat(descriptor).st_size < _COPY_BELOW:
        os.lseek(descriptor, 0, os.SEEK_SET)
        data = os.read(descriptor, _COPY_BELOW)
        while len(data) < _COPY_BELOW and (more := os.read(descriptor, _COPY_BELOW - len(data))):
            data += more
        return memoryview(data)
    return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))


class Disk:
    """One file, or all files below a folder.

    Args:
        target: an existing path.
        root: paths in the report are relative to this folder where the target lies below it.
    """

    def __init__(self, target: Path, root: Path) -> None:
        self.target = target
        self.root = root

    def blobs(self) -> Iterator[Blob | Gap | Skipped]:
        """Every regular file in order of path. Links are followed only inside the target."""
        if not self.target.is_dir():
            yield _blob(self._name(self.target), os.fspath(self.target))
            return
        pending = [self.target]
        while pending:
            folder = pending.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError as error:
                yield Gap(self._name(folder), f"folder cannot be listed: {error.strerror}")
                continue
            subfolders: list[Path] = []
            here = self._name(folder)
            prefix = "" if here == "." else here + "/"
            for entry in entries:
                if entry.is_symlink():
                    yield self._link(Path(entry.path))
                elif entry.is_dir(follow_symlinks=False):
                    if entry.name in IGNORED:
                        yield Skipped(prefix + entry.name, "folder of tools, not of data or models")
                    else:
                        subfolders.append(Path(entry.path))
                else:
                    yield _blob(prefix + entry.name, entry.path)
            pending.extend(reversed(subfolders))

    def _link(self, path: Path) -> Blob | Gap | Skipped:
        name = self._name(path)
        try:
            target = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return Gap(name, "link that leads nowhere")
        if not target.is_relative_to(self.target.resolve()):
            if target.is_file() and _is_hub_blob(path, target):
                return _blob(name, os.fspath(target))
            return Gap(name, "link that leaves the scanned folder: not followed")
        inside = target.relative_to(self.target.resolve())
        # What a file is taken for depends on its name as well, so another name is another file.
        unseen = not IGNORED.isdisjoint(inside.parts)
        if target.is_file() and (unseen or path.name.lower() != target.name.lower()):
            return _blob(name, os.fspath(target))
        if unseen:
            return Gap(name, "link into a folder of tools, which is not scanned: not followed")
        return Skipped(name, "link to something scanned under its own name")

    def _name(self, path: Path) -> str:
        absolute = _absolute(path)
        if absolute.is_relative_to(self.root):
            return absolute.relative_to(self.root).as_posix()
        return absolute.relative_to(_absolute(self.target).parent).as_posix()


def is_among(blob: Blob, files: frozenset[str]) -> bool:
    """Whether a file is one of some; a link to one of them under another name is not.

    Args:
        blob: the file.
        files: real paths.
    """
    file = blob.file or ""
    own = blob.path.rpartition("/")[2] == os.path.basename(file)  # noqa: PTH119 - of many files
    return own and os.path.realpath(file) in files


def _blob(name: str, file: str) -> Blob | Gap:
    try:
        status = os.stat(file)  # noqa: PTH116 - no Path made for each of many files
    except OSError as error:
        return Gap(name, f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return Gap(name, "not a regular file (device, socket or pipe)")
    return Blob(name, status.st_size, functools.partial(read, file), file=file)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def _is_hub_blob(link: Path, target: Path) -> bool:
    """The Hub cache's own layout: ``snapshots/<commit>/… -> blobs/<hash>`` of one repository."""
    parts = link.absolute().parts
    if "snapshots" not in parts:
        return False
    last = len(parts) - 1 - parts[::-1].index("snapshots")
    return target.parent == Path(*parts[:last], "blobs").resolve()
