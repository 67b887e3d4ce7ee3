from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import poisonscan.detectors.datasets as detectors
from poisonscan import confirmation, locking
from poisonscan.datasets.batch import Aggregate
from poisonscan.detectors.datasets.label_counts import LabelCounts
from tests.detectors.datasets import test_moments, test_projections, test_styled_rows
from tests.laws import CASES, Case, Rows, assert_same, cut, shards, whole

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@every_case
@settings(max_examples=60)
@given(rows=shards(), data=st.data())
def test_cutting_and_merging_change_nothing(
    case: Case, rows: list[Rows], data: st.DataObject
) -> None:
    assert_same(case.result(cut(case, rows, data.draw)), case.result(whole(case, rows)))


@every_case
@settings(max_examples=15)
@given(rows=shards())
def test_merging_what_saw_nothing_changes_nothing(case: Case, rows: list[Rows]) -> None:
    one = whole(case, rows)
    one.merge(case.make())
    other = case.make()
    other.merge(whole(case, rows))
    assert_same(case.result(one), case.result(whole(case, rows)))
    assert_same(case.result(other), case.result(one))


@every_case
@settings(max_examples=15)
@given(rows=shards())
def test_a_filled_one_pickles(case: Case, rows: list[Rows]) -> None:
    filled = whole(case, rows)
    assert_same(case.result(pickle.loads(pickle.dumps(filled))), case.result(filled))


@every_case
def test_unfilled_ones_are_equal_and_hash_alike(case: Case) -> None:
    assert case.make() == case.make()
    assert hash(case.make()) == hash(case.make())
    assert pickle.loads(pickle.dumps(case.make())) == case.make()
    assert case.make().needs


def test_requests_with_other_parameters_differ() -> None:
    assert LabelCounts(("train",)) != LabelCounts(("test",))
    assert len({case.make() for case in CASES.values()}) == len(CASES) - 1  # two ask for the same


class Forgetful:
    """An aggregate that breaks the law: it keeps the last batch's size."""

    needs = LabelCounts(()).needs

    def __init__(self) -> None:
        self.size = 0

    def update(self, batch: object) -> None:
        self.size = getattr(batch, "size", 0)

    def merge(self, other: Forgetful) -> None:
        self.size += other.size


def test_the_law_can_be_broken() -> None:
    case = Case(Forgetful, lambda forgetful: forgetful.size)

    @settings(database=None, phases=[Phase.generate])
    @given(rows=shards(), data=st.data())
    def law(rows: list[Rows], data: st.DataObject) -> None:
        assert_same(case.result(cut(case, rows, data.draw)), case.result(whole(case, rows)))

    with pytest.raises((AssertionError, ExceptionGroup)):
        law()


def test_every_aggregate_is_held_to_the_law() -> None:
    modules = [
        module
        for package in (detectors, locking, confirmation)
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    ]
    aggregates = {
        thing
        for module in modules
        for thing in vars(importlib.import_module(module.name)).values()
        if inspect.isclass(thing)
        and {"update", "merge"} <= set(vars(thing))
        and thing is not Aggregate
    }
    cases = [*CASES.values(), test_moments.LAW, test_projections.LAW, test_styled_rows.LAW]
    assert aggregates == {type(case.make()) for case in cases}
