"""Near copies of pictures: planted ones are found, different pictures are not."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import poisonscan
from poisonscan.detectors.datasets import picture_keys, similar_pictures
from poisonscan.finding import Rows, Severity
from poisonscan.report import Report
from tests.datasets.files import encoded, picture, shared, write

RULES = ("PS506", "PS507")


def scanned(path: Path) -> Report:
    return poisonscan.scan(path, kind="dataset", select=RULES, jobs=1)


def table(path: Path, files: Sequence[bytes], labels: Sequence[str]) -> Path:
    rows = [
        {"image": {"bytes": f, "path": None}, "label": k}
        for f, k in zip(files, labels, strict=True)
    ]
    return write(path, rows)


def again(seed: int, quality: int = 60) -> bytes:
    """A picture encoded anew, a bit larger."""
    buffer = io.BytesIO()
    picture(seed).resize((40, 40), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def different(count: int) -> list[bytes]:
    return [encoded(picture(seed)) for seed in range(count)]


def pets(count: int) -> list[str]:
    return [("cat", "dog")[i % 2] for i in range(count)]


def test_different_pictures(tmp_path: Path) -> None:
    report = scanned(table(tmp_path / "train.parquet", different(600), pets(600)))
    assert report.findings == []
    assert report.gaps == []
    assert report.scanned[0].facts["pairs of similar pictures"] == 0


@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_a_handful_of_pictures_is_looked_at(tmp_path: Path, count: int) -> None:
    report = scanned(table(tmp_path / "few.parquet", different(count), pets(count)))
    assert report.findings == []
    assert report.gaps == []


def test_near_copies(tmp_path: Path) -> None:
    files = different(600) + [again(seed) for seed in range(20)]
    report = scanned(table(tmp_path / "train.parquet", files, pets(620)))
    (finding,) = report.findings
    assert finding.rule.id == "PS506"
    assert "40 of 620 pictures look almost like another, in 20 groups" in finding.message
    assert isinstance(finding.at.part, Rows)
    assert [row.index for row in finding.at.part.rows[:4]] == [0, 600, 1, 601]


@pytest.mark.parametrize("size", [(28, 28), (20, 31)])
def test_near_copies_of_small_pictures_at_twice_the_size(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    small = [picture(seed).resize(size) for seed in range(300)]
    double = [
        one.resize((2 * size[0], 2 * size[1]), Image.Resampling.BICUBIC) for one in small[:20]
    ]
    files = [encoded(one) for one in (*small, *double)]
    (finding,) = scanned(table(tmp_path / "train.parquet", files, pets(320))).findings
    assert "40 of 320 pictures look almost like another, in 20 groups" in finding.message


def test_exact_copies_are_another_rule(tmp_path: Path) -> None:
    files = different(600) + different(20)
    assert scanned(table(tmp_path / "train.parquet", files, pets(620))).findings == []


def test_few_copies_are_nothing(tmp_path: Path) -> None:
    files = different(600) + [again(seed) for seed in range(7)]
    assert scanned(table(tmp_path / "train.parquet", files, pets(607))).findings == []


def test_one_picture_many_times(tmp_path: Path) -> None:
    files = different(600) + [again(3, quality) for quality in range(50, 90, 2)]
    labels = pets(600) + ["dog"] * 20
    (finding,) = scanned(table(tmp_path / "train.parquet", files, labels)).findings
    assert "21 are alike among themselves" in finding.message


def test_copies_in_another_split(tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", different(3_000), pets(3_000))
    test = [encoded(picture(seed)) for seed in range(3_000, 3_300)]
    table(tmp_path / "test.parquet", test + [again(seed) for seed in range(10)], pets(310))
    (finding,) = scanned(tmp_path).findings
    assert "10 of 310 of 'test' (3.2%) are like one of another split" in finding.message


def test_copies_with_another_label(tmp_path: Path) -> None:
    files = different(600) + [again(seed) for seed in range(20)]
    labels = pets(600) + [("dog", "cat")[i % 2] for i in range(20)]
    report = scanned(table(tmp_path / "train.parquet", files, labels))
    finding = next(f for f in report.each() if f.rule.id == "PS507")
    assert finding.severity == Severity.MEDIUM
    assert "20 groups of pictures" in finding.message
    assert "the labels 'cat', 'dog' at once: of 40 at least 20" in finding.message
    assert finding.key == "cat\0dog"


def test_folders_of_pictures(tmp_path: Path) -> None:
    for seed in range(200):
        path = tmp_path / pets(200)[seed] / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded(picture(seed)))
        if seed < 20:
            (path.parent / f"{seed}-again.jpg").write_bytes(again(seed))
    (finding,) = scanned(tmp_path).findings
    assert "in 20 groups" in finding.message


def test_flat_and_broken_pictures(tmp_path: Path) -> None:
    flat = [encoded(Image.new("L", (32, 32), shade)) for shade in range(100)]
    report = scanned(table(tmp_path / "train.parquet", [*flat, b"\x89PNG broken"], ["a"] * 101))
    assert report.findings == []


def test_too_many_pictures_are_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_keys, "MAX_PICTURES", 50)
    report = scanned(table(tmp_path / "train.parquet", different(60), pets(60)))
    assert any("more than 50 pictures" in gap.reason for gap in report.gaps)


def test_too_many_copies_are_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similar_pictures, "CANDIDATES", 20)
    files = different(300) + [again(seed) for seed in range(60)]
    report = scanned(table(tmp_path / "train.parquet", files, pets(360)))
    assert any("were not compared" in gap.reason for gap in report.gaps)


def test_clean_photographs() -> None:
    report = scanned(shared("images", "cifar10_part"))
    assert [f.message for f in report.findings if f.severity > Severity.LOW] == []
    assert report.gaps == []


def test_clean_handwriting(tmp_path: Path) -> None:
    folder = shared("images", "mnist_10k")
    packed, marks = (
        gzip.decompress((folder / f"t10k-{what}-ubyte.gz").read_bytes())
        for what in ("images-idx3", "labels-idx1")
    )
    pixels = np.frombuffer(packed, np.uint8, offset=16).reshape(-1, 28, 28)
    files = [encoded(Image.fromarray(image)) for image in pixels[:5_000]]
    labels = [str(mark) for mark in marks[8:5_008]]
    report = scanned(table(tmp_path / "train.parquet", files, labels))
    assert report.findings == []
    assert report.gaps == []
