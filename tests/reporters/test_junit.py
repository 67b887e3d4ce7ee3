from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from hypothesis import given, settings

from poisonscan.escape import escape
from poisonscan.finding import Aside, Gap, Location, Scanned
from poisonscan.report import Report
from poisonscan.reporters.base import Options
from poisonscan.reporters.junit import render
from tests.reporters.samples import CRITICAL, LOW, full, reports

ALLOWED = {
    "testsuites": {"name", "tests", "failures", "errors", "time"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time"},
    "testcase": {"name", "classname", "time"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"message"},
}


def parsed(report: Report) -> ET.Element:
    """The suites, read back and checked against what JUnit readers take."""
    text = render(report, Options())
    assert text.isascii()
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.keys()) <= ALLOWED[element.tag]
    (suite,) = root
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(suite.get(name, "")) == sum(1 for _ in suite.iter(tag))
    assert int(suite.get("tests", "")) == len(suite) == int(root.get("tests", ""))
    return suite


def passed(suite: ET.Element) -> list[str | None]:
    return [case.get("classname") for case in suite if not len(case)]


def test_full() -> None:
    suite = parsed(full())
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("12", "2", "1")
    first = suite[0]
    assert first.get("classname") == "models/deep.tar.gz!/deep.tar!/a b.pkl"
    assert re.fullmatch("PS901 runs-code [0-9a-f]{8}", first.get("name", ""))
    assert first[0].get("type") == "critical"
    assert (first[0].text or "").splitlines()[-1] == "Do not load the file."


def test_only_files_without_any_finding_pass() -> None:
    scanned = [
        Scanned(path, "model", "zip", 1)
        for path in ("a.pt", "a.pt!/x", "a.ptx", "d", "d-e", "gap.bin", "z")
    ]
    findings = [
        CRITICAL.finding(Location("a.pt!/x!/y"), "Evil."),
        LOW.finding(Location("d/b.csv"), "Odd."),
    ]
    suite = parsed(Report(("a",), findings, [Gap("gap.bin", "cut")], scanned))
    assert passed(suite) == ["a.ptx", "d-e", "z"]


def test_what_was_put_aside_is_skipped() -> None:
    aside = [Aside(LOW.finding(Location("a"), "Odd."), "ignore", "looked at")]
    suite = parsed(Report(("a",), scanned=[Scanned("a", "model", "zip", 1)], aside=aside))
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")
    assert suite[0][0].get("message") == "ignore: looked at"


def test_nothing_scanned_and_interrupted_are_errors() -> None:
    for report in (
        Report(("a",)),
        Report(("a",), scanned=[Scanned("a", "model", "zip", 1)], interrupted=True),
    ):
        assert parsed(report).get("errors") == "1"


def test_what_xml_forbids_is_escaped() -> None:
    path = "a\x00\x1b\x0b\ufffe\uffff\ud800]]><b>&"
    suite = parsed(Report(("a",), [LOW.finding(Location(path), "x.")]))
    assert suite[0].get("classname") == "a\\x00\\x1b\\x0b\\ufffe\\uffff\\ud800]]><b>&"


@given(reports)
@settings(max_examples=40)
def test_every_report_is_xml_and_no_command(report: Report) -> None:
    suite = parsed(report)
    assert int(suite.get("failures", "")) == len(report.findings)
    assert int(suite.get("errors", "")) >= int(not report.complete)
    for line in render(report, Options()).split("\n"):
        assert not line.strip().startswith("::")
        assert "##[" not in line
    for element in suite.iter():
        for value in element.attrib.values():
            assert value == escape(value)
