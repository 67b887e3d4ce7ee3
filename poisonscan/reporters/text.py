"""The report for people at a terminal: what to worry about first, and what was not looked at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from poisonscan.escape import quote
from poisonscan.finding import Column, Finding, Gap, Json, Row, Rows, Scanned, Span, Tensor
from poisonscan.plural import plural
from poisonscan.report import Report
from poisonscan.reporters.aside import aside_lines
from poisonscan.reporters.base import Options, Totals, advice, outermost, said
from poisonscan.reporters.brief import fitting, leading, overview
from poisonscan.reporters.holdings import UNLISTED, holdings
from poisonscan.reporters.origins import about
from poisonscan.reporters.terminal import Look, Terminal, bar, no_command, safe, spark
from poisonscan.reporters.wording import (
    UNDECIDED,
    aside_in_words,
    byte_range,
    counts,
    described,
    in_words,
    left_out,
    reservation,
    scanned_in_words,
    unlabelled,
    with_inferred,
    without_labels,
    without_plot,
)

ROWS_SHOWN: Final = 3
"""Rows of a finding that are listed unless every row is asked for."""

_LABELS_SHOWN: Final = 10
_LABELS_NAMED: Final = 4
_SKIPPED_SHOWN: Final = 20
"""Skipped files that are named with a reason, of those that the user named."""
_BAR: Final = 24
_BRIEF: Final = frozenset({
    "features", "labels", "not applicable", "delimiter", "header", "quotes", "partial",
    "number triggers", "labels that look wrong",
})  # fmt: skip
_FORMATS_SHOWN: Final = 8
_DETECTORS_NAMED: Final = 3
_GIVEN_BY: Final = {"no label": "--label-column NAME"}
"""Options that give what detectors lack."""
_UNLABELLED_SHOWN: Final = 3
_COLUMNS: Final = 40
_EXCERPT: Final = (24, 100)
_MESSAGE: Final = 4_000


def render(report: Report, options: Options) -> str:
    """The report as lines of text; the last ones hold the totals."""
    terminal = Terminal(colour=options.colour, width=options.width)
    page = _Page(report, terminal, options)
    return "".join(no_command(line) + "\n" for line in page.lines())


class _Page:
    def __init__(self, report: Report, terminal: Terminal, options: Options) -> None:
        self.report = report
        self.terminal = terminal
        self.verbosity = options.verbosity
        self.aside = options.aside
        self.verbose = options.verbosity > 0
        self.quiet = options.verbosity < 0
        self.height = None if self.verbose else options.height
        self.totals = Totals.of(report)

    def lines(self) -> Iterator[str]:
        rest = list(self.rest())
        # What was found has what the rest leaves, which is most of the screen.
        left = None if self.height is None else max(self.height - len(rest), self.height // 3)
        yield from self.unlabelled()
        yield from self.findings(left)
        yield from rest

    def unlabelled(self) -> Iterator[str]:
        """Above all else: that columns may hold labels, and none was taken for that."""
        told = [(e, why) for e, why in unlabelled(self.report) if "may be labels" in e.facts]
        for entry, why in told[:_UNLABELLED_SHOWN]:
            yield from self.terminal.wrap(f"{safe(entry.path)}: {safe(why)}", 0, "No labels")
        if told:
            yield ""

    def rest(self) -> Iterator[str]:
        """All but the findings."""
        if not self.quiet:
            yield from self.scanned()
        yield from aside_lines(self.report, self.terminal, self.verbosity, shown=self.aside)
        yield from self.not_checked()
        if not self.quiet:
            yield from self.skipped()
        yield from self.totals_in_words()

    def part(self, share: int) -> int | None:
        """So many lines as ``1 / share`` of the screen has."""
        return None if self.height is None else max(self.height // share, 1)

    # Findings

    def findings(self, lines: int | None) -> Iterator[str]:
        """Grouped by file on disk and by rule, the file with the worst finding first."""
        worst_first = sorted(self.report.findings, key=lambda f: (-f.severity, f.rule.id))
        shown = fitting(worst_first, lines, self.cost)
        groups: dict[str, list[Finding]] = {}
        for finding in shown:
            groups.setdefault(outermost(finding.at.path), []).append(finding)
        explained: set[str] = set()
        about = {entry.path: described(entry) for entry in self.report.scanned}
        for path, group in groups.items():
            what = f"  {self.terminal.dim(about[path])}" if path in about else ""
            yield self.terminal.bold(safe(path)) + what
            named = ""
            for finding in group:
                rule = finding.rule.id
                heading = self.heading(finding)
                if heading != named:
                    yield heading
                yield from self.finding(finding, explains=rule not in explained)
                explained.add(rule)
                named = heading
            yield ""
        if lines is not None and len(shown) < len(worst_first):
            there = {id(finding) for finding in shown}
            left = (finding for finding in worst_first if id(finding) not in there)
            yield from overview(left, lines, self.terminal)

    def heading(self, finding: Finding) -> str:
        word = self.terminal.severity(finding.severity)
        return f"  {word}  {self.terminal.bold(safe(finding.rule.id))} {safe(finding.rule.name)}"

    def cost(self, finding: Finding, first: bool) -> int:
        """Lines that a finding takes; ``first``: it is the one that explains its rule."""
        return 1 + sum(1 for _ in self.finding(finding, explains=first))

    def finding(self, finding: Finding, *, explains: bool) -> Iterator[str]:
        """A finding below the name of its rule; ``explains``: with what the rule says."""
        rule, terminal = finding.rule, self.terminal
        yield from terminal.wrap(safe(said(finding), _MESSAGE), 4)
        yield from self.place(finding)
        if self.verbose:
            yield from self.evidence(finding)
        if explains and not self.quiet:
            for label, heading in (("why", "Why it matters"), ("do", "What to do")):
                if text := advice(rule, heading, whole=self.verbose):
                    yield from terminal.wrap(text, 4, label.rjust(3))

    def place(self, finding: Finding) -> Iterator[str]:
        path, part = finding.at.path, finding.at.part
        if isinstance(part, Rows):
            yield from self.rows(part, path)
            return
        where = [safe(path.partition("!/")[2])]
        if isinstance(part, Span):
            where.append(byte_range(part.offset, part.length))
            if part.outer is not None and part.outer != part.offset:
                where[-1] += f" (byte {part.outer} of the file)"
        elif isinstance(part, Tensor):
            where.append(f"tensor {quote(part.name)}")
            if part.offset is not None:
                where.append(byte_range(part.offset, part.length or 0))
        elif isinstance(part, Column):
            where.append(f"column {quote(part.name)}")
        if any(where):
            yield from self.terminal.wrap(", ".join(filter(None, where)), 4, " at")

    def rows(self, rows: Rows, path: str) -> Iterator[str]:
        listed = rows.rows if self.verbose else rows.rows[:ROWS_SHOWN]
        table = [_row(row, path) for row in listed]
        used = 5 + sum(max(map(len, column)) + 2 for column in zip(*table, strict=True))
        space = min(max(self.terminal.width - used, _EXCERPT[0]), _EXCERPT[1])
        excerpts = [self.excerpt(row, space - 2) for row in listed]
        cells = [(*row, excerpt) for row, excerpt in zip(table, excerpts, strict=True)]
        yield from self.terminal.table(cells, 5)
        if (left := rows.count - len(listed)) > 0:
            hint = " (-v lists more)" if len(listed) < len(rows.rows) else ""
            yield self.terminal.dim(f"     … and {plural(left, 'more row')}{hint}")

    def excerpt(self, row: Row, space: int) -> str:
        """A piece of a row's text in quotes, with what the finding is about in angle quotes."""
        if row.excerpt is None:
            return ""
        if row.mark is None:
            return quote(row.excerpt, space)
        start, length = row.mark
        text, first, end = row.excerpt, start, start + length
        after = max(space - length, 0) // 3
        if end + after > space:  # it would be cut off, or nothing behind it seen
            skipped = min(end + after - space, start)
            text, first, end = f"…{text[skipped:]}", first - skipped + 1, end - skipped + 1
        return quote(f"{text[:first]}«{text[first:end]}»{text[end:]}", space)

    def evidence(self, finding: Finding) -> Iterator[str]:
        if finding.score is not None:
            yield from self.terminal.wrap(f"{finding.score:.4g}", 4, "score")
        for name, value in without_plot(finding.evidence).items():
            yield from self.terminal.wrap(in_words(value), 4, safe(name, 40))
        for each in finding.agreeing:
            text = f"{each.rule.id} {each.rule.name}: {each.message}"
            yield from self.terminal.wrap(safe(text, _MESSAGE), 4, "also")

    # What was scanned

    def scanned(self) -> Iterator[str]:
        if not self.report.scanned:
            yield from self.origins()
            return
        formats = Counter(safe(entry.format, 40) for entry in self.report.scanned)
        named = formats.most_common(None if self.verbose else _FORMATS_SHOWN)
        counted = [f"{count:,} {name}" for name, count in named]
        if others := formats.total() - sum(count for _, count in named):
            counted.append(f"{others:,} of {plural(len(formats) - len(named), 'other format')}")
        what = ", ".join(counted)
        yield from self.terminal.wrap(what, 0, "Scanned")
        if self.verbose and self.report.isolation:
            layers = ", ".join(self.report.isolation)
            yield from self.terminal.wrap(f"model files were read isolated by: {layers}", 2)
        yield from self.origins()
        told = [
            entry
            for entry in self.report.scanned
            if self.verbose or (entry.facts and entry.kind == "dataset")
        ]
        most = self.part(6)
        # A block is a line at least, so that no more of them can fit.
        blocks = [list(self.entry(entry)) for entry in told[:most]]
        shown = leading(blocks, most)
        for block in blocks[:shown]:
            yield from block
        if len(told) > shown:
            left = plural(len(told) - shown, "more dataset")
            yield self.terminal.dim(f"  … and {left} (-v lists them)")
        yield ""

    def entry(self, entry: Scanned) -> Iterator[str]:
        yield f"  {safe(entry.path)}  {self.terminal.dim(described(entry))}"
        for name, value in self.facts(entry):
            yield from self.fact(safe(name.replace("_", " "), 40), value)

    def origins(self) -> Iterator[str]:
        for line in about(self.report):
            yield from self.terminal.wrap(line, 2)

    def facts(self, entry: Scanned) -> Iterator[tuple[str, Json]]:
        """What to show of a dataset: usually what each column was taken for, and the labels."""
        for name, value in entry.facts.items():
            if name == "contents":
                held = holdings(entry.facts)
                yield from ((one.path or "imports", one.said) for one in held)
            elif name in UNLISTED:
                continue  # holdings end with it
            elif self.verbose:
                yield name, value
            elif name == "not applicable" and isinstance(value, Mapping):
                yield name, "; ".join(_without(why, each) for why, each in value.items())
            elif name == "roles" and isinstance(value, Mapping):
                yield name, with_inferred(value, entry.facts.get("inferred"))
            elif value and _is_brief(name, value):
                yield name, value

    def fact(self, name: str, value: Json) -> Iterator[str]:
        by_name = counts(value) if "label" in name else {}
        if by_name and self.verbose:
            yield from self.bars(name, by_name)
        elif by_name:
            yield from self.terminal.wrap(self.columns(by_name), 4, name)
        else:
            yield from self.terminal.wrap(in_words(value), 4, name)

    def columns(self, counts: Mapping[str, int]) -> str:
        """Counts on one line: a column for each, the largest first, and the names that fit."""
        top = sorted(counts.items(), key=lambda item: -item[1])
        drawn = spark((count for _, count in top[:_COLUMNS]), max(counts.values()))
        named = [f"{_label(key)} {count:,}" for key, count in top]
        if len(named) > _LABELS_NAMED:
            hidden = len(named) - _LABELS_NAMED
            named[_LABELS_NAMED - 1 : -1] = [f"… {hidden:,} more …"]
        return f"{drawn}  {', '.join(named)}"

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
        most = self.part(8)
        blocks = [list(self.gap(gap)) for gap in gaps[:most]]
        shown = leading(blocks, most)
        for block in blocks[:shown]:
            yield from block
        if len(gaps) > shown:
            yield self.terminal.dim(f"  … and {len(gaps) - shown:,} more (-v lists them)")
        yield ""

    def gap(self, gap: Gap) -> Iterator[str]:
        by = f" ({safe(gap.detector)})" if gap.detector else ""
        yield from self.terminal.wrap(f"{safe(gap.path)}: {safe(gap.reason)}{by}", 2)

    def skipped(self) -> Iterator[str]:
        skipped = self.report.skipped
        if not skipped:
            return
        shown = skipped
        if not self.verbose:
            shown = [entry for entry in skipped if entry.named or not self.report.scanned]
            shown = shown[:_SKIPPED_SHOWN]
        what = plural(len(skipped), "file")
        if not shown:
            yield self.terminal.dim(f"Skipped {what} (-v says which and why).")
        else:
            yield self.terminal.bold("Skipped") + f"  {what}"
            for entry in shown:
                yield from self.terminal.wrap(f"{safe(entry.path)}: {safe(entry.reason)}", 2)
            if left := len(skipped) - len(shown):
                yield self.terminal.dim(f"  … and {plural(left, 'more file')} (-v says which)")
        yield ""

    def totals_in_words(self) -> Iterator[str]:
        """The verdict and what was counted: the last line, or more on a narrow terminal."""
        totals, doubt = self.totals, Look(fg="yellow")
        parts = [self.verdict(), (scanned_in_words(totals), Look())]
        if any("partial" in entry.facts for entry in self.report.scanned):
            parts.append(("not all rows were looked at", doubt))
        if self.report.findings and (without := left_out(self.report)):
            parts.append((without, doubt))
        parts.append((without_labels(self.report), doubt))
        if totals.gaps:
            parts.append((f"{totals.gaps:,} not checked", doubt))
        parts += [(words, Look()) for words in aside_in_words(totals)]
        if totals.skipped:
            parts.append((f"{totals.skipped:,} skipped", Look()))
        parts.append((f"{self.report.seconds:.1f} s", Look()))
        return self.terminal.joined([part for part in parts if part[0]], " · ")

    def verdict(self) -> tuple[str, Look]:
        totals = self.totals
        stopped = "Interrupted: " if self.report.interrupted else ""
        if self.report.findings:
            counts = ", ".join(f"{n:,} {name}" for name, n in totals.findings.items() if n)
            text = f"{plural(len(self.report.findings), 'finding')} ({counts})"
            return stopped + text, Look(bold=True, fg="red")
        if not self.report.scanned:
            return f"{stopped}Nothing was scanned", Look(bold=True, fg="yellow")
        but = reservation(self.report)
        if but:
            return f"{stopped}No findings, but {but}", Look(bold=True, fg="yellow")
        return "Clean", Look(bold=True, fg="green")


def _is_brief(name: str, value: Json) -> bool:
    return (
        name in _BRIEF
        or name.startswith("labels of")
        or any(sign in f"'{value}" for sign in UNDECIDED)
    )


def _without(why: str, detectors: Json) -> str:
    """``no label: 10 detectors``, or their names if they are few, and what mends it."""
    why = f"{why} ({_GIVEN_BY[why]} gives it)" if why in _GIVEN_BY else why
    if isinstance(detectors, list) and len(detectors) > _DETECTORS_NAMED:
        return f"{safe(why)}: {plural(len(detectors), 'detector')} (-v names them)"
    return f"{safe(why)}: {in_words(detectors)}"


def _label(name: str) -> str:
    """A label as it is; in quotes if it begins or ends with white space."""
    return safe(name, 40) if name == name.strip() else quote(name, 40)


def _row(row: Row, path: str) -> tuple[str, ...]:
    """Cells for a row; its file is left out where it stands above."""
    line = f"line {row.line[0]}" if row.line else ""
    place = line if row.path == path else safe(row.path) + (f":{row.line[0]}" if row.line else "")
    return (
        place,
        "" if row.whole else f"row {row.index}",
        f"class {quote(row.label, 40)}" if row.label else "",
        "" if row.score is None else f"score {row.score:.4g}",
    )
