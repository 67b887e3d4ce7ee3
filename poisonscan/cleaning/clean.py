"""Write a dataset without the rows that a scan listed."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from poisonscan.cleaning.errors import CleanError
from poisonscan.cleaning.folders import Member, adjusted, counts_rows, described, members
from poisonscan.cleaning.listing import Listed, Listing
from poisonscan.cleaning.listing import read as read_listing
from poisonscan.cleaning.tables import check_form, opened, write_without
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
    chosen = _chosen(listing, source)
    taken = _taken(listing, chosen, {item.within: item for item in files if not item.left})
    done = Cleaned(reasons=listing.reasons, gone=_by_split(listing, chosen, taken))
    for (path, rule), count in listing.by_rule.items():
        done.by_rule[rule] += count if path in {file.path for file in chosen} else 0
    temporary = target.with_name(f".poisonscan-{secrets.token_hex(8)}.tmp")
    try:
        if source.is_dir():
            temporary.mkdir()
        headers = {file.within: file.header for file in chosen}
        _write(files, taken, headers, temporary, done)
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


def _chosen(listing: Listing, source: Path) -> list[Listed]:
    """The files that lose rows, with their places in the dataset that is named.

    That may be a target of the scan, a file or folder in one, or either moved since: of a moved
    file tells its digest which it is.

    Raises:
        CleanError: it is none of these, or loses no rows.
    """
    absolute = [os.path.abspath(target) for target in listing.targets]  # noqa: PTH100 - links stay
    place = os.path.abspath(source)  # noqa: PTH100
    found = listing.chosen()
    if place in absolute:
        found = [file for file in found if file.target in (absolute.index(place), -1)]
    elif above := [each for each in absolute if Path(place).is_relative_to(each)]:
        within = Path(place).relative_to(above[0]).as_posix()
        mine = [file for file in found if file.target == absolute.index(above[0])]
        found = [part for file in mine if (part := _part_of(file, within)) is not None]
    elif source.is_file() and not any(file.within == "." for file in found):
        found = _moved(found, source)
    elif len(listing.targets) > 1:
        named = ", ".join(quote(target) for target in listing.targets[:5])
        raise CleanError(f"the list is of {named}, not of {quote(str(source))}")
    if not found:
        raise CleanError("no row of it is listed: there is nothing to take out")
    return found


def _part_of(file: Listed, within: str) -> Listed | None:
    """A file with its place in a part of the target; None: it is not in that."""
    if file.within == within:
        return replace(file, within=".")
    if not file.within.startswith(f"{within}/"):
        return None
    return replace(file, within=file.within.removeprefix(f"{within}/"))


def _moved(files: Sequence[Listed], source: Path) -> list[Listed]:
    """The one of these files that another is a copy of, as the only file of a dataset."""
    with source.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    same = [file for file in files if file.digest == digest]
    if len(same) > 1:
        same = [file for file in same if PurePosixPath(file.within).name == source.name]
    if len(same) != 1:
        name = quote(str(source))
        raise CleanError(
            f"{name} is not one file of those that the list is of, or loses no rows: "
            "name what was scanned, or scan again"
        )
    return [replace(same[0], within=".")]


def _taken(
    listing: Listing, chosen: Sequence[Listed], known: Mapping[str, Member]
) -> dict[str, NDArray[np.int64] | None]:
    """Rows to take out of each file, by its path in the dataset; None: the whole file is one.

    Raises:
        CleanError: a file is not what was scanned, or rows cannot be taken out of it.
    """
    taken: dict[str, NDArray[np.int64] | None] = {}
    for file in chosen:
        _check(file, known)
        rows = listing.rows(file.path)
        whole = file.whole
        if whole is None:
            table = opened(known[file.within].file, file.path)
            whole = table is not None and table.format in _PICTURES
        if not whole:  # before any file is written
            check_form(opened(known[file.within].file, file.path), file.path)
        taken[file.within] = None if whole else rows
    return taken


def _by_split(
    listing: Listing,
    chosen: Sequence[Listed],
    taken: Mapping[str, NDArray[np.int64] | None],
) -> Counter[str] | None:
    """How many rows go of each split; None where a file belongs to several."""
    gone: Counter[str] = Counter()
    for file in chosen:
        rows, splits = taken[file.within], listing.splits[file.path]
        if len(splits) > 1:
            return None
        gone[next(iter(splits))] += 1 if rows is None else len(rows)
    return gone


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
            raise CleanError(f"{name} changed since the scan, or another file is meant: scan again")


def _write(
    files: Sequence[Member],
    taken: Mapping[str, NDArray[np.int64] | None],
    headers: Mapping[str, bool | None],
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
            header = headers.get(member.within)
            _write_one(member, rows.get(member.within), header, place, taken, done)


def _write_one(
    member: Member,
    rows: NDArray[np.int64] | None,
    header: bool | None,
    place: Path,
    taken: Mapping[str, NDArray[np.int64] | None],
    done: Cleaned,
) -> None:
    if rows is not None:
        table = check_form(opened(member.file, member.name), member.name)
        done.changed[member.name] = write_without(replace(table, header=header), rows, place)
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
