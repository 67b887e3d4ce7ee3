"""The report for programs: every fact in it, described by ``docs/report.schema.json``."""

from __future__ import annotations

from typing import Final, cast

from poisonscan.finding import Aside, Column, Finding, Json, Rows, Rule, Span, Tensor
from poisonscan.json_form import as_json
from poisonscan.report import Report
from poisonscan.reporters.base import Options, Totals, dump, inert, rules_of

SCHEMA_VERSION: Final = 1
"""Goes up when a field is removed or changes its meaning; new fields may appear at any time."""

KINDS: Final = {Span: "span", Tensor: "tensor", Rows: "rows", Column: "column"}
"""What the parts of files are called."""


def render(report: Report, options: Options) -> str:  # noqa: ARG001 - reporters are called alike
    """The report as indented JSON in ASCII."""
    document: dict[str, Json] = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "poisonscan", "version": report.version},
        "targets": inert(list(report.targets)),
        "complete": report.complete,
        "interrupted": report.interrupted,
        "hidden": report.hidden,
        "isolation": list(report.isolation),
        "origins": [inert(as_json(origin)) for origin in report.origins],
        "totals": totals_object(report),
        "findings": [finding_object(finding) for finding in report.findings],
        "aside": [aside_object(aside) for aside in report.aside],
        "expired_ignores": inert(list(report.expired)),
        "unused_ignores": inert(list(report.unused)),
        "gaps": [inert(as_json(gap)) for gap in report.gaps],
        "scanned": [inert(as_json(entry)) for entry in report.scanned],
        "skipped": [inert(as_json(entry)) for entry in report.skipped],
        "rules": [rule_object(rule) for rule in rules_of(report)],
    }
    return dump(document, indent=2)


def totals_object(report: Report) -> Json:
    """A report in numbers."""
    totals = Totals.of(report)
    return {
        "findings": sum(totals.findings.values()),
        **{str(severity): count for severity, count in totals.findings.items()},
        "models": totals.models,
        "settings": totals.settings,
        "datasets": totals.datasets,
        "rows": totals.rows,
        "bytes": totals.size,
        "gaps": totals.gaps,
        "skipped": totals.skipped,
        "ignored": totals.ignored,
        "baselined": totals.baselined,
        "seconds": inert(round(report.seconds, 3)),
    }


def finding_object(finding: Finding) -> dict[str, Json]:
    """A finding with all that is known of it."""
    part = finding.at.part
    location: dict[str, Json] = {"path": finding.at.path, "part": None}
    if part is not None:
        fields = cast("dict[str, Json]", as_json(part))
        location["part"] = {"kind": KINDS[type(part)], **fields}
    return {
        "rule": finding.rule.id,
        "severity": str(finding.severity),
        "message": inert(finding.message),
        "location": inert(location),
        "score": inert(finding.score),
        "evidence": inert(as_json(finding.evidence)),
        "fingerprint": finding.fingerprint,
        "agreeing": [finding_object(each) for each in finding.agreeing],
    }


def aside_object(aside: Aside) -> dict[str, Json]:
    """A finding that was put aside, with who did it and why."""
    return {"by": aside.by, "reason": inert(aside.reason), **finding_object(aside.finding)}


def rule_object(rule: Rule) -> Json:
    """A rule with its help."""
    help_text = "\n".join(cast("str", inert(line)) for line in rule.help.split("\n"))
    return {**cast("dict[str, Json]", inert(as_json(rule))), "help": help_text}
