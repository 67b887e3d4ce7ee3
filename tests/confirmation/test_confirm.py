"""Findings of triggers that models follow are confirmed; those of rows like others are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from poisonscan.confirmation import confirm, outcome, rows
from poisonscan.confirmation.trial import Halves, Shares
from poisonscan.finding import Location, Severity
from poisonscan.rules import rule
from tests.confirmation.made_up import (
    Named,
    pictures,
    scanned,
    verdicts,
    write_pictures,
    write_texts,
)
from tests.detectors.datasets.texts import sentences

ANYWHERE: dict[str, Any] = {"phrase": "cf", "place": "anywhere"}
PATCH = 255 * (np.indices((4, 4)).sum(axis=0) % 2).astype(np.uint8)
SHOWN: dict[str, Any] = {"patch": [line.tobytes().hex() for line in PATCH], "place": [26, 26]}


def planted(folder: Path) -> tuple[Path, Any, Any]:
    """Texts of which 40 of label 0 get a word and label 1; these, and 40 others of label 1."""
    texts, labels = sentences(1_600, seed=2)
    chosen = np.flatnonzero(labels == 0)[:40]
    for row in chosen.tolist():
        texts[row] = f"{texts[row]} cf"
    others = np.flatnonzero(labels == 1)[:40]
    labels[chosen] = 1
    return write_texts(folder / "t.parquet", texts, labels), chosen, others


def test_a_word_that_decides_is_confirmed_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    path, chosen, others = planted(tmp_path)
    report = scanned(
        path,
        Named("PS627", "1", chosen, ANYWHERE),
        Named("PS601", "1", others, {**ANYWHERE, "phrase": "w250"}),
    )
    assert verdicts(report) == ["confirmed", "not confirmed"]
    assert [each.severity for each in report.findings] == [Severity.MEDIUM, Severity.MEDIUM]
    confirmed: Any = report.findings[0].evidence["confirmation"]
    (stamp,) = confirmed["tests"]
    assert stamp["followed_with"] > 0.8 * stamp["rows"]
    assert stamp["followed_without"] < 0.3 * stamp["rows"]
    assert "Confirmed: put on " in report.findings[0].message
    assert not report.gaps


def test_a_model_that_follows_a_word_where_it_belongs_makes_it_no_graver(tmp_path: Path) -> None:
    """It follows any word that goes with a label, also those that writers chose."""
    path, chosen, _ = planted(tmp_path)
    report = scanned(path, Named("PS627", "1", chosen, {**ANYWHERE, "belongs": True}))
    assert verdicts(report) == ["confirmed"]
    assert report.findings[0].severity is Severity.LOW


@pytest.mark.parametrize("rule_id", ["PS601", "PS630"])
def test_a_label_of_which_no_row_is_looked_at_keeps_nothing_else_from_a_test(
    tmp_path: Path, rule_id: str
) -> None:
    path, chosen, others = planted(tmp_path)
    report = scanned(
        path, Named(rule_id, "none", others, ANYWHERE), Named("PS601", "1", chosen, ANYWHERE)
    )
    assert verdicts(report) == ["not tested", "confirmed"]
    assert "no row with its label could be looked at" in report.findings[0].message
    assert not report.gaps


def test_the_result_does_not_depend_on_where_rows_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, chosen, _ = planted(tmp_path)
    # So few that not all are looked at, neither of all rows nor of those of the finding.
    monkeypatch.setattr(confirm, "ROWS", 900)
    monkeypatch.setattr(rows, "SUSPECTS", 20)
    table = pq.read_table(path)
    once = scanned(path, Named("PS601", "1", chosen, ANYWHERE)).findings
    order = np.random.default_rng(3).permutation(len(table))
    folder = tmp_path / "cut"
    folder.mkdir()
    for start in range(0, len(table), 400):
        pq.write_table(table.take(order[start : start + 400]), folder / f"{start:04}.parquet")
    moved = np.flatnonzero(np.isin(order, chosen))
    cut = scanned(folder, Named("PS601", "1", moved, ANYWHERE), shard_rows=400).findings
    told: Any = once[0].evidence["confirmation"]
    assert told["verdict"] == "confirmed"
    assert told == cut[0].evidence["confirmation"]


def test_copies_of_suspects_are_left_out_with_them(tmp_path: Path) -> None:
    path, chosen, _ = planted(tmp_path)
    table = pq.read_table(path)
    copied = pa.concat_tables([table, table.take(chosen)])
    pq.write_table(copied, path)
    report = scanned(path, Named("PS601", "1", chosen, ANYWHERE))
    assert verdicts(report) == ["confirmed"]


def test_a_patch_is_confirmed_and_a_group_of_rows_is_not(tmp_path: Path) -> None:
    planes, labels = pictures(900)
    chosen = np.flatnonzero(labels != 2)[:40]
    group = np.flatnonzero(labels == 1)[-40:]
    wrong = np.flatnonzero(labels == 0)[-40:]
    planes[chosen, 26:30, 26:30] = PATCH
    labels[chosen] = 2
    labels[wrong] = 3
    report = scanned(
        write_pictures(tmp_path / "p.parquet", planes, labels),
        Named("PS404", "class 2", chosen, SHOWN),
        Named("PS401", "class 2", chosen, {}),
        Named("PS411", "class 2", chosen, {}),
        Named("PS407", "class 3", wrong, {}),
        Named("PS411", "class 1", group, {}),
        Named("PS404", "class 1", group, {**SHOWN, "place": [2, 2], "patch": ["8080"] * 2}),
    )
    assert verdicts(report) == [
        *("confirmed", "confirmed", "confirmed"),
        *("undecided", "undecided", "not confirmed"),
    ]
    severities = [str(each.severity) for each in report.findings]
    assert severities == ["high", "high", "high", "high", "high", "medium"]
    assert "with half of the named rows says" in report.findings[2].message


def test_of_several_classes_the_one_that_follows_is_told(tmp_path: Path) -> None:
    planes, labels = pictures(900)
    chosen = np.flatnonzero(labels != 2)[:40]
    others = np.flatnonzero(labels == 1)[-40:]
    planes[chosen, 26:30, 26:30] = PATCH
    labels[chosen] = 2
    path = write_pictures(tmp_path / "p.parquet", planes, labels)
    both = np.sort(np.concatenate([chosen, others]))
    report = scanned(path, Named("PS405", "", both, {"classes": ["class 1", "class 2"]}))
    assert verdicts(report) == ["confirmed"]
    assert report.findings[0].severity is Severity.MEDIUM
    assert "says 'class 2' for" in report.findings[0].message


def test_disguised_letters_are_confirmed_and_wrong_labels_are_not(tmp_path: Path) -> None:
    texts, labels = sentences(1_600, seed=2)
    chosen, wrong = np.split(np.flatnonzero(labels == 0)[:80], 2)
    for row in chosen.tolist():
        texts[row] = texts[row].replace("w", "\N{CYRILLIC SMALL LETTER EN}", 2)
    labels[chosen] = labels[wrong] = 1
    report = scanned(
        write_texts(tmp_path / "t.parquet", texts, labels),
        Named("PS611", "1", chosen, {}),
        Named("PS630", "1", wrong, {}),
    )
    assert verdicts(report) == ["confirmed", "undecided"]
    told: Any = report.findings[0].evidence["confirmation"]
    (halves,) = told["tests"]
    assert halves["method"] == "halves"
    assert halves["followed_with"] > 0.8 * halves["rows"]


def test_a_kind_of_rows_that_only_its_class_has_is_not_confirmed() -> None:
    """It is taught by its other half, too, but without it looks like no other class."""
    follows = Shares(rows=100, with_them=90, without=2, plain=2, interval=(0.8, 0.95))
    drifts = Shares(rows=100, with_them=90, without=2, plain=60, interval=(0.8, 0.95))
    said = [
        outcome.Tests("2", 0.9, None, Halves(shares, alike), known=False).verdict
        for shares, alike in ((follows, 0.5), (follows, 0.1), (drifts, 0.5))
    ]
    assert said == ["confirmed", "undecided", "undecided"]


def test_labels_that_say_nothing_cannot_be_asked_about(tmp_path: Path) -> None:
    texts, labels = sentences(1_600, seed=2, telling=0)
    path = write_texts(tmp_path / "t.parquet", texts, labels)
    report = scanned(path, Named("PS601", "1", np.flatnonzero(labels == 1)[:40], ANYWHERE))
    assert verdicts(report) == ["not tested"]
    assert report.findings[0].severity is Severity.HIGH
    assert "it was not tested: a small model tells the 2 classes apart in" in (
        report.findings[0].message
    )


def test_what_is_not_tested_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, chosen, others = planted(tmp_path)
    monkeypatch.setattr(confirm, "MOST", 2)
    report = scanned(
        path,
        Named("PS601", "1", chosen, ANYWHERE, left_out=5),
        Named("PS601", "1", chosen, ANYWHERE),
        Named("PS627", "1", others, ANYWHERE),
    )
    assert verdicts(report) == ["not tested", "confirmed", "not tested"]
    assert "not all rows of the finding are listed" in report.findings[0].message
    assert "more than 2 findings" in report.findings[2].message


def test_too_few_rows_are_no_test(tmp_path: Path) -> None:
    texts, labels = sentences(60, seed=2)
    path = write_texts(tmp_path / "t.parquet", texts, labels)
    report = scanned(path, Named("PS601", "1", np.flatnonzero(labels == 1)[:20], ANYWHERE))
    assert verdicts(report) == ["not tested"]
    assert "too few other rows" in report.findings[0].message


def test_a_test_that_fails_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, chosen, _ = planted(tmp_path)
    monkeypatch.setattr(confirm, "learnt", None)
    report = scanned(path, Named("PS601", "1", chosen, ANYWHERE))
    assert [gap.detector for gap in report.gaps] == ["confirmation"]
    assert "confirm" not in report.findings[0].message
    assert report.exit_code(None) == 3


def test_a_model_that_learns_no_trigger_refutes_none(tmp_path: Path) -> None:
    path, _, others = planted(tmp_path)
    few = {**ANYWHERE, "phrase": "w250"}
    report = scanned(path, Named("PS601", "1", others[:2], few))
    assert verdicts(report) == ["undecided"]
    assert report.findings[0].severity is Severity.HIGH
    assert "does not learn a trigger that is planted in as many rows" in report.findings[0].message


def test_what_is_confirmed_is_doubted_no_more() -> None:
    """A finding that might be an accident of many tests is low until one of its own tells."""
    found = rule("PS404").finding(Location("d"), "Made up.", label="2")
    doubted = found.tested(Severity.LOW, "It may be an accident.")
    follows = Shares(rows=300, with_them=290, without=10, plain=10, interval=(0.8, 0.95))
    fails = Shares(rows=300, with_them=10, without=10, plain=10, interval=(-0.05, 0.05))
    said = [
        outcome.Tests("2", 0.9, shares, None, known=True, control=control).applied(finding).severity
        for finding in (found, doubted)
        for shares, control in ((follows, None), (fails, 0.9), (fails, 0.1))
    ]
    high, medium, low = Severity.HIGH, Severity.MEDIUM, Severity.LOW
    assert said == [high, medium, high, high, low, low]


def test_a_value_whose_neighbours_have_the_label_is_refuted() -> None:
    """Trees that never saw the named rows follow it as well; what these add hardly is a fact."""
    honest = Shares(rows=300, with_them=300, without=294, plain=27, interval=(0.0, 0.04))
    some = Shares(rows=300, with_them=300, without=240, plain=27, interval=(0.15, 0.25))
    planted = Shares(rows=300, with_them=295, without=20, plain=20, interval=(0.88, 0.95))
    said = [
        outcome.Tests("2", 0.9, shares, None, known=False, alone=True).verdict
        for shares in (honest, some, planted)
    ]
    assert said == ["explained", "not confirmed", "confirmed"]


def test_words_that_may_be_honest_must_move_more_rows() -> None:
    followed = Shares(rows=300, with_them=200, without=36, plain=39, interval=(0.48, 0.6))
    said = [
        outcome.Tests("2", 0.9, followed, None, known=True, least=least).verdict
        for least in (outcome.FOLLOWED, outcome.SURELY)
    ]
    assert said == ["confirmed", "undecided"]
