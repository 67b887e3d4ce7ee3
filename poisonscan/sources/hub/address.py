"""Addresses of the Hub: ``hf://org/name@revision/path`` and those that a browser shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from poisonscan.escape import quote
from poisonscan.sources.hub.environment import HUB

TYPES: Final = ("model", "dataset", "space")
_SCHEME: Final = "hf://"
_HOSTS: Final = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
_REVISION: Final = re.compile(r"[^\x00-\x20\x7f-\xa0?*:\[\]\\^~]{1,250}")
_REFERENCE: Final = re.compile(r"refs/(?:pr/\d+|convert/[\w.-]+)(?=/|\Z)")
"""Revisions with slashes in them; a slash ends all others."""
_VIEWS: Final = frozenset({"tree", "blob", "resolve", "raw"})


class AddressError(ValueError):
    """Something that looks like an address of the Hub and is none; the message says why."""


@dataclass(frozen=True, slots=True)
class Address:
    """A repository, or a part of it.

    Attributes:
        type: ``model``, ``dataset`` or ``space``.
        repository: ``org/name``.
        revision: branch, tag or commit; ``main`` where none was given.
        path: a file or folder in it; empty for all.
    """

    type: str
    repository: str
    revision: str = "main"
    path: str = ""

    def at(self, commit: str) -> str:
        """What reports call the repository at a commit."""
        folder = "" if self.type == "model" else f"{self.type}s/"
        return f"{_SCHEME}{folder}{self.repository}@{commit}"

    def covers(self, path: str) -> bool:
        """Whether a file of the repository is asked for."""
        return not self.path or path == self.path or path.startswith(f"{self.path}/")


def is_address(text: str, endpoint: str = HUB) -> bool:
    """Whether a target is meant as an address of the Hub: by its scheme, or by its host."""
    if text.lower().startswith(_SCHEME):
        return True
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    web = parts.scheme in ("http", "https")
    return web and (host in _HOSTS or text.startswith(endpoint + "/"))


def parse(
    text: str, *, revision: str | None = None, repo_type: str | None = None, endpoint: str = HUB
) -> Address:
    """Read an address, or ``org/name`` as it is.

    Args:
        text: what the user gave.
        revision: what the address must not contradict, if it is given.
        repo_type: the same: ``model``, ``dataset`` or ``space``.
        endpoint: of the Hub; its own addresses are understood, too.

    Raises:
        AddressError: it is no address, or says something else than the arguments.
    """
    if text.lower().startswith(_SCHEME):
        kind, repository, found, path = _of_scheme(text[len(_SCHEME) :], repo_type)
    elif is_address(text, endpoint):
        kind, repository, found, path = _of_web(text, endpoint)
    else:
        kind, repository, found, path = "", text, "", ""
    parts = repository.split("/")
    if len(parts) != 2 or not all(_NAME.fullmatch(part) and ".." not in part for part in parts):
        message = (
            f"{quote(text)} does not name a repository: hf://org/name or hf://datasets/org/name"
        )
        raise AddressError(message)
    if kind and repo_type and kind != repo_type:
        message = f"{quote(text)} is a {kind}, not a {repo_type} as --repo-type says"
        raise AddressError(message)
    if found and revision and found != revision:
        message = f"{quote(text)} names another revision than --revision {quote(revision)}"
        raise AddressError(message)
    chosen = found or revision or "main"
    if not _REVISION.fullmatch(chosen) or ".." in chosen:
        message = f"{quote(chosen)} is no name of a revision"
        raise AddressError(message)
    path = path.strip("/")
    if path and not {"", ".", ".."}.isdisjoint(path.split("/")):
        message = f"{quote(path)} is no path in a repository"
        raise AddressError(message)
    return Address(kind or repo_type or "model", repository, chosen, path)


def _of_scheme(text: str, repo_type: str | None) -> tuple[str, str, str, str]:
    """Type, repository, revision and path; empty where they are not said."""
    first, _, rest = text.partition("/")
    kind = first[:-1] if first.endswith("s") and first[:-1] in TYPES else ""
    # Without its prefix it is a model, unless the option says otherwise.
    parts = (rest if kind else text).split("/", 2)
    named, at, revision = "/".join(parts[:2]).partition("@")
    path = parts[2] if len(parts) > 2 else ""
    if at and (match := _REFERENCE.match(f"{revision}/{path}".rstrip("/"))):
        whole = f"{revision}/{path}"
        revision, path = match.group(), whole[match.end() :]
    return kind or (repo_type or "model"), named, unquote(revision), path


def _of_web(text: str, endpoint: str) -> tuple[str, str, str, str]:
    place = text.removeprefix(endpoint) if text.startswith(endpoint + "/") else urlsplit(text).path
    path = place.partition("?")[0].partition("#")[0]
    parts = path.strip("/").split("/")
    kind = parts[0][:-1] if parts[0].endswith("s") and parts[0][:-1] in TYPES else "model"
    if parts[0] == f"{kind}s":
        parts = parts[1:]
    repository, rest = "/".join(parts[:2]), parts[2:]
    if not rest:
        return kind, repository, "", ""
    if rest[0] not in _VIEWS or len(rest) < 2:
        message = f"{quote(text)} is no page of a repository's files"
        raise AddressError(message)
    joined = "/".join(rest[1:])
    match = _REFERENCE.match(joined)
    revision = match.group() if match else rest[1]
    return kind, repository, unquote(revision), unquote(joined[len(revision) :])
