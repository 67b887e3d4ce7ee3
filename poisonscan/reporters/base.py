"""What a reporter is: a report in, text out. Each is a module here with a function ``render``."""

from __future__ import annotations

import importlib
import json
import math
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from poisonscan.escape import escape
from poisonscan.finding import Finding, Json, Rule, Severity
from poisonscan.report import Report
from poisonscan.reporters.anchors import Anchors
from poisonscan.reporters.private import without_content

_SECTION: Final = r"\*\*{}\.\*\*\s*(.*?)(?=\n\s*\n|\n?\*\*[A-Z][^*]*\.\*\*|\Z)"
_STRESSED: Final = re.compile(r"(`[^`]*`)|\*(\w[^*`]*)\*")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9`*'])")


@dataclass(frozen=True, slots=True)
class Options:
    """How a report is to look. Each reporter reads what concerns it.

    Attributes:
        colour: whether text has colour codes.
        width: columns of the terminal.
        height: lines that text may take unless ``verbosity`` asks for all; None: any number.
        verbosity: -1 findings and totals only, 0 the usual, 1 every row, file and skipped file.
        category: what tells this scan's SARIF from that of other scans of the same repository.
        aside: whether findings that were put aside show, marked as such, in text and in SARIF.
        content: whether reports may say what rows of datasets hold; otherwise only where they are.
        anchors: files with lines for findings on the Hub, where a report needs a file and a line.
    """

    colour: bool = False
    width: int = field(default_factory=lambda: shutil.get_terminal_size().columns)
    height: int | None = None
    verbosity: int = 0
    category: str = "poisonscan"
    content: bool = True
    aside: bool = False
    anchors: Anchors = field(default_factory=Anchors)


class Reporter(Protocol):
    """Writes a report in one format."""

    def __call__(self, report: Report, options: Options) -> str:
        """The whole report, ending with a newline and free of lone surrogates."""


def _reporter(name: str) -> Reporter:
    def render(report: Report, options: Options) -> str:
        module = importlib.import_module(f"poisonscan.reporters.{name}")
        reporter: Reporter = module.render
        return reporter(report if options.content else without_content(report), options)

    return render


REPORTERS: Final[Mapping[str, Reporter]] = {
    name: _reporter(name)
    for name in ("text", "json", "sarif", "html", "markdown", "junit", "github", "jsonl")
}
"""Reporters by the name of their format; a reporter's module is imported when it is first used."""


@dataclass(frozen=True, slots=True)
class Totals:
    """A report in numbers.

    Attributes:
        findings: number of findings by severity, the worst first, zeros included.
        models: model files scanned, each archive counted once.
        settings: configuration and code scanned.
        datasets: datasets scanned.
        rows: rows of these datasets.
        size: bytes of the scanned files on disk.
        gaps: things not checked.
        skipped: files that were not to be checked, such as a README.
        ignored: findings that ignores put aside.
        baselined: findings that a baseline put aside.
    """

    findings: Mapping[Severity, int]
    models: int
    settings: int
    datasets: int
    rows: int
    size: int
    gaps: int
    skipped: int
    ignored: int
    baselined: int

    @classmethod
    def of(cls, report: Report) -> Totals:
        """Count."""
        datasets = [entry for entry in report.scanned if entry.kind == "dataset"]
        models = {outermost(entry.path) for entry in report.scanned if entry.kind == "model"}
        return cls(
            findings={severity: report.count(severity) for severity in reversed(Severity)},
            models=len(models),
            settings=sum(entry.kind == "settings" for entry in report.scanned),
            datasets=len(datasets),
            rows=sum(entry.rows or 0 for entry in datasets),
            size=sum(entry.size for entry in report.scanned if "!/" not in entry.path),
            gaps=len(report.gaps),
            skipped=len(report.skipped),
            ignored=sum(aside.by == "ignore" for aside in report.aside),
            baselined=sum(aside.by == "baseline" for aside in report.aside),
        )


def outermost(path: str) -> str:
    """The file on disk that a path such as ``outer!/member`` lies in."""
    return path.partition("!/")[0]


def rules_of(report: Report) -> list[Rule]:
    """Every rule that took part or found something, in order of id."""
    shown = [*report.findings, *(aside.finding for aside in report.aside)]
    found = {each.rule.id: each.rule for finding in shown for each in finding.each()}
    found.update({rule.id: rule for rule in report.rules})
    return [found[rule_id] for rule_id in sorted(found)]


def said(finding: Finding) -> str:
    """The message of a finding, and which rules agree with it."""
    if not finding.agreeing:
        return finding.message
    counts = Counter(f"{each.rule.id} {each.rule.name}" for each in finding.agreeing)
    rules = [f"{name} ({n} findings)" if n > 1 else name for name, n in sorted(counts.items())]
    return f"{finding.message} Most of the rows are also found by {', '.join(rules)}."


def advice(rule: Rule, heading: str, *, whole: bool = False) -> str:
    """The part of a rule's help under a heading such as ``Why it matters``, as one plain line.

    Args:
        rule: its help has paragraphs that begin with ``**Heading.**``.
        heading: without the period.
        whole: the paragraph; otherwise its first sentence.
    """
    match = re.search(_SECTION.format(re.escape(heading)), rule.help, re.DOTALL)
    if match is None:
        return ""
    text = escape(" ".join(match.group(1).replace("**", "").split()))
    shown = text if whole else first_sentence(text)[0]
    return _STRESSED.sub(lambda found: found[1] or found[2], shown)


def first_sentence(text: str) -> tuple[str, str]:
    """The first sentence of a text, and the rest."""
    first, *rest = _SENTENCE.split(text, maxsplit=1)
    return first, "".join(rest)


def dump(document: Json, *, indent: int | None = None) -> str:
    """A document as JSON in ASCII, ending with a newline.

    Raises:
        ValueError: a number is NaN or infinite; see ``inert``.
    """
    separators = (",", ":") if indent is None else None
    text = json.dumps(document, indent=indent, separators=separators, allow_nan=False)
    # Build servers act on ``##[name]`` anywhere in a printed line. The escape means the same.
    return text.replace("##", "#\\u0023") + "\n"


def inert(value: Json) -> Json:
    """JSON values fit to be written: every string escaped, and null for NaN and infinities."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {escape(key): inert(item) for key, item in value.items()}
    if isinstance(value, list):
        return [inert(item) for item in value]
    return value
