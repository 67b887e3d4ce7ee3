"""The report for log pipelines: a JSON object per line, each of which can be read alone.

``type`` says what a line is: ``finding``, ``aside``, ``gap``, ``scanned``, ``skipped`` or, last of
all, ``totals``. The other fields are those of the JSON report; see ``docs/output.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from poisonscan.finding import Json
from poisonscan.json_form import as_json
from poisonscan.reporters.base import Options, dump, inert
from poisonscan.reporters.json import SCHEMA_VERSION, aside_object, finding_object, totals_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.finding import Gap, Scanned, Skipped
    from poisonscan.report import Report


def render(report: Report, options: Options) -> str:  # noqa: ARG001 - reporters are called alike
    """Lines of JSON in ASCII; one without ``totals`` at its end was cut short."""
    return "".join(dump(document) for document in _objects(report))


def _objects(report: Report) -> Iterator[dict[str, Json]]:
    for finding in report.findings:
        name, title = inert(finding.rule.name), inert(finding.rule.title)
        about: dict[str, Json] = {"rule_name": name, "rule_title": title}
        yield _line("finding", {**finding_object(finding), **about})
    for aside in report.aside:
        yield _line("aside", aside_object(aside))
    for gap in report.gaps:
        yield _line("gap", _plain(gap))
    for entry in report.scanned:
        yield _line("scanned", _plain(entry))
    for skipped in report.skipped:
        yield _line("skipped", _plain(skipped))
    yield _line(
        "totals",
        {
            "tool": {"name": "poisonscan", "version": report.version},
            "targets": inert(list(report.targets)),
            "complete": report.complete,
            "interrupted": report.interrupted,
            "hidden": report.hidden,
            "totals": totals_object(report),
        },
    )


def _line(kind: str, fields: dict[str, Json]) -> dict[str, Json]:
    return {"type": kind, "schema_version": SCHEMA_VERSION, **fields}


def _plain(entry: Gap | Scanned | Skipped) -> dict[str, Json]:
    return cast("dict[str, Json]", inert(as_json(entry)))
