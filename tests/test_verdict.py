from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from poisonscan.datasets.places import ListedRows
from poisonscan.finding import Finding, Location, Rows, Severity
from poisonscan.rules import rule
from poisonscan.verdict import LEVEL, LISTED, ClassTest, Verdict, judge, q_values

CHANCES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


@given(CHANCES)
def test_rates_are_those_of_benjamini_and_yekutieli(chances: list[float]) -> None:
    assert q_values(chances) == pytest.approx(false_discovery_control(chances, method="by"))


@given(CHANCES, st.randoms(use_true_random=False))
def test_rates_do_not_depend_on_the_order(chances: list[float], draw: Any) -> None:
    shuffled = list(enumerate(chances))
    draw.shuffle(shuffled)
    rates = q_values([chance for _, chance in shuffled])
    expected = q_values(chances)
    assert rates == pytest.approx([expected[at] for at, _ in shuffled])


@given(CHANCES, st.integers(0, 39), st.floats(0, 1))
def test_a_smaller_chance_makes_no_rate_larger(chances: list[float], at: int, times: float) -> None:
    smaller = list(chances)
    smaller[at % len(chances)] *= times
    pairs = zip(q_values(smaller), q_values(chances), strict=True)
    assert all(after <= before * (1 + 1e-9) for after, before in pairs)


def test_there_may_be_no_tests() -> None:
    assert q_values([]) == []
    found = [finding("PS404", "a", range(9))]
    assert judge(found, []) == Verdict(found, {})


@pytest.mark.parametrize("planted", [0, 5])
def test_few_of_what_is_reported_is_false(planted: int) -> None:
    """Tests that look at the same rows, so that their chances rise and fall together."""
    draw = np.random.default_rng(1)
    shares = []
    for _ in range(400):
        honest = np.repeat(draw.uniform(size=10), 3) ** draw.uniform(1, 1.01, 30)
        honest = np.maximum(honest, np.repeat(draw.uniform(size=10), 3))
        rates = np.array(q_values([*[1e-12] * planted, *honest]))
        false = int((rates[planted:] <= LEVEL).sum())
        shares.append(false / max(false + planted, 1))
    assert np.mean(shares) <= LEVEL


def finding(rule_id: str, label: str | None, rows: Sequence[int], **evidence: Any) -> Finding:
    places = np.array(rows, np.int64)
    part = Rows((), len(rows), ListedRows((), np.zeros(len(rows), np.int32), places, None))
    told = evidence if label is None else {"label": label, **evidence}
    return rule(rule_id).finding(Location("data", part), f"{rule_id} was seen.", **told)


def asked(*sure: tuple[str, str], labels: str = "abc", chance: float = 1e-9) -> list[ClassTest]:
    """Tests of every class by four rules, some of which find something."""
    return [
        ClassTest((name,), label, chance if (name, label) in sure else 1.0, 4)
        for name in ("PS401", "PS402", "PS404", "PS406")
        for label in labels
    ]


def test_a_finding_says_what_all_tests_of_its_class_say() -> None:
    tests = asked(("PS404", "a"), ("PS401", "a"), ("PS402", "a"), ("PS406", "b"))
    found = [
        finding("PS404", "a", range(50)),
        finding("PS401", "a", range(30)),
        finding("PS402", "a", range(60, 90)),
        finding("PS406", "b", range(50)),  # of another class: agrees with nothing in this one
        finding("PS617", None, range(50)),
    ]
    patch, shift, cluster, overlay, outliers = judge(found, tests).findings
    assert patch.message == (
        "PS404 was seen. 1 of 3 other rules that can judge this class agree (PS401); "
        "PS402 found other rows; PS406 found nothing."
    )
    assert patch.evidence["agreeing"] == ["PS401"]
    assert patch.evidence["of_other_rows"] == ["PS402"]
    assert patch.evidence["silent"] == ["PS406"]
    assert patch.evidence["p_value"] == 1e-9
    assert patch.evidence["q_value"] == pytest.approx(
        1e-9 * 12 / 4 * sum(1 / k for k in range(1, 13))
    )
    assert (patch.evidence["looks"], patch.evidence["hypotheses"]) == (4, 12)
    assert shift.evidence["agreeing"] == ["PS404"]
    assert cluster.evidence["agreeing"] == []
    assert overlay.message.endswith(
        "No other rule that can judge this class agrees; PS401, PS402, PS404 found nothing."
    )
    assert outliers == found[-1]
    assert patch.fingerprint == found[0].fingerprint


def test_what_may_be_an_accident_is_low() -> None:
    tests = asked(("PS404", "a"), chance=0.03)
    found = [finding("PS404", "a", range(50)), finding("PS502", None, range(50))]
    doubted, other = judge(found, tests).findings
    assert other == found[1]
    assert doubted.severity is Severity.LOW
    assert doubted.at == found[0].at
    assert "It may be an accident: of 12 tests some come out so (q-value 1)." in doubted.message
    # Alone it would be enough: what is asked of a test depends on how many there are.
    alone = judge(found, tests[6:7])
    assert [each.severity for each in alone.findings] == [each.severity for each in found]


def test_a_doubtful_finding_is_no_agreement() -> None:
    sure = ClassTest(("PS404",), "a", 1e-9)
    weak = ClassTest(("PS401",), "a", 0.04)
    rest = [ClassTest(("PS402",), name, 1.0) for name in "abcdefghij"]
    found = [finding("PS404", "a", range(50)), finding("PS401", "a", range(50))]
    patch, shift = judge(found, [sure, weak, *rest]).findings
    assert (patch.severity, shift.severity) == (Severity.HIGH, Severity.LOW)
    assert patch.evidence["agreeing"] == []
    assert patch.evidence["weak"] == ["PS401"]
    assert "PS401 found too little to tell" in patch.message


def test_a_rule_below_medium_fails_nothing_and_stays() -> None:
    tests = [ClassTest(("PS601", "PS627"), name, 0.06) for name in "abcd"]
    (low,) = judge([finding("PS627", "b", range(20))], tests).findings
    assert low.evidence["q_value"] == pytest.approx(0.06 * (1 + 1 / 2 + 1 / 3 + 1 / 4))
    (doubted,) = judge([finding("PS601", "b", range(20))], tests).findings
    assert doubted.severity is Severity.LOW


def test_tests_of_all_classes_together_are_counted_and_agree_with_none() -> None:
    tests = [ClassTest(("PS308",), None, 1e-5), ClassTest(("PS309",), "a", 1.0)]
    (told,) = judge([finding("PS308", None, range(20))], tests).findings
    assert told.message == "PS308 was seen."
    assert told.evidence["q_value"] == pytest.approx(3e-5)


def test_the_order_of_findings_and_tests_does_not_matter() -> None:
    tests = asked(("PS404", "a"), ("PS401", "a"), ("PS402", "b"))
    found = [finding(name, "a", range(50)) for name in ("PS404", "PS401")]
    found.append(finding("PS402", "b", range(9)))
    first = judge(found, tests)
    for order in itertools.permutations(found):
        again = judge(order, tests[::-1])
        assert sorted(map(repr, again.findings)) == sorted(map(repr, first.findings))
        assert again.facts == first.facts


def test_the_table_lists_the_classes_that_say_most() -> None:
    labels = [f"c{number:02}" for number in range(2 * LISTED)]
    tests = ClassTest.of_classes(["PS404"], labels, {"c33": 1e-9, "c07": 1e-2})
    table = judge([], tests).facts["tests"]
    assert isinstance(table, list)
    assert len(table) == LISTED
    assert [row["class"] for row in table[:2]] == ["c33", "c07"]  # type: ignore[index, call-overload]
    summary = str(judge([], tests).facts["tests of classes"])
    assert summary.startswith("1 of 40 show something, by 1 rule in 40 classes")
