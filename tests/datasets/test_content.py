"""Digests: equal exactly when rows are equal."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.datasets.content import digests

TEXTS = st.one_of(st.none(), st.text("ab\0\n", max_size=3))
NUMBERS = st.one_of(
    st.none(),
    st.sampled_from([0, 1, -1, 2**53, 2**53 + 1, 2**62, 2**62 + 1, -(2**62), -(2**62) - 1]),
    st.integers(-3, 3),
)
FLOATS = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, 1.5, math.nan, math.inf, -math.inf]))
COLUMNS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.binary(), st.one_of(st.none(), st.binary(max_size=3))),
    (pa.int64(), NUMBERS),
    (pa.float64(), FLOATS),
    (pa.float32(), FLOATS),
    (pa.bool_(), st.sampled_from([None, True, False])),
    (pa.list_(pa.string()), st.one_of(st.none(), st.lists(TEXTS, max_size=3))),
    (pa.list_(pa.int8(), 2), st.one_of(st.none(), st.tuples(st.integers(0, 2), st.integers(0, 2)))),
    (
        pa.struct([("a", pa.string()), ("b", pa.list_(pa.int64()))]),
        st.one_of(
            st.none(),
            st.fixed_dictionaries({"a": TEXTS, "b": st.lists(st.integers(0, 2), max_size=2)}),
        ),
    ),
    (pa.date32(), st.sampled_from([None, dt.date(2020, 1, 1), dt.date(2021, 1, 1)])),
    (pa.dictionary(pa.int32(), pa.string()), TEXTS),
]  # fmt: skip


def _canonical(value: Any) -> Any:
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int | float):
        return "nan" if value != value else value
    if isinstance(value, list | tuple):
        return tuple(map(_canonical, value))
    if isinstance(value, dict):
        return tuple((key, _canonical(item)) for key, item in value.items())
    return value


@given(st.data())
@settings(max_examples=150)
def test_equal_exactly_when_rows_are_equal(data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=3))
    size = data.draw(st.integers(1, 8))
    columns = [
        pa.array(data.draw(st.lists(values, min_size=size, max_size=size)), kind)
        for kind, values in chosen
    ]
    found = [tuple(row) for row in digests(columns, rows=size).tolist()]
    rows = [
        tuple(_canonical(v) for v in row)
        for row in zip(*(c.to_pylist() for c in columns), strict=True)
    ]
    for i in range(size):
        for j in range(size):
            assert (found[i] == found[j]) == (rows[i] == rows[j])


@given(st.data())
@settings(max_examples=60)
def test_slices_have_the_digests_of_their_rows(data: st.DataObject) -> None:
    kind, values = data.draw(st.sampled_from(COLUMNS))
    column = pa.array(data.draw(st.lists(values, min_size=1, max_size=10)), kind)
    start = data.draw(st.integers(0, len(column) - 1))
    length = data.draw(st.integers(1, len(column) - start))
    whole = digests([column], rows=len(column))
    part = digests([column.slice(start, length)], rows=length)
    assert np.array_equal(part, whole[start : start + length])


def test_the_border_between_columns_counts() -> None:
    one = digests([pa.array(["ab"]), pa.array(["c"])], rows=1)
    other = digests([pa.array(["a"]), pa.array(["bc"])], rows=1)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (pa.array([1]), pa.array([1.0]), True),
        (pa.array([1], pa.int8()), pa.array([1], pa.uint64()), True),
        (pa.array([0.1], pa.float32()), pa.array([0.1], pa.float64()), False),
        (pa.array(["1"]), pa.array([1]), False),
        (pa.array(["a"]), pa.array([b"a"]), False),
        (pa.array(["a"]), pa.array(["a"]).dictionary_encode(), True),
        (pa.array(["a"]), pa.array(["a"], pa.large_string()), True),
        (pa.array([None], pa.string()), pa.array([""]), False),
        (pa.array([None], pa.string()), pa.nulls(1), True),
        (pa.array([True]), pa.array([1]), False),
        (pa.array([[1, 2]]), pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)), True),
        (pa.array([2**64 - 1], pa.uint64()), pa.array([-1]), False),
    ],
)
def test_types(one: pa.Array, other: pa.Array, same: bool) -> None:
    assert np.array_equal(digests([one], rows=1), digests([other], rows=1)) is same


def test_pictures_count_as_columns() -> None:
    text = pa.array(["a", "a", "a"])
    extra = np.array([[1, 2], [1, 2], [2, 1]], np.uint64)
    first, second, third = digests([text], [extra], rows=3).tolist()
    assert first == second != third
