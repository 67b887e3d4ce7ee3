"""Findings that were put aside, in every format."""

from __future__ import annotations

import json
from pathlib import Path

from jsonschema import Draft4Validator, Draft202012Validator

from poisonscan.baseline import Baseline
from poisonscan.finding import Location, Row, Rows
from poisonscan.ignores import Ignore, apply
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options, Totals
from poisonscan.reporters.reading import from_json
from poisonscan.rules import rule
from tests.reporters.samples import full

ROOT = Path(__file__).parents[2]
SARIF = Draft4Validator(
    json.loads((ROOT / "tests" / "schemas" / "sarif-schema-2.1.0.json").read_text("utf-8"))
)
JSON = Draft202012Validator(json.loads((ROOT / "docs" / "report.schema.json").read_text("utf-8")))


def put_aside() -> Report:
    report = full()
    apply(report, [Ignore("ours {0} [a](b)", path="models/**")])
    known = full()
    known.findings = known.findings[-2:]
    Baseline.of([known]).apply(report)
    return report


def render(form: str, *, aside: bool = False, content: bool = True) -> str:
    return REPORTERS[form](put_aside(), Options(width=100, aside=aside, content=content))


def test_counts() -> None:
    totals = Totals.of(put_aside())
    assert (totals.ignored, totals.baselined) == (7, 2)
    assert sum(totals.findings.values()) == 3


def test_sarif_leaves_them_out_unless_asked() -> None:
    log = json.loads(render("sarif"))
    SARIF.validate(log)
    run = log["runs"][0]
    assert len(run["results"]) == 3
    assert run["properties"]["ignored"] == 7
    assert run["properties"]["baselined"] == 2
    assert not any({"baselineState", "suppressions"} & result.keys() for result in run["results"])


def test_sarif_marks_them() -> None:
    log = json.loads(render("sarif", aside=True))
    SARIF.validate(log)
    results = log["runs"][0]["results"]
    assert [result["baselineState"] for result in results] == ["new"] * 10 + ["unchanged"] * 2
    suppressions = [result.get("suppressions") for result in results]
    assert suppressions[:3] == [None] * 3
    assert suppressions[3] == [
        {"kind": "external", "status": "accepted", "justification": "ours { 0 } [a] (b)."}
    ]
    hashes = [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]
    assert len(set(hashes)) == len(hashes)


def test_json_has_them_apart_and_reads_them_back() -> None:
    text = render("json")
    document = json.loads(text)
    JSON.validate(document)
    assert len(document["aside"]) == 9
    assert document["totals"]["ignored"] == 7
    assert REPORTERS["json"](from_json(text.encode()), Options()) == text


def test_text_counts_them_and_shows_them_when_asked() -> None:
    usual, shown = render("text"), render("text", aside=True)
    assert "7 ignored · 2 in the baseline" in usual.splitlines()[-1]
    assert "Ignored: 7 findings" in usual
    assert "posix.system" not in usual
    assert "posix.system" in shown


def test_content_is_left_out_of_them_too() -> None:
    at = Location("a.csv", Rows((Row("a.csv", 0, excerpt="private"),), 1))
    found = rule("PS401").finding(at, "The rows of 'private' share a shift.", words=["private"])
    report = Report(("a.csv",), findings=[found])
    apply(report, [Ignore("ours", path="**")])
    for form in REPORTERS:
        assert "private" not in REPORTERS[form](report, Options(content=False, aside=True))


def test_every_format_takes_them() -> None:
    for form in REPORTERS:
        assert render(form, aside=True)
