"""Write a dataset without the rows that a scan listed."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from poisonscan.cleaning.errors import CleanError
from poisonscan.cleaning.folders import Member, adjusted, counts_rows, described, members
from poisonscan.cleaning.listing import Listed, Listing
from poisonscan.cleaning.listing import read as read_listing
from poisonscan.cleaning.tables import opened, write_without
from poisonscan.escape import quote
from poisonscan.finding import Severity

_PICTURES = ("image", "audio")


@dataclass(slots=True)
class Cleaned:
    """What was done.

    Attributes:
        taken: rows that are not in the output.
        by_rule: rows of each rule; one that several rules found counts for each.
        dropped: files that were rows by themselves and are not in the output, within the dataset.
        changed: files that lost rows, and how many rows stay.
        copied: files that are as they were.
        left: files that are not in the output, and why.
        adjusted: files that were changed to fit, such as the card.
        gone: rows that were taken out by split; None: not known.
        counts: files that say how many rows there are, which is no longer true.
        reasons: why there may be more such rows than are listed; none if the list is complete.
    """

    taken: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    dropped: list[str] = field(default_factory=list)
    changed: dict[str, int] = field(default_factory=dict)
    copied: int = 0
    left: dict[str, str] = field(default_factory=dict)
    adjusted: list[str] = field(default_factory=list)
    gone: Counter[str] | None = None
    counts: list[str] = field(default_factory=list)
    reasons: tuple[str, ...] = ()


def clean(
    dataset: str | Path,
    rows: str | Path,
    out: str | Path,
    *,
    rules: Sequence[str] = (),
    min_severity: Severity = Severity.LOW,
) -> Cleaned:
    """Write a dataset without the rows that a scan listed. The dataset itself is never changed.

    Args:
        dataset: the file or folder that was scanned, perhaps moved since.
        rows: the list that ``--rows-out`` wrote.
        out: a new file or folder, not inside ``dataset``.
        rules: ids, or starts of ids, of the rules whose rows go; all if empty.
        min_severity: rows of findings below it stay.

    Returns:
        What was done.

    Raises:
        CleanError: the list does not fit the dataset, a file changed since the scan, or rows cannot
            be taken out of a file. Nothing is left behind then.
        OSError: something cannot be read or written.
    """
    source, target = Path(dataset), Path(out)
    _check_places(source, target)
    listing = read_listing(
        Path(rows),
        lambda rule, severity: (
            severity >= min_severity and (not rules or rule.startswith(tuple(rules)))
        ),
    )
    files = list(members(source, Path(rows)))
    number = _target(listing, source)
    taken = _taken(listing, number, {item.within: item for item in files if not item.left})
    done = Cleaned(reasons=listing.reasons, gone=_by_split(listing, taken))
    for (of, rule), count in listing.by_rule.items():
        done.by_rule[rule] += count if of == number else 0
    temporary = target.with_name(f".poisonscan-{secrets.token_hex(8)}.tmp")
    try:
        if source.is_dir():
            temporary.mkdir()
        _write(files, taken, temporary, done)
        temporary.rename(target)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
    return done


def _check_places(source: Path, target: Path) -> None:
    if not source.exists():
        raise CleanError(f"{quote(str(source))} does not exist")
    if os.path.lexists(target):
        raise CleanError(f"{quote(str(target))} exists already: name a new file or folder")
    if not target.parent.is_dir():
        raise CleanError(f"the folder of {quote(str(target))} does not exist")
    above = target.parent.resolve()
    if source.is_dir() and above.is_relative_to(source.resolve()):
        raise CleanError(f"{quote(str(target))} would be inside of the dataset: write it elsewhere")


def _taken(
    listing: Listing, number: int, known: Mapping[str, Member]
) -> dict[str, NDArray[np.int64] | None]:
    """Rows to take out of each file, by its path in the dataset; None: the whole file is one."""
    chosen = [file for file in listing.chosen() if file.target in (number, -1)]
    if not chosen:
        raise CleanError("no row of it is listed: there is nothing to take out")
    taken: dict[str, NDArray[np.int64] | None] = {}
    for file in chosen:
        _check(file, known)
        rows = listing.rows(file.path)
        whole = file.whole
        if whole is None:
            table = opened(known[file.within].file, file.path)
            whole = table is not None and table.format in _PICTURES
        taken[file.within] = None if whole else rows
    return taken


def _by_split(
    listing: Listing, taken: Mapping[str, NDArray[np.int64] | None]
) -> Counter[str] | None:
    """How many rows go of each split; None where a file belongs to several."""
    gone: Counter[str] = Counter()
    for file in listing.chosen():
        if file.within in taken:
            rows, splits = taken[file.within], listing.splits[file.path]
            if len(splits) > 1:
                return None
            gone[next(iter(splits))] += 1 if rows is None else len(rows)
    return gone


def _target(listing: Listing, source: Path) -> int:
    """Which of the targets of the scan the dataset is."""
    if len(listing.targets) == 1:
        return 0
    absolute = [os.path.abspath(target) for target in listing.targets]  # noqa: PTH100 - links stay
    place = os.path.abspath(source)  # noqa: PTH100
    if place not in absolute:
        named = ", ".join(quote(target) for target in listing.targets[:5])
        raise CleanError(f"the list is of {named}, not of {quote(str(source))}")
    return absolute.index(place)


def _check(file: Listed, known: Mapping[str, Member]) -> None:
    """That a file is there, and is what was scanned."""
    name = quote(file.path)
    if "!/" in file.path:
        raise CleanError(f"{name} is in an archive: unpack that and scan what comes out")
    if not file.digest or ".." in PurePosixPath(file.within).parts:
        raise CleanError(f"{name} could not be read when the list was written: scan again")
    if file.within not in known:
        raise CleanError(
            f"{name} is not in the dataset (any more): name what was scanned, or scan again"
        )
    with known[file.within].file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if stream.tell() != file.size or digest != file.digest:
            raise CleanError(f"{name} changed since the scan: scan again")


def _write(
    files: Sequence[Member],
    taken: Mapping[str, NDArray[np.int64] | None],
    out: Path,
    done: Cleaned,
) -> None:
    """Write all files, and note in ``done`` what became of each."""
    done.dropped = sorted(name for name, rows in taken.items() if rows is None)
    rows = {name: rows for name, rows in taken.items() if rows is not None}
    done.taken = len(done.dropped) + sum(map(len, rows.values()))
    for name, about in described(files, frozenset(done.dropped)).items():
        rows[name] = np.union1d(rows.get(name, about), about)
    for member in files:
        place = out / member.within
        if member.left:
            done.left[member.within] = member.left
        elif taken.get(member.within, ()) is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            _write_one(member, rows.get(member.within), place, taken, done)


def _write_one(
    member: Member,
    rows: NDArray[np.int64] | None,
    place: Path,
    taken: Mapping[str, NDArray[np.int64] | None],
    done: Cleaned,
) -> None:
    if rows is not None:
        table = opened(member.file, member.name)
        if table is None:
            raise CleanError(f"{quote(member.name)}: rows cannot be taken out of such files")
        done.changed[member.name] = write_without(table, rows, place)
        return
    other = adjusted(member, taken, done.gone)
    if other is not None:
        place.write_bytes(other)
        done.adjusted.append(member.within)
        return
    shutil.copyfile(member.file, place)
    done.copied += 1
    if counts_rows(member):
        done.counts.append(member.within)
