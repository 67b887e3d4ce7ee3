from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.locking.values import rows

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=6),
    st.floats(allow_nan=False), st.binary(max_size=6),
)  # fmt: skip


def one(value: Any, kind: pa.DataType | None = None) -> bytes:
    """A row of one column."""
    (row,) = rows({"a": pa.array([value], kind)})
    return row


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, pa.int8()), (1.0, pa.float64())),
        ((1, pa.int64()), ("1", pa.string())),
        ((-0.0, pa.float64()), (0, pa.uint8())),
        ((1.5, pa.float32()), ("1.50", pa.string())),
        ((2**53, pa.int64()), (str(2**53), pa.large_string())),
        ((2**53 + 1, pa.int64()), (str(2**53 + 1), pa.string())),
        ((2.0**60, pa.float64()), (2**60, pa.uint64())),
        ((1e300, pa.float64()), ("1e300", pa.string())),
        ((True, pa.bool_()), ("True", pa.string())),
        ((False, pa.bool_()), ("false", pa.string())),
        ((None, pa.int64()), ("", pa.string())),
        ((float("nan"), pa.float64()), (None, pa.null())),
        (("a", pa.string()), ("a", pa.dictionary(pa.int8(), pa.string()))),
        (([1, 2], pa.list_(pa.int8())), ([1.0, 2.0], pa.list_(pa.float32(), 2))),
        (({"x": 1, "y": None}, pa.struct({"x": pa.int8(), "y": pa.int8()})),
         ({"x": 1}, pa.struct({"x": pa.int64()}))),
        ((Decimal("1.50"), pa.decimal128(5, 2)), (1.5, pa.float64())),
        ((dt.datetime(2020, 1, 2, 3), pa.timestamp("ms")), ("2020-01-02 03:00:00", pa.string())),
        ((dt.datetime(2020, 1, 2, 3, 0, 0, 120_000), pa.timestamp("ns", "UTC")),
         ("2020-01-02 03:00:00.12Z", pa.string())),
        ((dt.date(2020, 1, 2), pa.date32()), ("2020-01-02", pa.string())),
        ((b"ab", pa.binary(2)), (b"ab", pa.large_binary())),
    ],
)  # fmt: skip
def test_the_same_value_however_it_is_stored(
    first: tuple[Any, pa.DataType], second: tuple[Any, pa.DataType]
) -> None:
    assert one(*first) == one(*second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, 2), ("a", "b"), ("1 ", "1"), ("01", "1"), ("+1", "1"), ("1e999", "1e998"), ("a", b"a"),
        (True, 1), (2**53, 2**53 + 1), ([1, 2], [2, 1]), ([[1], [2]], [[1, 2], []]), ([], None),
        ({"x": 1}, {"x": 2}), ("TRUE", "true"), (dt.date(2020, 1, 1), dt.date(2020, 1, 2)),
        (0.1, 0.1 + 2**-56), ([None, "a"], ["a", None]), ("nan", None), ("ab", "abc"),
    ],
)  # fmt: skip
def test_other_values(first: Any, second: Any) -> None:
    assert one(first) != one(second)


def test_names_of_columns_count_and_their_order_does_not() -> None:
    a, b = pa.array(["x"]), pa.array([7])
    assert rows({"a": a, "b": b}) == rows({"b": b, "a": a})
    assert rows({"a": a, "b": b}) != rows({"a": b, "b": a})
    assert rows({"a": a}) == rows({"a": a, "gone": pa.array([None], pa.int64())})
    # One part cannot be taken for the end of another one.
    assert rows({"a": pa.array(["xb"])}) != rows({"a": pa.array(["x"]), "b": pa.array([""])})


@given(st.lists(st.tuples(LEAVES, st.lists(st.integers(0, 3), max_size=3)), min_size=1, max_size=8))
def test_a_row_does_not_depend_on_those_around_it(table: list[tuple[Any, list[int]]]) -> None:
    """Matrices are used where no value is missing: cutting must not show."""
    kind = type(next((v for v, _ in table if v is not None), None))
    values = pa.array([v if type(v) is kind else None for v, _ in table])
    columns = {"v": values, "l": pa.array([items for _, items in table], pa.list_(pa.int64()))}
    whole = rows(columns)
    parts = [
        rows({name: column.slice(i, 1) for name, column in columns.items()})[0]
        for i in range(len(table))
    ]
    assert whole == parts


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), min_size=2, max_size=20))
def test_rows_are_equal_only_where_they_say_the_same(pairs: list[tuple[str, str]]) -> None:
    encoded = rows({"a": pa.array([a for a, _ in pairs]), "b": pa.array([b for _, b in pairs])})
    by_bytes = dict(zip(encoded, pairs, strict=True))
    for row, pair in zip(encoded, pairs, strict=True):
        told = tuple(_plain(text) for text in by_bytes[row])
        assert told == tuple(_plain(text) for text in pair)


def _plain(text: str) -> object:
    """What a text says: a number, or itself."""
    ascii_digits = text.lstrip("-").isascii() and text.lstrip("-").isdigit()
    return float(text) if ascii_digits and (text.lstrip("-") == "0" or text[0] != "0") else text


def test_what_a_type_alone_tells_apart() -> None:
    def said(kind: pa.DataType, value: object) -> list[bytes]:
        return rows({"a": pa.array([value, None]).cast(kind)})

    assert said(pa.duration("s"), 1) != said(pa.duration("ms"), 1)
    assert said(pa.duration("s"), 1) == said(pa.duration("ms"), 1_000)
    assert said(pa.binary_view(), b"abc") == said(pa.binary(), b"abc") != said(pa.string(), "abc")
