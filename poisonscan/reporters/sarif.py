"""The report as SARIF 2.1.0, for code scanning services and editors.

Written against the OASIS standard with errata 01 and against what GitHub code scanning documents to
read: limits, required properties, a numeric ``security-severity`` on each rule, and a location for
each result. Gaps are notifications of a successful run, since results of an unsuccessful one are
dropped by GitHub.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from poisonscan.escape import escape, quote
from poisonscan.finding import Aside, Finding, Gap, Json, Rows, Rule, Severity
from poisonscan.json_form import as_json
from poisonscan.origin import lasting
from poisonscan.report import Report
from poisonscan.reporters.base import Options, Totals, dump, inert, rules_of, said
from poisonscan.reporters.origins import counted, disagreements
from poisonscan.reporters.sarif_places import LARGEST, Object, Places
from poisonscan.reporters.sarif_rules import GAP, LEVEL, driver, rank, taxa_of, taxonomy
from poisonscan.reporters.sarif_text import sentence
from poisonscan.reporters.wording import left_out, unlabelled, without_plot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from poisonscan.origin import Origin
    from poisonscan.reporters.anchors import Anchors

_HUB_FILES: Final = 1_000
"""Files of a repository for which it says what the Hub's own scanners say."""
MAX_RESULTS: Final = 25_000
"""Results that GitHub takes in one run; a file with more is refused whole."""

MAX_COMPRESSED: Final = 10_000_000
"""Bytes of a compressed log that GitHub takes."""

SHOWN: Final = 5_000
"""Results that GitHub shows of one run, by severity."""

_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_HUB: Final = "hf://"
_LINKS: Final = 5


def render(report: Report, options: Options) -> str:
    """The report as one SARIF log with one run, in ASCII, small enough for GitHub to take it."""
    most = MAX_RESULTS
    while True:
        log: Object = {
            "$schema": _SCHEMA,
            "version": "2.1.0",
            "runs": [_run(report, options, most)],
        }
        text = dump(log)
        if not most or _fits(text):
            return text
        most //= 2


def _origin(report: Report, origin: Origin) -> Json:
    """A repository: what was fetched of it, and what the Hub's own scanners say."""
    differ: list[Json] = list(islice(disagreements(report, origin), _HUB_FILES))
    judged = [file for file in origin.files if file.verdicts]
    return inert(
        {
            "path": origin.path,
            "revision": origin.revision,
            "endpoint": origin.endpoint,
            "commit": origin.commit,
            "bytes": sum(file.size for file in origin.files),
            "fetched": sum(file.fetched for file in origin.files),
            "verified": sum(file.verified for file in origin.files),
            "hubScanners": {
                **counted(origin),
                "missing": escape(origin.scanners),
                "disagreements": differ,
                "files": {
                    escape(file.path): {verdict.engine: verdict.status for verdict in file.verdicts}
                    for file in judged[:_HUB_FILES]
                },
            },
        }
    )


def _fits(text: str) -> bool:
    # The fastest level makes more bytes than the one that uploads use.
    return len(text) < MAX_COMPRESSED or len(zlib.compress(text.encode(), 1)) < MAX_COMPRESSED


def _run(report: Report, options: Options, most: int) -> Object:
    """The run, with the ``most`` most severe results."""
    rules = rules_of(report)
    places = Places()
    told = sorted(report.findings, key=lambda finding: -finding.severity)
    worst_first = sorted(chain.from_iterable(map(_each, told)), key=lambda each: -each.severity)
    shown = worst_first[:most]
    marks: list[Object] = [{}] * len(shown)
    if options.aside:
        aside = [(each, one) for one in report.aside for each in _each(one.finding)]
        aside = aside[: most - len(shown)]
        known = any(each.by == "baseline" for each in report.aside)
        marks = [{"baselineState": "new"} if known else {}] * len(shown)
        marks += [_set_aside(one, known=known) for _, one in aside]
        shown += [each for each, _ in aside]
    results = _results(zip(shown, marks, strict=True), rules, places, options.anchors)
    notifications = _notifications(report, places, most)
    totals = Totals.of(report)
    invocation: Object = {"executionSuccessful": True}
    if notifications:
        invocation["toolExecutionNotifications"] = notifications
    taxa = taxa_of(rules)
    gravest: dict[str, Severity] = {}
    for finding in shown:
        severity = gravest.get(finding.rule.id, finding.severity)
        gravest[finding.rule.id] = max(severity, finding.severity)
    run: Object = {
        "tool": {"driver": driver(report, rules, taxa, gravest)},
        "automationDetails": {"id": escape(options.category).strip("/") + "/"},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {
            "SRCROOT": {
                "description": {"text": "The folder that paths in this log are relative to."}
            }
        },
        "invocations": [invocation],
        "results": results,
        "properties": {
            "models": totals.models,
            "settings": totals.settings,
            "datasets": totals.datasets,
            "rows": totals.rows,
            "gaps": totals.gaps,
            "skipped": totals.skipped,
            "ignored": totals.ignored,
            "baselined": totals.baselined,
            "complete": report.complete,
            "isolation": list(report.isolation),
            "origins": [_origin(report, origin) for origin in report.origins],
        },
    }
    if places.artifacts:
        run["artifacts"] = places.artifacts
    if places.logical:
        run["logicalLocations"] = places.logical
    if any(taxa):
        run["taxonomies"] = [taxonomy(n, names) for n, names in enumerate(taxa)]
    return run


# Results


def _set_aside(aside: Aside, *, known: bool) -> Object:
    """What says of a result that somebody decided about it; ``known``: there is a baseline."""
    suppression: Object = {
        "kind": "external",
        "status": "accepted",
        "justification": sentence(aside.reason),
    }
    marks: Object = {"suppressions": [suppression]}
    if known:
        marks["baselineState"] = "unchanged" if aside.by == "baseline" else "new"
    return marks


def _results(
    marked: Iterable[tuple[Finding, Object]], rules: list[Rule], places: Places, anchors: Anchors
) -> list[Json]:
    index = {rule.id: n for n, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    results: list[Json] = []
    for finding, mark in marked:
        anchor = anchors.of(finding.at.path)
        fingerprint = finding.fingerprint
        seen[fingerprint] += 1
        related = places.related(finding)
        result: Object = {
            "ruleId": finding.rule.id,
            "ruleIndex": index[finding.rule.id],
            "level": LEVEL[finding.severity],
            "rank": rank(finding.severity),
            "message": {"text": _message(finding, len(related))},
            "locations": [places.anchored(finding, anchor) if anchor else places.primary(finding)],
            "partialFingerprints": {
                # Not the hash of a line's text that GitHub would compute: data files have too many
                # lines, and binary files none, while rule, place and key are stable for both.
                "primaryLocationLineHash": f"{fingerprint}:{seen[fingerprint]}",
                "poisonscan/v1": fingerprint,
            },
            "properties": _measured(finding),
            **mark,
        }
        if related:
            result["relatedLocations"] = related
        if isinstance(finding.at.part, Rows):
            result["occurrenceCount"] = min(max(finding.at.part.count, 1), LARGEST)
        results.append(result)
    return results


def _measured(finding: Finding) -> Object:
    measured: Object = {"evidence": inert(as_json(without_plot(finding.evidence)))}
    if finding.score is not None:
        measured["score"] = inert(finding.score)
    if finding.at.path.startswith(_HUB):
        measured["hubUri"] = inert(finding.at.path)
    if finding.agreeing:
        measured["agreeing"] = [each.fingerprint for each in finding.agreeing]
    return measured


def _each(finding: Finding) -> Iterator[Finding]:
    """A finding, and as results of their own those that are told with it.

    Services remember what somebody decided about a result: whoever dismisses one has decided
    nothing about what another rule finds in the same rows, perhaps only later.
    """
    yield finding
    head = f"{finding.rule.id} {finding.rule.name}"
    for each in finding.agreeing:
        yield replace(each, message=f"{each.message} Nearly the same rows are found by {head}.")


def _message(finding: Finding, related: int) -> str:
    text = sentence(said(finding) or finding.rule.title or finding.rule.name)
    part = finding.at.part
    if finding.at.path.startswith(_HUB):
        text += " " + sentence(f"In {quote(lasting(finding.at.path))}")
    if related and isinstance(part, Rows) and part.rows[0].line:
        # GitHub shows a related location only where the message links to it.
        links = [
            f"[{row.index}]({n})" for n, row in enumerate(part.rows[: min(related, _LINKS)], 1)
        ]
        text += f" First rows: {', '.join(links)}."
    return text


def _notifications(report: Report, places: Places, most: int) -> list[Json]:
    notifications = [_notification(_gap_text(gap), places, gap) for gap in report.gaps[:most]]
    for entry in report.scanned[:most]:
        if "partial" in entry.facts:
            text = sentence(f"{quote(entry.path)}: {entry.facts['partial']}")
            notifications.append(_notification(text, places, level="note"))
    for entry, why in islice(unlabelled(report), most):
        text = sentence(f"{quote(entry.path)}: {why}")
        notifications.append(_notification(text, places, level="note"))
    if without := left_out(report):
        notifications.append(_notification(sentence(without), places, level="note"))
    if (left := len(report.gaps) - most) > 0:
        notifications.append(
            _notification(f"{left:,} more gaps are in the JSON report only.", places)
        )
    count = sum(1 for _ in report.each())
    if (left := count - most) > 0:
        text = f"{left:,} less severe findings are in the JSON report only."
        notifications.append(_notification(text, places))
    if count > SHOWN:
        text = f"Of {count:,} findings GitHub shows the {SHOWN:,} most severe."
        notifications.append(_notification(text, places, level="note"))
    if report.interrupted:
        notifications.append(_notification("The scan was interrupted.", places))
    if not report.scanned:
        notifications.append(_notification("Nothing was scanned.", places))
    return notifications


def _gap_text(gap: Gap) -> str:
    by = f" by {quote(gap.detector)}" if gap.detector else ""
    return sentence(f"{quote(gap.path)} was not fully scanned{by}: {gap.reason}")


def _notification(text: str, places: Places, gap: Gap | None = None, level: str = "error") -> Json:
    notification: Object = {
        "level": level,
        "descriptor": {"id": GAP, "index": 0},
        "message": {"text": text},
    }
    if gap is not None:
        notification["locations"] = [{"physicalLocation": places.file(gap.path)}]
    return notification
