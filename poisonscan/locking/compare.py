"""What has changed between two entries of a target, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poisonscan.escape import escape, quote
from poisonscan.finding import Json
from poisonscan.locking.entries import Entry, LockedCheckpoint, LockedDataset, LockedFile
from poisonscan.locking.tensors import TensorDigest

_NAMED: Final = 5
"""Tensors that one message names."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not as the lock file has it.

    Attributes:
        target: as the lock file calls it.
        kind: ``commit``, ``file``, ``rows``, ``layout``, ``classes``, ``tensors``, ``container``,
            ``verdicts`` or ``signature``. ``layout`` and ``container`` say that what a changed file
            holds is the same.
        path: relative to the target; empty for all of it.
        what: a sentence without a period; escaped.
    """

    target: str
    kind: str
    path: str
    what: str

    def as_json(self) -> Json:
        """For programs."""
        return {"target": self.target, "kind": self.kind, "path": self.path, "what": self.what}


def changes(old: Entry, new: Entry, rules: str = "") -> list[Change]:
    """Everything that is not as it was.

    Args:
        old: of the lock file.
        new: what is there now.
        rules: why verdicts may differ with the same files; empty if they may not.
    """
    found = [*_commit(old, new), *file_changes(old.target, old.files, new.files)]
    found += _datasets(old, new)
    found += _checkpoints(old, new)
    for rule in sorted({*old.verdicts, *new.verdicts}):
        before, now = old.verdicts.get(rule, 0), new.verdicts.get(rule, 0)
        if before != now:
            why = f"; {rules}" if rules else ""
            what = f"{rule}: {before:,} findings, now {now:,}{why}"
            found.append(Change(old.target, "verdicts", "", what))
    alone = {old.target.rpartition("/")[2]}
    if {file.path for file in (*old.files, *new.files)} == alone:  # a file and no folder
        found = [replace(c, path="" if c.path in alone else c.path) for c in found]
    return found


def _commit(old: Entry, new: Entry) -> Iterator[Change]:
    if old.commit != new.commit:
        what = f"{quote(old.revision)} was commit {old.commit} and is {new.commit or 'none'} now"
        yield Change(old.target, "commit", "", what)


def file_changes(
    target: str, old: Sequence[LockedFile], new: Sequence[LockedFile]
) -> Iterator[Change]:
    """Files that were added, removed or changed; those that were renamed are told as such."""
    before, now = {f.path: f for f in old}, {f.path: f for f in new}
    gone = {f.sha256: f.path for f in old if f.path not in now}
    for path in sorted({*before, *now}):
        was, is_now = before.get(path), now.get(path)
        if was is None and is_now is not None:
            of = gone.get(is_now.sha256)
            same = f", the same as {quote(of)} was" if of is not None else ""
            yield Change(target, "file", path, f"added, {is_now.size:,} bytes{same}")
        elif is_now is None:
            yield Change(target, "file", path, "removed")
        elif was is not None and was.sha256 != is_now.sha256:
            sizes = f"{was.size:,} bytes, now {is_now.size:,}"
            digests = f"sha256 {was.sha256[:16]}…, now {is_now.sha256[:16]}…"
            yield Change(target, "file", path, f"changed: {sizes}; {digests}")


def _datasets(old: Entry, new: Entry) -> Iterator[Change]:
    changed = {c.path for c in file_changes("", old.files, new.files)}
    before, now = {d.path: d for d in old.datasets}, {d.path: d for d in new.datasets}
    moved: dict[str, LockedDataset] = {}
    unmatched = [d for path, d in now.items() if path not in before]
    for path, was in before.items():
        match = now.get(path) or next((d for d in unmatched if d.splits == was.splits), None)
        if match is None and len(before) == len(now) == 1:
            match = unmatched[0]
        if match is None:
            yield Change(old.target, "rows", path, f"the dataset is gone, {_rows(was)}")
            continue
        moved[match.path] = was
        yield from _dataset(old.target, was, match, touched=_touched(changed, path))
    for path, dataset in now.items():
        if path not in moved:
            yield Change(
                old.target, "rows", path, f"a dataset that was not there, {_rows(dataset)}"
            )


def _touched(changed: Iterable[str], path: str) -> bool:
    """Whether a changed file is, or is in, what a dataset is called by."""
    outer = path.partition("!/")[0]
    return any(outer in ("", ".") or c == outer or c.startswith(outer + "/") for c in changed)


def _dataset(
    target: str, was: LockedDataset, now: LockedDataset, *, touched: bool
) -> Iterator[Change]:
    if was.classes != now.classes:
        what = f"class names were {_names(was.classes)} and are {_names(now.classes)} now"
        yield Change(target, "classes", now.path, what)
    same = True
    for split in sorted({*was.splits, *now.splits}):
        before, after = was.splits.get(split), now.splits.get(split)
        if before == after:
            continue
        same = False
        if before is None or after is None:
            rows = before or after
            count = rows.rows if rows is not None else 0
            what = f"split {quote(split)} of {count:,} rows is {'gone' if before else 'new'}"
        else:
            what = f"split {quote(split)} holds other rows: {before.rows:,}, now {after.rows:,}"
        yield Change(target, "rows", now.path, what)
    if same and (touched or was.path != now.path):
        yield Change(target, "layout", now.path, f"same rows, other layout: {_rows(now)}")


def _rows(dataset: LockedDataset) -> str:
    return ", ".join(f"{quote(n)} {r.rows:,} rows" for n, r in sorted(dataset.splits.items()))


def _names(classes: Sequence[str] | None) -> str:
    if classes is None:
        return "not declared"
    shown = ", ".join(quote(name, 40) for name in classes[:10])
    return shown + (f" and {len(classes) - 10:,} more" if len(classes) > 10 else "")


def _checkpoints(old: Entry, new: Entry) -> Iterator[Change]:
    changed = {c.path for c in file_changes("", old.files, new.files)}
    before, now = {c.path: c for c in old.checkpoints}, {c.path: c for c in new.checkpoints}
    unmatched = {c.tensors: c for path, c in now.items() if path not in before and c.tensors}
    for path, was in before.items():
        match = now.get(path) or unmatched.get(was.tensors)
        if match is None or not was.tensors:
            continue  # that the file is gone is told
        if was.tensors == match.tensors:
            if path in changed:
                what = f"the same {len(was.tensors):,} tensors in another container"
                yield Change(old.target, "container", match.path, what)
        else:
            yield Change(old.target, "tensors", path, _difference(was, match))


def _difference(was: LockedCheckpoint, now: LockedCheckpoint) -> str:
    before, after = _by_name(was.tensors), _by_name(now.tensors)
    parts = [
        ("changed", [n for n in before if n in after and before[n] != after[n]]),
        ("added", [n for n in after if n not in before]),
        ("removed", [n for n in before if n not in after]),
    ]
    return "; ".join(f"{_some(names)} {verb}" for verb, names in parts if names)


def _by_name(tensors: Sequence[TensorDigest]) -> Mapping[str, TensorDigest]:
    return {tensor.name: tensor for tensor in tensors}


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(quote(name, 80) for name in sorted(names)[:_NAMED])
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return f"tensor{'s' if len(names) > 1 else ''} {shown}{more}"


def shown(change: Change) -> str:
    """A change as a line for people."""
    place = "/".join(p for p in (change.target, change.path) if p not in ("", "."))
    return f"{escape(place) or '.'}: {change.what}"
