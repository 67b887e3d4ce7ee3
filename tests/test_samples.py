"""Every committed sample: the bad ones are found by their rule, the good ones are quiet."""

from __future__ import annotations

from pathlib import Path

import pytest

import poisonscan
from poisonscan.finding import Severity

SAMPLES = Path(__file__).parents[1] / "fixtures" / "samples"


def samples(quality: str) -> list[Path]:
    found = sorted(path for path in SAMPLES.glob(f"PS[12]*/{quality}/**/*") if path.is_file())
    assert found, f"no {quality} samples below {SAMPLES}: run fixtures/build.py"
    return found


def name(path: Path) -> str:
    return path.relative_to(SAMPLES).as_posix()


@pytest.mark.parametrize("path", samples("bad"), ids=name)
def test_an_attack_is_found_by_its_rule(path: Path) -> None:
    report = poisonscan.scan(path)
    expected = path.relative_to(SAMPLES).parts[0][:5]
    assert expected in {finding.rule.id for finding in report.findings}
    assert report.exit_code(Severity.LOW) == 1


@pytest.mark.parametrize("path", samples("good"), ids=name)
def test_a_benign_file_is_quiet(path: Path) -> None:
    report = poisonscan.scan(path, kind="model")
    assert [f.message for f in report.findings if f.severity >= Severity.LOW] == []
    assert [gap.reason for gap in report.gaps] == []


# The first half of these is a whole and harmless file by itself.
WHOLE_BY_HALF = {"after-junk.pkl", "after-zeros.pkl", "second-of-three.pkl", "train.csv"}


@pytest.mark.parametrize(
    "path", [p for p in samples("bad") if p.name not in WHOLE_BY_HALF], ids=name
)
def test_half_of_an_attack_is_never_clean(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    cut = tmp_path / path.name
    cut.write_bytes(data[: max(len(data) // 2, 1)])
    assert poisonscan.scan(cut).exit_code(Severity.LOW) != 0
