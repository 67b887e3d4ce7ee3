from __future__ import annotations

import re

from hypothesis import given, settings

from poisonscan.finding import Gap, Location, Row, Rows, Scanned
from poisonscan.report import Report
from poisonscan.reporters.base import Options
from poisonscan.reporters.github import SHOWN, render
from tests.reporters.samples import CRITICAL, HIGH, LOW, MEDIUM, full, reports

SCANNED = [Scanned("a", "model", "pickle", 1)]


def lines(report: Report) -> list[str]:
    return render(report, Options()).split("\n")[:-1]


def command(line: str) -> tuple[str, dict[str, str], str] | None:
    """The line as the runner reads it: actions/runner, ActionCommand.cs."""
    trimmed = line.strip()
    if not trimmed.startswith("::") or (end := trimmed.find("::", 2)) < 0:
        return None
    name, _, rest = trimmed[2:end].partition(" ")
    pairs = [pair.split("=", 1) for pair in rest.strip().split(",") if pair]

    def plain(text: str, codes: dict[str, str]) -> str:
        for coded, character in codes.items():
            text = text.replace(coded, character)
        return text

    data = {"%0D": "\r", "%0A": "\n", "%25": "%"}
    properties = {"%3A": ":", "%2C": ",", **data}
    return (
        name,
        {pair[0]: plain(pair[1], properties) for pair in pairs if len(pair) == 2},
        plain(trimmed[end + 2 :], data),
    )


def test_exact_lines() -> None:
    row = Row("a,b:c%.csv", 3, line=(5, 5))
    report = Report(
        ("a",),
        findings=[
            LOW.finding(Location("a.pt!/b"), "Odd: 100%, so."),
            MEDIUM.finding(Location(".", Rows((row,), 2)), "Wrong."),
            CRITICAL.finding(Location("x.pkl"), "::error::x ##[error]y"),
        ],
        gaps=[Gap("c", "no")] * 5,
    )
    assert lines(report) == [
        "::warning title=poisonscan%3A not everything was checked::c: no; c: no; c: no; and 2 more",
        (
            "::error file=x.pkl,title=PS901 runs-code (critical)"
            "::\\x3a:error::x #\\x23[error]y (x.pkl)"
        ),
        (
            "::warning file=a%2Cb%3Ac%25.csv,line=5,title=PS903 wrong-labels (medium)"
            "::Wrong. (a,b:c%25.csv:5 row 3 and 1 more row)"
        ),
        "::notice file=a.pt,title=PS904 odd-column (low)::Odd: 100%25, so. (a.pt!/b)",
        "poisonscan: 3 findings (1 critical, 1 medium, 1 low) · 5 not checked",
    ]


def test_the_worst_are_shown_and_the_rest_counted() -> None:
    report = Report(
        ("a",),
        findings=[
            *(HIGH.finding(Location(f"{n}"), "High.") for n in range(12)),
            CRITICAL.finding(Location("worst"), "Worst."),
            *(MEDIUM.finding(Location(f"{n}"), "Medium.") for n in range(12)),
        ],
        gaps=[Gap("a", "no")],
    )
    written = lines(report)
    assert sum(line.startswith("::error ") for line in written) == SHOWN
    assert sum(line.startswith("::warning ") for line in written) == SHOWN
    assert written[1].startswith("::error file=worst,")
    assert "3 more errors, 3 more warnings than GitHub shows" in written[-1]


def test_what_is_not_clean_has_an_annotation() -> None:
    assert lines(Report(("a",)))[0].endswith("::Nothing was scanned")
    assert lines(Report(("a",), scanned=SCANNED)) == ["poisonscan: Clean · 1 model file scanned"]
    assert "Interrupted" in lines(Report(("a",), scanned=SCANNED, interrupted=True))[0]


@given(reports)
@settings(max_examples=40)
def test_no_report_brings_a_command_of_its_own(report: Report) -> None:
    *annotations, last = lines(report)
    assert command(last) is None
    incomplete = int(not report.complete)
    assert len(annotations) == len(report.findings) + incomplete
    for line in annotations:
        read = command(line)
        assert read is not None
        assert read[0] in ("error", "warning", "notice")
        assert read[1].keys() <= {"file", "line", "title"}
        assert re.fullmatch("[0-9]*", read[1].get("line", ""))
        assert read[1]["title"].startswith(("PS90", "poisonscan: "))
        assert "##[" not in line
        assert not re.search(r"##vso\[|##teamcity\[", line, re.IGNORECASE)


def test_full() -> None:
    written = lines(full())
    assert "::warning file=data/train.csv,line=2,title=PS903" in "\n".join(written)
    assert "::error file=models/deep.tar.gz,title=PS901" in "\n".join(written)
