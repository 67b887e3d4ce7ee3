"""In text: findings that somebody decided about before, and ignores that are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poisonscan.plural import plural
from poisonscan.reporters.terminal import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.report import Report
    from poisonscan.reporters.terminal import Terminal

_HEADINGS: Final = (("ignore", "Ignored"), ("baseline", "In the baseline"))
_MESSAGE: Final = 1_000


def aside_lines(
    report: Report, terminal: Terminal, verbosity: int, *, shown: bool
) -> Iterator[str]:
    """Lines for a report.

    Args:
        report: with what was put aside.
        terminal: where the lines go.
        verbosity: below 0 nothing but ignores that are over; above 0 unused ones, too.
        shown: whether the findings themselves show; above 0 they do anyway.
    """
    for ignore in report.expired:
        heading = terminal.style("Expired ignore", bold=True, fg="yellow")
        yield f"{heading}  {safe(ignore)}"
    if verbosity > 0:
        for ignore in report.unused:
            yield f"{terminal.bold('Unused ignore')}  {safe(ignore)}"
    if report.expired or (verbosity > 0 and report.unused):
        yield ""
    for by, heading in _HEADINGS:
        asides = [aside for aside in report.aside if aside.by == by]
        if not asides or (verbosity < 0 and not shown):
            continue
        what = plural(len(asides), "finding")
        if not shown and verbosity <= 0:
            yield terminal.dim(f"{heading}: {what} (--show-baselined shows them).")
        else:
            yield f"{terminal.bold(heading)}  {what}"
            for aside in asides:
                rule, path = aside.finding.rule, safe(aside.finding.at.path)
                message = safe(aside.finding.message, _MESSAGE)
                text = (
                    f"{aside.finding.severity} {safe(rule.id)} {safe(rule.name)}, {path}: {message}"
                )
                yield from terminal.wrap(text, 2)
                if by == "ignore":
                    yield from terminal.wrap(safe(aside.reason), 4, "why")
        yield ""
