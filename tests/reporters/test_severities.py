"""A finding that was put to a test has a severity of its own, and everything goes by that."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from poisonscan.agreement import merge
from poisonscan.finding import Finding, Location, Scanned, Severity
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.reading import from_json
from poisonscan.reporters.sarif import render as sarif
from tests.reporters.samples import HIGH, LOW
from tests.test_agreement import finding

LOWERED = HIGH.finding(Location("data", None), "Seen.", key="a").tested(
    Severity.MEDIUM, "Tested: \x1b[2J no.", tested={"rows": 3}
)


def report(*findings: Finding) -> Report:
    made = Report(
        ("data",), list(findings), scanned=[Scanned("data", "dataset", "csv", 1, 9)], rules=(HIGH,)
    )
    made.sort()
    return made


def test_a_test_adds_to_message_and_evidence_and_keeps_the_fingerprint() -> None:
    plain = HIGH.finding(Location("data", None), "Seen.", key="a")
    assert LOWERED.message == "Seen. Tested: \\x1b[2J no."
    assert LOWERED.evidence == {"tested": {"rows": 3}}
    assert LOWERED.fingerprint == plain.fingerprint
    assert plain.tested(Severity.HIGH, "Yes.").judged is None


def test_exit_code_order_and_hiding_go_by_it() -> None:
    other = HIGH.finding(Location("data", None), "Seen.", key="b")
    made = report(LOWERED, other)
    assert [each.key for each in made.findings] == ["b", "a"]
    assert report(LOWERED).exit_code(Severity.HIGH) == 0
    assert report(LOWERED).exit_code(Severity.MEDIUM) == 1
    made.hide_below(Severity.HIGH)
    assert [each.key for each in made.findings] == ["b"]


def test_what_is_told_with_another_one_is_hidden_by_its_own_severity() -> None:
    made = report(replace(HIGH.finding(Location("data", None), "Seen."), agreeing=(LOWERED,)))
    assert len(json.loads(sarif(made, Options()))["runs"][0]["results"]) == 2
    made.hide_below(Severity.HIGH)
    assert len(json.loads(sarif(made, Options()))["runs"][0]["results"]) == 1
    assert made.hidden == 1


@pytest.mark.parametrize("name", ["text", "html", "markdown", "github", "junit", "jsonl"])
def test_reports_say_it(name: str) -> None:
    said = REPORTERS[name](report(LOWERED), Options(width=100)).lower()
    assert "medium" in said
    if name == "html":
        assert 'data-severity="medium"' in said
        assert 'data-severity="high"' not in said


def test_findings_of_one_rule_stand_below_their_severity() -> None:
    other = HIGH.finding(Location("data", None), "Seen.", key="b")
    page = REPORTERS["text"](report(LOWERED, other), Options(width=100))
    assert re.findall(r"(HIGH|MEDIUM) +PS902", page) == ["HIGH", "MEDIUM"]


def test_an_overview_counts_a_rule_with_its_worst() -> None:
    many = [replace(LOWERED, key=str(n)) for n in range(40)]
    made = report(*many, LOW.finding(Location("data", None), "Odd."))
    page = REPORTERS["text"](made, Options(width=100, height=24))
    assert re.search(r"MEDIUM +PS902 bad-header +\d+ in data", page)


def test_sarif_has_its_level_and_rank() -> None:
    (run,) = json.loads(sarif(report(LOWERED), Options()))["runs"]
    (result,) = run["results"]
    assert (result["level"], result["rank"]) == ("warning", 55.0)
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["defaultConfiguration"]["level"] == "error"


def test_sarif_says_of_a_rule_what_its_gravest_result_is() -> None:
    """GitHub reads severities of rules only, so these must not stay behind those of findings."""
    grave = HIGH.finding(Location("data"), "Bad.", key="grave")
    for findings, expected in (([LOWERED], "5.5"), ([LOWERED, grave], "8.0"), ([], "8.0")):
        made = replace(report(*findings), rules=(HIGH,))
        (rule,) = json.loads(sarif(made, Options()))["runs"][0]["tool"]["driver"]["rules"]
        assert rule["properties"]["security-severity"] == expected


def test_json_reads_back_to_the_same() -> None:
    written = REPORTERS["json"](report(LOWERED), Options())
    again = from_json(written.encode())
    assert again.findings[0].severity is Severity.MEDIUM
    assert REPORTERS["json"](again, Options()) == written


def test_what_was_lowered_takes_in_nothing_graver() -> None:
    head = finding("PS404", range(50)).tested(Severity.LOW, "Not confirmed.")
    made = Report(("data",), [head, finding("PS618", range(50))])
    made.scanned.append(Scanned("data", "dataset", "csv", 1, 1_000))
    merge(made)
    ((told, other),) = [list(each.each()) for each in made.findings]
    assert (told.rule.id, other.rule.id) == ("PS618", "PS404")
