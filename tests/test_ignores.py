"""Ignores take out what they are for, say why, and end."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

import poisonscan
from poisonscan.finding import Finding, Gap, Location, Scanned
from poisonscan.ignores import Ignore, IgnoreError, apply, from_table
from poisonscan.report import Report
from poisonscan.rules import rule

TODAY = dt.date(2026, 11, 21)


def finding(path: str = "models/evil.pt!/archive/data.pkl", key: str = "os.system") -> Finding:
    return rule("PS101").finding(Location(path), "Loading runs it.", key=key)


@pytest.mark.parametrize(
    "fields",
    [
        {"rule": "PS101"},
        {"rule": "ps1"},
        {"rule": "pickle-runs-code"},
        {"path": "**"},
        {"path": "models/**"},
        {"path": "models/*.pt"},
        {"path": "**/evil.pt"},
        {"path": "models/evil.pt!/archive/*.pkl"},
        {"fingerprint": finding().fingerprint},
        {"rule": "PS101", "path": "models/*", "fingerprint": finding().fingerprint},
    ],
)
def test_covers(fields: dict[str, str]) -> None:
    assert Ignore("ours", **fields).covers(finding())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"rule": "PS2"},
        {"path": "*"},
        {"path": "*.pt"},
        {"path": "evil.pt"},
        {"path": "models"},
        {"rule": "PS101", "path": "other/**"},
        {"fingerprint": "0" * 32},
        {"rule": "PS101", "fingerprint": "0" * 32},
    ],
)
def test_does_not_cover(fields: dict[str, str]) -> None:
    assert not Ignore("ours", **fields).covers(finding())  # type: ignore[arg-type]


def test_paths_are_written_as_reports_write_them() -> None:
    odd = finding("a\x1b[2J/\u202eb.pkl")
    assert Ignore("ours", path="a*/*.pkl").covers(odd)
    assert Ignore("ours", path="a\\x1b[[]2J/\\u202eb.pkl").covers(odd)
    hub = finding("hf://org/name@" + "0" * 40 + "/a.pkl")
    assert Ignore("ours", path="hf://org/name/*.pkl").covers(hub)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rule": "PS1"}, "reason is missing"),
        ({"rule": "PS1", "reason": "  "}, "reason is missing"),
        ({"rule": "PS1", "reason": 7}, "reason should be a text"),
        ({"rule": "PS1", "reason": "x" * 2_000}, "more than"),
        ({"reason": "ours"}, "one of rule, path and fingerprint"),
        ({"rule": "pickle-run-code", "reason": "ours"}, "did you mean 'pickle-runs-code'"),
        ({"rule": "", "reason": "ours"}, "matches no rule"),
        ({"rule": ["PS1"], "reason": "ours"}, "rule should be a text"),
        ({"path": "/etc/*", "reason": "ours"}, "path is"),
        ({"path": "../*", "reason": "ours"}, "path is"),
        ({"path": "a/" * 99, "reason": "ours"}, "path is a pattern of more than"),
        ({"path": "\x1b" * 900, "reason": "ours"}, "path is a pattern of more than"),
        ({"fingerprint": "abc", "reason": "ours"}, "32 hexadecimal digits"),
        ({"rule": "PS1", "reason": "ours", "until": "soon"}, "until is 'soon'"),
        ({"rule": "PS1", "reason": "ours", "until": 2027}, "until should be a date"),
        ({"rule": "PS1", "reason": "ours", "until": dt.datetime(2027, 1, 1)}, "without a time"),
        ({"rule": "PS1", "reason": "ours", "expires": "2027-01-01"}, "'expires' is no key"),
    ],
)
def test_what_says_too_little_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(IgnoreError, match=message):
        from_table(table)


def test_apply_counts_tells_why_and_never_touches_gaps() -> None:
    report = Report(
        ("a",),
        findings=[finding(), finding("b.pkl")],
        gaps=[Gap("models/evil.pt", "cut")],
        scanned=[Scanned("b.pkl", "model", "pickle", 1)],
    )
    over = Ignore("was ours\x1b[2J", path="**", until=TODAY - dt.timedelta(1))
    last_day = Ignore("ours", path="models/**", until=TODAY)
    unused = Ignore("never there", rule="PS4")
    apply(report, [over, last_day, unused], TODAY)
    assert [left.at.path for left in report.findings] == ["b.pkl"]
    assert [(a.by, a.reason) for a in report.aside] == [("ignore", "ours")]
    assert len(report.gaps) == 1
    assert "was ours\\x1b[2J" in report.expired[0]
    assert len(report.expired) == len(report.unused) == 1
    poisonscan.set_aside(report, ignores=[Ignore("all of it", path="**")])
    assert not report.findings
    assert report.exit_code() == 3
    assert len(report.aside) == 2


@given(st.text(alphabet="ab*?[]!/\\.\x1b", max_size=40), st.text(alphabet="ab/!.\x1b", max_size=40))
def test_any_pattern_is_refused_or_matched(pattern: str, path: str) -> None:
    try:
        ignore = Ignore("ours", path=pattern)
    except IgnoreError:
        return
    assert ignore.covers(finding(path)) in (True, False)


def test_a_pattern_of_stars_takes_no_time() -> None:
    ignore = Ignore("ours", path="/".join(["**", "*a*a*a*"] * 30 + ["b"]).strip("/"))
    started = time.process_time()
    assert not ignore.covers(finding("a" * 50 + "/a" * 2_000))
    assert time.process_time() - started < 2
