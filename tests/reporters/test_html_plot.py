"""What is drawn of findings on the HTML page, and what is not."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.detectors.datasets import plots
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.html_plot import HEIGHT, WIDTH, confusion, parts
from tests.reporters.samples import full

SCORES = np.concatenate([np.linspace(-9, -3, 200), np.linspace(1, 3, 20)])
PARTS = plots.parts_of_a_class(SCORES, np.column_stack([SCORES, SCORES**2]), SCORES[:90])
CONFUSION = plots.confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), ["<b>cat</b>", "dog"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=12,
)


def test_parts_of_a_class() -> None:
    shown = parts({"plot": PARTS})
    assert shown is not None
    assert shown.threshold == pytest.approx(0.75 * WIDTH)
    assert [column.suspicious for column in shown.columns] == [False] * 30 + [True] * 10
    assert min(column.class_top for column in shown.columns) == 0
    assert (len(shown.points), len(shown.suspects)) == (200, 20)
    assert min(x for x, _ in shown.suspects) > shown.threshold
    assert all(0 <= x <= WIDTH and 0 <= y <= 2 * HEIGHT for x, y in shown.points)


def test_confusion() -> None:
    shown = confusion({"plot": CONFUSION})
    assert shown is not None
    assert shown.rows[0] == ("<b>cat</b>", (("1", 0), ("1", 4)))
    assert shown.rows[1] == ("dog", (("0", 0), ("1", 0)))


def page(**evidence: Any) -> str:
    report = full()
    report.findings[0] = replace(report.findings[0], evidence=evidence)
    return REPORTERS["html"](report, Options())


def test_they_are_on_the_page() -> None:
    shown = page(plot=PARTS)
    assert shown.count("<title>") == 1 + plots.BINS
    assert len(re.findall("<circle", shown)) == 200
    shown = page(plot=CONFUSION)
    assert '<td class="number heat4">1</td>' in shown
    assert "&lt;b&gt;cat" in shown
    assert "<b>cat" not in shown


@pytest.mark.parametrize("name", ["text", "sarif"])
def test_reports_in_words_leave_the_numbers_out(name: str) -> None:
    report = full()
    report.findings[0] = replace(report.findings[0], evidence={"plot": PARTS, "rate": 0.123})
    shown = REPORTERS[name](report, Options(verbosity=2))
    assert "parts of a class" not in shown
    assert "0.123" in shown


@given(JSON, JSON, JSON)
@settings(max_examples=200)
def test_whatever_evidence_says_is_drawn_or_left_out(one: Any, two: Any, three: Any) -> None:
    for plot in (
        one,
        {"kind": "confusion", "names": one, "counts": two},
        {"kind": "parts of a class", "low": one, "high": two, "class": [1], "others": [three]},
        {"kind": "parts of a class", "low": -1, "high": 2, "class": one, "others": two},
        {**PARTS, "points": three},  # type: ignore[dict-item]
    ):
        parts({"plot": plot})
        confusion({"plot": plot})
