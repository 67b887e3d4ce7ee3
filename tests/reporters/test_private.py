from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.escape import quote
from poisonscan.finding import Column, Json, Location, Row, Rows, Scanned
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.private import LEFT_OUT, without_content
from tests.reporters.samples import CRITICAL, MEDIUM

PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
RULE = replace(MEDIUM, detector="detectors.datasets.some")


def report_of(message: str, label: str = "pos", **evidence: Json) -> Report:
    rows = Rows((Row("d.csv", 1, label=label, excerpt="Dear Zanzibar", thumbnail=PICTURE),), 1)
    facts: dict[str, Json] = {
        "columns": {"text": "string"},
        "labels": {label: 3},
        "splits": ["train"],
    }
    return Report(
        ("d.csv",),
        findings=[replace(RULE.finding(Location("d.csv", rows), message), evidence=evidence)],
        scanned=[Scanned("d.csv", "dataset", "csv", 9, 3, facts)],
        version="0.1.0",
    )


@pytest.mark.parametrize("name", sorted(REPORTERS))
def test_no_reporter_says_what_rows_hold(name: str) -> None:
    report = report_of(
        "'Zanzibar' in column 'text' is in 4 rows labelled 'pos'.",
        phrase="Zanzibar",
        further={"Zanzibar": ["Zanzibar", 2]},
    )
    report.scanned[0] = replace(
        report.scanned[0],
        facts={**report.scanned[0].facts, "hosts of addresses": {"Zanzibar.example": 1}},
    )
    assert "Zanzibar" in REPORTERS[name](report, Options(verbosity=1))
    private = REPORTERS[name](report, Options(verbosity=1, content=False))
    assert "Zanzibar" not in private
    assert "iVBORw0" not in private
    assert "pos" in private or name != "text"
    assert report.findings[0].fingerprint == without_content(report).findings[0].fingerprint


def test_names_stay_and_content_goes() -> None:
    report = report_of(
        "'a' and 'b' in column 'text': label 'pos'.", rows=4, split="train", word="a"
    )
    (finding,) = without_content(report).findings
    assert finding.message == f"{LEFT_OUT} in column 'text': label 'pos'."
    assert finding.evidence == {"rows": 4, "split": "train", "word": LEFT_OUT}
    assert isinstance(finding.at.part, Rows)
    assert finding.at.part.rows[0] == Row("d.csv", 1, label="pos")


def test_messages_with_numbers_of_rows_become_the_title() -> None:
    report = report_of("1 number lies far above all others: 48151623.", values=[48151623.0])
    (finding,) = without_content(report).findings
    assert finding.message == f"{RULE.title}."
    assert finding.evidence == {"values": LEFT_OUT}


def test_models_keep_what_they_would_run() -> None:
    finding = CRITICAL.finding(Location("m", Column("c")), "Runs 'x'.", calls="x('y')")
    assert without_content(Report(("m",), findings=[finding])).findings == [finding]


@settings(max_examples=100)
@given(st.text(max_size=20), st.text(max_size=4))
def test_quoted_content_goes_whatever_it_holds(content: str, label: str) -> None:
    report = report_of(f"{quote(f'Q{content}7#Q')} beside {quote('7#Q')}.", label=label)
    (finding,) = without_content(report).findings
    assert "7#Q" not in finding.message
    assert finding.message.endswith(".")
