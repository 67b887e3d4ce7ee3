"""The report for people at a terminal: what to worry about first, and what was not looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from poisonscan.escape import quote
from poisonscan.finding import Column, Finding, Json, Report, Row, Rows, Scanned, Span, Tensor
from poisonscan.reporters.aside import aside_lines
from poisonscan.reporters.base import Options, Totals, advice, outermost
from poisonscan.reporters.terminal import Terminal, bar, no_command, plural, safe
from poisonscan.reporters.wording import (
    UNDECIDED,
    aside_in_words,
    byte_range,
    counts,
    described,
    in_words,
    reservation,
    scanned_in_words,
    with_inferred,
    without_plot,
)

ROWS_SHOWN: Final = 5
"""Rows of a finding that are listed unless every row is asked for."""

_LABELS_SHOWN: Final = 10
_BAR: Final = 24
_BRIEF: Final = frozenset({
    "features", "labels", "not applicable", "delimiter", "header", "quotes", "partial",
    "number triggers", "labels that look wrong",
})  # fmt: skip
_EXCERPT: Final = 60
_MESSAGE: Final = 4_000


def render(report: Report, options: Options) -> str:
    """The report as lines of text; the last line holds the totals."""
    terminal = Terminal(colour=options.colour, width=options.width)
    page = _Page(report, terminal, options.verbosity, aside=options.aside)
    return "".join(no_command(line) + "\n" for line in page.lines())


class _Page:
    def __init__(self, report: Report, terminal: Terminal, verbosity: int, *, aside: bool) -> None:
        self.report = report
        self.terminal = terminal
        self.verbosity = verbosity
        self.aside = aside
        self.verbose = verbosity > 0
        self.quiet = verbosity < 0
        self.totals = Totals.of(report)
        self._explained: set[str] = set()

    def lines(self) -> Iterator[str]:
        yield from self.findings()
        if not self.quiet:
            yield from self.scanned()
        yield from aside_lines(self.report, self.terminal, self.verbosity, shown=self.aside)
        yield from self.not_checked()
        if not self.quiet:
            yield from self.skipped()
        yield self.last_line()

    # Findings

    def findings(self) -> Iterator[str]:
        """Grouped by file on disk, the file with the worst finding first."""
        groups: dict[str, list[Finding]] = {}
        for finding in sorted(self.report.findings, key=lambda finding: -finding.severity):
            groups.setdefault(outermost(finding.at.path), []).append(finding)
        about = {entry.path: described(entry) for entry in self.report.scanned}
        for path, group in groups.items():
            what = f"  {self.terminal.dim(about[path])}" if path in about else ""
            yield self.terminal.bold(safe(path)) + what
            for finding in group:
                yield from self.finding(finding)
            yield ""

    def finding(self, finding: Finding) -> Iterator[str]:
        rule, terminal = finding.rule, self.terminal
        word = terminal.severity(finding.severity)
        yield f"  {word}  {terminal.bold(safe(rule.id))} {safe(rule.name)}"
        yield from terminal.wrap(safe(finding.message, _MESSAGE), 4)
        yield from self.place(finding)
        if self.verbose:
            yield from self.evidence(finding)
        if not self.quiet and rule.id not in self._explained:
            self._explained.add(rule.id)
            for label, heading in (("why", "Why it matters"), ("do", "What to do")):
                if text := advice(rule, heading, whole=self.verbose):
                    yield from terminal.wrap(text, 4, label.rjust(3))

    def place(self, finding: Finding) -> Iterator[str]:
        path, part = finding.at.path, finding.at.part
        if isinstance(part, Rows):
            yield from self.rows(part)
            return
        where = safe(path)
        if isinstance(part, Span):
            where += f" @ {byte_range(part.offset, part.length)}"
            if part.outer is not None and part.outer != part.offset:
                where += f" (byte {part.outer} of {safe(outermost(path))})"
        elif isinstance(part, Tensor):
            where += f", tensor {quote(part.name)}"
            if part.offset is not None:
                where += f" @ {byte_range(part.offset, part.length or 0)}"
        elif isinstance(part, Column):
            where += f", column {quote(part.name)}"
        elif "!/" not in path:
            return
        yield from self.terminal.wrap(where, 4, " at")

    def rows(self, rows: Rows) -> Iterator[str]:
        listed = rows.rows if self.verbose else rows.rows[:ROWS_SHOWN]
        yield from self.terminal.table(map(_row, listed), 5)
        if (left := rows.count - len(listed)) > 0:
            hint = " (-v lists more)" if len(listed) < len(rows.rows) else ""
            yield self.terminal.dim(f"     … and {plural(left, 'more row')}{hint}")

    def evidence(self, finding: Finding) -> Iterator[str]:
        if finding.score is not None:
            yield from self.terminal.wrap(f"{finding.score:.4g}", 4, "score")
        for name, value in without_plot(finding.evidence).items():
            yield from self.terminal.wrap(in_words(value), 4, safe(name, 40))

    # What was scanned

    def scanned(self) -> Iterator[str]:
        if not self.report.scanned:
            return
        formats = Counter(safe(entry.format, 40) for entry in self.report.scanned)
        what = ", ".join(f"{count:,} {name}" for name, count in formats.most_common())
        yield from self.terminal.wrap(what, 0, "Scanned")
        if self.verbose and self.report.isolation:
            layers = ", ".join(self.report.isolation)
            yield from self.terminal.wrap(f"model files were read isolated by: {layers}", 2)
        for origin in self.report.origins:
            count = plural(sum(file.verified for file in origin.files), "file")
            text = f"{safe(origin.path)}: {count} fetched, with the hashes that the Hub lists"
            yield from self.terminal.wrap(text, 2)
        for entry in self.report.scanned:
            if not (self.verbose or entry.facts):
                continue
            yield f"  {safe(entry.path)}  {self.terminal.dim(described(entry))}"
            for name, value in self.facts(entry):
                yield from self.fact(safe(name.replace("_", " "), 40), value)
        yield ""

    def facts(self, entry: Scanned) -> Iterator[tuple[str, Json]]:
        """What to show of a dataset: usually what each column was taken for, and the labels."""
        for name, value in entry.facts.items():
            if self.verbose:
                yield name, value
            elif name == "roles" and isinstance(value, Mapping):
                yield name, with_inferred(value, entry.facts.get("inferred"))
            elif value and _is_brief(name, value):
                yield name, value

    def fact(self, name: str, value: Json) -> Iterator[str]:
        by_name = counts(value) if "label" in name else {}
        if by_name:
            yield from self.bars(name, by_name)
        else:
            yield from self.terminal.wrap(in_words(value), 4, name)

    def bars(self, name: str, counts: Mapping[str, int]) -> Iterator[str]:
        top = sorted(counts.items(), key=lambda item: -item[1])[:_LABELS_SHOWN]
        most = max(counts.values()) or 1
        yield f"    {self.terminal.dim(name)}"
        rows = [(_label(key), f"{count:,}", bar(count / most, _BAR)) for key, count in top]
        yield from self.terminal.table(rows, 6)
        if len(counts) > len(top):
            yield self.terminal.dim(f"      … and {len(counts) - len(top):,} more")

    # What was not

    def not_checked(self) -> Iterator[str]:
        gaps = sorted(self.report.gaps, key=lambda gap: (gap.detector is not None, gap.path))
        if not gaps:
            return
        heading = self.terminal.style("Not checked", bold=True, fg="yellow")
        if self.report.findings:
            yield f"{heading}  The findings above are not the whole picture."
        else:
            yield f"{heading}  That nothing was found says nothing about these."
        for gap in gaps:
            by = f" ({safe(gap.detector)})" if gap.detector else ""
            yield from self.terminal.wrap(f"{safe(gap.path)}: {safe(gap.reason)}{by}", 2)
        yield ""

    def skipped(self) -> Iterator[str]:
        skipped = self.report.skipped
        if not skipped:
            return
        what = plural(len(skipped), "file")
        if not self.verbose:
            yield self.terminal.dim(f"Skipped {what} (-v says which and why).")
        else:
            yield self.terminal.bold("Skipped") + f"  {what}"
            for entry in skipped:
                yield from self.terminal.wrap(f"{safe(entry.path)}: {safe(entry.reason)}", 2)
        yield ""

    def last_line(self) -> str:
        totals = self.totals
        parts = [self.verdict(), scanned_in_words(totals)]
        if any("partial" in entry.facts for entry in self.report.scanned):
            parts.append(self.terminal.style("not all rows were looked at", fg="yellow"))
        if totals.gaps:
            parts.append(self.terminal.style(f"{totals.gaps:,} not checked", fg="yellow"))
        parts += aside_in_words(totals)
        if totals.skipped:
            parts.append(f"{totals.skipped:,} skipped")
        parts.append(f"{self.report.seconds:.1f} s")
        return " · ".join(part for part in parts if part)

    def verdict(self) -> str:
        totals, terminal = self.totals, self.terminal
        stopped = "Interrupted: " if self.report.interrupted else ""
        if self.report.findings:
            counts = ", ".join(f"{n:,} {name}" for name, n in totals.findings.items() if n)
            text = f"{plural(len(self.report.findings), 'finding')} ({counts})"
            return terminal.style(stopped + text, bold=True, fg="red")
        if not self.report.scanned:
            return terminal.style(f"{stopped}Nothing was scanned", bold=True, fg="yellow")
        but = reservation(self.report)
        if but:
            text = f"{stopped}No findings, but {but}"
            return terminal.style(text, bold=True, fg="yellow")
        return terminal.style("Clean", bold=True, fg="green")


def _is_brief(name: str, value: Json) -> bool:
    return (
        name in _BRIEF
        or name.startswith("labels of")
        or any(sign in f"'{value}" for sign in UNDECIDED)
    )


def _label(name: str) -> str:
    """A label as it is; in quotes if it begins or ends with white space."""
    return safe(name, 40) if name == name.strip() else quote(name, 40)


def _row(row: Row) -> tuple[str, ...]:
    line = f":{row.line[0]}" if row.line else ""
    return (
        safe(row.path) + line,
        f"row {row.index}",
        f"class {quote(row.label, 40)}" if row.label else "",
        "" if row.score is None else f"score {row.score:.4g}",
        "" if row.excerpt is None else quote(row.excerpt, _EXCERPT),
    )
