"""Targets that are not on disk: fetched into a folder of their own, scanned there, renamed after.

While it is scanned, paths are those in the repository: what its owner and its commit are called
must not decide what is taken for a test split.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poisonscan.finding import Finding, Gap, Location, Row, Rows
from poisonscan.origin import Origin, OriginFile
from poisonscan.places import Held, Places
from poisonscan.report import Report
from poisonscan.sources.hub.address import Address, is_address, parse
from poisonscan.sources.hub.environment import Environment, read_environment

if TYPE_CHECKING:
    from poisonscan.sources.hub.fetch import Copy
    from poisonscan.sources.hub.parts import Parts


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository of the Hub that is to be scanned.

    Attributes:
        target: as the user gave it.
        address: what it means.
        environment: where the Hub is.
    """

    target: str
    address: Address
    environment: Environment


@dataclass(frozen=True, slots=True)
class Fetched:
    """A repository in a folder.

    Attributes:
        folder: holds files that are what the Hub lists, and parts of others.
        remote: what was asked for.
        copy: what is in it.
        parts: fetches more of files of which it holds parts; None where there are none.
    """

    folder: Path
    remote: Remote
    copy: Copy
    parts: Parts | None

    @property
    def path(self) -> str:
        """What reports call the repository."""
        return self.remote.address.at(self.copy.listing.commit)

    @property
    def gaps(self) -> list[Gap]:
        """What is not in the folder."""
        return self.copy.gaps

    def origin(self) -> Origin:
        """Where the files come from, with how much was fetched of each by now."""
        copy, parts = self.copy, self.parts
        files = []
        for entry in copy.listing.entries:
            verified = entry.path in copy.verified
            partly = parts.fetched(entry.path) if parts is not None else 0
            fetched = entry.size if entry.path in copy.verified - copy.cached else partly
            said = copy.verdicts.get(entry.path, ())
            files.append(OriginFile(entry.path, entry.size, entry.named, verified, fetched, said))
        remote = self.remote
        return Origin(
            self.path, remote.target, remote.environment.endpoint, remote.address.revision,
            copy.listing.commit, tuple(files), copy.scanners,
        )  # fmt: skip


def divide(
    targets: Sequence[str | Path], revision: str | None = None, repo_type: str | None = None
) -> tuple[list[str | Path], list[Remote]]:
    """Tell targets on disk from those on the Hub. What exists on disk is on disk.

    Args:
        targets: as the user gave them.
        revision: of those on the Hub.
        repo_type: of those on the Hub; with it, ``org/name`` is one of them.

    Raises:
        poisonscan.sources.hub.address.AddressError: one looks like an address and is none.
        poisonscan.sources.hub.errors.HubError: the environment is not as it must be.
    """
    local: list[str | Path] = []
    remote: list[Remote] = []
    environment: Environment | None = None
    for target in targets:
        text = os.fspath(target)
        if os.path.lexists(target) or not (repo_type or "//" in text):
            local.append(target)
            continue
        environment = environment or read_environment()
        if not repo_type and not is_address(text, environment.endpoint):
            local.append(target)
            continue
        address = parse(text, revision=revision, repo_type=repo_type, endpoint=environment.endpoint)
        remote.append(Remote(text, address, environment))
    return local, remote


@contextlib.contextmanager
def fetched(
    remote: Remote,
    most: int | None,
    scratch: str | None,
    progress: Callable[[str, int, int], None],
    *,
    download: bool,
    keep: bool = False,
) -> Iterator[Fetched]:
    """Fetch a repository into a temporary folder, which is removed afterwards.

    Args:
        remote: what to fetch.
        most: bytes to fetch at most; None: the default.
        scratch: folder for the folder; None: the system's.
        progress: called for each file.
        download: all files whole; else of large ones only what turns out to be needed, where this
            system tells what that is.
        keep: put all that is fetched whole into the Hub's cache. The folder is then made there if
            no other is given, where a second name makes a file stand in both.

    Raises:
        poisonscan.sources.hub.errors.HubError: nothing can be known about the repository.
        OSError: there can be no such folder.
    """
    from poisonscan.sources.hub.cache import room
    from poisonscan.sources.hub.fetch import fetch
    from poisonscan.sources.hub.parts import Parts
    from poisonscan.sources.partial import can_watch

    with contextlib.ExitStack() as stack:
        if keep and scratch is None and not remote.environment.offline:
            scratch = os.fspath(stack.enter_context(room(remote.environment.cache, remote.address)))
        name = stack.enter_context(
            tempfile.TemporaryDirectory(
                prefix="poisonscan-hub-", dir=scratch, ignore_cleanup_errors=True
            )
        )
        copy = fetch(
            remote.address,
            Path(name),
            remote.environment,
            most=most,
            partly=not download and can_watch(),
            keep=keep,
            told=lambda done, total: progress("files fetched", done, total),
        )
        parts = None
        if copy.partly:
            parts = Parts(copy, lambda done, total: progress("parts fetched", done, total))
            copy.gaps += [Gap(path, reason) for path, reason in parts.begin().items()]
        yield Fetched(Path(name), remote, copy, parts)


def renamed(report: Report, place: str) -> Report:
    """A report on a folder as one on the repository that the folder holds.

    Args:
        report: its paths are relative to the folder.
        place: what reports call the repository.
    """

    def name(path: str) -> str:
        return place if path in ("", ".") else f"{place}/{path}"

    return replace(
        report,
        findings=[_finding(finding, name) for finding in report.findings],
        gaps=[replace(gap, path=name(gap.path)) for gap in report.gaps],
        scanned=[replace(entry, path=name(entry.path)) for entry in report.scanned],
        skipped=[replace(entry, path=name(entry.path)) for entry in report.skipped],
    )


def _finding(finding: Finding, name: Callable[[str], str]) -> Finding:
    part = finding.at.part
    if isinstance(part, Rows):
        rows = tuple(replace(row, path=name(row.path)) for row in part.rows)
        every = None if part.every is None else _Renamed(part.every, name)
        part = replace(part, rows=rows, every=every)
    agreeing = tuple(_finding(each, name) for each in finding.agreeing)
    return replace(finding, at=Location(name(finding.at.path), part), agreeing=agreeing)


@dataclass(frozen=True, slots=True)
class _Renamed:
    """All rows of a group, under other paths."""

    places: Places
    name: Callable[[str], str]

    @property
    def left_out(self) -> int:
        return self.places.left_out

    @property
    def partial(self) -> bool:
        return self.places.partial

    def __len__(self) -> int:
        return len(self.places)

    def numbers(self) -> Any:
        return self.places.numbers()

    def files(self) -> dict[str, Held]:
        return {self.name(path): held for path, held in self.places.files().items()}

    def rows(self) -> Iterator[Row]:
        for row in self.places.rows():
            yield replace(row, path=self.name(row.path))
