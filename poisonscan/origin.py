"""Where a target that is not on disk came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_COMMIT: Final = re.compile(r"\A(hf://[^@]*)@[0-9a-f]{40,64}(?=/|\Z|!)")


@dataclass(frozen=True, slots=True)
class OriginFile:
    """A file of a repository.

    Attributes:
        path: in the repository.
        size: bytes, as the repository lists them.
        digest: as the repository lists it, ``sha256:…`` or ``git-blob-sha1:…``; empty if it does
            not.
        verified: whether the file was fetched whole and has that digest.
        fetched: bytes of it that were fetched.
    """

    path: str
    size: int
    digest: str
    verified: bool
    fetched: int = 0


@dataclass(frozen=True, slots=True)
class Origin:
    """A repository at one commit.

    Attributes:
        path: what reports call it.
        target: as it was asked for.
        endpoint: of the Hub.
        revision: as it was asked for.
        commit: what that stood for when the scan began.
        files: what it holds there, as far as it was asked for.
    """

    path: str
    target: str
    endpoint: str
    revision: str
    commit: str
    files: tuple[OriginFile, ...]


def lasting(path: str) -> str:
    """A path without the commit in it, which is another one for each version of a repository."""
    return _COMMIT.sub(r"\1", path) if path.startswith("hf://") else path
