"""One file: what it is, what is nested in it, and what the detectors find there.

With `scan` this is the only module that catches whatever a parser or a detector may raise: it
becomes a gap. It runs in a process of its own (see `isolation`) that nothing is told but the file.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from poisonscan.contents import Contents
from poisonscan.datasets.candidates import may_hold_rows
from poisonscan.finding import Finding, Gap, Rule, Scanned, Severity, Skipped
from poisonscan.formats.base import (
    Archive,
    Artifact,
    Folder,
    Identified,
    PickleStream,
    Script,
    Settings,
    Shard,
    ShardIndex,
    TableFile,
    Template,
    Text,
)
from poisonscan.formats.registry import identify
from poisonscan.formats.tables import table_in
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.sources.base import Blob, Missing

Kind = Literal["all", "model", "dataset"]
Item = Finding | Gap | Skipped | Scanned | TableFile | Shard | ShardIndex | Missing
"""What a scanned file gives: results, and what is put together with that of other files."""

_BESIDE: Final = (Settings, Script, Template, ShardIndex)
_ROWS: Final = re.compile(
    r".*\.(?:csv|tsv|jsonl|ndjson|parquet|arrow|feather|json(?=\.))(?:\.(?:gz|bz2|xz|zst))?"
)
"""Names of what would be tables if it could be read."""
_TELLING: Final = frozenset({
    "readme.md", "state.json", "dataset_info.json", "dataset_dict.json", "config.json",
})  # fmt: skip
"""Names of members that say something about the files beside them."""
_LOST: Final = ("not read as a dataset", "looks like a table", "decompresses to more than")
"""What gaps say where there are rows that are not read, or may be."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to do with a file.

    Attributes:
        rules: those to apply.
        kind: ``model`` leaves out files of rows; ``dataset`` lists clean models as skipped.
        limits: what one file may cost.
    """

    rules: tuple[Rule, ...]
    kind: Kind = "all"
    limits: Limits = field(default_factory=Limits)


def scan_file(blob: Blob, task: Task, detectors: Detectors) -> Iterator[Item]:
    """Identify a file and everything nested in it, and apply the detectors for each artifact.

    Findings and gaps come as they are made, so that those before a failure are not lost with it.
    """
    budget = Budget(task.limits)
    quota = _Quota(task.limits.findings)
    seen = _Seen(Contents(blob.path))
    pending = [blob]
    while pending:
        current = pending.pop()
        children: list[Blob] = []
        seen.begin(current)
        for item in _read(current, budget):
            if isinstance(item, Blob):
                children.append(item)
                continue
            if isinstance(item, Gap):
                seen.add_gap(item)
            elif isinstance(item, TableFile):
                seen.add_table(item)
                if task.kind != "model":
                    yield item
            else:
                seen.add(item, blob.path)
                yield from quota.of(detectors.check(item))
                if isinstance(item, Shard | ShardIndex) and item.path == blob.path:
                    yield item
        # What could not be read of a model does not matter where only datasets are asked for.
        rows = seen.tables or seen.members
        if task.kind != "dataset" or rows or not (seen.models or seen.beside):
            yield from seen.gaps
            seen.gaps.clear()
        pending += reversed(children)
    if task.kind != "model" and seen.has_rows:
        yield from seen.gaps
        yield from seen.others
    if quota.refused:
        yield Gap(blob.path, f"{quota.refused:,} more findings in this file are not listed")
    yield from _conclude(blob, task.kind, seen)


@dataclass(slots=True)
class _Quota:
    """Lets through so many findings of each severity."""

    limit: int
    refused: int = 0
    _counts: dict[Severity, int] = field(default_factory=dict)

    def of(self, items: Iterable[Finding | Gap]) -> Iterator[Finding | Gap]:
        for item in items:
            if isinstance(item, Finding):
                count = self._counts[item.severity] = self._counts.get(item.severity, 0) + 1
                if count > self.limit:
                    self.refused += 1
                    continue
            yield item


@dataclass(slots=True)
class _Seen:
    """What a file turned out to be.

    Attributes:
        contents: of a model file.
        gaps: not told yet.
        tables: whether it is a table.
        members: whether it holds tables, or what is one by its name and cannot be read.
        others: what else it holds, as far as it may be read with tables: of most names one of each
            suffix in each folder, which tells what kind of folder it is.
        kinds: these folders and suffixes.
    """

    contents: Contents
    gaps: list[Gap] = field(default_factory=list)
    tables: bool = False
    members: bool = False
    others: list[TableFile] = field(default_factory=list)
    kinds: set[tuple[str, str]] = field(default_factory=set)
    models: bool = False
    beside: bool = False
    text: bool = False
    own: Artifact | None = None
    form: str = ""
    inner: str = ""

    def add_gap(self, gap: Gap) -> None:
        self.gaps.append(gap)
        name = gap.path.rpartition("/")[2].lower()
        named = _ROWS.fullmatch(name) is not None or may_hold_rows(name)
        self.members = self.members or named or any(why in gap.reason for why in _LOST)

    @property
    def has_rows(self) -> bool:
        """Whether members may be rows: tables, or texts that are rows by their names."""
        return self.members or any(file.path.endswith(".txt") for file in self.others)

    def begin(self, member: Blob) -> None:
        if not member.steps:
            return
        kind = member.path.rpartition("/")[0], member.suffix
        beside = table_in(member, "other")
        told = kind in self.kinds and member.suffix != ".txt" and member.name not in _TELLING
        if isinstance(beside, TableFile) and not told:
            self.kinds.add(kind)
            self.others.append(beside)

    def add_table(self, file: TableFile) -> None:
        if not file.steps:
            self.tables = True
            return
        self.members = True
        if self.others and self.others[-1].path == file.path:
            del self.others[-1]

    def add(self, artifact: Artifact, path: str) -> None:
        self.contents.add(artifact)
        if isinstance(artifact, Identified):
            if artifact.path == path:
                self.form = self.form or artifact.format
            return
        if isinstance(artifact, Text):
            self.text = True
        elif isinstance(artifact, _BESIDE):
            self.beside = True
        else:
            self.models = True
        if artifact.path == path:
            self.own = self.own or artifact
        elif isinstance(artifact, PickleStream):
            self.inner = self.inner or artifact.grammar

    @property
    def format(self) -> str:
        """The file's own format, with that of a pickle that is all it holds."""
        name = self.form
        if self.own is not None:
            name = str(getattr(self.own, "grammar", getattr(self.own, "format", name)))
        alone = self.own is None or (isinstance(self.own, Archive) and self.own.members == 1)
        return f"{name} ({self.inner})" if self.inner and alone else name


def _read(blob: Blob, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
    """Everything that a blob turns out to hold; whatever goes wrong is a gap."""
    if blob.depth > budget.limits.depth:
        yield Gap(blob.path, f"nested more than {budget.limits.depth} containers deep")
        return
    try:
        view = blob.open()
        formats = identify(blob, view)
        if not formats:
            yield Gap(blob.path, "unknown format: nothing here knows how to check it")
            return
        yield Identified(blob.path, formats[0].name, blob.suffix)
        for format_ in formats:
            yield from format_.open(blob, view, budget)
    except LimitReached as error:
        yield Gap(blob.path, f"limit reached: {error}")
    except OSError as error:
        yield Gap(blob.path, f"cannot be read: {error.strerror or error}")
    except MemoryError:
        yield Gap(blob.path, "limit reached: reading it takes more memory than allowed")
    except Exception as error:
        yield Gap(blob.path, crash("reading it failed", error))


class Detectors:
    """The detectors of model files that some rules name; each is loaded when there is need of it.

    Args:
        rules: those to apply.
    """

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self._rules = rules
        self._of: dict[type[Artifact], list[tuple[str, Any]]] = {}

    def check(self, artifact: Artifact) -> Iterator[Finding | Gap]:
        """What they find in an artifact; the findings that one made before it failed stay."""
        kind = type(artifact)
        if kind not in self._of:
            names = {base.__name__ for base in kind.__mro__}
            wanted = (rule for rule in self._rules if names.intersection(rule.reads))
            self._of[kind] = list(load_detectors(wanted).items())
        for name, detector in self._of[kind]:
            try:
                for found in detector.check(artifact):
                    if isinstance(found, Gap) or found.rule in self._rules:
                        yield found
            except Exception as error:
                yield Gap(artifact.path, crash("the detector failed", error), name)

    def load_all(self) -> None:
        """Load every one, for processes that are forked to have them."""
        load_detectors(rule for rule in self._rules if rule.reads)


def _conclude(blob: Blob, kind: Kind, seen: _Seen) -> Iterator[Scanned | Skipped]:
    """Say what became of a file: scanned as a model, a dataset, or neither."""
    if seen.tables:
        if kind == "model":
            yield Skipped(blob.path, "dataset file; only models were asked for")
    elif kind == "dataset":
        if not seen.members and (seen.models or seen.beside or seen.text):
            yield Skipped(blob.path, "no dataset file; only datasets were asked for")
    elif seen.models:
        yield Scanned(blob.path, "model", seen.format, blob.size, facts=seen.contents.facts())
    elif seen.beside:
        yield Scanned(blob.path, "settings", seen.format, blob.size)
    elif seen.text:
        yield Skipped(blob.path, "text that is neither a table nor a model")


def check_folders(
    items: Iterable[Shard | ShardIndex], files: Iterable[str], task: Task
) -> Iterator[Finding | Gap]:
    """Compare the files of each folder that has an index of shards with it."""
    shards: dict[str, dict[str, Shard]] = {}
    indexes: dict[str, list[ShardIndex]] = {}
    for item in items:
        folder, _, name = item.path.rpartition("/")
        if isinstance(item, Shard):
            shards.setdefault(folder, {})[name] = item
        else:
            indexes.setdefault(folder, []).append(item)
    if not indexes:
        return
    names: dict[str, set[str]] = {folder: set() for folder in indexes}
    for path in files:
        folder, _, name = path.rpartition("/")
        if folder in names:
            names[folder].add(name)
    detectors = Detectors(task.rules)
    for folder, found in indexes.items():
        artifact = Folder(folder, frozenset(names[folder]), shards.get(folder, {}), tuple(found))
        yield from detectors.check(artifact)


def load_detectors(rules: Iterable[Rule]) -> dict[str, Any]:
    """The detectors that the rules name, by module, loaded when needed."""
    names = dict.fromkeys(rule.detector for rule in rules if rule.detector != "scan")
    return {name: importlib.import_module(f"poisonscan.{name}").DETECTOR for name in names}


def crash(what: str, error: Exception) -> str:
    """What to tell of an exception that nobody expected."""
    return f"{what}: {type(error).__name__}: {str(error)[:300]}"
