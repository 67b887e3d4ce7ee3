"""What detectors say that they tested of each class: a small chance for the attacked one only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poisonscan.detectors.datasets import (
    activation_clustering,
    spectral_signature,
    unusual_characters,
)
from poisonscan.detectors.datasets.label_flips import Judged, crowded
from poisonscan.detectors.datasets.noise_floor import floor
from poisonscan.finding import Finding
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest, judge
from tests.detectors.datasets import cells
from tests.detectors.datasets.backdoors import part, shifted
from tests.fakes import FakeDataset, returned


def asked(detector: Any, data: FakeDataset) -> dict[str | None, ClassTest]:
    found = [item for item in returned(detector, data) if isinstance(item, ClassTest)]
    assert len({(test.rules, test.label) for test in found}) == len(found)
    return {test.label: test for test in found}


@pytest.mark.parametrize("module", [spectral_signature, activation_clustering])
def test_only_the_shifted_class_is_hardly_honest(module: Any) -> None:
    vectors, labels, _ = shifted(3, rows=900, size=40)
    tests = asked(module.DETECTOR, FakeDataset(part(vectors, labels)))
    assert set(tests) == {"0", "1", "2"}
    assert tests["1"].p_value < 1e-6
    assert tests["0"].p_value == tests["2"].p_value == 1.0


def test_the_chance_of_a_class_does_not_depend_on_how_many_others_are_tested() -> None:
    """Other classes are tests of their own, and are corrected for together with all."""
    vectors, labels, _ = shifted(3, rows=900, size=40)
    kept = labels < 2
    both = FakeDataset(part(vectors[kept], labels[kept]))
    for data in (FakeDataset(part(vectors, labels)), both):
        detector = spectral_signature.DETECTOR
        (finding,) = [item for item in returned(detector, data) if hasattr(item, "evidence")]
        test = asked(detector, data)["1"]
        classes = len(asked(detector, data))
        assert np.log10(test.p_value * classes) == pytest.approx(finding.evidence["log10_p"])


@pytest.mark.parametrize("others", [1, 400])
def test_more_labels_bring_no_doubt_to_characters_that_go_with_one(others: int) -> None:
    """They take the place of what the characters are: doubted, those would fail nothing either."""
    texts = cells.planted(cells.prose(2_000), "x\U000e0068\U000e0069", every=100)
    marked = np.array(["\U000e0068" in text for text in texts])
    labels = [f"other {n // 2 % others}" if n % 2 else "own" for n in range(2_000)]
    labels = np.where(marked, "own", labels).tolist()
    table = cells.Cells(labels, text=texts)
    came: list[Any] = [*cells.returned(unusual_characters.DETECTOR, table)]
    findings = [item for item in came if isinstance(item, Finding)]
    tests = [item for item in came if isinstance(item, ClassTest)]
    for name in ("PS309", "PS601", "PS630"):
        tests += ClassTest.of_classes([name], sorted(set(labels)), {})
    (told,) = judge(findings, tests).findings
    assert (told.rule.id, told.severity) == ("PS611", told.rule.severity)


def flips(seed: int, rate: float, rows: int = 2_000) -> tuple[Any, Any]:
    """Margins, and whether rows are contradicted by honest overlap and by flips."""
    draw = np.random.default_rng(seed)
    margins = draw.exponential(size=rows)
    own = draw.uniform(size=rows) < 0.5 / (1 + np.exp(4 * margins - 0.5))
    return margins, own ^ (draw.uniform(size=rows) < rate)


def test_the_chance_of_flips_is_that_of_their_interval() -> None:
    for seed in range(4):
        fit = floor(*flips(seed, 0.1), 0.5, 3.317)  # chi-square with a tail of 2 * 0.005, halved
        assert fit.chance(fit.low) == pytest.approx(0.005, rel=0.2)
        assert fit.chance(fit.rate) == 1.0
        assert fit.chance(0.0) < 1e-3


def test_honest_labels_seldom_look_flipped() -> None:
    """At most the chance that is told, here for a rate that is the true one."""
    chances = [floor(*flips(seed, 0.03), 0.5, 3.317).chance(0.03) for seed in range(24)]
    assert np.mean(np.array(chances) <= 0.05) <= 0.15
    assert np.mean(np.array(chances) <= 0.5) <= 0.7


def test_a_file_is_as_unlikely_as_the_binomial_says() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 2_000)
    parts = np.arange(2_000) // 500
    wrong = draw.uniform(size=2_000) < np.where(parts == 2, 0.4, 0.02)
    scores = np.eye(2)[labels ^ wrong]
    (odd,) = crowded(Judged(scores, labels, rule("PS308").thresholds), parts)
    assert odd.part == 2
    assert odd.chance < 1e-20
