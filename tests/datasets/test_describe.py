"""Line numbers, labels and excerpts of single rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from poisonscan.datasets.describe import Later, look_up
from poisonscan.finding import Location, Rows
from poisonscan.rules import rule
from tests.datasets.files import encoded, only, picture, write

if TYPE_CHECKING:
    from pathlib import Path

    from poisonscan.finding import Json

CSV = (
    "text,label\r\n"  # 1
    "one line,a\r\n"  # 2
    '"two\nlines, quoted",b\r\n'  # 3-4
    "\r\n"  # 5
    '"a ""quote"" and\r\n\r\nthree lines",a\r\n'  # 6-8
    "last,b"  # 9
)


def test_lines_of_csv_records(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(CSV.encode())
    rows = only(tmp_path).describe(np.array([[0, 3], [0, 0], [0, 1], [0, 2]]), [4, 1, 2, 3])
    assert [row.line for row in rows] == [(9, 9), (2, 2), (3, 4), (6, 8)]
    assert [row.index for row in rows] == [3, 0, 1, 2]
    assert [row.label for row in rows] == ["b", "a", "b", "a"]
    assert [row.score for row in rows] == [4, 1, 2, 3]
    assert rows[2].excerpt == "two lines, quoted"


def test_lines_without_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("1,2,a\n3,4,b\n5,6,a\n")
    (row,) = only(tmp_path).describe(np.array([[0, 1]]))
    assert (row.line, row.label, row.excerpt) == ((2, 2), "b", "col_0=3, col_1=4")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_lines_of_json(tmp_path: Path, bom: bytes) -> None:
    text = '{"text": "a b"}\n\n{"text": "c\\nd"}\r\n   \n{"text": "e"}'
    (tmp_path / "t.jsonl").write_bytes(bom + text.encode())
    rows = only(tmp_path).describe(np.array([[0, 0], [0, 1], [0, 2]]))
    assert [row.line for row in rows] == [(1, 1), (3, 3), (5, 5)]
    assert [row.excerpt for row in rows] == ["a b", "c d", "e"]


def test_rows_that_are_not_lines_have_none(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"} {"text": "b"}\n{"text": "c"}\n')
    rows = only(tmp_path).describe(np.array([[0, 1]]))
    assert (rows[0].line, rows[0].excerpt) == (None, "b")
    (tmp_path / "a.jsonl").unlink()
    (tmp_path / "b.json").write_text('[{"text": "a"},\n{"text": "b"}]')
    rows = only(tmp_path).describe(np.array([[0, 1]]))
    assert (rows[0].line, rows[0].excerpt) == (None, "b")


def test_lines_far_into_a_big_file(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", [{"text": f"{i} " + "x" * 300} for i in range(20_000)])
    (row,) = only(tmp_path).describe(np.array([[0, 19_998]]))
    assert row.line == (19_999, 19_999)
    assert (row.excerpt or "").startswith("19998 x")


def test_what_is_shown_is_inert_and_short(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", [{"text": "\x1b[31m\u202e" + "x" * 10_000, "label": "\x07"}])
    (row,) = only(tmp_path, label_column="label").describe(np.array([[0, 0]]))
    assert (row.excerpt or "").startswith("\\x1b[31m\\u202exxx")
    assert len(row.excerpt or "") <= 220
    assert row.label == "\\x07"


def test_picture_files_are_rows_of_their_own(tmp_path: Path) -> None:
    for i in range(3):
        path = tmp_path / "train" / f"class{i}" / "p.png"
        path.parent.mkdir(parents=True)
        path.write_bytes(encoded(picture(i)))
    dataset = only(tmp_path)
    (row,) = dataset.describe(np.array([[0, 2]]), [1.5])
    assert (row.path, row.index, row.label) == ("train/class2/p.png", 0, "class2")
    assert (row.split, row.line, row.score) == ("train", None, 1.5)
    assert dataset.place(0, 1) == ("train/class1/p.png", 0)


def test_pictures_of_findings_are_shown_as_long_as_there_are_few(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        for i in range(80):
            (tmp_path / label / f"{i:02}.png").write_bytes(encoded(picture(i)))
    dataset, later = only(tmp_path), Later()
    findings = []
    for start in range(0, 160, 10):
        wanted = np.array([[0, start + i] for i in range(10)])
        rows = replace(dataset, later=later).describe(wanted, None)
        findings.append(rule("PS301").finding(Location("", Rows(rows, 10)), "seen."))
    places = later.wanted(findings)
    known = {(0, key): row for key, row in look_up(0, dataset=dataset, wanted=places)}
    shown = []
    for finding in findings:
        part = later.filled(finding, known).at.part
        assert isinstance(part, Rows)
        assert all(row.label for row in part.rows)
        shown.append(sum(row.thumbnail is not None for row in part.rows))
    assert shown == [10] * 12 + [0] * 4


def test_rows_of_findings_are_looked_up_together_later(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(CSV.encode())
    dataset, wanted = only(tmp_path), np.array([[0, 3], [0, 0]])
    later = Later()
    rows = replace(dataset, later=later).describe(wanted, [4, 1])
    assert [(row.index, row.line, row.score) for row in rows] == [(3, None, 4), (0, None, 1)]
    finding = rule("PS301").finding(Location("t.csv", Rows(rows, 7)), "seen.")
    places = later.wanted([finding])
    assert {shard: wanted.positions for shard, wanted in places.items()} == {0: {0, 3}}
    known = {(0, key): row for key, row in look_up(0, dataset=dataset, wanted=places)}
    filled = later.filled(finding, known)
    assert filled.at.part == Rows(dataset.describe(wanted, [4, 1]), 7)
    assert later.filled(finding, {}) == finding


def marked(tmp_path: Path, texts: list[str], **evidence: Json) -> list[tuple[str, str]]:
    """Excerpts of rows, and what is marked in them, of a finding with some evidence."""
    write(tmp_path / "t.jsonl", [{"id": i, "text": text} for i, text in enumerate(texts)])
    dataset, later = only(tmp_path), Later()
    rows = replace(dataset, later=later).describe(
        np.array([[0, i] for i in range(len(texts))]), None
    )
    plain = rule("PS601").finding(Location("", Rows(rows, 9)), "seen.")
    finding = replace(plain, evidence=evidence)
    places = later.wanted([finding, plain])
    known = {(0, key): row for key, row in look_up(0, dataset=dataset, wanted=places)}
    part = later.filled(finding, known).at.part
    assert isinstance(part, Rows)
    said = []
    for row in part.rows:
        start, length = row.mark or (0, 0)
        said.append((row.excerpt or "", (row.excerpt or "")[start : start + length]))
    return said


def test_an_excerpt_shows_what_the_finding_is_about(tmp_path: Path) -> None:
    deep = "word " * 9_000 + "the cf,\u200b  bb " + "word " * 9_000
    (there, marks), (start, nothing) = marked(tmp_path, [deep, "cfbb " * 900], phrase="cf bb")
    assert marks == "cf,\\u200b bb"
    assert there.startswith("…")
    assert f"the {marks} word" in there
    assert len(there) < 230
    assert nothing == ""
    assert start.startswith("cfbb cfbb")


def test_characters_are_shown_where_they_stand(tmp_path: Path) -> None:
    ((there, marks),) = marked(
        tmp_path, ["x" * 999 + "pass\u200bword"], characters=["U+200B ZERO WIDTH SPACE"]
    )
    assert marks == "\\u200b"
    assert there.endswith("xxpass\\u200bword")


def test_the_column_that_a_finding_names_comes_first(tmp_path: Path) -> None:
    ((there, marks),) = marked(tmp_path, ["a b"], columns=["id"], values=["0"])
    assert (there, marks) == ("id=0 / a b", "0")


def test_cells_of_the_columns_that_a_finding_is_about_are_shown(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", [{**{f"c{n}": n for n in range(20)}, "z": 5} for _ in range(2)])
    dataset, later = only(tmp_path), Later()
    rows = replace(dataset, later=later).describe(np.array([[0, 1]]), None)
    finding = rule("PS613").finding(Location("", Rows(rows, 1)), "far.", columns=["z", "c19"])
    places = later.wanted([finding])
    known = {(0, key): row for key, row in look_up(0, dataset=dataset, wanted=places)}
    part = later.filled(finding, known).at.part
    assert isinstance(part, Rows)
    assert (part.rows[0].excerpt or "").startswith("z=5, c19=19, c0=0, c1=1")
    assert part.rows[0].mark == (0, 3)


def test_no_excerpt_shows_a_secret(tmp_path: Path) -> None:
    token = "hf_" + "a" * 34
    before, within = f"{token} cf", f"cf-{token}"
    for text in (before, within, "x " * 999 + before, "x " * 600_000 + before):
        ((there, _),) = marked(tmp_path, [text], phrase="cf")
        assert "aaaaaa" not in there
