"""The folder in which the Hub's own client keeps files: under their hashes, which are not trusted.

Its layout is that of huggingface_hub 2.4 (``file_download.py`` and ``_tree_cache.py`` there)::

    models--org--name/refs/REVISION          the commit that it stood for
    models--org--name/trees/COMMIT.json      what the repository holds at a commit; may be missing
    models--org--name/snapshots/COMMIT/PATH  links into blobs; files where there are no links
    models--org--name/blobs/HASH             SHA-256 of large files, id of the git blob of others
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from poisonscan.escape import quote
from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.errors import HubError, NoSuchRepository
from poisonscan.sources.hub.listing import COMMIT, MOST_FILES, Entry, Listing, digest_of
from poisonscan.sources.hub.store import linked, pieces_of, put, store, write

TREE: Final = 1
"""The version of the list of files; others are not read."""
_LARGEST_TREE: Final = 64 << 20
_NO_TREE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
_INCOMPLETE: Final = "offline: what the Hub's cache on disk does not hold was not scanned"


@dataclass(frozen=True, slots=True)
class Kept:
    """What the cache holds of a repository at one commit, or is to hold.

    Attributes:
        root: the repository's folder.
        commit: 40 or 64 hex digits.
    """

    root: Path
    commit: str

    def find(self, entry: Entry) -> Path | None:
        """Where a file is, if it is there: what a loader would open comes first.

        Args:
            entry: its name leads nowhere else, and it has a digest.
        """
        for file in (self._place(entry), self._blob(entry)):
            if os.path.lexists(file):
                return file
        return None

    def take(self, entry: Entry, file: Path) -> None:
        """Put a file that is kept into a folder, if it is what it must be.

        Raises:
            HubError: it is not.
        """
        kept = self.find(entry)
        if kept is None:
            message = "the cache does not hold it"
            raise HubError(message)
        if not linked(kept, file, entry):
            store(pieces_of(kept), entry, file)

    def add(self, entry: Entry, file: Path) -> None:
        """Keep a file that was verified, where the Hub's own client looks for it.

        Args:
            entry: what the Hub lists.
            file: a file of its own, which stays.

        Raises:
            HubError: it cannot be kept.
        """
        with _keeping():
            self._blob(entry).parent.mkdir(parents=True, exist_ok=True)
            put(file, self._blob(entry))
            self._lead(entry)

    def point(self, entry: Entry) -> None:
        """Let a file of the commit that is missing lead to its content, which was verified.

        One that is there is what was verified, and its content may be bad.

        Raises:
            HubError: it cannot.
        """
        with _keeping():
            if not os.path.lexists(self._place(entry)):
                self._lead(entry)

    def _lead(self, entry: Entry) -> None:
        place = self._place(entry)
        place.parent.mkdir(parents=True, exist_ok=True)
        put(self._blob(entry), place, symbolic=True)

    def describe(self, listing: Listing, address: Address) -> None:
        """Write down what the repository holds: the Hub's own client then misses what is missing.

        Raises:
            HubError: it cannot be written.
        """
        with _keeping():
            (self.root / "snapshots" / self.commit).mkdir(parents=True, exist_ok=True)
            if not (address.path or listing.notes or self._tree.exists()):
                self._tree.parent.mkdir(exist_ok=True)
                files = {entry.path: _described(entry) for entry in listing.entries}
                write(json.dumps({"format_version": TREE, "files": files}).encode(), self._tree)

    def name(self, revision: str, *, complete: bool) -> None:
        """Write down which commit a revision is.

        Args:
            revision: as it was asked for.
            complete: whether all is kept that was asked for; if not, a revision that is known
                stays what it was.

        Raises:
            HubError: it cannot be written.
        """
        reference = self.root.joinpath("refs", *revision.split("/"))
        if revision != self.commit and (complete or not reference.exists()):
            with _keeping():
                reference.parent.mkdir(parents=True, exist_ok=True)
                write(self.commit.encode(), reference)

    def entries(self) -> tuple[dict[str, Entry], bool]:
        """What the commit holds, and whether that is known; else it is what is kept of it."""
        with contextlib.suppress(*_NO_TREE):
            with self._tree.open("rb") as stream:
                document = json.loads(stream.read(_LARGEST_TREE))
            if document["format_version"] == TREE:
                listed = document["files"].items()
                return {path: _entry(path, about) for path, about in listed}, True
        found = {}
        snapshot = self.root / "snapshots" / self.commit
        for place, _, names in os.walk(snapshot):
            for name in names:
                file = Path(place, name)
                path = file.relative_to(snapshot).as_posix()
                # One step only: what is shared by repositories is a link to elsewhere again.
                digest = file.readlink().name if file.is_symlink() else ""
                with contextlib.suppress(OSError):
                    found[path] = Entry(path, file.stat().st_size, digest_of(digest))
        return found, False

    @property
    def _tree(self) -> Path:
        return self.root / "trees" / f"{self.commit}.json"

    def _place(self, entry: Entry) -> Path:
        return self.root.joinpath("snapshots", self.commit, *entry.path.split("/"))

    def _blob(self, entry: Entry) -> Path:
        return self.root / "blobs" / entry.digest


@contextlib.contextmanager
def _keeping() -> Iterator[None]:
    """Say what to do where the cache cannot be written."""
    try:
        yield
    except OSError as error:
        message = (
            f"it cannot be kept in the Hub's cache ({error.strerror or error}); HF_HUB_CACHE names "
            "another folder"
        )
        raise HubError(message) from error


def folder(cache: Path, address: Address) -> Path:
    """Where a repository is kept."""
    return cache / "--".join((f"{address.type}s", *address.repository.split("/")))


@contextlib.contextmanager
def room(cache: Path, address: Address) -> Iterator[Path]:
    """The folder of a repository, which is made if need be, and removed if nothing is in it.

    Raises:
        OSError: there can be no such folder.
    """
    root = folder(cache, address)
    root.mkdir(parents=True, exist_ok=True)
    try:
        yield root
    finally:
        with contextlib.suppress(OSError):
            root.rmdir()


def list_cached(cache: Path, address: Address) -> Listing:
    """What is kept of a repository, where nothing else may be asked.

    Raises:
        NoSuchRepository: nothing is kept of it at that revision.
    """
    root = folder(cache, address)
    commit = address.revision
    if not COMMIT.fullmatch(commit):
        commit = ""
        with (
            contextlib.suppress(OSError, ValueError),
            root.joinpath("refs", *address.revision.split("/")).open() as stream,
        ):
            commit = stream.read(100).strip()
    if not COMMIT.fullmatch(commit) or not (root / "snapshots" / commit).is_dir():
        message = (
            f"HF_HUB_OFFLINE is set, and {quote(os.fspath(cache))} does not hold "
            f"{quote(address.at(address.revision))}"
        )
        raise NoSuchRepository(message)
    found, complete = Kept(root, commit).entries()
    asked = sorted(
        (entry for path, entry in found.items() if address.covers(path)), key=lambda e: e.path
    )
    if address.path and not asked and complete:
        message = f"{quote(address.at(commit))} holds no file or folder {quote(address.path)}"
        raise NoSuchRepository(message)
    notes = () if complete and len(asked) <= MOST_FILES else (_INCOMPLETE,)
    return Listing(commit, tuple(asked[:MOST_FILES]), notes)


def _described(entry: Entry) -> dict[str, object]:
    """A file as the Hub's own client writes it down."""
    about: dict[str, object] = {"size": entry.size, "blob_id": entry.blob or entry.digest}
    if len(entry.digest) == 64:
        about |= {"lfs_sha256": entry.digest, "lfs_size": entry.size}
    return about


def _entry(path: Any, about: Any) -> Entry:
    """The same, read.

    Raises:
        ValueError: it is none.
    """
    size = about.get("lfs_size") or about["size"]
    digest = about.get("lfs_sha256") or about["blob_id"]
    if not isinstance(path, str) or type(size) is not int or size < 0:
        raise ValueError("a list of files that is none")
    return Entry(path, size, digest_of(digest))
