"""Makes the entries of a lock file: what a target is now."""

from __future__ import annotations

import functools
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from poisonscan.engines.base import Failure
from poisonscan.engines.local import LocalEngine, usable_cores
from poisonscan.finding import Gap, Rule, Scanned
from poisonscan.isolation.workers import Mode
from poisonscan.json_form import as_json
from poisonscan.limits import Limits
from poisonscan.locking.checkpoints import Checkpoint, checkpoint, may_be_checkpoint
from poisonscan.locking.entries import (
    Entry,
    Lock,
    LockedCheckpoint,
    LockedDataset,
    LockedFile,
    LockedRows,
    LockError,
    Unchecked,
)
from poisonscan.locking.row_sets import FACT, Measure
from poisonscan.origin import OriginFile
from poisonscan.remote import Remote, fetched
from poisonscan.report import Report
from poisonscan.rules import all_rules
from poisonscan.scan import scan
from poisonscan.shard_scan import attempt
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import Disk, hold, is_among, read
from poisonscan.sources.hub.address import Address
from poisonscan.targets import TargetError, divided
from poisonscan.version import VERSION

_THREADS: Final = 4

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class How:
    """How targets are read.

    Attributes:
        jobs: processes; None: as many as the work is worth.
        isolation: as of ``scan``.
        scratch: folder for what does not fit into memory, and for what is fetched.
        max_download: bytes to fetch of each repository at most.
        limits: what one file may cost.
        progress: called now and then.
        leave_out: files that are no part of a target: the lock file, a signature.
    """

    jobs: int | None = None
    isolation: Mode = "auto"
    scratch: str | None = None
    max_download: int | None = None
    limits: Limits = field(default_factory=Limits)
    progress: Progress = lambda *_: None
    leave_out: tuple[Path, ...] = ()


def lock(
    targets: Sequence[str | Path],
    root: str | Path,
    *,
    how: How | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
) -> Lock:
    """Write down what targets are.

    Args:
        targets: files and folders below ``root``, and addresses of the Hub.
        root: the folder that the lock file will be in.
        how: how they are read.
        revision: of repositories of the Hub; by default ``main``.
        repo_type: ``model``, ``dataset`` or ``space``; with it ``org/name`` is a repository.

    Raises:
        LockError: a target lies outside of the folder.
        TargetError: a target does not exist.
        poisonscan.sources.hub.errors.HubError: a repository cannot be read.
        OSError: nothing can be fetched to the scratch folder.
    """
    how = how or How()
    local, remote = divided(targets, revision, repo_type)
    entries = {}
    for target in local:
        name = below(Path(target), Path(root))
        entries[name] = entry_on_disk(Path(target), name, how)
    for one in remote:
        name = address_of(one.address)
        if name in entries:
            message = f"{name} is given at two revisions; a lock file holds one"
            raise LockError(message)
        entries[name] = entry_on_hub(one, how)
    return Lock(tuple(entries[name] for name in sorted(entries)), VERSION, rules_digest())


def below(target: Path, root: Path) -> str:
    """What a lock file calls a target on disk.

    Raises:
        LockError: it does not lie below the folder of the lock file.
    """
    absolute, folder = Path(os.path.abspath(target)), Path(os.path.abspath(root))  # noqa: PTH100
    if not os.path.lexists(absolute):
        message = f"{os.fspath(target)!r} does not exist"
        raise TargetError(message)
    if not absolute.is_relative_to(folder) or not absolute.resolve().is_relative_to(
        folder.resolve()
    ):
        message = (
            f"{os.fspath(target)!r} lies outside of the folder of the lock file, "
            f"{os.fspath(root)!r}: write the lock file to a folder above it"
        )
        raise LockError(message)
    return absolute.relative_to(folder).as_posix()


def address_of(address: Address) -> str:
    """What a lock file calls a repository: without its revision."""
    folder = "" if address.type == "model" else f"{address.type}s/"
    return "/".join(part for part in (f"hf://{folder}{address.repository}", address.path) if part)


def rules_digest() -> str:
    """64 hex digits that change with any rule: its severity, its thresholds, its words."""
    sha256 = hashlib.sha256()
    for rule in all_rules().values():
        sha256.update(_rule_text(rule).encode())
    return sha256.hexdigest()


def _rule_text(rule: Rule) -> str:
    return repr(sorted(cast("dict[str, Any]", as_json(rule)).items()))


def entry_on_hub(remote: Remote, how: How) -> Entry:
    """What a repository is now.

    Raises:
        poisonscan.sources.hub.errors.HubError: it cannot be read.
        OSError: nothing can be fetched to the scratch folder.
    """
    # All bytes count here, also those that a scan does not look at.
    with fetched(remote, how.max_download, how.scratch, how.progress, download=True) as copy:
        origin = copy.origin()
        name = address_of(remote.address)
        made = entry_on_disk(copy.folder, name, how)
        listed = {file.path: file for file in origin.files}
        files = tuple(_with_hub(file, listed.get(file.path)) for file in made.files)
        gaps = (Unchecked(gap.path, gap.reason) for gap in copy.gaps)
        return replace(
            made,
            files=files,
            unchecked=tuple(sorted({*made.unchecked, *gaps})),
            commit=origin.commit,
            revision=origin.revision,
        )


def _with_hub(file: LockedFile, listed: OriginFile | None) -> LockedFile:
    return file if listed is None else replace(file, hub=listed.digest)


def entry_on_disk(target: Path, name: str, how: How) -> Entry:
    """What a file or folder is now.

    Args:
        target: where it is.
        name: what the lock file calls it.
        how: how it is read.

    Raises:
        KeyboardInterrupt: the scan was interrupted.
    """
    base = target if target.is_dir() else target.parent
    files, blobs, gaps = hashed(target, how)
    report = scan(
        target,
        root=base,
        jobs=how.jobs,
        isolation=how.isolation,
        scratch=how.scratch,
        limits=how.limits,
        progress=how.progress,
        measures={"locking.row_sets": Measure()},
        leave_out=how.leave_out,
    )
    if report.interrupted:  # half a target is nothing to write down or to compare
        raise KeyboardInterrupt
    checkpoints, unread = _checkpoints(blobs, how)
    unchecked = {Unchecked(gap.path, gap.reason) for gap in (*gaps, *report.gaps, *unread)}
    return Entry(
        name,
        tuple(files),
        tuple(_datasets(report)),
        tuple(checkpoints),
        Counter(finding.rule.id for finding in report.each()),
        tuple(sorted(unchecked)),
    )


def hashed(target: Path, how: How) -> tuple[list[LockedFile], list[Blob], list[Gap]]:
    """Every file of a target with its digest, and what cannot be read."""
    left_out = frozenset(map(os.path.realpath, how.leave_out))
    blobs: list[Blob] = []
    gaps: list[Gap] = []
    base = target if target.is_dir() else target.parent
    for item in Disk(target, Path(os.path.abspath(base))).blobs():  # noqa: PTH100
        if isinstance(item, Gap):
            gaps.append(item)
        elif isinstance(item, Blob) and not is_among(item, left_out):
            blobs.append(item)
    files: list[LockedFile] = []
    with ThreadPoolExecutor(min(_THREADS, usable_cores())) as pool:
        for done, outcome in enumerate(pool.map(_hash, blobs), 1):
            (gaps if isinstance(outcome, Gap) else files).append(outcome)  # type: ignore[arg-type]
            how.progress("files hashed", done, len(blobs))
    return sorted(files), blobs, gaps


def _hash(blob: Blob) -> LockedFile | Gap:
    try:
        with os.fdopen(hold(blob.file or ""), "rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            return LockedFile(blob.path, stream.tell(), digest)
    except OSError as error:
        return Gap(blob.path, f"cannot be read: {error.strerror or error}")


def _checkpoints(blobs: Iterable[Blob], how: How) -> tuple[list[LockedCheckpoint], list[Gap]]:
    """Tensors of checkpoints, each read in a process that may die of it."""
    likely = [blob for blob in blobs if may_be_checkpoint(blob.file or "")]
    engine = LocalEngine(how.jobs or min(usable_cores(), max(1, len(likely))),
                         apart=how.isolation != "off")  # fmt: skip
    task = functools.partial(_tensors, limits=how.limits)
    found: list[LockedCheckpoint] = []
    gaps: list[Gap] = []
    for blob, outcome in zip(likely, engine.map(task, [b.file or "" for b in likely]), strict=True):
        answer: tuple[Checkpoint | None, str] = (
            (None, outcome.reason) if isinstance(outcome, Failure) else outcome
        )
        if answer[1]:
            gaps.append(Gap(blob.path, f"its tensors were not read: {answer[1]}"))
        elif answer[0] is not None:
            found.append(LockedCheckpoint(blob.path, answer[0].tensors, answer[0].notes))
    return found, gaps


def _tensors(file: str, limits: Limits) -> tuple[Checkpoint | None, str]:
    return attempt(_checkpoint_at, file, limits)


def _checkpoint_at(file: str, limits: Limits) -> Checkpoint | None:
    return checkpoint(read(file), limits)


def _datasets(report: Report) -> Iterable[LockedDataset]:
    for entry in report.scanned:
        fact = entry.facts.get(FACT)
        if isinstance(fact, Mapping):
            yield _dataset(entry, cast("Mapping[str, Any]", fact))


def _dataset(entry: Scanned, fact: Mapping[str, Any]) -> LockedDataset:
    splits = {
        split: LockedRows(int(about["rows"]), str(about["digest"]))
        for split, about in fact["splits"].items()
    }
    classes = fact["classes"]
    return LockedDataset(entry.path, splits, None if classes is None else tuple(classes))
