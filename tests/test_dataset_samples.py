"""Every committed dataset: in the bad ones their rule finds something, the good ones are quiet."""

from __future__ import annotations

from pathlib import Path

import pytest

import poisonscan
from poisonscan.verdict import LEVEL
from tests.test_samples import SAMPLES, name

TESTED = frozenset(
    f"PS{number}" for number in (308, 309, 401, 402, 404, 406, 407, 601, 611, 615, 627, 630)
)
"""Rules that state for each class how likely an honest one would look like it."""
CLEAR = 0.01


def datasets(quality: str) -> list[Path]:
    """Files and folders, each a dataset of its own."""
    found = sorted(SAMPLES.glob(f"PS[34567]*/{quality}/*"))
    found += sorted(SAMPLES.glob(f"folders/PS[34567]*/{quality}/*"))
    assert found, f"no {quality} datasets below {SAMPLES}: run fixtures/build.py"
    return found


@pytest.mark.parametrize("path", datasets("bad"), ids=name)
def test_poison_is_found_by_its_rule(path: Path) -> None:
    report = poisonscan.scan(path, kind="dataset")
    own = [each for each in report.each() if each.rule.id == path.parents[1].name[:5]]
    assert own
    if own[0].rule.id in TESTED:
        assert all(0 < float(str(f.evidence["p_value"])) < CLEAR for f in own)
        assert all(float(str(f.evidence["q_value"])) <= LEVEL for f in own)


@pytest.mark.parametrize("path", datasets("good"), ids=name)
def test_a_clean_dataset_is_quiet(path: Path) -> None:
    report = poisonscan.scan(path, kind="dataset")
    assert [f"{f.rule.id} {f.message}" for f in report.findings] == []
    assert [f"{gap.path}: {gap.reason}" for gap in report.gaps] == []
    assert any(entry.rows for entry in report.scanned)
