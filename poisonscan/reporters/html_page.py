"""What the HTML page says, ready to be laid out: the template decides nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poisonscan.finding import Aside, Finding, Gap, Rule, Scanned, Severity, Skipped
from poisonscan.plural import plural
from poisonscan.report import Report
from poisonscan.reporters.base import Totals, advice, outermost
from poisonscan.reporters.holdings import Holding, holdings, suspicious_names
from poisonscan.reporters.html_dataset import DatasetPart
from poisonscan.reporters.html_finding import FindingPart
from poisonscan.reporters.html_parts import HelpPart, Piece, help_parts, prose
from poisonscan.reporters.origins import Files, about, files_of
from poisonscan.reporters.wording import (
    aside_in_words,
    described,
    left_out,
    reservation,
    scanned_in_words,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

FINDINGS: Final = 1_000
"""Findings on the page, the worst first; the rest are counted."""

ROWS: Final = 3_000
"""Rows on the page, over all findings."""

GAPS: Final = 500
LISTED: Final = 300
_STEPS: Final = 6
_SHOWN_GAPS: Final = 10


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Findings of one rule and severity in one file.

    Attributes:
        rule: what was found.
        severity: how bad each is.
        why: the first sentence of why it matters; like the help, empty where the page has it
            further up.
        todo: the paragraph on what to do.
        help: all of the rule's help.
        findings: the worst first.
    """

    rule: Rule
    severity: Severity
    why: tuple[Piece, ...]
    todo: tuple[Piece, ...]
    help: tuple[HelpPart, ...]
    findings: tuple[FindingPart, ...]


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Findings in one file on disk, or in one dataset.

    Attributes:
        path: of the file.
        about: what it is.
        held: what a model file holds.
        bad: names that findings are about.
        groups: findings by severity and rule.
    """

    path: str
    about: str
    held: tuple[Holding, ...]
    bad: frozenset[str]
    groups: tuple[RuleGroup, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Something to do next, and the name and place of what on the page says more, if anything."""

    pieces: tuple[Piece, ...]
    name: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page.

    Attributes:
        tone: ``bad``, ``warn`` or ``good``: the colour of the verdict.
        verdict: the result in a few words.
        coverage: whether everything was checked, in a sentence.
        whole: whether it was.
        severities: findings by severity, the worst first.
        files: findings by file, the worst first.
        left: findings that are counted only.
        origins: what is to be said of repositories that files come from.
        fetched: their files, with sizes and hashes.
    """

    report: Report
    totals: Totals
    content: bool
    tone: str
    verdict: str
    coverage: str
    whole: bool
    scanned: str
    severities: tuple[tuple[Severity, int], ...]
    found: tuple[tuple[Rule, int], ...]
    steps: tuple[Step, ...]
    gaps: tuple[Gap, ...]
    more_gaps: tuple[Gap, ...]
    files: tuple[FileGroup, ...]
    left: int
    datasets: tuple[DatasetPart, ...]
    others: tuple[tuple[Scanned, str, tuple[Holding, ...]], ...]
    skipped: tuple[Skipped, ...]
    origins: tuple[str, ...]
    fetched: tuple[Files, ...]
    aside: tuple[Aside, ...]
    aside_said: str

    @classmethod
    def of(cls, report: Report, *, content: bool) -> Page:
        """Read a report.

        Args:
            report: what was found; without content if it is to be so.
            content: whether it says what rows hold.
        """
        totals = Totals.of(report)
        worst_first = sorted(report.findings, key=lambda finding: -finding.severity)
        gaps = sorted(report.gaps, key=lambda gap: (gap.detector is not None, gap.path))
        found = Counter(finding.rule.id for finding in worst_first)
        rules = {finding.rule.id: finding.rule for finding in worst_first}
        tone, verdict = _verdict(report)
        datasets = [entry for entry in report.scanned if entry.kind == "dataset"]
        parts = tuple(
            DatasetPart.of(entry, f"dataset-{number}")
            for number, entry in enumerate(datasets[:LISTED], 1)
        )
        others = [entry for entry in report.scanned if entry.kind != "dataset"]
        return cls(
            report=report,
            totals=totals,
            content=content,
            tone=tone,
            verdict=verdict,
            coverage=_coverage(report, totals, judged=not any(part.undecided for part in parts)),
            whole=report.complete and not _is_partial(report) and not left_out(report),
            scanned=scanned_in_words(totals).removesuffix(" scanned"),
            severities=tuple(totals.findings.items()),
            found=tuple((rules[name], count) for name, count in found.items()),
            steps=tuple(_steps(report, tuple(rules.values()), found)),
            gaps=tuple(gaps[:_SHOWN_GAPS]),
            more_gaps=tuple(gaps[_SHOWN_GAPS:GAPS]),
            files=tuple(_files(worst_first[:FINDINGS], report.scanned)),
            left=len(worst_first[FINDINGS:]),
            datasets=parts,
            others=tuple(map(_other, others[:LISTED])),
            skipped=tuple(report.skipped[:LISTED]),
            origins=tuple(about(report)),
            fetched=tuple(files_of(origin, LISTED) for origin in report.origins),
            aside=tuple(report.aside[:LISTED]),
            aside_said=", ".join(aside_in_words(totals)),
        )


def _other(entry: Scanned) -> tuple[Scanned, str, tuple[Holding, ...]]:
    return entry, described(entry), tuple(holdings(entry.facts))


def _is_partial(report: Report) -> bool:
    return any("partial" in entry.facts for entry in report.scanned)


def _verdict(report: Report) -> tuple[str, str]:
    stopped = "Interrupted: " if report.interrupted else ""
    if report.findings:
        worst = max(finding.severity for finding in report.findings)
        what = plural(len(report.findings), "finding")
        tone = "bad" if worst >= Severity.HIGH else "warn"
        return tone, f"{stopped}{what}, the worst {worst}"
    if not report.scanned:
        return "warn", f"{stopped}Nothing was scanned"
    if but := reservation(report):
        return "warn", f"{stopped}No findings, but {but}"
    return "good", "Clean"


def _coverage(report: Report, totals: Totals, *, judged: bool) -> str:
    if not report.scanned:
        return "Nothing was checked: that nothing was found says nothing."
    if report.interrupted:
        return "Not everything was checked: the scan was interrupted."
    if totals.gaps:
        things = plural(totals.gaps, "thing")
        return f"Not everything was checked: {things} could not be, or not whole."
    if _is_partial(report):
        return "Not everything was checked: not all rows were looked at, as asked for."
    if without := left_out(report):
        return f"Not everything was checked: {without}, as asked for."
    if not judged:
        return "Everything was read; what could not be judged is said with each dataset."
    return "Everything that was to be checked was checked."


def _files(findings: Sequence[Finding], scanned: Sequence[Scanned]) -> Iterator[FileGroup]:
    """By file on disk, the file with the worst finding first; by rule in it, the worst first."""
    about = {entry.path: entry for entry in scanned}
    groups: dict[str, dict[tuple[Severity, str], list[Finding]]] = {}
    for finding in findings:
        by_rule = groups.setdefault(outermost(finding.at.path), {})
        by_rule.setdefault((finding.severity, finding.rule.id), []).append(finding)
    explained: set[str] = set()
    number, rows_left = 0, ROWS
    for path, by_rule in groups.items():
        made = []
        for (severity, name), group in by_rule.items():
            parts = []
            for finding in group:
                number += 1
                part = FindingPart.of(finding, f"finding-{number}", rows_left)
                rows_left -= len(part.rows)
                parts.append(part)
            new = name not in explained
            made.append(_group(group[0].rule, severity, tuple(parts), new=new))
            explained.add(name)
        entry = about.get(path)
        bad = frozenset[str]().union(
            *(suspicious_names(finding.evidence) for group in by_rule.values() for finding in group)
        )
        held = tuple(holdings(entry.facts)) if entry else ()
        yield FileGroup(path, described(entry) if entry else "", held, bad, tuple(made))


def _group(
    rule: Rule, severity: Severity, findings: tuple[FindingPart, ...], *, new: bool
) -> RuleGroup:
    todo = prose(advice(rule, "What to do", whole=True))
    if not new:
        return RuleGroup(rule, severity, (), todo, (), findings)
    why = prose(advice(rule, "Why it matters"))
    return RuleGroup(rule, severity, why, todo, tuple(help_parts(rule.help)), findings)


def _steps(report: Report, rules: Sequence[Rule], found: Mapping[str, int]) -> Iterator[Step]:
    """What to do next: about the worst rules first, then about what was not checked."""
    for rule in rules[:_STEPS]:
        what = advice(rule, "What to do") or rule.title
        pieces = prose(f"({plural(found[rule.id], 'finding')}): {what}")
        yield Step(pieces, rule.id, f"rule-{rule.id}")
    if len(rules) > _STEPS:
        more = plural(len(rules) - _STEPS, "more rule")
        yield Step(prose(f"Read the findings of {more}."))
    if report.gaps:
        text = (
            "Find out why some things could not be checked, and scan these again. Until then "
            "nothing is known of them: treat them as unsafe."
        )
        yield Step(prose(text), "Not checked:", "not-checked")
    elif not report.scanned:
        text = "See whether the targets are the right ones: no model or dataset was there."
        yield Step(prose(text))
    if _is_partial(report):
        text = "Scan again without `--max-rows` and `--sample` to have all rows looked at."
        yield Step(prose(text))
    if report.hidden:
        what = plural(report.hidden, "finding")
        yield Step(prose(f"Scan again without `--min-severity` to see {what} more."))
    if not report.findings and report.complete:
        text = "Keep this report with what was scanned, and scan again whenever that changes."
        yield Step(prose(text))
