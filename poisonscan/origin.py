"""Where a target that is not on disk came from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_COMMIT: Final = re.compile(r"\A(hf://[^@]*)@[0-9a-f]{40,64}(?=/|\Z|!)")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a scanner that the Hub itself runs says of a file.

    Attributes:
        engine: as the Hub calls it, such as ``pickleImportScan``; ``status`` is its own summary.
        status: ``safe``, ``caution``, ``suspicious``, ``unsafe``, or that there is no result:
            ``unscanned``, ``queued``, ``error``, ``unknown``.
    """

    engine: str
    status: str


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
        verdicts: of the Hub's own scanners; that there are none says nothing about the file.
    """

    path: str
    size: int
    digest: str
    verified: bool
    fetched: int = 0
    verdicts: tuple[Verdict, ...] = ()


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
        scanners: why verdicts of the Hub's own scanners are missing; empty where they were asked
            for, and for all files.
    """

    path: str
    target: str
    endpoint: str
    revision: str
    commit: str
    files: tuple[OriginFile, ...]
    scanners: str = ""


def lasting(path: str) -> str:
    """A path without the commit in it, which is another one for each version of a repository."""
    return _COMMIT.sub(r"\1", path) if path.startswith("hf://") else path
