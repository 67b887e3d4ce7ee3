"""Fetches a repository at one commit into a folder; what is not what the Hub lists is not kept.

Large files can be left to `Parts`, which fetches what turns out to be needed of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from poisonscan.finding import Gap
from poisonscan.origin import Verdict
from poisonscan.sources.hub import cache
from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.client import Client
from poisonscan.sources.hub.environment import Environment
from poisonscan.sources.hub.errors import HubError
from poisonscan.sources.hub.listing import Entry, Listing, file_url, list_files
from poisonscan.sources.hub.names import refusal
from poisonscan.sources.hub.store import store
from poisonscan.sources.hub.verdicts import list_verdicts

_K = TypeVar("_K")
_R = TypeVar("_R")

MOST_BYTES: Final = 20 << 30
"""Bytes of one target that are fetched where nobody says otherwise."""
MOST_FETCHED: Final = 20_000
"""Files of one target that are fetched; a request is made for each."""
LARGE: Final = 2 << 20
"""Bytes from which a file may be fetched in parts."""
LARGEST: Final = 512 << 30
"""Bytes of the largest file that is. The system needs memory for each page of zeros that is looked
at, a gigabyte for so many: who only states a size must not have all of it."""
FIRST: Final = 256 << 10
LAST: Final = 128 << 10
"""Bytes that are fetched of each such file: headers, and directories that stand at the end."""
_AT_ONCE: Final = 4
Told = Callable[[int, int], None]
"""Called with how many files are fetched and how many there are."""


@dataclass(frozen=True, slots=True)
class Place:
    """A repository at one commit, and the folder that it is fetched into.

    Attributes:
        keep: whether what is fetched whole is kept in the Hub's cache.
    """

    client: Client
    environment: Environment
    address: Address
    commit: str
    folder: Path
    keep: bool = False

    @property
    def cache(self) -> cache.Kept:
        """What is kept of the repository on this machine, and is used without asking the Hub."""
        return cache.Kept(cache.folder(self.environment.cache, self.address), self.commit)

    def file(self, entry: Entry) -> Path:
        """Where a file is put."""
        return self.folder.joinpath(*entry.path.split("/"))

    def url(self, entry: Entry) -> str:
        """Where a file comes from."""
        return file_url(self.client, self.address, self.commit, entry.path)

    def kept(self, entry: Entry) -> str:
        """Take a file from the cache; returns why that could not be done, or an empty text."""
        try:
            self.cache.take(entry, self.file(entry))
        except HubError as error:
            return f"not scanned: HF_HUB_OFFLINE is set: {error}"
        return self._keep(entry, self.cache.point)

    def whole(self, entry: Entry) -> str:
        """Fetch a file; returns why it could not be done, or an empty text."""
        try:
            self.client.again(lambda: self._download(entry))
        except HubError as error:
            return f"not fetched: {error}"
        return self._keep(entry, lambda entry: self.cache.add(entry, self.file(entry)))

    def _keep(self, entry: Entry, act: Callable[[Entry], None]) -> str:
        """Keep a file that is in the folder, or have it nowhere."""
        try:
            if self.keep:
                act(entry)
        except HubError as error:
            self.file(entry).unlink()
            return f"not scanned: {error}"
        return ""

    def _download(self, entry: Entry) -> None:
        with self.client.get(self.url(entry), entry.size) as (answer, pieces):
            announced = answer.headers.get("Content-Length", "")
            if announced.isdecimal() and int(announced[:20]) != entry.size:
                message = f"{announced[:20]} bytes are announced, and the Hub lists {entry.size:,}"
                raise HubError(message)
            store(pieces, entry, self.file(entry))


@dataclass(slots=True)
class Copy:
    """What was fetched.

    Attributes:
        listing: what the repository holds.
        place: where it is, and where it comes from.
        verified: paths of the files that are in the folder, equal to what the Hub lists.
        cached: those of them that were on this machine before.
        partly: files that were left to be fetched in parts.
        most: bytes that may be fetched.
        left: how many of them are left.
        gaps: what is not in the folder, by path in the repository; ``.`` is the repository itself.
        verdicts: of the Hub's own scanners, by path.
        scanners: why some are missing; empty where they are not.
    """

    listing: Listing
    place: Place
    verified: set[str] = field(default_factory=set)
    cached: set[str] = field(default_factory=set)
    partly: list[Entry] = field(default_factory=list)
    most: int = MOST_BYTES
    left: int = MOST_BYTES
    gaps: list[Gap] = field(default_factory=list)
    verdicts: dict[str, tuple[Verdict, ...]] = field(default_factory=dict)
    scanners: str = "were not asked: HF_HUB_OFFLINE is set"


def fetch(
    address: Address,
    folder: Path,
    environment: Environment,
    *,
    most: int | None = None,
    partly: bool = False,
    keep: bool = False,
    client: Client | None = None,
    told: Told = lambda *_: None,
) -> Copy:
    """Fetch every file of a repository, or of a part of it, that its limits allow.

    Args:
        address: what to fetch.
        folder: empty, and nobody else's; files get their places in it.
        environment: where the Hub is.
        most: bytes to fetch at most; small files come first. None: ``MOST_BYTES``.
        partly: leave out large files, for `Parts`.
        keep: put what is fetched whole into the Hub's cache as well.
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
    keep = keep and not environment.offline
    place = Place(client, environment, address, listing.commit, folder, keep)
    limit = MOST_BYTES if most is None else most
    copy = Copy(listing, place, most=limit, left=limit)
    copy.gaps += [Gap(".", note) for note in listing.notes]
    if keep:
        place.cache.describe(listing, address)
    if not environment.offline:
        copy.verdicts, copy.scanners = list_verdicts(client, address, listing.commit)
    entries = _from_cache(copy, _fetchable(copy), told)
    for entry, reason in at_once(client, place.whole, _choose(copy, entries, partly=partly), told):
        if reason:
            copy.gaps.append(Gap(entry.path, reason))
        else:
            copy.verified.add(entry.path)
    if keep:
        place.cache.name(address.revision, complete=not copy.gaps)
    return copy


def _fetchable(copy: Copy) -> list[Entry]:
    """Files that can be fetched and verified, the small ones first; a gap for each other one."""
    found = []
    for entry in sorted(copy.listing.entries, key=lambda entry: (entry.size, entry.path)):
        if reason := refusal(entry.path):
            copy.gaps.append(Gap(entry.path, f"not fetched: {reason}"))
        elif not entry.digest:
            text = "not fetched: the Hub lists no hash to compare it with"
            copy.gaps.append(Gap(entry.path, text))
        else:
            found.append(entry)
    return found


def _from_cache(copy: Copy, entries: list[Entry], told: Told) -> list[Entry]:
    """Take files from the cache; gives those that have to be fetched."""
    offline, place = copy.place.environment.offline, copy.place
    kept = [entry for entry in entries if offline or place.cache.find(entry) is not None]
    for entry, reason in at_once(place.client, place.kept, kept, told):
        if not reason:
            copy.cached.add(entry.path)
        elif offline:
            copy.gaps.append(Gap(entry.path, reason))
    copy.verified |= copy.cached
    return [] if offline else [entry for entry in entries if entry.path not in copy.cached]


def at_once(
    client: Client, job: Callable[[_K], _R], items: Iterable[_K], told: Told = lambda *_: None
) -> list[tuple[_K, _R]]:
    """Do something for each item, some at a time.

    Args:
        client: is stopped when somebody interrupts; it holds no connection afterwards.
        job: what to do; what it raises is raised.
        items: for what.
        told: called after each.
    """
    found = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = {pool.submit(job, item): item for item in items}
        try:
            for done, future in enumerate(as_completed(running), 1):
                found.append((running[future], future.result()))
                told(done, len(running))
        finally:
            if len(found) < len(running):  # the user has no more patience
                client.stopped.set()
            pool.shutdown(cancel_futures=True)
            client.connections.close()
    return found


def _choose(copy: Copy, entries: Iterable[Entry], *, partly: bool) -> list[Entry]:
    """Files to fetch whole; a gap for each that is not fetched at all."""
    chosen: list[Entry] = []
    crowd = 0
    for entry in entries:
        parts = partly and LARGE < entry.size <= LARGEST
        cost = FIRST + LAST if parts else entry.size
        if cost > copy.left:
            copy.gaps.append(Gap(entry.path, f"not fetched: {too_large(entry, copy.most)}"))
        elif len(chosen) + len(copy.partly) == MOST_FETCHED:
            crowd += 1
        else:
            (copy.partly if parts else chosen).append(entry)
            copy.left -= cost
    if crowd:
        text = f"{crowd:,} files were not fetched: more than {MOST_FETCHED:,}; name a folder of it"
        copy.gaps.append(Gap(".", text))
    return chosen


def too_large(entry: Entry, most: int) -> str:
    """Why a file is left out where bytes are limited."""
    return f"it has {entry.size:,} bytes, and --max-download is {most:,} for all"
