from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import poisonscan
from fixtures import label_samples
from poisonscan.detectors.datasets.label_drift import drift
from poisonscan.finding import Finding
from poisonscan.report import Report
from poisonscan.scan import TargetError


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def scanned(target: Path, reference: Path | None = None) -> Report:
    return poisonscan.scan(target, select=["PS305"], jobs=1, reference=reference)


def found(target: Path, reference: Path | None = None) -> list[Finding]:
    report = scanned(target, reference)
    assert report.gaps == []
    return report.findings


def shares(count: int, share: float) -> bytes:
    return label_samples.table(label_samples.measured(count, 3, share))


def test_samples(tmp_path: Path) -> None:
    bad, good = label_samples.drift()
    (finding,) = found(write(tmp_path / "bad", bad))
    assert "labels of 'test' are distributed otherwise than those of 'train'" in finding.message
    assert found(write(tmp_path / "good", good)) == []


@pytest.mark.parametrize(
    ("first", "second", "effect"),
    [((500, 500), (750, 250), 0.5), ((500, 500), (550, 450), 0.1), ((900, 100), (900, 100), 0)],
)
def test_effects_of_cohen(first: tuple[int, ...], second: tuple[int, ...], effect: float) -> None:
    result = drift(np.array(first), np.array(second))
    assert result.effect == pytest.approx(effect, abs=0.03)


def test_the_effect_does_not_grow_with_rows() -> None:
    first, second = np.array([520, 480]), np.array([480, 520])
    few, many = drift(first, second), drift(first * 1_000, second * 1_000)
    assert many.chance < 1e-100 < few.chance
    assert many.effect == pytest.approx(0.08, abs=0.01)


def test_chance_is_kept_when_labels_are_alike() -> None:
    draw = np.random.default_rng(0)
    shares = np.array([0.6, 0.3, 0.08, 0.015, 0.005])
    results = [
        drift(draw.multinomial(3_000, shares), draw.multinomial(400, shares)) for _ in range(400)
    ]
    assert sum(result.chance < 0.05 for result in results) < 36
    assert max(result.effect for result in results) < 0.3


def test_labels_that_hardly_occur_count_together() -> None:
    result = drift(np.array([500, *[1] * 50, *[0] * 50]), np.array([500, *[0] * 50, *[1] * 50]))
    assert result.degrees == 1
    assert result.chance > 0.5


def test_one_label_only_is_no_drift() -> None:
    assert drift(np.array([5]), np.array([7])).effect == 0


def test_against_a_reference(tmp_path: Path) -> None:
    files = {"new.csv": shares(800, 0.7), "old.csv": shares(900, 0.5), "same.csv": shares(700, 0.7)}
    folder = write(tmp_path, files)
    (finding,) = found(folder / "new.csv", folder / "old.csv")
    assert finding.key == "reference"
    assert "'high' +18.6 points" in finding.message
    assert found(folder / "new.csv", folder / "same.csv") == []
    report = scanned(folder / "new.csv", folder / "old.csv")
    assert [entry.rows for entry in report.scanned] == [800]  # the reference is not reported on


def test_other_labels_and_columns_than_the_reference(tmp_path: Path) -> None:
    rows = label_samples.measured(300, 1)
    for number, row in enumerate(rows):
        row["label"] = "medium" if number % 3 == 0 else row["label"]
        row["extra"] = number * 7 % 11
    old = label_samples.measured(300, 2)
    write(tmp_path, {"new.csv": label_samples.table(rows), "old.csv": label_samples.table(old)})
    messages = {f.message for f in found(tmp_path / "new.csv", tmp_path / "old.csv")}
    assert any("'medium' (100 rows)" in message for message in messages)
    assert any("it adds 'extra'" in message for message in messages)
    messages = {f.message for f in found(tmp_path / "old.csv", tmp_path / "new.csv")}
    assert any("1 label fewer than" in message for message in messages)
    assert any("it lacks 'extra'" in message for message in messages)


def test_a_reference_that_cannot_be_used(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"new.csv": shares(200, 0.5), "notes.md": b"# Notes\n", "plain.csv": b"a,b\nc,d\n"},
    )
    with pytest.raises(TargetError, match="does not exist"):
        scanned(tmp_path / "new.csv", tmp_path / "absent")
    with pytest.raises(TargetError, match="holds no dataset"):
        scanned(tmp_path / "new.csv", tmp_path / "notes.md")
    report = scanned(tmp_path / "new.csv", tmp_path / "plain.csv")
    assert [gap.reason for gap in report.gaps] == [
        "not compared with the reference by labels: the reference has none"
    ]
