"""Reports for readers who may not see the rows: where things are, and nothing of what they say.

Rows of a dataset may be private. Without content a report names files, columns, splits and labels,
counts and measures, and the rule; excerpts, phrases, values, addresses and pictures are left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Json, Row, Rows, Scanned
from poisonscan.report import Report

LEFT_OUT: Final = "[left out]"

_VALUES: Final = frozenset({"values", "next", "below", "above"})
"""Evidence that holds numbers of single rows; the message says them as well."""
_FACTS_OF_ROWS: Final = frozenset({"hosts of addresses"})
_CLIPS: Final = (200, 40)
_DATASETS: Final = "detectors.datasets."


def without_content(report: Report) -> Report:
    """A copy of a report that says nothing of what rows hold, except for their labels."""
    known = frozenset(_names(report))
    return replace(
        report,
        findings=[_finding(finding, known) for finding in report.findings],
        aside=[replace(a, finding=_finding(a.finding, known)) for a in report.aside],
        scanned=[_scanned(entry, known) for entry in report.scanned],
    )


def _names(report: Report) -> Iterator[str]:
    """Names that may be said: of files, columns, splits and labels."""
    yield from report.targets
    for entry in report.scanned:
        yield entry.path
        for name, value in entry.facts.items():
            if name in ("columns", "roles", "splits") or name.startswith("labels"):
                yield from _strings(value)
    shown = [*report.findings, *(aside.finding for aside in report.aside)]
    for finding in itertools.chain.from_iterable(told.each() for told in shown):
        yield finding.at.path
        for row in finding.at.part.rows if isinstance(finding.at.part, Rows) else ():
            yield from (row.path, row.split, row.label or "")


def _strings(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield name
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


def _finding(finding: Finding, known: frozenset[str]) -> Finding:
    if not finding.rule.detector.startswith(_DATASETS):
        return finding
    part = finding.at.part
    if isinstance(part, Rows):
        part = replace(part, rows=tuple(map(_row, part.rows)))
    if _VALUES.isdisjoint(finding.evidence):
        message = _message(finding.message, known)
    else:
        message = f"{finding.rule.title}."
    evidence = {
        name: LEFT_OUT if name in _VALUES else value if name == "plot" else _evidence(value, known)
        for name, value in finding.evidence.items()
    }
    at = replace(finding.at, part=part)
    agreeing = tuple(_finding(each, known) for each in finding.agreeing)
    return replace(finding, at=at, message=message, evidence=evidence, agreeing=agreeing)


def _row(row: Row) -> Row:
    return replace(row, excerpt=None, thumbnail=None, mark=None)


def _message(message: str, known: frozenset[str]) -> str:
    """The message with all from the first to the last quotation mark of content left out.

    Content may hold quotation marks itself, so that where a quotation ends cannot be told; but
    whatever it holds stands between the first mark and the last.
    """
    quoted = {quote(name, limit) for name in known for limit in _CLIPS}
    kept = sorted((q for q in quoted if q in message), key=lambda q: (-len(q), q))
    for number, shown in enumerate(kept):
        message = message.replace(shown, f"\0{number}\0")
    first, last = message.find("'"), message.rfind("'")
    if first < last:
        message = f"{message[:first]}{LEFT_OUT}{message[last + 1 :]}"
    for number, shown in enumerate(kept):
        message = message.replace(f"\0{number}\0", shown)
    return message


def _evidence(value: Json, known: frozenset[str]) -> Json:
    """Numbers and known names stay."""
    if isinstance(value, str):
        return value if value in known else LEFT_OUT
    if isinstance(value, list):
        return [_evidence(item, known) for item in value]
    if isinstance(value, Mapping):
        named: dict[str, Json] = {}
        for name, item in value.items():
            shown = name if name in known else f"{LEFT_OUT} {len(named) + 1}"
            named[shown] = _evidence(item, known)
        return named
    return value


def _scanned(entry: Scanned, known: frozenset[str]) -> Scanned:
    facts: dict[str, Json] = {}
    for name, value in entry.facts.items():
        if name in _FACTS_OF_ROWS:
            facts[name] = LEFT_OUT
        elif isinstance(value, str):
            facts[name] = _message(value, known)
        else:
            facts[name] = value
    return replace(entry, facts=facts)
