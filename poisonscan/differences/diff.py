"""Compares two versions of a model or a dataset, on disk or on the Hub."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poisonscan.beside import sorted_out
from poisonscan.datasets.candidates import any_may_hold_rows
from poisonscan.differences.found import Difference, Differences
from poisonscan.differences.parts import Parts, differences, parts_of
from poisonscan.engines.base import Failure
from poisonscan.engines.local import LocalEngine, usable_cores
from poisonscan.escape import quote
from poisonscan.files import Task
from poisonscan.finding import Gap
from poisonscan.formats.base import TableFile
from poisonscan.isolation.workers import Workers
from poisonscan.locking.entries import LockedFile
from poisonscan.locking.lock import How, hashed
from poisonscan.opening import open_apart
from poisonscan.passes import Passes
from poisonscan.remote import fetched
from poisonscan.shard_scan import attempt, scan_shard
from poisonscan.sources.base import Blob
from poisonscan.targets import TargetError, divided

if TYPE_CHECKING:
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.base import DatasetDetector
    from poisonscan.report import Report

_MANY_BYTES = 64 << 20


@dataclass(slots=True)
class _Side:
    """One version.

    Attributes:
        files: digests by path.
        blobs: the same files to be read, by path.
        gaps: what of it cannot be read.
    """

    files: dict[str, LockedFile] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    def on_disk(self, paths: Iterable[str]) -> dict[str, str]:
        """Where files are."""
        return {path: self.blobs[path].file or "" for path in paths}


def diff(
    old: str | Path,
    new: str | Path,
    *,
    how: How | None = None,
    label_column: str | None = None,
    repo_type: str | None = None,
) -> Differences:
    """Say what is different between two files, folders or repositories.

    Args:
        old: a path, or an address of the Hub.
        new: the same.
        how: how they are read.
        label_column: holds the labels; inferred if None.
        repo_type: ``model``, ``dataset`` or ``space``; with it ``org/name`` is a repository.

    Raises:
        TargetError: one does not exist, or the column does not.
        poisonscan.sources.hub.errors.HubError: a repository cannot be read.
        OSError: nothing can be fetched to the scratch folder.
    """
    how = how or How()
    out = Differences()
    with _opened(old, how, repo_type) as before, _opened(new, how, repo_type) as now:
        if len(before.files) == len(now.files) == 1 and _are_files(old, new):
            _call_alike(before, now)
        out.gaps += [*before.gaps, *now.gaps]
        out.files = len({*before.files, *now.files})
        gone, added, changed = _files(before, now, out)
        if out.counts["file"]:
            _parts(before, now, gone, added, changed, how, out)
            _tensors(before.on_disk([*gone, *changed]), now.on_disk([*added, *changed]), how, out)
            _datasets(before, now, label_column, how, out)
    out.gaps = sorted(set(out.gaps), key=lambda gap: (gap.path, gap.reason))
    return out


def _are_files(*targets: str | Path) -> bool:
    return all(Path(target).is_file() for target in targets)


@contextlib.contextmanager
def _opened(target: str | Path, how: How, repo_type: str | None) -> Iterator[_Side]:
    known = Path(target) if os.path.lexists(target) else target
    local, remote = divided([known], None, None if isinstance(known, Path) else repo_type)
    for path in local:
        if not os.path.lexists(path):
            message = f"{os.fspath(path)!r} does not exist"
            raise TargetError(message)
        yield _side(Path(path), how)
    for one in remote:
        with fetched(one, how.max_download, how.scratch, how.progress, download=True) as copy:
            side = _side(copy.folder, how)
            side.gaps += copy.gaps
            yield side


def _side(target: Path, how: How) -> _Side:
    files, blobs, gaps = hashed(target, how)
    return _Side({f.path: f for f in files}, {blob.path: blob for blob in blobs}, gaps)


def _call_alike(old: _Side, new: _Side) -> None:
    """Two files that were named are versions of one, whatever they are called."""
    (before,), (now,) = old.files, new.files
    old.files = {now: old.files[before]}
    old.blobs = {now: old.blobs[before]}


def _files(old: _Side, new: _Side, out: Differences) -> tuple[list[str], list[str], list[str]]:
    """Files that are gone, added and changed; one that has another name only is neither."""
    unread = {gap.path for gap in (*old.gaps, *new.gaps)}
    gone = [p for p in old.files if p not in new.files and p not in unread]
    added = [p for p in new.files if p not in old.files and p not in unread]
    by_digest = {old.files[path].sha256: path for path in gone}
    for path in list(added):
        before = by_digest.pop(new.files[path].sha256, None)
        if before is not None:
            added.remove(path)
            gone.remove(before)
            out.add(Difference("file", path, f"was called {quote(before)}", {"renamed": before}))
    changed = [
        path for path, file in new.files.items()
        if path in old.files and old.files[path].sha256 != file.sha256
    ]  # fmt: skip
    for path in gone:
        out.add(Difference("file", path, "gone", {"became": "gone"}))
    for path in added:
        what = f"added, {new.files[path].size:,} bytes"
        out.add(Difference("file", path, what, {"became": "added"}))
    for path in changed:
        what = f"changed: {old.files[path].size:,} bytes, now {new.files[path].size:,}"
        out.add(Difference("file", path, what, {"became": "changed"}))
    return gone, added, changed


def _parts(
    old: _Side,
    new: _Side,
    gone: Sequence[str],
    added: Sequence[str],
    changed: Sequence[str],
    how: How,
    out: Differences,
) -> None:
    """Imports, calls, settings and code of what is not the same."""
    before = _read(old, [*gone, *changed], how, out)
    now = _read(new, [*added, *changed], how, out)
    moved = Parts()
    for path in gone:  # what they did may be in files of other names
        moved.imports |= before[path].imports
        moved.calls |= before[path].calls
    for path in changed:
        for found in differences(path, before[path], now[path]):
            out.add(found)
    for path in added:
        now[path].settings.clear()
        for found in differences(path, moved, now[path]):
            if "gone" not in found.about:
                out.add(found)


def _read(side: _Side, paths: Sequence[str], how: How, out: Differences) -> dict[str, Parts]:
    blobs = [side.blobs[path] for path in paths]
    found: dict[str, Parts] = {}
    for path, outcome in zip(paths, _engine(how, blobs).map(_one, blobs), strict=True):
        parts, reason = (None, outcome.reason) if isinstance(outcome, Failure) else outcome
        if parts is None:
            out.gaps.append(Gap(path, f"not compared: {reason}"))
        else:
            out.gaps += parts.gaps
        found[path] = parts or Parts()
    return found


def _one(blob: Blob) -> tuple[Parts | None, str]:
    result: tuple[Parts | None, str] = attempt(parts_of, blob)
    return result


def _engine(how: How, blobs: Sequence[Blob]) -> LocalEngine:
    many = len(blobs) > 1 and sum(blob.size for blob in blobs) >= _MANY_BYTES
    return LocalEngine(how.jobs or (usable_cores() if many else 1), apart=how.isolation != "off")


def _tensors(old: dict[str, str], new: dict[str, str], how: How, out: Differences) -> None:
    """Tensors of the checkpoints that are not the same, in whatever files they are."""
    from poisonscan.differences.tensors import by_folder, compare

    before, now = by_folder(old), by_folder(new)
    task = functools.partial(_attempted, task=compare)
    folders = sorted({*before, *now})
    items = [(before.get(folder, []), now.get(folder, [])) for folder in folders]
    engine = LocalEngine(how.jobs or 1, apart=how.isolation != "off")
    for folder, outcome in zip(folders, engine.map(task, items), strict=True):
        compared, reason = (None, outcome.reason) if isinstance(outcome, Failure) else outcome
        if compared is None:
            out.gaps.append(Gap(folder or ".", f"its tensors were not compared: {reason}"))
            continue
        for found in compared.differences:
            out.add(found)
        out.gaps += [Gap(path, note) for path, note in compared.notes]
        out.same_tensors += compared.same


def _attempted(item: tuple[Any, Any], task: Any) -> tuple[Any, str]:
    return attempt(task, *item)


def _datasets(old: _Side, new: _Side, label_column: str | None, how: How, out: Differences) -> None:
    """Rows of the datasets with a file that is not the same."""
    before, now = _open(old, label_column, how, out), _open(new, label_column, how, out)
    if not before and not now:
        return
    from poisonscan.differences.datasets import compare_datasets

    first, second = _contents(before, old), _contents(now, new)
    same = {path for path, content in first.items() if second.get(path) == content}

    def run(dataset: Dataset, asks: dict[str, DatasetDetector]) -> Report:
        many = sum(shard.size for shard in dataset.shards) >= _MANY_BYTES
        jobs = how.jobs or (usable_cores() if many and len(dataset.shards) > 1 else 1)
        engine = LocalEngine(jobs, apart=how.isolation != "off")
        return Passes(dataset, engine, scan_shard, attempt, how.progress, how.scratch).run(asks)

    compare_datasets(
        [dataset for dataset in before if dataset.path not in same],
        [dataset for dataset in now if dataset.path not in same],
        run, out, how.scratch,
    )  # fmt: skip


def _contents(datasets: Sequence[Dataset], side: _Side) -> dict[str, object]:
    """What a dataset is made of: where that is the same, so are its rows."""
    # Of two files that were named, the old one is called like the new one only where it is told.
    digests = {side.blobs[path].path: file.sha256 for path, file in side.files.items()}
    return {
        dataset.path: (
            [
                (
                    shard.split,
                    shard.labels,
                    [digests.get(file.path.partition("!/")[0]) for file in shard.files],
                )
                for shard in dataset.shards
            ],
            dict(dataset.columns),
            dataset.label_names,
        )
        for dataset in datasets
    }


def _open(side: _Side, label_column: str | None, how: How, out: Differences) -> list[Dataset]:
    from poisonscan.datasets.errors import OptionError
    from poisonscan.datasets.shards import DatasetOptions

    blobs = list(side.blobs.values())
    workers = Workers(Task((), "dataset", how.limits), how.jobs or 1, how.isolation)
    found = [i for _, items in workers.run(blobs) for i in items if isinstance(i, TableFile)]
    tables, beside = sorted_out(blobs, found, how.scratch)
    if not tables and not any_may_hold_rows(file.path for file in beside):
        return []
    engine = LocalEngine(1, apart=how.isolation != "off")
    try:
        options = DatasetOptions(label_column=label_column)
        datasets, notes = open_apart(tables, options, beside, engine)
    except OptionError as error:
        raise TargetError(str(error)) from error
    out.gaps += [note for note in notes if isinstance(note, Gap)]
    return datasets
