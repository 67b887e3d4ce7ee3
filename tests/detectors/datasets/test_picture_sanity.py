"""Pictures that carry files, are odd, or come from elsewhere."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

import poisonscan
from poisonscan.detectors.datasets import picture_kinds
from poisonscan.finding import Finding, Rows, Severity
from tests.datasets.files import encoded, picture, shared, write

RULES = ("PS616", "PS617", "PS618")
LETTERS = "abcdefghij"


def found(path: Path) -> list[Finding]:
    report = poisonscan.scan(path, kind="dataset", select=RULES, jobs=1)
    assert report.gaps == []
    return list(report.each())


def table(folder: Path, files: Sequence[bytes], labels: Sequence[str] | None = None) -> Path:
    given = labels or [LETTERS[i % 10] for i in range(len(files))]
    rows = [
        {"image": {"bytes": f, "path": None}, "label": k} for f, k in zip(files, given, strict=True)
    ]
    return write(folder / "train.parquet", rows)


def plain(count: int = 200) -> list[bytes]:
    return [encoded(picture(seed, (16, 16))) for seed in range(count)]


def jpeg(seed: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture(seed, (16, 16)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def places(finding: Finding) -> list[int]:
    assert isinstance(finding.at.part, Rows)
    return [row.index for row in finding.at.part.rows]


def test_plain_pictures(tmp_path: Path) -> None:
    assert found(table(tmp_path, plain())) == []
    assert found(table(tmp_path, [jpeg(seed) for seed in range(200)])) == []


def test_pictures_that_carry_archives(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "b")
    files = plain()
    for row in (7, 40):
        files[row] += buffer.getvalue()
    (finding,) = found(table(tmp_path, files))
    assert finding.rule.id == "PS616"
    assert "2 pictures with a zip archive behind the end of the picture" in finding.message
    assert places(finding) == [7, 40]


def test_blank_and_long_pictures(tmp_path: Path) -> None:
    blank = [encoded(Image.new("RGB", (16, 16), (s, s, s))) for s in (1, 99, 200)]
    (finding,) = found(table(tmp_path, plain() + blank))
    assert "3 pictures show one shade of grey only" in finding.message
    assert found(table(tmp_path, plain() + blank[:2])) == []
    long = [encoded(picture(seed, (400, 10))) for seed in range(3)]
    messages = [f.message for f in found(table(tmp_path, plain() + long))]
    assert any("many times as long as they are wide" in message for message in messages)


def test_a_few_of_another_kind(tmp_path: Path) -> None:
    files = plain()
    files[5] = encoded(picture(5, (16, 16), "L"))
    (finding,) = found(table(tmp_path, files))
    assert "1 picture of 200 differ from the others in their kind of pixels" in finding.message
    assert "'L' instead of 'RGB'" in finding.message
    assert places(finding) == [5]


@pytest.mark.parametrize(
    "way", [{"quality": 85}, {"progressive": True}, {"subsampling": 0}, {"comment": b"made"}]
)
def test_another_encoder_for_one_label(tmp_path: Path, way: dict[str, object]) -> None:
    files = [jpeg(seed, **(way if seed % 20 == 3 else {})) for seed in range(300)]
    (finding,) = found(table(tmp_path, files))
    assert finding.rule.id == "PS618"
    assert finding.severity == Severity.MEDIUM
    assert "15 of the 15 pictures whose encoder is" in finding.message
    assert "the label 'd', which 5" in finding.message
    assert places(finding) == list(range(3, 300, 20))


@pytest.mark.parametrize("kind", ["JPEG", "BMP"])
def test_another_format_for_one_label(tmp_path: Path, kind: str) -> None:
    files = [encoded(picture(i, (16, 16)), kind if i % 20 == 3 else "PNG") for i in range(300)]
    traits = {finding.evidence["trait"] for finding in found(table(tmp_path, files))}
    assert "format" in traits


@pytest.mark.parametrize(("of_label", "low"), [(90, True), (40, False)])
def test_the_source_of_a_class_is_a_low_finding(tmp_path: Path, of_label: int, low: bool) -> None:
    """A third of the pictures have the label; most of them have another encoder, or fewer do."""
    labels = ["c" if n % 3 == 0 else "ab"[n % 3 - 1] for n in range(300)]
    files = [jpeg(n, quality=90 if n % 3 == 0 and n < 3 * of_label else 75) for n in range(300)]
    (finding,) = found(table(tmp_path, files, labels))
    assert finding.severity == (Severity.LOW if low else Severity.MEDIUM)


def test_another_encoder_for_all_labels_is_nothing(tmp_path: Path) -> None:
    files = [jpeg(i, quality=90 if i % 7 == 0 else 75) for i in range(300)]
    assert found(table(tmp_path, files)) == []


def test_pictures_of_every_size(tmp_path: Path) -> None:
    files = [encoded(picture(i, (10 + i % 23, 10 + i % 19))) for i in range(200)]
    assert found(table(tmp_path, files)) == []


def test_a_trait_with_too_many_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_kinds, "MAX_VALUES", 20)
    files = [encoded(picture(i, (10 + i, 10))) for i in range(60)]
    report = poisonscan.scan(table(tmp_path, files), kind="dataset", select=RULES, jobs=1)
    facts = report.scanned[0].facts["kinds of pictures"]
    assert isinstance(facts, dict)
    assert facts["too many values to compare"] == ["size"]


def test_clean_sets() -> None:
    assert found(shared("images", "cifar10_part")) == []


def test_photographs_of_scikit_learn(tmp_path: Path) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    for name, image in zip("ab", datasets.load_sample_images().images, strict=True):
        (tmp_path / name).mkdir()
        Image.fromarray(image).save(tmp_path / name / "photo.jpg")
    assert found(tmp_path) == []
