"""What a repository holds at one commit, with the hashes that its files must have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote as percent

from poisonscan.escape import clip, escape, quote
from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.client import Client
from poisonscan.sources.hub.errors import HubError, NoSuchRepository

MOST_FILES: Final = 200_000
_MOST_PAGES: Final = 1_000
COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a repository.

    Attributes:
        path: as the repository has it; nobody has checked it.
        size: bytes.
        digest: what it must have: 64 hex digits are its SHA-256, 40 the id of its git blob; empty
            if the Hub tells none.
        blob: id of the git blob that a large file has in its place; empty for others.
    """

    path: str
    size: int
    digest: str
    blob: str = ""

    @property
    def named(self) -> str:
        """The digest with what it is a digest of."""
        return f"{'sha256' if len(self.digest) == 64 else 'git-blob-sha1'}:{self.digest}"


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit.

    Attributes:
        commit: 40 or 64 hex digits.
        entries: its files.
        notes: what could not be listed.
    """

    commit: str
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()


def list_files(client: Client, address: Address) -> Listing:
    """Find the commit that a revision stands for now, and what it holds.

    Raises:
        HubError: the Hub cannot be read.
        NoSuchRepository: there is no such repository, revision or path, or it may not be read.
    """
    base = f"{client.endpoint}/api/{address.type}s/{address.repository}"
    what = quote(address.at(escape(address.revision)))
    try:
        about, _ = client.json(f"{base}/revision/{percent(address.revision, safe='')}")
    except NoSuchRepository as error:
        message = f"{what} cannot be read: {error}"
        raise NoSuchRepository(message) from error
    commit = about.get("sha") if isinstance(about, dict) else None
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        message = f"the Hub does not say which commit {what} is"
        raise HubError(message)
    entries: list[Entry] = []
    notes: list[str] = []
    url: str | None = f"{base}/tree/{commit}?recursive=true"
    seen: set[str] = set()
    while url:
        if url in seen:
            notes.append("the Hub's list of files goes in circles: the rest is not known")
            break
        seen.add(url)
        page, url = client.json(url)
        if not isinstance(page, list):
            message = "the Hub's list of files is none"
            raise HubError(message)
        for item in page:
            _take(item, address, entries, notes)
        if len(entries) + len(notes) > MOST_FILES or (url and len(seen) == _MOST_PAGES):
            del entries[MOST_FILES:]
            notes.append(f"it holds more than {MOST_FILES:,} files; the rest was not looked at")
            break
    if address.path and not entries and not notes:
        message = f"{what} holds no file or folder {quote(address.path)}"
        raise NoSuchRepository(message)
    return Listing(commit, tuple(entries), tuple(notes))


def _take(item: Any, address: Address, entries: list[Entry], notes: list[str]) -> None:
    """Add an entry of the Hub's list, if it is a file in the path that was asked for."""
    if not isinstance(item, dict) or item.get("type") == "directory":
        return
    name = item.get("path")
    if not isinstance(name, str):
        notes.append("the Hub lists a file without a name")
        return
    if not address.covers(name):
        return
    lfs = item.get("lfs")
    about = lfs if isinstance(lfs, dict) else item
    size, digest = about.get("size"), about.get("oid")
    digest = digest_of(digest.removeprefix("sha256:") if isinstance(digest, str) else "")
    if type(size) is not int or not 0 <= size < 1 << 60:
        notes.append(f"the Hub does not say how large {quote(clip(name))} is: not fetched")
        return
    if len(digest) != (64 if about is lfs else 40):
        digest = ""
    pointer = item.get("oid") if about is lfs else ""
    entries.append(Entry(name, size, digest, digest_of(pointer)))


def digest_of(text: Any) -> str:
    """A text that is the id of a git blob, or a SHA-256; empty if it is neither."""
    return text if isinstance(text, str) and COMMIT.fullmatch(text) else ""


def file_url(client: Client, address: Address, commit: str, path: str) -> str:
    """Where the bytes of a file are."""
    folder = "" if address.type == "model" else f"{address.type}s/"
    name = percent(path, safe="/")
    return f"{client.endpoint}/{folder}{address.repository}/resolve/{commit}/{name}"
