"""Columns of labels."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets.labels import labels, labels_of


def _names(
    column: pa.Array, classes: tuple[str, ...] = (), *, numeric: bool = False
) -> list[str | None]:
    found = labels(column, classes, numeric=numeric)
    assert found.codes.dtype == np.int32
    return [found.names[code] if code >= 0 else None for code in found.codes.tolist()]


@pytest.mark.parametrize(
    ("column", "names"),
    [
        (pa.array([3, None, -1]), ["3", None, "-1"]),
        (pa.array([1.0, float("nan"), 2.5, None]), ["1", None, "2.5", None]),
        (pa.array([True, False, None]), ["True", "False", None]),
        (pa.array(["a", "", None, " a"]), ["a", None, None, " a"]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([b"a", b"\xff"]), ["a", "\\xff"]),
        (pa.nulls(2), [None, None]),
        (pa.array([2**63], pa.uint64()), [str(2**63)]),
    ],
)
def test_names(column: pa.Array, names: list[str | None]) -> None:
    assert _names(column) == names


def test_declared_names() -> None:
    column = pa.array([1, 0, -1, 2, None, 1])
    assert _names(column, ("no", "yes")) == ["yes", "no", "-1", "2", None, "yes"]


def test_a_number_outside_that_is_also_a_declared_name() -> None:
    assert _names(pa.array([0, 5]), ("5", "x")) == ["5", "5"]


def test_numbers_in_text() -> None:
    column = pa.array([" 1", "1.0", "+1", "01", "x", "", "nan"])
    assert _names(column, numeric=True) == ["1", "1", "1", "1", "x", None, None]


def test_dictionary_that_holds_nulls_and_unused_values() -> None:
    column = pa.DictionaryArray.from_arrays(
        pa.array([2, None, 1, 2], pa.int32()), pa.array(["unused", None, "b"])
    )
    found = labels(column)
    assert found.names == ("b",)
    assert found.codes.tolist() == [0, -1, -1, 0]


@given(st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "", "c"]))), st.integers(0, 5))
def test_any_slice(values: list[str | None], start: int) -> None:
    expected = [value or None for value in values[start:]]
    assert _names(pa.array(values, pa.string()).slice(start)) == expected


def test_labels_of_folders() -> None:
    found = labels_of(["x", "y", "x", ""])
    assert (found.codes.tolist(), found.names) == ([0, 1, 0, -1], ("x", "y"))
