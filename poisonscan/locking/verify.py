"""Compares what is there now with a lock file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from poisonscan.escape import escape, quote
from poisonscan.finding import Gap
from poisonscan.locking.compare import Change, changes, file_changes
from poisonscan.locking.entries import Entry, Lock, LockError
from poisonscan.locking.lock import How, entry_on_disk, entry_on_hub, hashed, rules_digest
from poisonscan.plural import plural
from poisonscan.remote import Remote
from poisonscan.sources.hub import cache
from poisonscan.sources.hub.address import AddressError, parse
from poisonscan.sources.hub.client import Client
from poisonscan.sources.hub.environment import Environment, read_environment
from poisonscan.sources.hub.errors import HubError
from poisonscan.sources.hub.listing import Listing, list_files
from poisonscan.version import VERSION


@dataclass(slots=True)
class Verified:
    """What came of a comparison.

    Attributes:
        changes: what is not as the lock file has it.
        gaps: what could not be compared.
        files: how many files were compared.
        notes: what is no change and should be known.
    """

    changes: list[Change] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    files: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 with a change, else 3 with a gap, else 0."""
        return 1 if self.changes else 3 if self.gaps else 0


def verify(
    lock: Lock, root: str | Path, *, how: How | None = None, rescan: bool | None = None
) -> Verified:
    """Compare targets with a lock file.

    Files are hashed first, or the hashes that the Hub lists are compared. Only a target that is
    not the same is scanned again, to say what in it changed, and so are all when the rules are not
    those that the lock file was made with: what they find may be other things.

    Args:
        lock: what is to be there.
        root: the folder of the lock file; nothing outside of it is opened.
        how: how targets are read.
        rescan: whether to scan targets again whose files are the same; None: where the rules are
            others.

    Raises:
        LockError: the lock file names a target outside of the folder.
    """
    how = how or How()
    done = Verified()
    other_rules = "" if lock.rules == rules_digest() else _why(lock)
    environment: Environment | None = None
    for entry in lock.entries:
        again = bool(other_rules) if rescan is None else rescan
        try:
            if entry.commit:
                environment = environment or read_environment()
                _on_hub(entry, environment, how, other_rules, done, again=again)
            else:
                _on_disk(entry, Path(root), how, other_rules, done, again=again)
        except (HubError, AddressError, OSError) as error:
            done.gaps.append(Gap(entry.target, escape(f"not compared: {error}")))
        if entry.unchecked:
            what = plural(len(entry.unchecked), "thing")
            said = f"{quote(entry.target)}: not scanned when the lock was made: {what}"
            done.notes.append(said)
    return done


def _why(lock: Lock) -> str:
    return f"the rules are those of poisonscan {VERSION}, not of {escape(lock.version[:40])}"


def target_on_disk(name: str, root: Path) -> Path:
    """Where a target of a lock file is.

    Raises:
        LockError: it leads out of the folder, by its name or through a link.
    """
    path = root if name == "." else root / name
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        message = f"{quote(name)} leads out of the folder of the lock file: not opened"
        raise LockError(message)
    return path


def _on_disk(
    entry: Entry, root: Path, how: How, rules: str, done: Verified, *, again: bool
) -> None:
    path = target_on_disk(entry.target, root)
    if not os.path.lexists(path):
        done.changes.append(Change(entry.target, "file", "", "removed: the target is not there"))
        return
    files, _, gaps = hashed(path, how)
    done.files += len(files)
    done.gaps += [_named(entry, gap) for gap in gaps]  # also where nothing could be read before
    unread = {gap.path for gap in gaps}
    differ = list(
        file_changes(entry.target, [f for f in entry.files if f.path not in unread], files)
    )
    if not differ and not again:
        return
    _compare(entry, entry_on_disk(path, entry.target, how), rules, done, unread)


def _on_hub(
    entry: Entry, environment: Environment, how: How, rules: str, done: Verified, *, again: bool
) -> None:
    address = parse(entry.target, revision=entry.revision or None, endpoint=environment.endpoint)
    if environment.offline:
        listing = cache.list_cached(environment.cache, address)
    else:
        listing = list_files(Client(environment), address)
    done.files += len(listing.entries)
    if listing.commit == entry.commit and not again and _as_listed(entry, listing):
        done.gaps += [Gap(entry.target, note) for note in listing.notes]
        return
    now = entry_on_hub(Remote(entry.target, address, environment), how)
    _compare(entry, now, rules, done, set())


def _as_listed(entry: Entry, listing: Listing) -> bool:
    """Whether the Hub lists the files of a lock with the hashes that the lock has."""
    listed = {(e.path, e.size, e.named if e.digest else "") for e in listing.entries}
    return listed == {(f.path, f.size, f.hub) for f in entry.files}


def _compare(old: Entry, new: Entry, rules: str, done: Verified, unread: set[str]) -> None:
    """Tell what changed; what cannot be read now and could before is a gap and no change."""
    kept = Entry(
        old.target, tuple(f for f in old.files if f.path not in unread), old.datasets,
        old.checkpoints, old.verdicts, old.unchecked, old.commit, old.revision,
    )  # fmt: skip
    done.changes += changes(kept, new, rules)
    known = {gap.path for gap in done.gaps}
    for item in new.unchecked:
        if item not in old.unchecked:
            gap = _named(old, Gap(item.path, item.reason))
            done.gaps += [gap] if gap.path not in known else []


def _named(entry: Entry, gap: Gap) -> Gap:
    place = gap.path if entry.target == "." else f"{entry.target}/{gap.path}"
    return Gap(place, gap.reason)
