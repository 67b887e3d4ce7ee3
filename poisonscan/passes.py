"""Dataset detectors in rounds: what all of them ask for in a round is one pass over the data."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from poisonscan.datasets.flaws import Flaws
from poisonscan.datasets.grouped import Grouped
from poisonscan.engines.base import Engine, Failure
from poisonscan.escape import quote
from poisonscan.finding import Fact, Finding, Gap, Json, Scanned
from poisonscan.json_form import as_json
from poisonscan.report import Report
from poisonscan.verdict import ClassTest, judge

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.describe import Key, Later
    from poisonscan.datasets.shards import Shard
    from poisonscan.detectors.base import DatasetDetector
    from poisonscan.finding import Row

_EXPECTED = frozenset({"label", "features"})
"""That pictures have no text is no lack; that text has no label is one."""

Attempt = Callable[..., tuple[Any, str]]
"""Calls a part of a detector, which may raise anything: its result, and why there is none."""


@dataclass(slots=True)
class ShardResult:
    """What one pass brings back from one shard, or from all of them once merged.

    Attributes:
        aggregates: one for each request, in order.
        rows: rows read.
        failed: why an aggregate is worthless, by its index.
        gaps: what could not be read.
        flaws: what of that which was read could not be used.
    """

    aggregates: list[Aggregate]
    rows: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    flaws: Flaws = field(default_factory=Flaws)


class ShardTask(Protocol):
    """Fills fresh aggregates from one shard, in whatever process."""

    def __call__(
        self, shard: int, *, dataset: Dataset, requests: Sequence[Aggregate]
    ) -> ShardResult:
        """Read the shard once."""


@dataclass(slots=True)
class _Running:
    """A detector between two passes."""

    name: str
    generator: Any
    request: Aggregate


class Passes:
    """Runs detectors over one dataset until none asks for another pass.

    Args:
        dataset: what to read.
        engine: where its shards are read.
        task: reads one shard.
        attempt: calls what may fail.
        progress: told after each shard.
        scratch: folder for what does not fit into memory, seen by all processes of the engine; by
            default that of the system. What is written there is gone when ``run`` returns.
    """

    def __init__(
        self,
        dataset: Dataset,
        engine: Engine,
        task: ShardTask,
        attempt: Attempt,
        progress: Callable[[str, int, int], None],
        scratch: str | None = None,
    ) -> None:
        self.dataset = dataset
        self.engine = engine
        self.task = task
        self.attempt = attempt
        self.progress = progress
        self.report = Report(())
        self.facts: dict[str, Json] = {}
        self._tests: list[ClassTest] = []
        self.rows = 0
        self.flaws = Flaws()
        self._stuck: set[int] = set()
        self.scratch = scratch
        self._folder = ""
        self._no_folder = ""

    def run(self, detectors: Mapping[str, DatasetDetector]) -> Report:
        """What the detectors find, and what could not be read on the way."""
        from poisonscan.datasets.describe import Later

        self.facts = dict(self.dataset.facts)
        idle: dict[str, list[str]] = {}
        running: list[_Running] = []
        later = Later()
        dataset = dataclasses.replace(self.dataset, later=later)
        for name, detector in detectors.items():
            missing = detector.needs - self.dataset.offers
            if missing:
                if lacking := sorted(role for role in missing if role in _EXPECTED):
                    idle.setdefault(f"no {' and no '.join(lacking)}", []).append(_words(name))
            else:
                self._advance(name, detector.detect(dataset), None, running)
        if idle:
            self.facts["not applicable"] = as_json(idle)
        with contextlib.ExitStack() as stack:
            self._make_folder(stack)
            number = 1
            running = self._round(running, number)
            while running:
                number += 1
                running = self._round(running, number)
        verdict = judge(self.report.findings, self._tests)
        self.report.findings = verdict.findings
        self.facts |= verdict.facts
        self._describe(later)
        self.report.gaps += self.flaws.gaps()
        self._conclude()
        return self.report

    def _make_folder(self, stack: contextlib.ExitStack) -> None:
        """A folder of this scan's own, which goes with everything in it."""
        try:
            folder = tempfile.TemporaryDirectory(
                prefix="poisonscan-", dir=self.scratch, ignore_cleanup_errors=True
            )
            self._folder = stack.enter_context(folder)
        except OSError as error:
            self._no_folder = f"no folder could be made in the scratch folder ({error.strerror})"

    def _conclude(self) -> None:
        size = sum(shard.size for shard in self.dataset.shards)
        path, form = self.dataset.path, self.dataset.format
        if self.rows:
            entry = Scanned(path, "dataset", form, size, self.rows, self.facts)
            self.report.scanned.append(entry)
        elif not self.report.gaps:
            self.report.gaps.append(Gap(path, "holds no rows"))

    def _describe(self, later: Later) -> None:
        """Look up the rows that all findings name; a shard that has some is read once."""
        from poisonscan.datasets.describe import look_up

        wanted = later.wanted(sorted(self.report.findings, key=lambda each: -each.severity))
        one = functools.partial(look_up, dataset=self.dataset, wanted=wanted)
        task = functools.partial(_attempted, task=one, attempt=self.attempt)
        known: dict[tuple[int, Key], Row] = {}
        doing = f"{self.dataset.path}, rows of findings"
        for done, outcome in enumerate(self.engine.map(task, list(wanted)), 1):
            shard = list(wanted)[done - 1]
            answer: Any = ((), outcome.reason) if isinstance(outcome, Failure) else outcome
            rows, reason = answer
            if reason:
                path = self.dataset.shards[shard].path
                self.report.gaps.append(Gap(path, f"rows of findings not looked up: {reason}"))
            else:
                known |= {(shard, key): row for key, row in rows}
            self.progress(doing, done, len(wanted))
        self.report.findings = [later.filled(each, known) for each in self.report.findings]

    def _round(self, running: list[_Running], number: int) -> list[_Running]:
        """One pass; returns the detectors that ask for another."""
        requests: list[Aggregate] = []
        for entry in running:
            if entry.request not in requests:
                requests.append(entry.request)
            if isinstance(entry.request, Grouped):
                entry.request.use_scratch(self._folder, self._no_folder)
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

    def _pass(self, requests: list[Aggregate], number: int) -> ShardResult:
        """Read all shards once."""
        shards = [n for n in range(len(self.dataset.shards)) if n not in self._stuck]
        task = functools.partial(self.task, dataset=self.dataset, requests=requests)
        merged: ShardResult | None = None
        gaps: list[Gap] = []
        self.progress(f"{self.dataset.path}, pass {number}", 0, len(shards))
        counted = itertools.count(1)
        for outcome in self.engine.map(task, shards):
            if isinstance(outcome, Failure):
                gaps.append(_unread(self.dataset.shards[outcome.item], outcome.reason))
                if outcome.stuck:
                    self._stuck.add(outcome.item)
            elif merged is None:
                merged = outcome
            else:
                self._merge(merged, outcome)
            del outcome  # it is large, and so is the next one: ``enumerate`` would hold both
            self.progress(f"{self.dataset.path}, pass {number}", next(counted), len(shards))
        merged = merged or ShardResult(list(requests))
        for index, aggregate in enumerate(merged.aggregates):
            if isinstance(aggregate, Grouped) and index not in merged.failed:
                problem, reason = self.attempt(self._group, aggregate, number)
                if reason or problem:
                    merged.failed[index] = reason or problem
        known = set(self.report.gaps)
        self.report.gaps += [gap for gap in (*gaps, *merged.gaps) if gap not in known]
        self.flaws.again(merged.flaws)
        self.rows = max(self.rows, merged.rows)
        return merged

    def _group(self, aggregate: Grouped, number: int) -> str:
        """Bring together what has the same key, a part of the keys at a time; why it failed."""
        parts = aggregate.parts()
        task = functools.partial(_attempted, task=aggregate.grouping(), attempt=self.attempt)
        outcomes = self.engine.map(task, parts) if len(parts) > 1 else map(task, parts)
        doing = f"{self.dataset.path}, pass {number}, grouping"
        for done, outcome in enumerate(outcomes, 1):
            if isinstance(outcome, Failure):
                return f"grouping failed: {outcome.reason}"
            result, reason = outcome
            if reason:
                return str(reason)
            aggregate.take(result)
            if len(parts) > 1:
                self.progress(doing, done, len(parts))
        aggregate.finish()
        return ""

    def _merge(self, merged: ShardResult, other: ShardResult) -> None:
        merged.failed |= other.failed
        merged.gaps += other.gaps
        merged.flaws.merge(other.flaws)
        merged.rows += other.rows
        for index, aggregate in enumerate(merged.aggregates):
            if index not in merged.failed:
                _, reason = self.attempt(aggregate.merge, other.aggregates[index])
                if reason:
                    merged.failed[index] = reason

    def _advance(
        self, name: str, generator: Any, finished: Aggregate | None, running: list[_Running]
    ) -> None:
        """Give a detector what it asked for; take its next request, or its findings."""
        step, reason = self.attempt(_step, generator, finished)
        if reason:
            self.report.gaps.append(Gap(self.dataset.path, reason, name))
            return
        request, findings = step
        if request is None:
            self.report.findings += [item for item in findings if isinstance(item, Finding)]
            gaps = [item for item in findings if isinstance(item, Gap)]
            self.report.gaps += [dataclasses.replace(gap, detector=name) for gap in gaps]
            facts = [item for item in findings if isinstance(item, Fact)]
            self.facts |= {fact.name: as_json(fact.value) for fact in facts}
            self._tests += [item for item in findings if isinstance(item, ClassTest)]
        else:
            running.append(_Running(name, generator, request))


def _attempted(item: Any, *, task: Callable[[Any], Any], attempt: Attempt) -> tuple[Any, str]:
    return attempt(task, item)


def _step(generator: Any, finished: Aggregate | None) -> tuple[Aggregate | None, list[Any]]:
    try:
        return generator.send(finished), []
    except StopIteration as stop:
        return None, list(stop.value or ())


def _unread(shard: Shard, reason: str) -> Gap:
    """Say that a part of a dataset is not looked at, and which."""
    where = ""
    if shard.layout is None and len(shard.files) > 1:
        where = f"{len(shard.files):,} files from {quote(shard.files[0].path)} on: "
    elif shard.rows and (shard.groups is not None or shard.span is not None):
        where = f"rows {shard.start:,} to {shard.start + shard.rows - 1:,}: "
    return Gap(shard.path, f"{where}not read: {reason}")


def _words(detector: str) -> str:
    return detector.rpartition(".")[2].replace("_", " ")
