"""The report as JUnit XML, which build servers show as tests.

A finding is a test that failed, one that was put aside is a test that was skipped, what was not
checked is a test with an error, and a scanned file without findings is a test that passed: a build
server that counts tests is never green by mistake.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from poisonscan.reporters.base import Options, advice, said
from poisonscan.reporters.origins import about, files_of
from poisonscan.reporters.summary import verdict, where, worst_first
from poisonscan.reporters.terminal import no_command, safe
from poisonscan.reporters.wording import described

if TYPE_CHECKING:
    from poisonscan.finding import Finding
    from poisonscan.report import Report

_MESSAGE: Final = 1_000
_KEY: Final = 8
_FILES: Final = 1_000
"""Files of a repository that are listed."""
# What XML 1.0 forbids and ``escape`` leaves: it takes out the controls and the surrogates.
_FORBIDDEN: Final = re.compile("[\ufffe\uffff]")


def render(report: Report, options: Options) -> str:  # noqa: ARG001 - reporters are called alike
    """One test suite, in ASCII."""
    root = Element("testsuites")
    suite = SubElement(root, "testsuite")
    if report.origins:
        _origins(suite, report)
    for finding in worst_first(report):
        _failure(suite, finding)
    for gap in report.gaps:
        by = f" by {gap.detector}" if gap.detector else ""
        _error(suite, gap.path, f"checked{by}", gap.reason)
    if report.interrupted or not (report.scanned or report.gaps):
        _error(suite, "poisonscan", "scan", verdict(report))
    for aside in report.aside:
        case = _case(suite, aside.finding.at.path, _name(aside.finding))
        SubElement(case, "skipped", message=_text(f"{aside.by}: {aside.reason}"))
    _passed(suite, report)
    for entry in report.skipped:
        SubElement(_case(suite, entry.path, "skipped"), "skipped", message=_text(entry.reason))
    cases = suite.findall("testcase")
    counts = Counter(child.tag for case in cases for child in case)
    for element in (root, suite):
        element.set("name", "poisonscan")
        element.set("tests", str(len(cases)))
        element.set("failures", str(counts["failure"]))
        element.set("errors", str(counts["error"]))
        element.set("time", f"{report.seconds:.3f}")
    suite.set("skipped", str(counts["skipped"]))
    indent(root)
    written = tostring(root, encoding="us-ascii", xml_declaration=True).decode("ascii")
    return "".join(f"{no_command(line)}\n" for line in written.splitlines())


def _origins(suite: Element, report: Report) -> None:
    """Where the files come from: a property for each repository, and one for each sentence."""
    properties = SubElement(suite, "properties")
    for origin in report.origins:
        SubElement(properties, "property", name="commit", value=_text(origin.path))
        for file in files_of(origin, _FILES).lines:
            value = _text(f"{file.path}: {file.about}, {file.digest}")
            SubElement(properties, "property", name="file", value=value)
    for line in about(report):
        SubElement(properties, "property", name="hub", value=_text(line))


def _failure(suite: Element, finding: Finding) -> None:
    rule = finding.rule
    case = _case(suite, finding.at.path, _name(finding))
    failure = SubElement(case, "failure", type=str(finding.severity), message=_text(said(finding)))
    lines = [where(finding), advice(rule, "Why it matters"), advice(rule, "What to do")]
    failure.text = "\n".join(_text(line) for line in lines if line)


def _name(finding: Finding) -> str:
    """Of the test for a finding: the same from run to run."""
    return f"{finding.rule.id} {finding.rule.name} {finding.fingerprint[:_KEY]}"


def _error(suite: Element, path: str, name: str, reason: str) -> None:
    SubElement(_case(suite, path, name), "error", type="not checked", message=_text(reason))


def _passed(suite: Element, report: Report) -> None:
    """A test for each scanned file that nothing is said against."""
    accused = sorted({entry.at.path for entry in report.findings} | {g.path for g in report.gaps})
    for entry in report.scanned:
        if not any(_any_starts(accused, entry.path + end) for end in ("", "/", "!/")):
            _case(suite, entry.path, f"{entry.kind}, {described(entry)}")


def _any_starts(paths: list[str], start: str) -> bool:
    """Whether one of the sorted paths is ``start``, or begins with it if that ends with a slash."""
    at = bisect_left(paths, start)
    if at == len(paths):
        return False
    return paths[at].startswith(start) if start.endswith("/") else paths[at] == start


def _case(suite: Element, path: str, name: str) -> Element:
    return SubElement(suite, "testcase", classname=_text(path), name=_text(name), time="0")


def _text(text: str) -> str:
    """Text of scanned files as it may stand in XML; the library escapes markup."""
    return _FORBIDDEN.sub(lambda match: f"\\u{ord(match.group()):04x}", safe(text, _MESSAGE))
