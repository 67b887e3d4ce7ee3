"""The flow: target, source, blobs, format, artifact, detector, finding, report.

Everything that goes wrong on the way becomes a gap in the report: with `files`, which looks after
single files, and `shard_scan`, which looks after parts of datasets, this is the only module that
catches whatever a detector or a parser may raise.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from poisonscan.agreement import merge
from poisonscan.beside import settle, sorted_out
from poisonscan.datasets.candidates import any_may_hold_rows
from poisonscan.datasets.errors import OptionError
from poisonscan.engines.base import Engine
from poisonscan.engines.choice import named
from poisonscan.engines.local import LocalEngine, at_most, usable_cores
from poisonscan.files import Kind, Task, crash, load_detectors
from poisonscan.finding import Gap, Json, Rule
from poisonscan.first_rows import shorten
from poisonscan.formats.base import TableFile
from poisonscan.isolation.workers import Mode, Workers
from poisonscan.limits import Limits
from poisonscan.opening import open_apart
from poisonscan.passes import Passes
from poisonscan.references import matching
from poisonscan.remote import Remote, fetched, renamed
from poisonscan.report import Report
from poisonscan.rounds import completed, opened, scan_files
from poisonscan.rules import LEFT_OUT, Profile
from poisonscan.rules import divided as divided_rules
from poisonscan.rules import select as select_rules
from poisonscan.shard_scan import attempt, scan_shard
from poisonscan.sources.base import Blob
from poisonscan.sources.disk import is_among
from poisonscan.sources.hub.errors import HubError, NoSuchRepository
from poisonscan.targets import TargetError, account, divided, files_of, root_of, unjudged
from poisonscan.version import VERSION
from poisonscan.vetting import kept_for_now, vetted

if TYPE_CHECKING:
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.own_model import OwnModel
    from poisonscan.datasets.reference import Reference
    from poisonscan.detectors.base import DatasetDetector
    from poisonscan.sources.hub.parts import Parts

__all__ = ["Progress", "TargetError", "scan"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is."""

_MANY_BYTES: Final = 64 << 20


def scan(
    target: str | Path | Sequence[str | Path],
    *,
    kind: Kind = "all",
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    profile: Profile = "default",
    label_column: str | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
    features_column: str | None = None,
    prompt_column: str | None = None,
    response_column: str | None = None,
    header: bool | None = None,
    activations: str | Path | None = None,
    model: OwnModel | None = None,
    split: str | None = None,
    config: str | None = None,
    max_rows: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    reference: str | Path | None = None,
    jobs: int | None = None,
    engine: str = "local",
    scratch: str | Path | None = None,
    limits: Limits | None = None,
    root: str | Path | None = None,
    isolation: Mode = "auto",
    progress: Progress | None = None,
    revision: str | None = None,
    repo_type: str | None = None,
    max_download: int | None = None,
    measures: Mapping[str, DatasetDetector] | None = None,
    leave_out: Sequence[str | Path] = (),
    download: bool = False,
) -> Report:
    """Scan model files and datasets. Nothing that is scanned is executed or unpickled.

    Args:
        target: a file or folder, or several. What does not exist on disk may be an address of the
            Hugging Face Hub: ``hf://org/name@revision/path``, ``hf://datasets/org/name`` or that
            of a web page of a repository's files.
        kind: ``model`` or ``dataset`` to look at only these.
        select: ids, id prefixes or names of the rules to apply; all if empty.
        ignore: the same for rules to leave out.
        profile: ``default`` for all of these, ``fast`` without what learns models from a dataset:
            what is left out is said with each dataset, and is no gap.
        label_column: holds the labels; inferred if None, like the columns below.
        text_column: holds the text.
        image_column: holds the pictures.
        features_column: holds a vector per row.
        prompt_column: holds what a language model is asked.
        response_column: holds what it is to answer.
        header: whether delimited text begins with the names of its columns; None: its content
            tells, and so does a column that is named here.
        activations: a ``.npy``, ``.npz`` or ``.safetensors`` file; its row i belongs to row i of
            the dataset.
        model: a network to look at pictures or texts with. It is scanned first, and not used if
            anything of medium severity or above is found in it, or it cannot be checked whole.
        split: read only this split.
        config: read only this configuration of those that a dataset's card lists.
        max_rows: look at the first so many rows of each dataset only.
        sample: look at about so many rows of each dataset only, chosen at random.
        seed: of that choice, 0 to 2**64 - 1.
        reference: a file, folder or address of the Hub to compare labels and columns with, such as
            an earlier version; nothing is reported on it but what could not be read.
        jobs: processes; None: as many as there are cores when there is enough to do.
        engine: where datasets are read: ``local``, or ``dask=ADDRESS`` or ``ray=ADDRESS`` on a
            cluster that has the files under the same paths.
        scratch: a folder for what does not fit into memory, the system's by default; all machines
            of a cluster must see it. What is written there is removed again.
        limits: what one file may cost.
        root: paths in the report are relative to this folder; by default the current one.
        isolation: ``auto`` reads model files in processes that can do nothing else, as far as
            the system offers it; ``require`` insists on all of it; ``off`` uses this process.
        progress: called now and then during long work.
        revision: branch, tag or commit of repositories of the Hub; by default ``main``.
        repo_type: ``model``, ``dataset`` or ``space``; with it ``org/name`` is a repository.
        max_download: bytes to fetch of each repository at most; by default 20 GiB.
        measures: what is asked of every dataset besides the detectors, by name; their facts are in
            the report.
        leave_out: files that are no part of the target, such as a lock file that lies in it.
        download: fetch all files of repositories whole, verify them and keep them in the Hub's
            cache, where its own client finds them; by default only what is needed of large ones is
            fetched where this system tells what that is (Linux), and nothing is kept.

    Returns:
        Findings, and everything that could not be checked. An interrupt (Ctrl-C) ends the scan
        early and is marked in the report.

    Raises:
        TargetError: a target does not exist, an option names what is not there, or ``model`` is not
            to be used.
        poisonscan.engines.base.EngineError: there is no such engine or cluster.
        poisonscan.rules.RuleError: ``select`` or ``ignore`` matches no rule, there is no such
            profile, or no rule is left to apply.
        poisonscan.isolation.workers.IsolationError: isolation is required and there is none.
    """
    started = time.monotonic()
    if kind not in ("all", "model", "dataset"):
        message = f"{kind!r} is no kind; there are all, model and dataset"
        raise TargetError(message)
    targets = [target] if isinstance(target, str | Path) else list(target)
    rules, without = divided_rules(select_rules(tuple(select), tuple(ignore)), profile)
    local, remote = divided(targets, revision, repo_type)
    base = root_of(local, root)
    report = Report(
        tuple(os.fspath(t) for t in targets), rules=rules, root=str(base), version=VERSION
    )
    columns = {
        "label_column": label_column,
        "text_column": text_column,
        "image_column": image_column,
        "features_column": features_column,
        "prompt_column": prompt_column,
        "response_column": response_column,
        "header": header,
        "activations": os.fspath(activations) if activations is not None else None,
        "model": model,
        "split": split,
        "config": config,
        "max_rows": max_rows,
        "sample": sample,
        "seed": seed,
    }
    cluster = named(engine)
    work = _Work(
        rules,
        kind,
        limits or Limits(),
        jobs,
        cluster,
        isolation,
        progress or (lambda *_: None),
        os.fspath(scratch) if scratch is not None else None,
        measures or {},
        frozenset(map(os.path.realpath, leave_out)),
        download,
        profile,
        {LEFT_OUT: {profile: [rule.id for rule in without]}} if without else {},
    )
    try:
        with contextlib.ExitStack() as stack:
            if model is not None and kind != "model":
                model = vetted(model, replace(work, rules=select_rules((), ()), kind="model").files)
                columns["model"] = stack.enter_context(kept_for_now(model, work.scratch))
            if local:
                work.run(local, base, columns, reference, report)
                account(report, local, base, work.settled)
            for one in remote:
                work.run_remote(one, max_download, columns, reference, report)
    except KeyboardInterrupt:
        report.interrupted = True
        report.gaps.append(Gap(report.targets[0], "interrupted: the rest was not scanned"))
    finally:
        if cluster is not None:
            cluster.close()
    report.gaps += unjudged(report)
    report.sort()
    report.seconds = time.monotonic() - started
    return report


@dataclass(frozen=True, slots=True)
class _Work:
    rules: tuple[Rule, ...]
    kind: Kind
    limits: Limits
    jobs: int | None
    cluster: Engine | None
    isolation: Mode
    progress: Progress
    scratch: str | None = None
    measures: Mapping[str, DatasetDetector] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    download: bool = False
    profile: Profile = "default"
    about: Mapping[str, Json] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)

    def engine(self, items: int, size: int) -> Engine:
        """The cluster, or as many processes as asked for, or as the work is worth."""
        if self.cluster is not None:
            return self.cluster
        if self.jobs is not None:
            return self.here(self.jobs)
        return self.here(usable_cores() if items > 1 and size >= _MANY_BYTES else 1)

    def here(self, jobs: int = 1) -> Engine:
        """Processes of this machine."""
        return LocalEngine(jobs, apart=self.isolation != "off")

    def files(
        self, blobs: list[Blob], report: Report, parts: Parts | None = None
    ) -> list[TableFile]:
        """Scan every file; returns those that hold rows."""
        task = Task(self.rules, self.kind, self.limits)
        workers = Workers(task, self.jobs or usable_cores(), self.isolation)
        return scan_files(workers, blobs, parts, report, self.progress)

    def run(
        self,
        targets: Sequence[str | Path],
        base: Path,
        columns: Mapping[str, Any],
        reference: str | Path | None,
        report: Report,
        parts: Parts | None = None,
    ) -> None:
        """Scan what is on disk, and what is fetched in parts."""
        blobs, listed = files_of(targets, base)
        blobs = [blob for blob in blobs if not self._leaves_out(blob)]
        report.extend(listed)
        tables, beside = sorted_out(blobs, self.files(blobs, report, parts), self.scratch)
        beside = beside if self.kind != "model" else []
        plausible = self.kind == "dataset" or any_may_hold_rows(file.path for file in beside)
        if tables or (beside and plausible):
            if parts is not None:
                tables, beside = completed(tables, beside, parts, report)
            with at_most(self.jobs):
                references = self.references(reference, columns, report) if reference else []
                self.datasets(tables, beside, columns, references, report, parts)

    def _leaves_out(self, blob: Blob) -> bool:
        return bool(self.left_out) and is_among(blob, self.left_out)

    def run_remote(
        self,
        remote: Remote,
        most: int | None,
        columns: Mapping[str, Any],
        reference: str | Path | None,
        report: Report,
    ) -> None:
        """Fetch a repository and scan it."""
        try:
            with fetched(
                remote, most, self.scratch, self.progress,
                download=self.download, keep=self.download,
            ) as copy:  # fmt: skip
                part = Report((remote.target,), gaps=copy.gaps)
                try:
                    if copy.parts is not None and self.kind != "model":
                        rows = None if columns["sample"] is not None else columns["max_rows"]
                        part.gaps += shorten(copy.parts, rows, self.here())
                    self.run([copy.folder], copy.folder, columns, reference, part, copy.parts)
                finally:
                    report.origins.append(copy.origin())
                    report.extend(renamed(part, copy.path))
                    report.isolation = part.isolation
        except NoSuchRepository as error:
            if len(report.targets) == 1:
                raise TargetError(str(error)) from error
            report.gaps.append(Gap(remote.target, str(error)))
        except (HubError, OSError) as error:
            report.gaps.append(Gap(remote.target, f"not fetched: {error}"))

    def references(
        self, target: str | Path, columns: Mapping[str, Any], report: Report
    ) -> list[Reference]:
        """Count what the datasets are compared with; what goes wrong is a gap of the report."""
        _, remote = divided([target], None, None)
        if not remote:
            return self.counted(target, root_of([target], None), columns, report)
        about = Report(())
        try:
            with fetched(remote[0], None, self.scratch, self.progress, download=True) as copy:
                found = self.counted(copy.folder, copy.folder, columns, about)
                report.origins.append(copy.origin())
                report.gaps += renamed(replace(about, gaps=about.gaps + copy.gaps), copy.path).gaps
        except (HubError, OSError) as error:
            message = f"the reference {os.fspath(target)!r} cannot be fetched: {error}"
            raise TargetError(message) from error
        return [replace(each, path=f"{copy.path}/{each.path}") for each in found]

    def counted(
        self, target: str | Path, base: Path, columns: Mapping[str, Any], report: Report
    ) -> list[Reference]:
        """The same for what is on disk."""
        from poisonscan.datasets.shards import DatasetOptions
        from poisonscan.references import count

        blobs, about = files_of([target], base)
        found = replace(self, kind="dataset").files(blobs, about)
        apart = dict.fromkeys(["activations", "model", "split", "config", "max_rows", "sample"])
        tables, beside = sorted_out(blobs, found, self.scratch)
        try:
            datasets, notes = open_apart(
                tables, DatasetOptions(**{**columns, **apart}), beside, self.here()
            )
        except OptionError as error:
            message = f"the reference does not fit: {error}"
            raise TargetError(message) from error
        gaps = [note for note in notes if isinstance(note, Gap)]
        if not datasets and not gaps:
            message = f"the reference {os.fspath(target)!r} holds no dataset"
            raise TargetError(message)

        def run(dataset: Dataset, detectors: dict[str, DatasetDetector]) -> list[Gap]:
            return self.passes(dataset).run(detectors).gaps

        references, unread = count(datasets, run)
        report.gaps += [*about.gaps, *gaps, *unread]
        return references

    def passes(self, dataset: Dataset) -> Passes:
        """What reads a dataset."""
        size = sum(shard.size for shard in dataset.shards)
        engine = self.engine(len(dataset.shards), size)
        return Passes(dataset, engine, scan_shard, attempt, self.progress, self.scratch)

    def datasets(
        self,
        tables: list[TableFile],
        beside: list[TableFile],
        columns: Mapping[str, Any],
        references: Sequence[Reference],
        report: Report,
        parts: Parts | None,
    ) -> None:
        """Group files into datasets and scan each."""
        import scipy.special  # noqa: F401 - what is loaded later would have threads of its own
        from threadpoolctl import threadpool_limits

        from poisonscan.datasets.shards import DatasetOptions
        from poisonscan.further_pictures import Looks, looked_at

        try:
            options, explicit = DatasetOptions(**columns), self.kind == "dataset"
            datasets, notes = opened(tables, options, beside, self.here(), parts, explicit=explicit)
        except OptionError as error:
            if not report.scanned:
                raise TargetError(str(error)) from error
            report.gaps += [Gap(table.path, str(error)) for table in tables]
            return
        except Exception as error:
            report.gaps += [Gap(table.path, crash("opening it failed", error)) for table in tables]
            return
        self.settled.update(settle(report, datasets))
        for note in notes:
            report.add(note)
        detectors = load_detectors(rule for rule in self.rules if rule.of_datasets)
        detectors |= self.measures
        looks = Looks(detectors, self.rules, self.passes, confirms=self.profile == "default")
        # Threads of a matrix library cost more here than they bring; there are processes instead.
        with threadpool_limits(1):
            for dataset in datasets:
                compared = replace(dataset, reference=matching(dataset, references))
                found = looked_at(compared, looks)
                found.scanned = [replace(e, facts={**e.facts, **self.about}) for e in found.scanned]
                merge(found)
                report.extend(found)
