from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from poisonscan.finding import (
    Aside,
    Column,
    Gap,
    Location,
    Row,
    Rows,
    Rule,
    Scanned,
    Skipped,
    Span,
    Tensor,
)
from poisonscan.origin import Origin, OriginFile
from poisonscan.report import Report
from poisonscan.reporters import reading, typed
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.json import render
from poisonscan.reporters.reading import from_json, read
from poisonscan.reporters.typed import ReportError, build
from poisonscan.rules import rule
from tests.reporters.samples import LOW, full, reports

LOOK = Options(width=100)
FULL = json.loads(render(full(), LOOK))

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> bytes:
    document = copy.deepcopy(FULL)
    change(document)
    return json.dumps(document).encode()


@given(reports)
@settings(max_examples=40)
def test_a_report_that_was_read_is_rendered_as_before(report: Report) -> None:
    text = render(report, LOOK)
    again = from_json(text.encode())
    assert render(again, LOOK) == text
    assert [f.fingerprint for f in again.findings] == [f.fingerprint for f in report.findings]
    assert again.exit_code() == report.exit_code()


def test_every_format_can_be_made_of_it() -> None:
    report = full()
    report.hidden = 2
    report.aside = [Aside(LOW.finding(Location("a"), "x."), "ignore", "looked at")]
    report.expired, report.unused = ("one",), ("two",)
    files = (OriginFile("a.pt", 9, "sha256:00", verified=True),)
    report.origins = [Origin("hf://a/b@0", "hf://a/b", "https://hub", "main", "0", files)]
    again = from_json(render(report, LOOK).encode())
    for name in ("text", "json", "sarif", "markdown", "junit", "github", "jsonl"):
        assert REPORTERS[name](again, LOOK) == REPORTERS[name](report, LOOK)


@pytest.mark.parametrize(
    "kind",
    [Gap, Skipped, Scanned, Row, Rows, Span, Tensor, Column, Rule, Origin, OriginFile],
    ids=lambda kind: kind.__name__,
)
def test_every_shown_field_can_be_checked(kind: type[Any]) -> None:
    for field in dataclasses.fields(kind):
        assert not field.metadata.get("shown", True) or str(field.type) in typed._CHECKS


def test_fields_of_later_versions_are_ignored() -> None:
    def add(document: dict[str, Any]) -> None:
        document["later"] = {"a": 1}
        document["findings"][0]["later"] = None
        document["gaps"][0]["later"] = [1]
        document["rules"][0]["later"] = "x"

    assert json.loads(render(from_json(changed(add)), LOOK)) == FULL


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.update(schema_version=2), "use the version that wrote it"),
        (lambda d: d.update(schema_version=True), "schema_version"),
        (lambda d: d.update(tool={"name": "other"}), "not a report"),
        (lambda d: d.update(complete=True), "'complete' does not agree"),
        (lambda d: d.update(interrupted="no"), "interrupted is 'no'"),
        (lambda d: d.update(hidden=-1), "negative"),
        (lambda d: d.pop("gaps"), "gaps is missing"),
        (lambda d: d["gaps"].pop(), "totals.gaps does not agree"),
        (lambda d: d["findings"].pop(0), "totals.critical does not agree"),
        (lambda d: d["findings"][0].update(severity="worst"), "a severity"),
        (lambda d: d["findings"][0].update(severity="low"), "does not agree with the findings"),
        (lambda d: d["findings"][0].update(rule="PS101"), "none of the rules"),
        (lambda d: d["findings"][0].update(fingerprint="0" * 31), "32 hexadecimal"),
        (lambda d: d["findings"][0].update(score="high"), "findings[0].score is 'high'"),
        (lambda d: d["findings"][0].update(evidence=[]), "findings[0].evidence"),
        (lambda d: d["findings"][0].update(message=None), "findings[0].message"),
        (lambda d: d["findings"][0]["location"].update(part={"kind": "x"}), "no kind of place"),
        (lambda d: d["findings"][0]["location"].update(part=[]), "an object"),
        (lambda d: d["scanned"][0].update(size=-1), "scanned[0].size is '-1'"),
        (lambda d: d["scanned"][0].update(size=10**40), "a whole number"),
        (lambda d: d["scanned"][0].update(size=1.5), "a whole number"),
        (lambda d: d["scanned"][0].update(rows=True), "a whole number"),
        (lambda d: d.update(aside=[{**d["findings"][0], "by": "me", "reason": ""}]), "ignore or"),
        (lambda d: d.update(aside=[{**d["findings"][0], "by": "ignore"}]), "reason is missing"),
        (lambda d: d["skipped"][0].pop("reason"), "skipped[0].reason is missing"),
        (lambda d: d["gaps"][0].update(path="a\x1b[2J"), "characters that reports do not"),
        (lambda d: d["findings"][0]["evidence"].update({"\u202e": 1}), "characters"),
        (lambda d: d["rules"][0].update(title="a\nb"), "characters"),
        (lambda d: d["rules"][0].update(name="<b>"), "which no rule has"),
        (lambda d: d["rules"][0].update(cwe=["<b>"]), "which no rule has"),
        (lambda d: d["rules"][0].update(severity="worst"), "a severity"),
        (lambda d: d["rules"][0].update(thresholds={"a": "1"}), "a number"),
        (lambda d: d["totals"].update(seconds=-1), "negative"),
        (lambda d: d["totals"].update(seconds=None), "a number"),
        (lambda d: d.update(targets=[1]), "targets[0] is '1'"),
    ],
)
def test_what_is_no_report_is_refused_with_the_place(change: Change, why: str) -> None:
    with pytest.raises(ReportError) as caught:
        from_json(changed(change))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"poisonscan"',
        b"\xff\xfe{}",
        b'{"tool": {"name": "poisonscan"}, "schema_version": NaN}',
        b'{"schema_version": 1, "schema_version": 1}',
        b'{"tool": {"name": "poisonscan"}, "schema_version": 1}',
        b'{"a":' * 100_000,
        b"[" * 5_000_000,
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda content: content[:12].decode("latin-1"),
)
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(ReportError):
        from_json(content)


def test_too_many_rows_are_refused() -> None:
    rows = Rows(tuple(Row("a", n) for n in range(1001)), 1001)
    report = Report(("a",), [LOW.finding(Location("a", rows), "x.")])
    with pytest.raises(ReportError, match="more than 1,000 rows"):
        from_json(render(report, LOOK).encode())


def test_a_file_that_is_too_large_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.json"
    path.write_text(render(full(), LOOK), "utf-8")
    assert len(read(path).findings) == 12
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    with pytest.raises(ReportError, match="larger than"):
        read(path)


def test_help_of_installed_rules_is_theirs_and_other_help_has_no_markup() -> None:
    ours = rule("PS119")
    assert "<tool>" in ours.help
    report = Report(("a",), rules=(ours, dataclasses.replace(LOW, help="[a](b) <img src=x>")))
    again = from_json(render(report, LOOK).encode())
    assert again.rules[0] is ours
    assert again.rules[1].help == "[a] (b) &lt;img src=x>"


@given(st.data())
@settings(max_examples=40)
def test_a_changed_report_is_refused_or_can_be_rendered(data: st.DataObject) -> None:
    """One value anywhere is replaced; nothing but ``ReportError`` may come of it."""
    document: Any = copy.deepcopy(FULL)
    place, parent, key = document, None, None
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        parent, key = place, data.draw(st.sampled_from(keys))
        place = place[key]
        if data.draw(st.integers(0, 4)) == 0:
            break
    assume(parent is not None)
    values = st.sampled_from(
        [None, True, -1, 0, 1.5, 10**29, "", "x", "::a", [], [1], {}, {"a": None}, "\x00"]
    )
    parent[key] = data.draw(values)  # type: ignore[index]
    try:
        report = from_json(json.dumps(document).encode())
    except ReportError:
        return
    for name in ("text", "json", "sarif", "markdown", "junit", "github", "jsonl"):
        assert REPORTERS[name](report, LOOK)


def test_build_says_where() -> None:
    with pytest.raises(ReportError, match=r"gaps\[3\]\.path is an object; it should be a text"):
        build(Gap, {"path": {}, "reason": ""}, "gaps[3]")
