"""What was measured is measured again by other code, and by the same code it is not."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import detection, detection_records
from benchmarks import detection_cases as cases
from benchmarks.detection_cases import Case, of_texts
from benchmarks.detection_records import Records, digest, fingerprint, of_detectors, of_scanner
from benchmarks.published import Answer, Told
from poisonscan.planting.bed import Bed
from poisonscan.report import Report

BAR = cases.PHRASES


def rows() -> tuple[Bed, cases.Mask]:
    said = [f"{'dull' if row % 2 else 'fine'} film number {row}" for row in range(60)]
    return of_texts(said, np.arange(60) % 2), np.arange(60) < 6


CASE = Case(BAR, "made up", "none", 0.1, 0, rows)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was measured, in place of measuring it."""
    done: list[str] = []

    def scanned(bed: Bed) -> Report:
        done.append("scan")
        return Report(("rows.parquet",))

    def answer(name: str, told: Told) -> Any:
        done.append(name)
        return None if name == "SCAn" else Answer(told.labels == 0)

    monkeypatch.setattr(detection, "scanned", scanned)
    monkeypatch.setattr(detection, "answer", answer)
    return done


def test_nothing_is_measured_twice_not_even_an_answer_that_said_nothing(
    work: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "records"
    names = ["SCAn", "z-score"]
    first = detection.complete(CASE, Records(path), names)
    assert work == [*names, "scan"]
    again = detection.complete(CASE, Records(path), names)
    assert again == first
    assert work == [*names, "scan"]
    assert set(first["peers"]) == {"z-score"}
    assert first["peers"]["z-score"]["false"] == pytest.approx(0.5)


def test_others_may_be_asked_later(work: list[str], tmp_path: Path) -> None:
    path = tmp_path / "records"
    detection.complete(CASE, Records(path), [])
    detection.complete(CASE, Records(path), ["z-score"])
    assert work == ["scan", "z-score"]


def test_others_may_be_asked_before(work: list[str], tmp_path: Path) -> None:
    path = tmp_path / "records"
    detection.ask(["z-score"], *rows(), BAR.false, Records(path))
    detection.complete(CASE, Records(path), ["z-score"])
    assert work == ["z-score", "scan"]


def test_other_code_of_the_scanner_scans_again_and_asks_no_one_else(
    work: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records"
    detection.complete(CASE, Records(path), ["z-score"])
    monkeypatch.setattr(detection_records, "of_scanner", lambda: "other")
    records = Records(path)
    assert records.stale == 1
    assert records.scans() == []
    detection.complete(CASE, records, ["z-score"])
    assert work == ["z-score", "scan", "scan"]


def test_other_code_of_detectors_asks_them_again_and_scans_nothing(
    work: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "records"
    detection.complete(CASE, Records(path), ["z-score"])
    monkeypatch.setattr(detection_records, "of_detectors", lambda: "other")
    detection.complete(CASE, Records(path), ["z-score"])
    assert work == ["z-score", "scan", "z-score"]


def test_other_rows_of_the_same_name_are_other_rows(work: list[str], tmp_path: Path) -> None:
    path = tmp_path / "records"
    detection.complete(CASE, Records(path), ["z-score"])
    bed, poisoned = rows()
    other = Case(BAR, "made up", "none", 0.1, 0, lambda: (bed, ~poisoned))
    detection.complete(other, Records(path), ["z-score", "SCAn"])
    assert work == ["z-score", "scan", "z-score", "SCAn", "scan"]


def test_lines_say_whose_they_are(work: list[str], tmp_path: Path) -> None:
    path = tmp_path / "records"
    detection.complete(CASE, Records(path), ["z-score"])
    peer, scan = map(json.loads, path.read_text("utf-8").splitlines())
    assert (scan["code"], peer["code"]) == (of_scanner(), of_detectors())
    assert scan["given"] == peer["given"]
    assert work


def test_fingerprints_are_of_names_and_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection_records, "ROOT", tmp_path)
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    known = {fingerprint(tmp_path.iterdir()), fingerprint(tmp_path.iterdir(), "numpy 2")}
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("1")
    known.add(fingerprint(tmp_path.iterdir()))
    (tmp_path / "b").rename(tmp_path / "c")
    known.add(fingerprint(tmp_path.iterdir()))
    assert len(known) == 4
    assert fingerprint(tmp_path.iterdir()) in known


def test_digests_tell_rows_apart() -> None:
    values, labels = np.ones((2, 2), np.float32), np.arange(2)
    bad = np.array([True, False])
    told = [
        Told(values, labels, bad, ("a", "b")),
        Told(values, labels, bad, ("a, b", "")),
        Told(values, labels, bad),
        Told(values, labels, ~bad),
        Told(values, labels[::-1].copy(), bad),
        Told(values * 2, labels, bad),
    ]
    assert len({*map(digest, told), digest(None)}) == 7


def chosen(monkeypatch: pytest.MonkeyPatch, **given: Any) -> list[str]:
    def made(bar: cases.Bar, *_: Any) -> Iterator[Case]:
        for name, rate in (("SST-2", 0.01), ("SST-2", 0.05), ("AG News", 0.05)):
            yield Case(bar, name, "rare word", rate, 0, rows)

    def no(*_: Any) -> Iterator[Case]:
        pytest.fail("sets of another bar are read")

    for part in ("clean", "styles", "tables", "pictures"):
        monkeypatch.setattr(cases, part, no)
    monkeypatch.setattr(cases, "phrases", lambda *_: made(cases.PHRASES))
    every = {"data": None, "more": None, "others": None, "seeds": 1, "clean_seeds": 1}
    return [detection.called(case) for case in detection.chosen(Namespace(**every, **given))]


def test_cases_are_chosen_by_bar_and_by_what_they_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = chosen(monkeypatch, bar=["text: phrase"], cases=["SST-2, rare word 5.0%", "AG"])
    assert found == ["SST-2, rare word 5.0%, seed 0", "AG News, rare word 5.0%, seed 0"]
