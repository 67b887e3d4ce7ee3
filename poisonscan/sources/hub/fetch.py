"""Fetches a repository at one commit into a folder; what is not what the Hub lists is not kept."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from poisonscan.finding import Gap
from poisonscan.sources.hub import cache
from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.client import Client
from poisonscan.sources.hub.environment import Environment
from poisonscan.sources.hub.errors import Again, HubError
from poisonscan.sources.hub.listing import Entry, Listing, file_url, list_files
from poisonscan.sources.hub.names import refusal

MOST_BYTES: Final = 20 << 30
"""Bytes of one target that are fetched where nobody says otherwise."""
MOST_FETCHED: Final = 20_000
"""Files of one target that are fetched; a request is made for each."""
_AT_ONCE: Final = 4
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_Write = Callable[[bytes], None]
Told = Callable[[int, int], None]
"""Called with how many files are fetched and how many there are."""


@dataclass(slots=True)
class Copy:
    """What was fetched.

    Attributes:
        listing: what the repository holds.
        verified: paths of the files that are in the folder, equal to what the Hub lists.
        gaps: what is not, by path in the repository; ``.`` is the repository itself.
    """

    listing: Listing
    verified: set[str] = field(default_factory=set)
    gaps: list[Gap] = field(default_factory=list)


def fetch(
    address: Address,
    folder: Path,
    environment: Environment,
    *,
    most: int | None = None,
    client: Client | None = None,
    told: Told = lambda *_: None,
) -> Copy:
    """Fetch every file of a repository, or of a part of it, that its limits allow.

    Args:
        address: what to fetch.
        folder: empty, and nobody else's; files get their places in it.
        environment: where the Hub is.
        most: bytes to fetch at most; small files come first. None: ``MOST_BYTES``.
        client: made from the environment if None.
        told: called after each file.

    Raises:
        HubError: nothing can be known about the repository.
        NoSuchRepository: there is nothing of that name.
    """
    client = client or Client(environment)
    if environment.offline:
        listing = cache.list_cached(environment.cache, address)
    else:
        listing = list_files(client, address)
    copy = Copy(listing, gaps=[Gap(".", note) for note in listing.notes])
    wanted = _choose(listing, MOST_BYTES if most is None else most, copy.gaps)
    job = functools.partial(_fetch_one, client, environment, address, listing.commit, folder)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = {pool.submit(job, entry): entry for entry in wanted}
        try:
            for done, future in enumerate(as_completed(running), 1):
                reason, path = future.result(), running[future].path
                if reason:
                    copy.gaps.append(Gap(path, reason))
                else:
                    copy.verified.add(path)
                told(done, len(wanted))
        finally:  # nothing is left to do, or the user has no more patience
            client.stopped.set()
            pool.shutdown(cancel_futures=True)
    return copy


def _choose(listing: Listing, most: int, gaps: list[Gap]) -> list[Entry]:
    """Files to fetch, the small ones first; a gap for each that is not."""
    chosen: list[Entry] = []
    left = most
    crowd = 0
    for entry in sorted(listing.entries, key=lambda entry: (entry.size, entry.path)):
        if reason := refusal(entry.path):
            gaps.append(Gap(entry.path, f"not fetched: {reason}"))
        elif not entry.digest:
            gaps.append(Gap(entry.path, "not fetched: the Hub lists no hash to compare it with"))
        elif entry.size > left:
            text = (
                f"not fetched: it has {entry.size:,} bytes, and --max-download is {most:,} for all"
            )
            gaps.append(Gap(entry.path, text))
        elif len(chosen) == MOST_FETCHED:
            crowd += 1
        else:
            chosen.append(entry)
            left -= entry.size
    if crowd:
        text = f"{crowd:,} files were not fetched: more than {MOST_FETCHED:,}; name a folder of it"
        gaps.append(Gap(".", text))
    return chosen


def _fetch_one(
    client: Client,
    environment: Environment,
    address: Address,
    commit: str,
    folder: Path,
    entry: Entry,
) -> str:
    """Put a file into the folder; returns why it could not be done, or an empty text."""
    kept = cache.folder(environment.cache, address) / "blobs" / entry.digest
    try:
        if kept.is_file():
            with contextlib.suppress(HubError):
                _store(cache.pieces(kept), entry, folder)
                return ""
        if environment.offline:
            return "not scanned: the cached file does not have the hash that is its name"

        def download() -> None:
            url = file_url(client, address, commit, entry.path)
            with client.get(url, entry.size) as (answer, pieces):
                announced = answer.headers.get("Content-Length", "")
                if announced.isdecimal() and int(announced[:20]) != entry.size:
                    message = (
                        f"{announced[:20]} bytes are announced, and the Hub lists {entry.size:,}"
                    )
                    raise HubError(message)
                _store(pieces, entry, folder)

        client.again(download)
    except HubError as error:
        return f"not fetched: {error}"
    except OSError as error:
        return f"not fetched: {error.strerror or type(error).__name__}"
    return ""


def _store(pieces: Iterator[bytes], entry: Entry, folder: Path) -> None:
    """Write a file that has the size and the hash that it must have, or none.

    Raises:
        HubError: it has not, or it cannot be written.
    """
    file = folder.joinpath(*entry.path.split("/"))
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
        raise _cannot(error) from error

    def write(piece: bytes) -> None:
        view = memoryview(piece)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
        except OSError as error:
            raise _cannot(error) from error

    finished = False
    try:
        yield write
        finished = True
    finally:
        os.close(descriptor)
        if not finished:
            file.unlink()


def _cannot(error: OSError) -> HubError:
    return HubError(f"it cannot be stored ({error.strerror}); --scratch names another folder")
