from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poisonscan.finding import Gap, Location, Row, Rows, Scanned, Severity
from poisonscan.report import Report
from poisonscan.reporters.rows_file import write_rows
from poisonscan.rules import rule

EVIL = 'a\x1b[31m"\n\udc80.csv'


def lines(tmp_path: Path, report: Report, lowest: Severity = Severity.LOW) -> list[Any]:
    write_rows(tmp_path / "rows.jsonl", report, lowest)
    text = (tmp_path / "rows.jsonl").read_bytes()
    assert text.isascii()
    assert b"\x1b" not in text
    return [json.loads(line) for line in text.splitlines()]


def report(*rows: Row, count: int | None = None, which: str = "PS601") -> Report:
    part = Rows(rows, len(rows) if count is None else count)
    return Report(("data",), [rule(which).finding(Location("data", part), "Seen.", key="k")])


def test_a_line_for_each_row(tmp_path: Path) -> None:
    found = report(Row("data/a.csv", 3, "test", (5, 6), "cat", float("nan"), "the text"))
    head, file, row, end = lines(tmp_path, found)
    assert (head["type"], head["targets"], head["complete"]) == ("header", ["data"], True)
    assert (file["file"], file["within"], file["sha256"]) == ("data/a.csv", "a.csv", "")
    assert row == {
        "type": "row",
        "file": "data/a.csv",
        "index": 3,
        "split": "test",
        "line": [5, 6],
        "rule": "PS601",
        "severity": "high",
        "fingerprint": found.findings[0].fingerprint,
        "score": None,
        "label": "cat",
    }
    assert end == {"type": "end", "rows": 1}


def test_rows_have_the_estimates_of_their_finding(tmp_path: Path) -> None:
    part = Rows((Row("data/a.csv", 3),), 1)
    evidence: dict[str, Any] = {"q_value": 0.01, "false_rows": 0.2, "phrase": "secret"}
    found = rule("PS601").finding(Location("data", part), "Seen.", key="k", **evidence)
    row = lines(tmp_path, Report(("data",), [found]))[2]
    assert (row["q_value"], row["false_rows"]) == (0.01, 0.2)
    assert "phrase" not in row


def test_names_cannot_do_anything_to_the_list(tmp_path: Path) -> None:
    parsed = lines(tmp_path, report(Row(f"data/{EVIL}", 0, EVIL, label=EVIL)))
    assert len(parsed) == 4
    assert parsed[1]["within"] == EVIL


@pytest.mark.parametrize("why", ["gap", "partial", "count", "interrupted"])
def test_a_list_that_is_not_complete_says_so(tmp_path: Path, why: str) -> None:
    found = report(Row("data/a.csv", 1), count=9 if why == "count" else None)
    if why == "gap":
        found.gaps.append(Gap("data/b.csv", "not read"))
    if why == "partial":
        facts = {"partial": "the first 10 rows"}
        found.scanned.append(Scanned("data", "dataset", "csv", 9, 9, facts))
    found.interrupted = why == "interrupted"
    head = lines(tmp_path, found)[0]
    assert not head["complete"]
    assert len(head["not_complete"]) == 1


def test_lowest_severity(tmp_path: Path) -> None:
    found = report(Row("data/a.csv", 1))
    assert len(lines(tmp_path, found, Severity.CRITICAL)) == 2


def test_a_failure_leaves_the_old_list(tmp_path: Path) -> None:
    found = report(Row("data/a.csv", 1))
    lines(tmp_path, found)
    before = (tmp_path / "rows.jsonl").read_bytes()
    object.__setattr__(found.findings[0].at.part, "rows", (Row("data/a.csv", 1), None))
    with pytest.raises(AttributeError):
        write_rows(tmp_path / "rows.jsonl", found)
    assert (tmp_path / "rows.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
