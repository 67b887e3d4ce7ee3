"""The flow: target, source, blobs, format, artifact, detector, finding, report.

Everything that goes wrong on the way becomes a gap in the report: this is the only module that
catches whatever a detector or a parser may raise.
"""

from __future__ import annotations

import functools
import importlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from poisonscan.engines.base import Engine, Failure
from poisonscan.engines.local import LocalEngine, usable_cores
from poisonscan.finding import Finding, Gap, Report, Rule, Scanned, Skipped
from poisonscan.formats.base import Archive, Artifact, Identified, TableFile, Text
from poisonscan.formats.registry import identify
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.rules import select as select_rules
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import Disk
from poisonscan.version import VERSION

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.base import DatasetDetector

Kind = Literal["all", "model", "dataset"]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is."""

_MANY_FILES: Final = 500
_MANY_BYTES: Final = 64 << 20


class TargetError(ValueError):
    """A target that does not exist, or an option that does not fit it."""


def scan(
    target: str | Path | Sequence[str | Path],
    *,
    kind: Kind = "all",
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    label_column: str | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
    features_column: str | None = None,
    activations: str | Path | None = None,
    split: str | None = None,
    jobs: int | None = None,
    limits: Limits | None = None,
    root: str | Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Scan model files and datasets. Nothing that is scanned is executed or unpickled.

    Args:
        target: a file or folder, or several.
        kind: ``model`` or ``dataset`` to look at only these.
        select: ids, id prefixes or names of the rules to apply; all if empty.
        ignore: the same for rules to leave out.
        label_column: holds the labels; inferred if None, like the columns below.
        text_column: holds the text.
        image_column: holds the pictures.
        features_column: holds a vector per row.
        activations: a ``.npy`` or ``.safetensors`` file whose row i belongs to row i of the dataset.
        split: read only this split.
        jobs: processes; None: as many as there are cores when there is enough to do.
        limits: what one file may cost.
        root: paths in the report are relative to this folder; by default the current one.
        progress: called now and then during long work.

    Returns:
        Findings, and everything that could not be checked. An interrupt (Ctrl-C) ends the scan
        early and is marked in the report.

    Raises:
        TargetError: a target does not exist, or an option names what is not there.
        poisonscan.rules.RuleError: ``select`` or ``ignore`` matches no rule.
    """
    started = time.monotonic()
    targets = [target] if isinstance(target, str | Path) else list(target)
    rules = select_rules(tuple(select), tuple(ignore))
    base = Path(os.path.abspath(root or "."))  # noqa: PTH100 - links stay links
    report = Report(
        tuple(os.fspath(t) for t in targets), rules=rules, root=str(base), version=VERSION
    )
    columns = {
        "label_column": label_column,
        "text_column": text_column,
        "image_column": image_column,
        "features_column": features_column,
        "activations": os.fspath(activations) if activations is not None else None,
        "split": split,
    }
    blobs, listed = _blobs(targets, base)
    report.extend(listed)
    work = _Work(rules, kind, limits or Limits(), jobs, progress or (lambda *_: None))
    try:
        tables = work.files(blobs, report)
        if tables:
            work.datasets(tables, columns, report)
    except KeyboardInterrupt:
        report.interrupted = True
        report.gaps.append(Gap(report.targets[0], "interrupted: the rest was not scanned"))
    report.sort()
    report.seconds = time.monotonic() - started
    return report


def _blobs(targets: Iterable[str | Path], base: Path) -> tuple[list[Blob], Report]:
    """All files of all targets, each once, and what could not be listed."""
    blobs: dict[str, Blob] = {}
    listed = Report(())
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
                blobs.setdefault(item.file or item.path, item)
    return list(blobs.values()), listed


@dataclass(slots=True)
class _FileResult:
    """What came of one file, with the dataset files among it."""

    report: Report = field(default_factory=lambda: Report(()))
    tables: list[TableFile] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Work:
    rules: tuple[Rule, ...]
    kind: Kind
    limits: Limits
    jobs: int | None
    progress: Progress

    def engine(self, items: int, size: int) -> Engine:
        """As many processes as asked for, or as the work is worth."""
        if self.jobs is not None:
            return LocalEngine(self.jobs)
        worth = items >= _MANY_FILES or (items > 1 and size >= _MANY_BYTES)
        return LocalEngine(usable_cores() if worth else 1)

    def files(self, blobs: list[Blob], report: Report) -> list[TableFile]:
        """Scan every file; returns those that hold rows."""
        tables: list[TableFile] = []
        task = functools.partial(scan_file, rules=self.rules, kind=self.kind, limits=self.limits)
        # Model files are cheap for their size: only many of them are worth processes.
        outcomes = self.engine(len(blobs), 0).map(task, blobs)
        for done, outcome in enumerate(outcomes, 1):
            if isinstance(outcome, Failure):
                report.gaps.append(Gap(outcome.item.path, outcome.reason))
            else:
                report.extend(outcome.report)
                tables += outcome.tables
            self.progress("files", done, len(blobs))
        return tables

    def datasets(
        self, tables: list[TableFile], columns: Mapping[str, str | None], report: Report
    ) -> None:
        """Group files into datasets and scan each."""
        from poisonscan.datasets.dataset import DatasetOptions
        from poisonscan.datasets.errors import OptionError
        from poisonscan.datasets.gather import open_datasets

        try:
            datasets, gaps = open_datasets(tables, DatasetOptions(**columns))
        except OptionError as error:
            raise TargetError(str(error)) from error
        except Exception as error:
            report.gaps += [Gap(table.path, _crash("opening it failed", error)) for table in tables]
            return
        report.gaps += gaps
        for dataset in datasets:
            size = sum(shard.size for shard in dataset.shards)
            passes = _Passes(dataset, self.engine(len(dataset.shards), size), self.progress)
            report.extend(passes.run(self.rules))


def scan_file(blob: Blob, *, rules: tuple[Rule, ...], kind: Kind, limits: Limits) -> _FileResult:
    """Identify a file and everything nested in it, and apply the detectors for each artifact."""
    result = _FileResult()
    report, budget = result.report, Budget(limits)
    detectors = _detectors(rules, "detectors.models.") if kind != "dataset" else {}
    seen: list[Artifact] = []
    pending = [blob]
    while pending:
        current = pending.pop()
        children: list[Blob] = []
        for item in _read(current, budget):
            if isinstance(item, Gap):
                report.gaps.append(item)
            elif isinstance(item, Blob):
                children.append(item)
            elif isinstance(item, TableFile):
                result.tables.append(item)
            else:
                seen.append(item)
                report.findings += _check(item, detectors, rules, report.gaps)
        pending += reversed(children)
    _conclude(blob, kind, seen, result)
    kept = limits.findings
    if len(report.findings) > kept:
        report.sort()
        more = len(report.findings) - kept
        report.findings = report.findings[:kept]
        report.gaps.append(Gap(blob.path, f"{more:,} more findings in this file are not listed"))
    return result


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
    except Exception as error:
        yield Gap(blob.path, _crash("reading it failed", error))


def _check(
    artifact: Artifact,
    detectors: Mapping[str, Any],
    rules: tuple[Rule, ...],
    gaps: list[Gap],
) -> list[Finding]:
    """What the detectors find in an artifact; the findings that one made before it failed stay."""
    findings: list[Finding] = []
    for name, detector in detectors.items():
        if not isinstance(artifact, detector.reads):
            continue
        try:
            findings.extend(f for f in detector.check(artifact) if f.rule in rules)
        except Exception as error:
            gaps.append(Gap(artifact.path, _crash("the detector failed", error), name))
    return findings


def _conclude(blob: Blob, kind: Kind, seen: list[Artifact], result: _FileResult) -> None:
    """Say what became of a file: scanned as a model, a dataset, or neither."""
    artifacts = [item for item in seen if not isinstance(item, Identified)]
    report = result.report
    if result.tables:
        if kind == "model":
            report.skipped.append(Skipped(blob.path, "dataset file; only models were asked for"))
            result.tables.clear()
        return
    if artifacts and all(isinstance(item, Text) for item in artifacts):
        report.skipped.append(Skipped(blob.path, "text that is neither a table nor a model"))
        return
    if kind == "dataset":
        report.findings.clear()
        report.gaps.clear()
        report.skipped.append(Skipped(blob.path, "no dataset file; only datasets were asked for"))
        return
    if artifacts:
        report.scanned.append(Scanned(blob.path, "model", _format_name(artifacts), blob.size))


def _format_name(artifacts: list[Artifact]) -> str:
    first = artifacts[0]
    name = getattr(first, "grammar", None) or getattr(first, "format", None) or "safetensors"
    if isinstance(first, Archive) and first.format not in ("zip", "tar") and len(artifacts) > 1:
        inner = getattr(artifacts[1], "grammar", "")
        return f"{name} ({inner})" if inner and first.members == 1 else str(name)
    return str(name)


@dataclass(slots=True)
class _ShardResult:
    """What one worker brings back from one shard."""

    aggregates: list[Aggregate]
    rows: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)


def scan_shard(
    shard: int, *, dataset: Dataset, requests: Sequence[Aggregate]
) -> _ShardResult:
    """Fill fresh aggregates from one shard. What cannot be read is a gap; the rest counts."""
    import copy

    result = _ShardResult([copy.deepcopy(request) for request in requests])
    needs = frozenset(role for request in requests for role in request.needs)
    path = dataset.shards[shard].path
    try:
        for batch in dataset.batches(shard, needs):
            result.rows += batch.size
            result.gaps += [Gap(path, f"row {row:,}: {why}") for row, why in batch.problems]
            for index, aggregate in enumerate(result.aggregates):
                if index in result.failed:
                    continue
                try:
                    aggregate.update(batch)
                except Exception as error:
                    result.failed[index] = _crash("the detector failed", error)
    except Exception as error:
        result.gaps.append(Gap(path, f"not read from row {result.rows:,} on: {_reason(error)}"))
    return result


@dataclass(slots=True)
class _Running:
    """A dataset detector between two passes."""

    name: str
    generator: Any
    request: Aggregate


class _Passes:
    """Runs the detectors of one dataset: what all of them ask for in a round is one pass."""

    def __init__(self, dataset: Dataset, engine: Engine, progress: Progress) -> None:
        self.dataset = dataset
        self.engine = engine
        self.progress = progress
        self.report = Report(())
        self.rows = 0

    def run(self, rules: tuple[Rule, ...]) -> Report:
        """All passes until no detector asks for another."""
        facts = dict(self.dataset.facts)
        idle: list[str] = []
        running: list[_Running] = []
        for name, detector in _detectors(rules, "detectors.datasets.").items():
            missing = detector.needs - self.dataset.offers
            if missing:
                idle.append(f"{_short(name)}: no {', '.join(sorted(missing))}")
            else:
                self._advance(name, detector.detect(self.dataset), None, running)
        if idle:
            facts["not applicable"] = list(idle)
        number = 0
        while running or number == 0:
            number += 1
            running = self._round(running, number)
        findings = [finding for finding in self.report.findings if finding.rule in rules]
        self.report.findings = findings
        size = sum(shard.size for shard in self.dataset.shards)
        entry = Scanned(self.dataset.path, "dataset", self.dataset.format, size, self.rows, facts)
        if self.rows:
            self.report.scanned.append(entry)
        elif not self.report.gaps:
            self.report.gaps.append(Gap(self.dataset.path, "holds no rows"))
        return self.report

    def _round(self, running: list[_Running], number: int) -> list[_Running]:
        """One pass over the data; returns the detectors that ask for another."""
        requests: list[Aggregate] = []
        for entry in running:
            if entry.request not in requests:
                requests.append(entry.request)
        merged = self._pass(requests, number)
        following: list[_Running] = []
        for entry in running:
            index = requests.index(entry.request)
            if index in merged.failed:
                self.report.gaps.append(Gap(self.dataset.path, merged.failed[index], entry.name))
                entry.generator.close()
            else:
                self._advance(entry.name, entry.generator, merged.aggregates[index], following)
        return following

    def _pass(self, requests: list[Aggregate], number: int) -> _ShardResult:
        shards = range(len(self.dataset.shards))
        task = functools.partial(scan_shard, dataset=self.dataset, requests=requests)
        merged = _ShardResult([])
        for done, outcome in enumerate(self.engine.map(task, shards), 1):
            if isinstance(outcome, Failure):
                path = self.dataset.shards[outcome.item].path
                merged.gaps.append(Gap(path, f"not read: {outcome.reason}"))
            elif not merged.aggregates:
                merged.aggregates = outcome.aggregates
                merged.failed |= outcome.failed
                merged.gaps += outcome.gaps
                merged.rows += outcome.rows
            else:
                _merge(merged, outcome)
            self.progress(f"{self.dataset.path}, pass {number}", done, len(shards))
        if not merged.aggregates:
            merged.aggregates = list(requests)
        known = set(self.report.gaps)
        self.report.gaps += [gap for gap in merged.gaps if gap not in known]
        self.rows = max(self.rows, merged.rows)
        return merged

    def _advance(
        self, name: str, generator: Any, finished: Aggregate | None, running: list[_Running]
    ) -> None:
        """Give a detector what it asked for; take its next request, or its findings."""
        try:
            running.append(_Running(name, generator, generator.send(finished)))
        except StopIteration as stop:
            self.report.findings += stop.value or ()
        except Exception as error:
            gap = Gap(self.dataset.path, _crash("the detector failed", error), name)
            self.report.gaps.append(gap)


def _merge(merged: _ShardResult, other: _ShardResult) -> None:
    merged.failed |= other.failed
    merged.gaps += other.gaps
    merged.rows += other.rows
    for index, aggregate in enumerate(merged.aggregates):
        if index in merged.failed:
            continue
        try:
            aggregate.merge(other.aggregates[index])
        except Exception as error:
            merged.failed[index] = _crash("the detector failed", error)


def _detectors(rules: tuple[Rule, ...], below: str) -> dict[str, Any]:
    """The detectors that the rules name, by module, loaded when needed."""
    names = dict.fromkeys(rule.detector for rule in rules if rule.detector.startswith(below))
    return {name: importlib.import_module(f"poisonscan.{name}").DETECTOR for name in names}


def _short(detector: str) -> str:
    return detector.rpartition(".")[2].replace("_", " ")


def _reason(error: Exception) -> str:
    return str(error)[:300] or type(error).__name__


def _crash(what: str, error: Exception) -> str:
    return f"{what}: {type(error).__name__}: {str(error)[:300]}"
