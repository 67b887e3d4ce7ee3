"""The report as workflow commands, which GitHub shows as annotations of a run and of its files.

The runner takes a line that begins with ``::`` for a command, blanks before it notwithstanding, and
``##[`` anywhere in a line. Every line here begins with words of ours; what comes from scanned files
has no line breaks, and what would be a command in it is broken up. GitHub shows ten annotations of
a kind for each step: those are the worst, and a line in the log counts the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poisonscan.finding import Finding, Rows, Severity
from poisonscan.plural import plural
from poisonscan.report import Report
from poisonscan.reporters.base import Options, outermost, said
from poisonscan.reporters.summary import extent, verdict, where, worst_first
from poisonscan.reporters.terminal import no_command, safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.reporters.anchors import Anchor, Anchors

SHOWN: Final = 10
"""Annotations of each kind that GitHub shows for one step."""

_KIND: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "notice",
}
_MESSAGE: Final = 1_000
_PATH: Final = 1_000
_GAPS_NAMED: Final = 3


def render(report: Report, options: Options) -> str:
    """Workflow commands, then one line with the totals."""
    return "".join(f"{line}\n" for line in _lines(report, options.anchors))


def _lines(report: Report, anchors: Anchors) -> Iterator[str]:
    left = dict.fromkeys(_KIND.values(), SHOWN)
    more = dict.fromkeys(_KIND.values(), 0)
    if incomplete := _incomplete(report):
        left["warning"] -= 1
        yield _command("warning", incomplete, title="poisonscan: not everything was checked")
    for finding in worst_first(report):
        kind = _KIND[finding.severity]
        if left[kind]:
            left[kind] -= 1
            yield _annotation(kind, finding, anchors.of(finding.at.path))
        else:
            more[kind] += 1
    unseen = ", ".join(plural(count, f"more {kind}") for kind, count in more.items() if count)
    parts = [f"poisonscan: {verdict(report)}", extent(report)]
    if unseen:
        parts.append(f"{unseen} than GitHub shows; other formats have all")
    yield no_command(" · ".join(part for part in parts if part))


def _annotation(kind: str, finding: Finding, anchor: Anchor | None) -> str:
    part, line = finding.at.part, ""
    path = finding.at.path
    if anchor is not None:
        path, line = anchor.path, str(anchor.line)
    elif isinstance(part, Rows) and part.rows:
        path = part.rows[0].path
        if part.rows[0].line and "!/" not in path:
            line = str(max(part.rows[0].line[0], 1))
    message = f"{safe(said(finding), _MESSAGE)} ({where(finding)})"
    title = f"{finding.rule.id} {finding.rule.name} ({finding.severity})"
    return _command(kind, message, file=safe(outermost(path), _PATH), line=line, title=title)


def _incomplete(report: Report) -> str:
    """Why the report may not be called clean, for a run of which only annotations are read."""
    if not report.gaps:
        return "" if report.complete else verdict(report)
    named = "; ".join(
        f"{safe(gap.path, _PATH)}: {safe(gap.reason, _MESSAGE)}"
        for gap in report.gaps[:_GAPS_NAMED]
    )
    rest = len(report.gaps) - _GAPS_NAMED
    return f"{named}; and {rest:,} more" if rest > 0 else named


def _command(kind: str, message: str, **properties: str) -> str:
    """A workflow command; properties that are empty are left out."""
    given = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
    return f"::{kind} {given}::{_data(message)}"


def _data(text: str) -> str:
    """A message as the runner reads it back."""
    shown = no_command(safe(text, 2 * _MESSAGE))
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """A value between commas and colons as the runner reads it back."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
