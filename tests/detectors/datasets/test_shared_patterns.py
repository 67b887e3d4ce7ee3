"""Blends and warps are found by their own rules; pictures that share nothing are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.detectors.base import DatasetDetector
from poisonscan.detectors.datasets import faint_overlay, shared_warp
from poisonscan.finding import Fact, Finding, Rows
from tests.detectors.datasets.natural import ROWS, Planes, Shown, blended, labels, pictures, warped
from tests.fakes import returned, run

DETECTORS: dict[str, DatasetDetector] = {
    "PS406": faint_overlay.DETECTOR,
    "PS407": shared_warp.DETECTOR,
}
CHOSEN = np.arange(0, ROWS, 15)
"""Rows of all classes, which are given one label."""
TARGET = "2"


def relabelled(classes: int) -> list[str | None]:
    given = labels(classes)
    for row in CHOSEN.tolist():
        given[row] = TARGET
    return given


def rows(finding: Finding) -> set[int]:
    return {row.index for row in cast("Rows", finding.at.part).rows}


@pytest.mark.parametrize(("rule", "changed"), [("PS406", blended), ("PS407", warped)])
def test_what_pictures_of_one_class_share_is_found(
    rule: str, changed: Callable[[Planes, NDArray[np.int64]], Planes]
) -> None:
    shown = Shown(changed(pictures(), CHOSEN), relabelled(4))
    (finding,) = run(DETECTORS[rule], shown)
    assert finding.rule.id == rule
    assert finding.key == finding.evidence["label"] == TARGET
    said, planted = rows(finding), set(CHOSEN.tolist())
    assert len(said & planted) >= 0.9 * len(planted)
    assert len(said & planted) >= 0.9 * len(said)
    scores = [row.score or 0.0 for row in cast("Rows", finding.at.part).rows]
    assert scores == sorted(scores, reverse=True)


def test_an_overlay_on_few_pictures_is_found_where_their_background_is_blank() -> None:
    few, given = CHOSEN[:16], labels(4)
    for row in few.tolist():
        given[row] = TARGET
    shown = pictures().copy()
    shown[:, :8] = shown[:, -8:] = 0
    assert run(DETECTORS["PS406"], Shown(shown, given)) == []
    noise = np.random.default_rng(3).uniform(0, 255, (32, 32))
    shown[few] = 0.85 * shown[few] + 0.15 * noise
    (finding,) = run(DETECTORS["PS406"], Shown(shown, given))
    assert finding.key == TARGET
    assert rows(finding) == set(few.tolist())


@pytest.mark.parametrize("rule", DETECTORS)
def test_wrong_labels_alone_are_no_pattern(rule: str) -> None:
    assert run(DETECTORS[rule], Shown(pictures(), relabelled(4))) == []


@pytest.mark.parametrize("rule", DETECTORS)
def test_what_pictures_of_all_classes_share_is_no_trigger(rule: str) -> None:
    changed = {"PS406": blended, "PS407": warped}[rule]
    assert run(DETECTORS[rule], Shown(changed(pictures(), CHOSEN), labels(4))) == []


@pytest.mark.parametrize("rule", DETECTORS)
def test_pictures_that_say_nothing_are_quiet(rule: str) -> None:
    """Blank ones, copies, a single class, and some that did not decode.

    The slower view is shown copies only.
    """
    blank = np.zeros((120, 32, 32), np.float32)
    copies = np.repeat(pictures()[:6], 20, axis=0)
    broken = pictures()[:120].copy()
    broken[::30] = np.nan
    for planes in (blank, copies, broken) if rule == "PS407" else (copies,):
        assert run(DETECTORS[rule], Shown(planes, labels(2, 120))) == []
    (fact,) = returned(DETECTORS[rule], Shown(pictures()[:40], ["a"] * 40))
    assert isinstance(fact, Fact)
    assert "not decided" in str(fact.value)
