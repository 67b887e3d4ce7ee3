"""What the user asked for: which targets are on disk, and which files they are."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from poisonscan.finding import Gap, Skipped
from poisonscan.remote import Remote, divide
from poisonscan.report import Report
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import Disk
from poisonscan.sources.hub.address import AddressError
from poisonscan.sources.hub.errors import HubError


class TargetError(ValueError):
    """A target that does not exist, or an option that does not fit it."""


def divided(
    targets: Sequence[str | Path], revision: str | None, repo_type: str | None
) -> tuple[list[str | Path], list[Remote]]:
    """Targets on disk, and those on the Hub.

    Raises:
        TargetError: an address is none, or options for the Hub have no use.
    """
    try:
        local, remote = divide(targets, revision, repo_type)
    except (AddressError, HubError) as error:
        raise TargetError(str(error)) from error
    if (revision or repo_type) and not remote:
        message = (
            "revision and repo_type are for repositories of the Hub, and no target is one: what "
            "exists on disk is taken for that, and hf://org/name never is"
        )
        raise TargetError(message)
    return local, remote


def root_of(targets: Sequence[str | Path], root: str | Path | None) -> Path:
    """What paths in the report are relative to: a folder that holds all targets."""
    absolute = [Path(os.path.abspath(target)) for target in targets]  # noqa: PTH100 - links stay
    base = Path(os.path.abspath(root or "."))  # noqa: PTH100
    outside = [path for path in absolute if not path.is_relative_to(base)]
    if not outside:
        return base
    if root is not None:
        message = f"{os.fspath(outside[0])!r} is not below the root {os.fspath(root)!r}"
        raise TargetError(message)
    try:
        return Path(os.path.commonpath([path.parent for path in absolute]))
    except ValueError:  # different drives
        return base


def files_of(targets: Iterable[str | Path], base: Path) -> tuple[list[Blob], Report]:
    """All files of all targets, each once, and what could not be listed."""
    blobs: dict[str, dict[str, Blob]] = {}  # by file and by name
    listed = Report(())
    resolved = functools.cache(os.path.realpath)
    for target in targets:
        path = Path(target)
        if not os.path.lexists(path):
            message = f"{os.fspath(target)!r} does not exist"
            raise TargetError(message)
        for item in Disk(path, base).blobs():
            if isinstance(item, Gap):
                listed.gaps.append(item)
            elif isinstance(item, Skipped):
                listed.skipped.append(item)
            else:
                folder, name = os.path.split(item.file or item.path)
                known = blobs.setdefault(os.path.join(resolved(folder), name), {})  # noqa: PTH118
                known.setdefault(item.name, item)
    return [blob for known in blobs.values() for blob in _telling(known)], listed


def account(
    report: Report, targets: Iterable[str | Path], base: Path, read: Collection[str] = ()
) -> None:
    """Mark the targets that were skipped, and leave a gap for those of which nothing is told.

    Args:
        report: of these targets.
        targets: as they were given.
        base: what paths in the report are relative to.
        read: files that datasets of several files were made of.
    """
    told = {*read, *(finding.at.path for finding in report.findings)}
    for items in (report.gaps, report.scanned, report.skipped):
        told.update(item.path for item in items)
    above = {str(folder) for path in told for folder in PurePosixPath(path).parents}
    files: set[str] = set()
    silent: dict[str, str] = {}  # by the file that a name leads to
    known: set[str] = set()
    for target in targets:
        name = _name(target, base)
        real = os.path.realpath(target)
        if not os.path.isdir(target):  # noqa: PTH112
            files.add(name)
        if name in told or name in above or any(path.startswith(f"{name}!/") for path in told):
            known.add(real)
        else:
            silent[real] = name
    report.skipped = [replace(each, named=each.path in files) for each in report.skipped]
    for real, name in silent.items():
        if real not in known:
            holds = "the folder holds no file" if os.path.isdir(real) else "nothing is known of it"  # noqa: PTH112
            report.gaps.append(Gap(name, f"not checked: {holds}"))


def unjudged(report: Report) -> list[Gap]:
    """A gap where no rule that took part is for any kind of thing that was scanned."""
    kinds = {"dataset" if entry.kind == "dataset" else "model" for entry in report.scanned}
    judged = {
        "dataset" if rule.of_datasets else "model"
        for rule in report.rules
        if rule.reads or rule.of_datasets
    }
    if not kinds or kinds & judged:
        return []
    there = " and ".join(f"{kind}s" for kind in sorted(kinds))
    reason = f"not checked: there are {there}, and none of the selected rules is for such"
    return [Gap(report.targets[0], reason)]


def _name(target: str | Path, base: Path) -> str:
    return Path(os.path.relpath(target, base)).as_posix()


def _telling(known: Mapping[str, Blob]) -> list[Blob]:
    """Of the names that lead to one file those that say what it is, if any do."""
    named = [blob for blob in known.values() if blob.suffix]
    return named or list(known.values())
