"""A baseline holds what was there, once for each time, and is read like any untrusted file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import poisonscan
from poisonscan.baseline import Baseline, BaselineError
from poisonscan.finding import Finding, Gap, Location, Scanned, Severity
from poisonscan.report import Report
from poisonscan.rules import rule


def finding(key: str, path: str = "a.pkl") -> Finding:
    return rule("PS101").finding(Location(path), f"Loading runs {key}.", key=key)


def report(*keys: str) -> Report:
    scanned = [Scanned("a.pkl", "model", "pickle", 1)]
    return Report(("a.pkl",), findings=[finding(key) for key in keys], scanned=scanned)


def test_known_findings_are_put_aside_as_often_as_they_are_known(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    path.write_text(Baseline.of([report("a", "b", "b")]).text(), "utf-8")
    found = poisonscan.set_aside(report("a", "b", "b", "b", "c"), baseline=path)
    assert [left.key for left in found.findings] == ["b", "c"]
    assert [aside.finding.key for aside in found.aside] == ["a", "b", "b"]
    assert {aside.by for aside in found.aside} == {"baseline"}
    assert found.exit_code() == 1


def test_what_became_graver_is_new_until_that_is_known_too(tmp_path: Path) -> None:
    low = rule("PS404").finding(Location("a"), "Made up.", key="cat").tested(Severity.LOW, "Maybe.")
    high = rule("PS404").finding(Location("a"), "Made up.", key="cat").tested(Severity.HIGH, "Yes.")
    baseline = Baseline.of([Report(("a",), findings=[low])])
    found = Report(("a",), findings=[low, high])
    baseline.apply(found)
    assert found.findings == [high]
    assert [known.severity for known in baseline.add(Baseline.of([found]))] == ["high"]
    for finding in (low, high):
        again = Report(("a",), findings=[finding])
        baseline.apply(again)
        assert not again.findings


def test_of_several_with_a_fingerprint_the_gravest_decides() -> None:
    made = rule("PS404").finding(Location("a"), "Made up.", key="cat")
    high, low = made.tested(Severity.HIGH, "Yes."), made.tested(Severity.LOW, "Maybe.")
    for findings in ([high, low], [low, high]):
        (known,) = Baseline.of([Report(("a",), findings=findings)]).known.values()
        assert (known.severity, known.count) == ("high", 2)


def test_gaps_stay() -> None:
    found = report("a")
    found.gaps.append(Gap("b.pkl", "cut"))
    Baseline.of([found]).apply(found)
    assert not found.findings
    assert found.exit_code() == 3


def test_reports_that_overlap_do_not_count_twice_and_known_ones_stay_known() -> None:
    baseline = Baseline.of([report("a"), report("a", "b")])
    assert [known.count for known in baseline.known.values()] == [1, 1]
    again = report("a", "b")
    baseline.apply(again)
    assert Baseline.of([again]) == baseline


def test_what_is_ignored_is_not_known() -> None:
    found = report("a")
    poisonscan.set_aside(found, ignores=[poisonscan.Ignore("ours", path="**")])
    assert Baseline.of([found]).known == {}


def test_add_and_prune() -> None:
    baseline = Baseline.of([report("a", "b", "b")])
    assert [known.message for known in baseline.add(Baseline.of([report("b", "c")]))] == [
        "Loading runs c."
    ]
    gone = baseline.prune(Baseline.of([report("b", "c", "d")]))
    assert len(gone) == 2
    assert sorted((known.message[13], known.count) for known in baseline.known.values()) == [
        ("b", 1),
        ("c", 1),
    ]


@given(st.lists(st.text(), max_size=5))
def test_reads_what_it_writes(tmp_path_factory: pytest.TempPathFactory, keys: list[str]) -> None:
    baseline = Baseline.of([Report((), findings=[finding(key, key) for key in keys])])
    assert baseline.text().isascii()
    path = tmp_path_factory.getbasetemp() / "again.json"
    path.write_text(baseline.text(), "utf-8")
    assert Baseline.read(path) == baseline


GOOD = {"fingerprint": "0" * 32}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"poisonscan_baseline": 1, "poisonscan_baseline": 1, "findings": []}',
        json.dumps({"findings": []}).encode(),
        json.dumps({"poisonscan_baseline": 2, "findings": []}).encode(),
        json.dumps({"poisonscan_baseline": True, "findings": []}).encode(),
        json.dumps({"poisonscan_baseline": 1}).encode(),
        *(
            json.dumps({"poisonscan_baseline": 1, "findings": [entry]}).encode()
            for entry in (
                7,
                {},
                {"fingerprint": "xyz"},
                {"fingerprint": "0" * 31 + "\n"},
                {**GOOD, "count": 0},
                {**GOOD, "count": True},
                {**GOOD, "count": 10**12},
                {**GOOD, "path": 1},
                {**GOOD, "severity": "harmless"},
            )
        ),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(content)
    with pytest.raises(BaselineError):
        Baseline.read(path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    with path.open("wb") as stream:
        stream.truncate(1 << 33)
    with pytest.raises(BaselineError, match="MiB"):
        Baseline.read(path)


def test_hostile_text_is_inert(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    entry = {**GOOD, "path": "\x1b[2J", "message": "\u202e" * 9_000}
    path.write_text(json.dumps({"poisonscan_baseline": 1, "findings": [entry]}), "utf-8")
    known = Baseline.read(path).known["0" * 32]
    assert known.path == "\\x1b[2J"
    assert len(known.message) <= 200
