from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import poisonscan
from poisonscan.agreement import apart, merge
from poisonscan.aside import set_aside
from poisonscan.datasets.places import ListedRows
from poisonscan.finding import Finding, Location, Rows, Scanned, Severity
from poisonscan.ignores import Ignore
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options, said
from poisonscan.reporters.private import without_content
from poisonscan.reporters.reading import from_json
from poisonscan.reporters.rows_file import write_rows
from poisonscan.reporters.typed import ReportError
from poisonscan.rules import rule


def finding(rule_id: str, rows: Sequence[int], *, left_out: int = 0, path: str = "data") -> Finding:
    places = np.array(rows, np.int64)
    every = ListedRows((), np.zeros(len(rows), np.int32), places, None, left_out)
    part = Rows((), len(rows) + left_out, every)
    return rule(rule_id).finding(Location(path, part), f"{rule_id} was seen.", key="k")


def merged(*findings: Finding, rows: int = 1_000) -> Report:
    scanned = [Scanned(path, "dataset", "csv", 1, rows) for path in ("data", "other")]
    report = Report(("data",), findings=list(findings), scanned=scanned)
    merge(report)
    return report


def shape(report: Report) -> list[list[str]]:
    return [[each.rule.id for each in told.each()] for told in report.findings]


def test_the_same_rows_are_one_finding() -> None:
    report = merged(
        finding("PS617", range(50)), finding("PS404", range(49)), finding("PS618", range(50))
    )
    assert shape(report) == [["PS404", "PS618", "PS617"]]
    (told,) = report.findings
    others = "PS617 picture-outliers, PS618 pictures-of-another-origin"
    assert said(told).endswith(f"Most of the rows are also found by {others}.")
    assert report.count(Severity.HIGH) == 1
    assert report.exit_code(Severity.HIGH) == 1


class Learned:
    """Grounds of a finding that is right about some rows only."""

    def __init__(self, rows: Sequence[int]) -> None:
        self._rows = set(rows)

    def hold_without(self, rows: object) -> bool:
        return len(self._rows.difference(np.asarray(rows).tolist())) > 5


def learned(rows: Sequence[int], of: Sequence[int]) -> Finding:
    return replace(finding("PS630", rows), grounds=Learned(of))


def test_what_only_learned_a_phrase_has_the_rows_with_the_phrase_only() -> None:
    """A learned style takes in honest rows that are a little like those with a planted word."""
    phrase = finding("PS601", range(10, 60))
    for style in (range(80), range(10, 300), range(30, 80)):
        report = merged(learned(style, of=range(10, 60)), phrase)
        assert shape(report) == [["PS601", "PS630"]]
        rows = [each.at.part for each in report.each()]
        assert all(isinstance(part, Rows) and part.count == 50 for part in rows)


def test_a_style_beside_a_phrase_is_a_finding_of_its_own() -> None:
    phrase = finding("PS601", range(10, 60))
    report = merged(learned(range(100), of=range(100)), phrase)
    assert sorted(shape(report)) == [["PS601"], ["PS630"]]  # there is more than the phrase
    report = merged(learned(range(50, 100), of=range(50, 60)), phrase)
    assert sorted(shape(report)) == [["PS601"], ["PS630"]]  # few of the rows with the phrase
    by_sight = learned(range(150), of=range(10, 60)), finding("PS627", range(10, 60))
    assert len(merged(*by_sight).findings) == 2  # a word that the label's own texts may have


def test_grounds_are_no_part_of_a_report() -> None:
    report = merged(learned(range(100), of=range(100)), learned(range(200, 208), of=()))
    report.findings += merged(learned(range(50), of=()), finding("PS601", range(50))).findings
    assert len(list(report.each())) == 4
    assert all(each.grounds is None for each in report.each())


def test_what_learned_two_phrases_is_asked_without_both() -> None:
    one, other = finding("PS601", range(40)), finding("PS610", range(40, 70))
    both = learned(range(100), of=range(70))
    assert sorted(shape(merged(both, other, one))) == [["PS601", "PS630"], ["PS610"]]
    assert sorted(shape(merged(both, one))) == [["PS601"], ["PS630"]]


def test_who_decided_about_a_phrase_has_not_decided_about_the_style_beside_it() -> None:
    report = merged(learned(range(100), of=range(60, 100)), finding("PS601", range(10, 60)))
    set_aside(report, ignores=[Ignore("a signature", rule="PS601")])
    assert shape(report) == [["PS630"]]


@pytest.mark.parametrize(
    "other",
    [
        finding("PS617", range(25, 75)),
        finding("PS617", range(20)),  # a part only: the rest of the rows is another thing
        finding("PS617", range(500)),
        finding("PS617", range(50), left_out=1),
        finding("PS617", range(50), path="other"),
        rule("PS612").finding(Location("data"), "a column.", key="c"),
    ],
    ids=["half", "part", "many more", "not all known", "other dataset", "no rows"],
)
def test_other_rows_are_findings_of_their_own(other: Finding) -> None:
    assert len(merged(finding("PS404", range(50)), other).findings) == 2


@pytest.mark.parametrize("other", ["PS404", "PS606", "PS501"])
@pytest.mark.parametrize("own", ["PS510", "PS511", "PS608"])
def test_what_asks_for_something_else_is_told_by_itself(own: str, other: str) -> None:
    report = merged(finding(own, range(50)), finding(other, range(50)))
    assert sorted(shape(report)) == sorted([[own], [other]])


def test_few_rows_and_most_rows_are_shared_by_accident() -> None:
    for rows in (range(7), range(501)):
        assert len(merged(finding("PS404", rows), finding("PS617", rows)).findings) == 2


def test_the_order_of_findings_does_not_matter() -> None:
    found = [
        finding("PS601", range(60)),
        finding("PS308", range(5, 65)),
        finding("PS501", range(10, 70)),
        finding("PS617", range(300, 340)),
    ]
    shapes = {
        frozenset(map(tuple, shape(merged(*order)))) for order in itertools.permutations(found)
    }
    assert len(shapes) == 1
    assert ("PS617",) in next(iter(shapes))


def test_apart_brings_all_back() -> None:
    found = [finding("PS617", range(50)), finding("PS404", range(50))]
    report = merged(*found)
    apart(report)
    assert sorted(map(repr, report.findings)) == sorted(map(repr, found))


def test_an_ignored_finding_leaves_those_that_agree_with_it() -> None:
    report = merged(
        finding("PS404", range(50)), finding("PS618", range(50)), finding("PS617", range(50))
    )
    set_aside(report, ignores=[Ignore("it is a watermark", rule="PS404")])
    assert shape(report) == [["PS618", "PS617"]]
    assert [aside.finding.rule.id for aside in report.aside] == ["PS404"]
    assert not report.aside[0].finding.agreeing


def test_what_is_left_of_an_ignored_finding_stands_behind_graver_ones() -> None:
    report = merged(
        finding("PS404", range(50)), finding("PS617", range(50)), finding("PS502", range(300, 340))
    )
    assert shape(report) == [["PS404", "PS617"], ["PS502"]]
    set_aside(report, ignores=[Ignore("it is a watermark", rule="PS404")])
    assert shape(report) == [["PS502"], ["PS617"]]


def test_a_baseline_knows_findings_that_are_told_with_another() -> None:
    report = merged(finding("PS404", range(50)), finding("PS618", range(50)))
    baseline = poisonscan.Baseline.of([report])
    assert [known.rule for known in baseline.known.values()] == ["PS404", "PS618"]
    set_aside(report, baseline=baseline)
    assert report.findings == []
    assert len(report.aside) == 2


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What a scan says of copies of a text under two labels: two rules name them."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(5)
    texts = [" ".join(f"w{word}" for word in row) for row in draw.integers(900, size=(300, 9))]
    rows = [f"{text},{'ab'[i % 2]}" for i, text in enumerate(texts)]
    copies = [f"{text},{'ba'[i % 2]}" for i, text in enumerate(texts[:20])]
    (folder / "rows.csv").write_text("\n".join(["text,label", *rows, *copies]) + "\n")
    report = poisonscan.scan(folder / "rows.csv", root=folder, select=["PS501", "PS502"], jobs=1)
    assert shape(report) == [["PS502", "PS501"]]
    return report


@pytest.mark.parametrize("name", REPORTERS)
def test_every_format_tells_of_rules_that_agree(name: str, told: Report) -> None:
    assert "PS501" in REPORTERS[name](told, Options())


def test_who_dismisses_an_alert_dismisses_no_other(told: Report) -> None:
    """In SARIF, where a service remembers each result by its fingerprint."""
    (run,) = json.loads(REPORTERS["sarif"](told, Options()))["runs"]
    head, other = run["results"]
    (finding,) = told.findings
    (inner,) = finding.agreeing
    assert [each["ruleId"] for each in (head, other)] == ["PS502", "PS501"]
    fingerprints = [each["partialFingerprints"]["poisonscan/v1"] for each in (head, other)]
    assert fingerprints == [finding.fingerprint, inner.fingerprint]
    assert head["properties"]["agreeing"] == [inner.fingerprint]
    assert "are found by PS502" in other["message"]["text"]
    assert other["locations"]
    alone = replace(told, findings=[inner])
    (again,) = json.loads(REPORTERS["sarif"](alone, Options()))["runs"][0]["results"]
    assert again["partialFingerprints"] == other["partialFingerprints"]


def test_without_content_those_that_agree_say_nothing_of_rows(told: Report) -> None:
    private = without_content(told)
    rows = [row for each in private.each() for row in each.at.part.rows]  # type: ignore[union-attr]
    assert rows
    assert all(row.excerpt is None for row in rows)


def test_a_report_is_read_back_with_those_that_agree(told: Report) -> None:
    written = REPORTERS["json"](told, Options())
    again = from_json(written.encode())
    assert shape(again) == [["PS502", "PS501"]]
    assert REPORTERS["json"](again, Options()) == written


@pytest.mark.parametrize("change", ["graver", "nested"])
def test_a_report_that_hides_findings_in_others_is_refused(change: str, told: Report) -> None:
    document = json.loads(REPORTERS["json"](told, Options()))
    (head,) = document["findings"]
    (inner,) = head["agreeing"]
    if change == "nested":
        inner["agreeing"] = [dict(inner)]
    else:
        head.update(rule=inner["rule"], severity="low")
        inner.update(rule="PS502", severity="medium")
        document["totals"].update(low=1, medium=0)
    with pytest.raises(ReportError, match="agreeing"):
        from_json(json.dumps(document).encode())


def test_all_rows_are_listed_for_cleaning(told: Report, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", told)
    lines = map(json.loads, (tmp_path / "rows.jsonl").read_text().splitlines())
    assert {line["rule"] for line in lines if line["type"] == "row"} == {"PS501", "PS502"}
