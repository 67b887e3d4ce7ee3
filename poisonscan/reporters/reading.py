"""A JSON report back into a ``Report``, to be rendered again without scanning.

A report may have passed through hands that change it: it is read as strictly as any other file. All
text in it must be escaped as poisonscan writes it, so that nothing active comes in this way. What
was left out of the report (the rows beyond those that a finding names) does not come back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from poisonscan.escape import escape, quote
from poisonscan.finding import (
    MAX_ROWS,
    Aside,
    Column,
    Finding,
    Gap,
    Json,
    Location,
    Rows,
    Rule,
    Scanned,
    Severity,
    Skipped,
    Span,
    Tensor,
)
from poisonscan.formats.strict_json import parse_bounded
from poisonscan.origin import Origin
from poisonscan.report import Report
from poisonscan.reporters.base import Totals
from poisonscan.reporters.json import KINDS, SCHEMA_VERSION, rule_object
from poisonscan.reporters.typed import (
    ReportError,
    build,
    entries,
    items,
    number,
    shown,
    text,
    texts,
    truth,
    whole,
)
from poisonscan.reporters.typed import severity as read_severity
from poisonscan.rules import all_rules

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES: Final = 128 << 20
"""The largest report that is read."""

_MAX_ENTRIES: Final = 500_000
_SHOWN: Final = 60
_PARTS: Final[Mapping[str, type[Span | Tensor | Rows | Column]]] = {
    name: kind for kind, name in KINDS.items()
}
_FORMS: Final = {
    "id": re.compile(r"PS[0-9]{3}"),
    "name": re.compile(r"[a-z0-9]+(-[a-z0-9]+)*"),
    "precision": re.compile(r"very-high|high|medium|low"),
    "detector": re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*"),
    "cwe": re.compile(r"CWE-[0-9]{1,5}"),
    "atlas": re.compile(r"AML\.T[0-9]{4}(\.[0-9]{3})?"),
    "owasp": re.compile(r"ML[0-9]{2}"),
}
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class _Reread(Finding):
    """A finding whose key is not known any more, but its fingerprint is."""

    known: str = ""

    @property
    def fingerprint(self) -> str:
        return self.known


def read(path: Path) -> Report:
    """Read a report that ``-o json`` wrote.

    Args:
        path: a file of at most ``MAX_BYTES``.

    Returns:
        A report that renders to the same JSON again. Its findings have no key.

    Raises:
        ReportError: the file is no report, one of another ``schema_version``, one that contradicts
            itself, or larger than a report can be.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        message = f"it is larger than the {MAX_BYTES >> 20} MiB that a report may have"
        raise ReportError(message)
    return from_json(content)


def from_json(content: bytes) -> Report:
    """The report that is written in ``content``; see ``read``.

    Raises:
        ReportError: as ``read``.
    """
    document = _parsed(content)
    _check_version(document)
    _refuse_active(document)
    rules = {rule.id: rule for rule in (_rule(*each) for each in _numbered(document, "rules"))}
    totals = entries(_get(document, "totals"), "totals")
    report = Report(
        targets=texts(_get(document, "targets"), "targets"),
        findings=[_finding(*each, rules) for each in _numbered(document, "findings")],
        aside=[_aside(*each, rules) for each in _numbered({"aside": [], **document}, "aside")],
        expired=texts(document.get("expired_ignores", []), "expired_ignores"),
        unused=texts(document.get("unused_ignores", []), "unused_ignores"),
        gaps=[build(Gap, *each) for each in _numbered(document, "gaps")],
        scanned=[build(Scanned, *each) for each in _numbered(document, "scanned")],
        skipped=[build(Skipped, *each) for each in _numbered(document, "skipped")],
        rules=tuple(rules.values()),
        seconds=number(totals.get("seconds", 0), "totals.seconds"),
        version=text(_get(entries(document["tool"], "tool"), "version", "tool."), "tool.version"),
        interrupted=truth(_get(document, "interrupted"), "interrupted"),
        hidden=whole(document.get("hidden", 0), "hidden"),
        origins=[build(Origin, *each) for each in _numbered(document, "origins", optional=True)],
        isolation=texts(_get(document, "isolation"), "isolation"),
    )
    _check_agreement(report, document, totals)
    return report


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        parsed = parse_bounded(content, _MAX_ENTRIES)
    except ValueError as error:
        raise ReportError(str(error)) from error
    if parsed.duplicates:
        message = f"{quote(parsed.duplicates[0], _SHOWN)} stands twice in one object"
        raise ReportError(message)
    return entries(parsed.content, "the report")


def _check_version(document: Mapping[str, Any]) -> None:
    tool, version = document.get("tool"), document.get("schema_version")
    if not isinstance(tool, dict) or tool.get("name") != "poisonscan":
        message = "it is not a report of `poisonscan scan -o json`"
        raise ReportError(message)
    if isinstance(version, bool) or version != SCHEMA_VERSION:
        message = (
            f"its schema_version is {shown(version)}; this version of poisonscan reads "
            f"{SCHEMA_VERSION}: use the version that wrote it"
        )
        raise ReportError(message)


def _refuse_active(document: Mapping[str, Any]) -> None:
    """Every text must be as ``escape`` leaves it; the help of a rule may have several lines."""
    left: list[Any] = [value for name, value in document.items() if name != "rules"]
    for rule in items(document.get("rules", []), "rules"):
        fields = dict(entries(rule, "rules"))
        left += [text(fields.pop("help", ""), "help").split("\n"), fields]
    while left:
        value = left.pop()
        if isinstance(value, str) and escape(value) != value:
            message = f"{quote(value, _SHOWN)} holds characters that reports do not"
            raise ReportError(message)
        if isinstance(value, dict):
            left += value.keys()
            left += value.values()
        elif isinstance(value, list):
            left += value


def _check_agreement(
    report: Report, document: Mapping[str, Any], totals: Mapping[str, Any]
) -> None:
    """What is said twice must be the same; otherwise someone may be told that all is well."""
    if truth(_get(document, "complete"), "complete") is not report.complete:
        message = "'complete' does not agree with what was scanned and with the gaps"
        raise ReportError(message)
    counted = Totals.of(report)
    for severity, count in counted.findings.items():
        if totals.get(str(severity)) != count:
            message = f"totals.{severity} does not agree with the findings"
            raise ReportError(message)
    if totals.get("gaps") != counted.gaps:
        message = "totals.gaps does not agree with the gaps"
        raise ReportError(message)
    for name, number_aside in (("ignored", counted.ignored), ("baselined", counted.baselined)):
        if totals.get(name, 0) != number_aside:
            message = f"totals.{name} does not agree with what was put aside"
            raise ReportError(message)
    if report.seconds < 0 or report.hidden < 0:
        message = "totals.seconds and hidden cannot be negative"
        raise ReportError(message)


def _get(fields: Mapping[str, Any], name: str, where: str = "") -> Any:
    if name not in fields:
        message = f"{where}{name} is missing"
        raise ReportError(message)
    return fields[name]


def _numbered(
    document: Mapping[str, Any], name: str, *, optional: bool = False
) -> list[tuple[Any, str]]:
    """The entries of a list, each with where it is."""
    listed = document.get(name, []) if optional else _get(document, name)
    return [(each, f"{name}[{n}]") for n, each in enumerate(items(listed, name))]


def _rule(value: object, at: str) -> Rule:
    rule = build(Rule, value, at)
    for name, form in _FORMS.items():
        written = getattr(rule, name)
        for part in (written,) if isinstance(written, str) else written:
            if form.fullmatch(part) is None:
                message = f"{at}.{name} is {quote(part, _SHOWN)}, which no rule has"
                raise ReportError(message)
    installed = all_rules().get(rule.id)
    if installed is not None and rule_object(installed) == rule_object(rule):
        return installed
    # The help of other rules is not ours: it may be read, but bring no markup of its own.
    return replace(rule, help=rule.help.replace("<", "&lt;").replace("](", "] ("))


def _finding(value: object, at: str, rules: Mapping[str, Rule]) -> Finding:
    fields = entries(value, at)
    rule = rules.get(text(_get(fields, "rule", f"{at}."), f"{at}.rule"))
    if rule is None:
        message = f"{at}.rule is none of the rules in the report"
        raise ReportError(message)
    severity = read_severity(_get(fields, "severity", f"{at}."), f"{at}.severity")
    known = text(_get(fields, "fingerprint", f"{at}."), f"{at}.fingerprint")
    if _FINGERPRINT.fullmatch(known) is None:
        message = f"{at}.fingerprint should be 32 hexadecimal digits"
        raise ReportError(message)
    score = fields.get("score")
    evidence: Mapping[str, Json] = entries(_get(fields, "evidence", f"{at}."), f"{at}.evidence")
    return _Reread(
        rule,
        _location(_get(fields, "location", f"{at}."), f"{at}.location"),
        text(_get(fields, "message", f"{at}."), f"{at}.message"),
        "",
        None if score is None else number(score, f"{at}.score"),
        evidence,
        _agreeing(fields, at, rules, severity),
        None if severity is rule.severity else severity,
        known=known,
    )


def _agreeing(
    fields: Mapping[str, Any], at: str, rules: Mapping[str, Rule], most: Severity
) -> tuple[Finding, ...]:
    """Findings that are told with another one: not graver than it, and none with others in turn."""
    found = []
    for position, each in enumerate(items(fields.get("agreeing", []), f"{at}.agreeing")):
        place = f"{at}.agreeing[{position}]"
        if entries(each, place).get("agreeing"):
            message = f"{place}.agreeing should be empty"
            raise ReportError(message)
        finding = _finding(each, place, rules)
        if finding.severity > most:
            message = f"{place} is graver than the finding that it is told with"
            raise ReportError(message)
        found.append(finding)
    return tuple(found)


def _aside(value: object, at: str, rules: Mapping[str, Rule]) -> Aside:
    fields = entries(value, at)
    by = fields.get("by")
    if by not in ("ignore", "baseline"):
        message = f"{at}.by is {shown(by)}; it should be ignore or baseline"
        raise ReportError(message)
    reason = text(_get(fields, "reason", f"{at}."), f"{at}.reason")
    return Aside(_finding(value, at, rules), str(by), reason)


def _location(value: object, at: str) -> Location:
    fields = entries(value, at)
    path = text(_get(fields, "path", f"{at}."), f"{at}.path")
    if fields.get("part") is None:
        return Location(path)
    part = entries(fields["part"], f"{at}.part")
    kind = _PARTS.get(str(part.get("kind")))
    if kind is None:
        message = f"{at}.part.kind is {shown(part.get('kind'))}, which is no kind of place"
        raise ReportError(message)
    made = build(kind, part, f"{at}.part")
    if isinstance(made, Rows) and len(made.rows) > MAX_ROWS:
        message = f"{at}.part.rows has more than {MAX_ROWS:,} rows"
        raise ReportError(message)
    return Location(path, made)
