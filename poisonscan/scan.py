"""The flow: target, source, blobs, format, artifact, detector, finding, report.

Everything that goes wrong on the way becomes a gap in the report: this is the only module that
catches whatever a detector or a parser may raise.
"""

from __future__ import annotations

import copy
import functools
import importlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from poisonscan.datasets.errors import DatasetError, OptionError
from poisonscan.engines.base import Engine, Failure
from poisonscan.engines.local import LocalEngine, usable_cores
from poisonscan.finding import Finding, Gap, Report, Rule, Scanned, Skipped
from poisonscan.formats.base import (
    Archive,
    Artifact,
    Identified,
    Numbers,
    PickleStream,
    TableFile,
    TensorFile,
    Text,
)
from poisonscan.formats.registry import identify
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.passes import Passes, ShardResult
from poisonscan.rules import select as select_rules
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import Disk
from poisonscan.version import VERSION

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset

Kind = Literal["all", "model", "dataset"]
Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is."""

_CHUNK: Final = 64
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
        activations: a ``.npy`` or ``.safetensors`` file; its row i belongs to row i of the dataset.
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
    if kind not in ("all", "model", "dataset"):
        message = f"{kind!r} is no kind; there are all, model and dataset"
        raise TargetError(message)
    targets = [target] if isinstance(target, str | Path) else list(target)
    rules = select_rules(tuple(select), tuple(ignore))
    base = _root(targets, root)
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
    work = _Work(rules, kind, limits or Limits(), jobs, progress or (lambda *_: None))
    try:
        blobs, listed = _blobs(targets, base)
        report.extend(listed)
        tables = work.files(blobs, report)
        if tables:
            work.datasets(tables, columns, report)
    except KeyboardInterrupt:
        report.interrupted = True
        report.gaps.append(Gap(report.targets[0], "interrupted: the rest was not scanned"))
    report.sort()
    report.seconds = time.monotonic() - started
    return report


def _root(targets: Sequence[str | Path], root: str | Path | None) -> Path:
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
                blobs.setdefault(os.path.realpath(item.file or item.path), item)
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
        return LocalEngine(usable_cores() if items > 1 and size >= _MANY_BYTES else 1)

    def files(self, blobs: list[Blob], report: Report) -> list[TableFile]:
        """Scan every file; returns those that hold rows."""
        tables: list[TableFile] = []
        task = functools.partial(scan_files, rules=self.rules, kind=self.kind, limits=self.limits)
        # Model files take little time for their size, so processes are used only if asked for.
        engine = LocalEngine(self.jobs or 1)
        size = _CHUNK if self.jobs and self.jobs > 1 and len(blobs) > _CHUNK else 1
        chunks = [blobs[start : start + size] for start in range(0, len(blobs), size)]
        done = 0
        while chunks:
            self.progress("files", done, len(blobs))
            again: list[list[Blob]] = []
            for outcome in engine.map(task, chunks):
                if not isinstance(outcome, Failure):
                    done += len(outcome)
                    for result in outcome:
                        report.extend(result.report)
                        tables += result.tables
                elif len(outcome.item) > 1:  # one of them took the process down: find out which
                    again += [[blob] for blob in outcome.item]
                else:
                    report.gaps.append(Gap(outcome.item[0].path, outcome.reason))
                self.progress("files", done, len(blobs))
            chunks = again
        return tables

    def datasets(
        self, tables: list[TableFile], columns: Mapping[str, str | None], report: Report
    ) -> None:
        """Group files into datasets and scan each."""
        from threadpoolctl import threadpool_limits

        from poisonscan.datasets.dataset import DatasetOptions
        from poisonscan.datasets.gather import open_datasets

        try:
            datasets, gaps = open_datasets(tables, DatasetOptions(**columns))
        except OptionError as error:
            if not report.scanned:
                raise TargetError(str(error)) from error
            report.gaps += [Gap(table.path, str(error)) for table in tables]
            return
        except Exception as error:
            report.gaps += [Gap(table.path, _crash("opening it failed", error)) for table in tables]
            return
        report.gaps += gaps
        detectors = _detectors(self.rules, "detectors.datasets.")
        # Threads of a matrix library cost more here than they bring; there are processes instead.
        with threadpool_limits(1):
            for dataset in datasets:
                size = sum(shard.size for shard in dataset.shards)
                engine = self.engine(len(dataset.shards), size)
                passes = Passes(dataset, engine, scan_shard, attempt, self.progress)
                found = passes.run(detectors)
                found.findings = [f for f in found.findings if f.rule in self.rules]
                report.extend(found)


def scan_files(
    blobs: list[Blob], *, rules: tuple[Rule, ...], kind: Kind, limits: Limits
) -> list[_FileResult]:
    """Scan some files, one after another."""
    return [scan_file(blob, rules=rules, kind=kind, limits=limits) for blob in blobs]


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
        if not any(isinstance(item, PickleStream | TensorFile | Numbers) for item in artifacts):
            return  # it may hold rows: what could not be read of it stays a gap
        report.gaps.clear()
        report.skipped.append(Skipped(blob.path, "no dataset file; only datasets were asked for"))
        return
    if artifacts:
        form = _format_name(blob.path, seen)
        report.scanned.append(Scanned(blob.path, "model", form, blob.size))


def _format_name(path: str, seen: list[Artifact]) -> str:
    """The file's own format, with that of a pickle that is all it holds."""
    forms = [item.format for item in seen if isinstance(item, Identified) and item.path == path]
    own = [item for item in seen if item.path == path and not isinstance(item, Identified)]
    inner = [item.grammar for item in seen if isinstance(item, PickleStream) and item.path != path]
    name = str(getattr(own[0], "grammar", getattr(own[0], "format", forms[0])) if own else forms[0])
    alone = not own or (isinstance(own[0], Archive) and own[0].members == 1)
    return f"{name} ({inner[0]})" if inner and alone else name


def attempt(function: Callable[..., Any], *arguments: Any) -> tuple[Any, str]:
    """Call a part of a detector, which may raise anything: its result, and why there is none."""
    try:
        return function(*arguments), ""
    except LimitReached as error:
        return None, f"limit reached: {error}"
    except Exception as error:
        return None, _crash("the detector failed", error)


def scan_shard(shard: int, *, dataset: Dataset, requests: Sequence[Aggregate]) -> ShardResult:
    """Fill fresh aggregates from one shard. What cannot be read is a gap; the rest counts."""
    result = ShardResult([copy.deepcopy(request) for request in requests])
    needs = frozenset(role for request in requests for role in request.needs)
    path = dataset.shards[shard].path
    try:
        for batch in dataset.batches(shard, needs):
            result.rows += batch.size
            result.gaps += [_problem(dataset, shard, row, why) for row, why in batch.problems]
            for index, aggregate in enumerate(result.aggregates):
                if index in result.failed:
                    continue
                _, reason = attempt(aggregate.update, batch)
                if reason:
                    result.failed[index] = reason
    except DatasetError as error:
        result.gaps.append(Gap(path, f"not read from row {error.row:,} on: {error.reason}"))
    except Exception as error:
        reason = _crash("reading failed", error)
        result.gaps.append(Gap(path, f"not read from row {result.rows:,} on: {reason}"))
    return result


def _problem(dataset: Dataset, shard: int, row: int, why: str) -> Gap:
    if row < 0:
        return Gap(dataset.shards[shard].path, why)
    path, index = dataset.place(shard, row)
    return Gap(path, f"row {index:,}: {why}")


def _detectors(rules: tuple[Rule, ...], below: str) -> dict[str, Any]:
    """The detectors that the rules name, by module, loaded when needed."""
    names = dict.fromkeys(rule.detector for rule in rules if rule.detector.startswith(below))
    return {name: importlib.import_module(f"poisonscan.{name}").DETECTOR for name in names}


def _crash(what: str, error: Exception) -> str:
    return f"{what}: {type(error).__name__}: {str(error)[:300]}"
