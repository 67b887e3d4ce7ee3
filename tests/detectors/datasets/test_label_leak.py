from __future__ import annotations

from pathlib import Path

import pytest

import poisonscan
from fixtures import label_samples
from poisonscan.detectors.datasets.label_leak import _is_name
from poisonscan.finding import Finding


def found(path: Path, data: bytes) -> list[Finding]:
    path.write_bytes(data)
    report = poisonscan.scan(path, select=["PS307"], jobs=1)
    assert report.gaps == []
    return report.findings


@pytest.mark.parametrize(
    ("name", "column"), [("id.csv", "id"), ("file-name.csv", "file"), ("blank.csv", "unit")]
)
def test_clues(tmp_path: Path, name: str, column: str) -> None:
    (finding,) = found(tmp_path / name, label_samples.leak()[0][name])
    assert finding.evidence["column"] == column
    assert finding.score is not None
    assert finding.score > 0.9


def test_honest_columns(tmp_path: Path) -> None:
    assert found(tmp_path / "honest.csv", label_samples.leak()[1]["honest.csv"]) == []


def test_the_length_of_a_text(tmp_path: Path) -> None:
    rows = label_samples.measured(400, 1)
    for number, row in enumerate(rows):
        words = 9 if row["label"] == "high" else 4
        row["text"] = " ".join(f"word{(number * k) % 37}" for k in range(1, words + 1))
    (finding,) = found(tmp_path / "texts.csv", label_samples.table(rows))
    assert "by its length" in finding.message


def test_a_column_that_is_the_label_in_other_words(tmp_path: Path) -> None:
    rows = [{**row, "answer": f"is {row['label']}"} for row in label_samples.measured(400, 2)]
    (finding,) = found(tmp_path / "twice.csv", label_samples.table(rows))
    assert finding.evidence["column"] == "answer"


def test_a_number_that_tells_much_but_not_all(tmp_path: Path) -> None:
    rows = label_samples.measured(400, 3)
    for number, row in enumerate(rows):
        row["mark"] = (1 if row["label"] == "high" else 0) if number % 20 else number % 2
    assert found(tmp_path / "marks.csv", label_samples.table(rows)) == []


@pytest.mark.parametrize("name", ["file", "file_name", "ImageId".lower() + "_id", "source-url"])
def test_names_of_origin(name: str) -> None:
    assert _is_name(name)


@pytest.mark.parametrize("name", ["width", "video", "valid", "grid"])
def test_names_of_content(name: str) -> None:
    assert not _is_name(name)
