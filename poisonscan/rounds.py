"""Files of which parts are missing are scanned until nothing is missing that somebody looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from poisonscan.datasets.candidates import DESCRIBING, may_hold_rows
from poisonscan.datasets.errors import OptionError
from poisonscan.files import check_folders
from poisonscan.finding import Finding, Gap, Severity, Span
from poisonscan.formats.base import Shard, ShardIndex, TableFile
from poisonscan.opening import Opened, open_apart
from poisonscan.report import Report
from poisonscan.sources.base import Blob, Missing, Spans

if TYPE_CHECKING:
    from poisonscan.datasets.shards import DatasetOptions
    from poisonscan.engines.base import Engine
    from poisonscan.files import Item
    from poisonscan.isolation.workers import Workers
    from poisonscan.sources.hub.parts import Parts

Tables = list[TableFile]


def in_rounds(
    workers: Workers, blobs: Sequence[Blob], parts: Parts | None, told: Callable[[int], None]
) -> Iterator[Item]:
    """What comes of files once all is there that is looked at.

    Args:
        workers: scan them.
        blobs: the files.
        parts: fetches what is missing; None where nothing is.
        told: called with the number of finished files.
    """
    left = _held(blobs, parts)
    done = 0
    certain: dict[str, list[Finding]] = {}
    while left:
        missing: dict[str, Spans] = {}
        for blob, items in workers.run(left):
            lacks = _lacks(blob, items)
            if parts is not None and lacks:
                missing[blob.path] = lacks
                certain[blob.path] = _before(lacks[0][0], items) or certain.get(blob.path, [])
                continue
            yield from (item for item in items if not isinstance(item, Missing))
            done += 1
            told(done)
        failed = parts.more(missing) if parts is not None and missing else {}
        for path, reason in failed.items():
            yield from certain[path]
            yield Gap(path, reason)
            done += 1
            told(done)
        left = _held([b for b in left if b.path in missing.keys() - failed.keys()], parts)


def scan_files(
    workers: Workers,
    blobs: Sequence[Blob],
    parts: Parts | None,
    report: Report,
    progress: Callable[[str, int, int], None],
) -> Tables:
    """Scan every file.

    Args:
        workers: scan them.
        blobs: the files.
        parts: fetches what is missing; None where nothing is.
        report: takes what comes of them.
        progress: told after each.

    Returns:
        Those that hold rows.
    """
    tables: Tables = []
    shards: list[Shard | ShardIndex] = []
    progress("files", 0, len(blobs))
    for item in in_rounds(workers, blobs, parts, lambda n: progress("files", n, len(blobs))):
        if isinstance(item, TableFile):
            tables.append(item)
        elif isinstance(item, Shard | ShardIndex):
            shards.append(item)
        elif not isinstance(item, Missing):
            report.add(item)
    report.isolation = tuple(sorted(workers.layers or ()))
    for found in check_folders(shards, (blob.path for blob in blobs), workers.task):
        report.add(found)
    return tables


def _held(blobs: Sequence[Blob], parts: Parts | None) -> list[Blob]:
    """The files, with what is there of each."""
    if parts is None:
        return list(blobs)
    return [replace(blob, present=parts.present(blob.path)) for blob in blobs]


def _lacks(blob: Blob, items: Sequence[Item]) -> Spans:
    """What has to be fetched of a file: all of it where the process died that would have said."""
    if blob.present is None:
        return ()
    told = [item.spans for item in items if isinstance(item, Missing)]
    return told[-1] if told else ((0, blob.size),)


def _before(place: int, items: Sequence[Item]) -> list[Finding]:
    """What runs code, by bytes before a place: what is missing from there on is no part of it.

    Other findings may come of the zeros in place of what is missing: they make no code, but damage.
    """
    return [
        item
        for item in items
        if isinstance(item, Finding)
        and item.severity is Severity.CRITICAL
        and isinstance(item.at.part, Span)
        and item.at.part.outer is not None
        and item.at.part.outer + item.at.part.length <= place
    ]


def completed(
    tables: Tables, beside: Tables, parts: Parts, report: Report
) -> tuple[Tables, Tables]:
    """Files that rows are read from, and those beside them that are not left out.

    Parquet files stay as they are: which of their row groups are read, if any, is known once the
    datasets are opened. All other files of rows are fetched whole.

    Args:
        tables: files of rows.
        beside: all others, which may be read with them.
        parts: fetches the rest of them.
        report: of all files; what cannot be fetched is a gap of it.
    """
    models = {entry.path for entry in report.scanned if entry.kind == "model"}
    partly = {
        table.path
        for table in tables
        if table.format == "parquet"
        and not (table.steps or table.codec)
        and table.path.rpartition("/")[2] not in DESCRIBING
    }
    needed = {table.path.partition("!/")[0] for table in tables} - partly
    # Members are named here only where an archive may hold rows: whatever else it is, it is read.
    needed |= {
        file.path.partition("!/")[0]
        for file in beside
        if file.steps or file.path not in models or may_hold_rows(file.path)
    }
    failed = parts.complete(path for path in needed if parts.present(path) is not None)
    # Whatever reads files by their names must not find zeros in place of what was not fetched.
    parts.remove(but=partly)
    report.gaps += [Gap(path, reason) for path, reason in failed.items()]
    kept = [table for table in tables if table.path.partition("!/")[0] not in failed]
    return present(kept, parts), [
        file
        for file in beside
        if (outer := file.path.partition("!/")[0]) not in failed and parts.present(outer) is None
    ]


def present(tables: Tables, parts: Parts) -> Tables:
    """The files, with what is there of each."""
    return [replace(table, present=parts.present(table.path)) for table in tables]


def opened(
    tables: Tables,
    options: DatasetOptions,
    beside: Tables,
    engine: Engine,
    parts: Parts | None,
    *,
    explicit: bool,
) -> Opened:
    """What `open_apart` gives, with all there that is read of the datasets.

    Raises:
        OptionError: as there.
    """
    if parts is None:
        return open_apart(tables, options, beside, engine, explicit=explicit)
    from poisonscan.datasets.partly import missing, unread

    gaps: list[Gap] = []
    while True:
        try:
            datasets, notes = open_apart(tables, options, beside, engine, explicit=explicit)
            wanted = missing(datasets)
        except OptionError:
            # Columns may only seem not to be what the user says, as no row could be read.
            wanted = {table.path: spans for table in tables if (spans := unread(table, 1))}
            if not wanted:
                raise
        if not wanted:
            return datasets, [*gaps, *notes]
        failed = parts.more(wanted, sure=True)
        gaps += [Gap(path, reason) for path, reason in failed.items()]
        tables = present([table for table in tables if table.path not in failed], parts)
