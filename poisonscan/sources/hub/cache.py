"""The folder in which the Hub's own client keeps files: under their hashes, which are not trusted.

Its layout is ``models--org--name/{refs/REVISION, snapshots/COMMIT/…, blobs/HASH}``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from poisonscan.escape import quote
from poisonscan.sources.disk import hold
from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.connection import PIECE
from poisonscan.sources.hub.errors import HubError, NoSuchRepository
from poisonscan.sources.hub.listing import COMMIT, MOST_FILES, Entry, Listing

_INCOMPLETE = "offline: what the Hub's cache on disk does not hold was not scanned"


def folder(cache: Path, address: Address) -> Path:
    """Where a repository is kept."""
    return cache / "--".join((f"{address.type}s", *address.repository.split("/")))


def pieces(file: Path) -> Iterator[bytes]:
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


def list_cached(cache: Path, address: Address) -> Listing:
    """What is kept of a repository, where nothing else may be asked.

    Raises:
        NoSuchRepository: nothing is kept of it at that revision.
    """
    kept = folder(cache, address)
    commit = address.revision
    if not COMMIT.fullmatch(commit):
        commit = ""
        with (
            contextlib.suppress(OSError, ValueError),
            kept.joinpath("refs", *address.revision.split("/")).open() as stream,
        ):
            commit = stream.read(100).strip()
    snapshot = kept / "snapshots" / commit
    if not COMMIT.fullmatch(commit) or not snapshot.is_dir():
        message = (
            f"HF_HUB_OFFLINE is set, and {quote(os.fspath(cache))} does not hold "
            f"{quote(address.at(address.revision))}"
        )
        raise NoSuchRepository(message)
    entries = []
    for place, _, names in os.walk(snapshot):
        for name in names:
            file = Path(place, name)
            path = file.relative_to(snapshot).as_posix()
            if address.path and path != address.path and not path.startswith(address.path + "/"):
                continue
            digest = Path(os.path.realpath(file)).name
            with contextlib.suppress(OSError):
                entries.append(
                    Entry(path, file.stat().st_size, digest if COMMIT.fullmatch(digest) else "")
                )
    return Listing(
        commit, tuple(sorted(entries, key=lambda e: e.path)[:MOST_FILES]), (_INCOMPLETE,)
    )
