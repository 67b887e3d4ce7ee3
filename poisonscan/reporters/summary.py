"""A report and its findings in single lines, for reports that have no room for more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poisonscan.escape import quote
from poisonscan.finding import Column, Rows, Span, Tensor
from poisonscan.plural import plural
from poisonscan.reporters.base import Totals
from poisonscan.reporters.terminal import safe
from poisonscan.reporters.wording import (
    aside_in_words,
    byte_range,
    left_out,
    reservation,
    scanned_in_words,
    without_labels,
)

if TYPE_CHECKING:
    from poisonscan.finding import Finding
    from poisonscan.report import Report


def verdict(report: Report) -> str:
    """``2 findings (1 critical, 1 low)``, ``Clean``, or why it is not called so."""
    stopped = "Interrupted: " if report.interrupted else ""
    if report.findings:
        totals = Totals.of(report).findings
        counts = ", ".join(f"{n:,} {name}" for name, n in totals.items() if n)
        return f"{stopped}{plural(len(report.findings), 'finding')} ({counts})"
    if not report.scanned:
        return f"{stopped}Nothing was scanned"
    but = reservation(report)
    return f"{stopped}No findings, but {but}" if but else "Clean"


def extent(report: Report) -> str:
    """What was scanned and what was not: ``2 model files scanned · 1 not checked``."""
    totals = Totals.of(report)
    parts = [scanned_in_words(totals)]
    if any("partial" in entry.facts for entry in report.scanned):
        parts.append("not all rows were looked at")
    if report.findings:
        parts.append(left_out(report))
    parts.append(without_labels(report))
    if totals.gaps:
        parts.append(f"{totals.gaps:,} not checked")
    parts += aside_in_words(totals)
    if totals.skipped:
        parts.append(f"{totals.skipped:,} skipped")
    return " · ".join(part for part in parts if part)


def where(finding: Finding) -> str:
    """The file of a finding and the place in it, on one escaped line."""
    path, part = finding.at.path, finding.at.part
    if isinstance(part, Rows) and part.rows:
        first = part.rows[0]
        line = f":{first.line[0]}" if first.line else ""
        more = f" and {plural(part.count - 1, 'more row')}" if part.count > 1 else ""
        row = "" if first.whole else f" row {first.index}"
        return f"{safe(first.path)}{line}{row}{more}"
    if isinstance(part, Span):
        return f"{safe(path)} @ {byte_range(part.offset, part.length)}"
    if isinstance(part, Tensor):
        return f"{safe(path)}, tensor {quote(part.name)}"
    if isinstance(part, Column):
        return f"{safe(path)}, column {quote(part.name)}"
    return safe(path)


def worst_first(report: Report) -> list[Finding]:
    """The findings by severity; those of one severity as they stand in the report."""
    return sorted(report.findings, key=lambda finding: -finding.severity)
