r"""The report in Markdown, for summaries of jobs and comments: short, the worst first.

All that comes from scanned files stands in code spans, where Markdown knows no markup, no HTML, no
mention and no link. A span ends at a grave accent and a cell of a table at a bar, so these two are
written as ``\x60`` and ``\x7c``. What is shown is bounded in number and length, so that the whole
stays below the 1 MiB that GitHub takes as a summary; the rest is counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from poisonscan.plural import plural
from poisonscan.reporters.base import Options, advice, said
from poisonscan.reporters.origins import about
from poisonscan.reporters.summary import extent, verdict, where, worst_first
from poisonscan.reporters.terminal import no_command, safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.finding import Finding, Rule
    from poisonscan.report import Report

MAX_BYTES: Final = 1 << 20
"""What GitHub takes as the summary of a step; one that is longer is not shown at all."""

FINDINGS_SHOWN: Final = 100
GAPS_SHOWN: Final = 50
_RULES_SHOWN: Final = 20
_MESSAGE: Final = 500
_PROSE: Final = re.compile(r"[A-Za-z0-9_ ,.;:'\"()%+=\x80-\U0010ffff-]+")
_LINK: Final = re.compile(r"www\.|:\w", re.IGNORECASE)


def render(report: Report, options: Options) -> str:  # noqa: ARG001 - reporters are called alike
    """The report as Markdown for GitHub, GitLab and others; at most ``MAX_BYTES`` in UTF-8."""
    return "".join(no_command(line) + "\n" for line in _lines(report))


def code(text: str, limit: int = _MESSAGE) -> str:
    """Untrusted text as a code span, which holds nothing but it, in a cell of a table as well."""
    shown = safe(text, limit).replace("`", "\\x60").replace("|", "\\x7c")
    return f"`{shown}`" if shown.strip() else "(empty)"


def _lines(report: Report) -> Iterator[str]:
    yield f"## poisonscan: {verdict(report)}"
    yield ""
    if said := extent(report):
        yield said
        yield ""
    findings = worst_first(report)
    if findings:
        yield from _table(findings[:FINDINGS_SHOWN])
        if (left := len(findings) - FINDINGS_SHOWN) > 0:
            yield f"… and {plural(left, 'more finding')}, none more severe; other formats have all."
            yield ""
        yield from _what_to_do(findings)
    if report.hidden:
        yield f"{plural(report.hidden, 'finding')} below the severity asked for: left out."
        yield ""
    if report.gaps:
        yield from _not_checked(report)
    if report.origins:
        yield "**From the Hub**"
        yield ""
        yield from (f"* {code(line)}" for line in about(report))
        yield ""


def _table(findings: list[Finding]) -> Iterator[str]:
    yield "| severity | rule | what | where |"
    yield "|---|---|---|---|"
    for finding in findings:
        rule = f"{finding.rule.id} {_prose(finding.rule.name)}"
        yield (
            f"| **{finding.severity}** | {rule} | {code(said(finding))} | {code(where(finding))} |"
        )
    yield ""


def _what_to_do(findings: list[Finding]) -> Iterator[str]:
    """A sentence for each rule, in the order of the table."""
    rules: dict[str, Rule] = {finding.rule.id: finding.rule for finding in findings}
    said = [(rule, advice(rule, "What to do")) for rule in list(rules.values())[:_RULES_SHOWN]]
    if any(text for _, text in said):
        yield "**What to do**"
        yield ""
        yield from (f"* {rule.id}: {_prose(text)}" for rule, text in said if text)
        yield ""


def _not_checked(report: Report) -> Iterator[str]:
    yield "**Not checked**: that nothing was found says nothing about these."
    yield ""
    for gap in report.gaps[:GAPS_SHOWN]:
        by = f" ({code(gap.detector)})" if gap.detector else ""
        yield f"* {code(gap.path)}: {code(gap.reason)}{by}"
    if (left := len(report.gaps) - GAPS_SHOWN) > 0:
        yield f"* … and {left:,} more"
    yield ""


def _prose(text: str) -> str:
    """Words of a rule: as they are if no reader can take any of them for markup or for a link."""
    words = safe(text.replace("`", ""), _MESSAGE)
    if _PROSE.fullmatch(words) and not _LINK.search(words):
        return words.replace("_", "\\_")
    return code(words)
