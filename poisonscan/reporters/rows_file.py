"""All suspicious rows, a line for each row and finding: what ``poisonscan clean`` takes out."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from poisonscan.cleaning.listing import VERSION
from poisonscan.finding import Finding, Row, Rows, Severity
from poisonscan.places import Held
from poisonscan.report import Report
from poisonscan.reporters.write import write_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_ESTIMATES: Final = ("q_value", "false_rows")
"""Of a finding, what its rows are worth: whether its class holds any that somebody planted, with
few false discoveries over all tests of the dataset; and the share of them that may be honest."""


def write_rows(path: Path, report: Report, lowest: Severity = Severity.LOW) -> None:
    """Write the rows of all findings of at least some severity.

    Args:
        path: JSON lines; see ``poisonscan.cleaning.listing``.
        report: of a scan, before findings are hidden.
        lowest: severity.

    Raises:
        OSError: it cannot be written, see ``write_parts``.
    """
    findings = [
        finding
        for finding in report.each()
        if finding.severity >= lowest and isinstance(finding.at.part, Rows)
    ]
    write_parts(path, (json.dumps(line) + "\n" for line in _lines(report, findings)))


def _lines(report: Report, findings: Sequence[Finding]) -> Iterator[dict[str, Any]]:
    reasons = list(_reasons(report, findings))
    yield {
        "type": "header",
        "tool": "poisonscan rows",
        "schema_version": VERSION,
        "version": report.version,
        "targets": list(report.targets),
        "complete": not reasons,
        "not_complete": reasons,
    }
    files: dict[str, Held | None] = {}
    for finding in findings:
        every, part = _rows(finding).every, _rows(finding)
        if every is None:
            for row in part.rows:
                files.setdefault(row.path, None)
        else:
            files |= every.files()
    for path in sorted(files):
        held = files[path]
        how = {"whole": held and held.whole, "header": held and held.header}
        yield {"type": "file", "file": path, **_about(report, path), **how}
    count = 0
    for finding in findings:
        for line in _of(finding):
            count += 1
            yield line
    yield {"type": "end", "rows": count}


def _rows(finding: Finding) -> Rows:
    assert isinstance(finding.at.part, Rows)
    return finding.at.part


def _reasons(report: Report, findings: Sequence[Finding]) -> Iterator[str]:
    """Why there may be more such rows than are listed."""
    if report.interrupted:
        yield "the scan was interrupted"
    if report.gaps:
        yield f"{len(report.gaps):,} things could not be checked: see the report"
    for entry in report.scanned:
        if entry.facts.get("partial"):
            yield f"{entry.path}: {entry.facts['partial']}"
    for finding in findings:
        part = _rows(finding)
        missing = part.count - len(part.rows) if part.every is None else part.every.left_out
        name = f"{finding.rule.id} ({finding.fingerprint})"
        if missing > 0:
            yield f"{name}: {missing:,} of its {part.count:,} rows are not listed"
        if part.every is not None and part.every.partial:
            yield f"{name}: found in a sample, so that other rows may be like its rows"


def _of(finding: Finding) -> Iterator[dict[str, Any]]:
    part = _rows(finding)
    described = {(row.path, row.index, row.split): row for row in part.rows}
    about = {
        "rule": finding.rule.id,
        "severity": str(finding.severity),
        "fingerprint": finding.fingerprint,
        **{name: finding.evidence[name] for name in _ESTIMATES if name in finding.evidence},
    }
    for row in part.rows if part.every is None else part.every.rows():
        known = described.get((row.path, row.index, row.split), row)
        yield {"type": "row", **_place(row, known), **about, **_said(row, known)}


def _place(row: Row, known: Row) -> dict[str, Any]:
    line = None if known.line is None else list(known.line)
    return {"file": row.path, "index": row.index, "split": row.split, "line": line}


def _said(row: Row, known: Row) -> dict[str, Any]:
    score = row.score if row.score is not None and math.isfinite(row.score) else None
    return {"score": score, "label": known.label}


def _about(report: Report, path: str) -> dict[str, Any]:
    """Where a file is, and what tells it from one that was changed."""
    file = Path(report.root) / path.partition("!/")[0]
    target, within = _within(report.targets, file)
    size, digest = 0, ""
    try:
        if target >= 0 and "!/" not in path:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                size = stream.tell()
    except OSError:
        digest = ""  # said where it matters: such rows cannot be taken out
    return {"target": target, "within": within, "size": size, "sha256": digest}


def _within(targets: Sequence[str], file: Path) -> tuple[int, str]:
    """Which target holds a file, and its path in it."""
    name = os.path.abspath(file)  # noqa: PTH100 - links stay
    for number, target in enumerate(targets):
        above = os.path.abspath(target)  # noqa: PTH100
        if Path(name).is_relative_to(above):
            return number, Path(name).relative_to(above).as_posix()
    return -1, ""
