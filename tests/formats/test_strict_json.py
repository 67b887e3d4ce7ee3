from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.formats.strict_json import DEEPEST, DUPLICATES_KEPT, parse, refuse_floods
from poisonscan.limits import LimitReached


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"{} {}",
        b"NaN",
        b"[-Infinity]",
        b"1e999",
        b'"\\ud800"',
        b'{"\\udc00": 1}',
        b'"\xff"',
        b'"\n"',
        b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1),
        b"[" * 100_000 + b"]" * 100_000,
        b"1" * 400,
        b"1" * 5_000,
    ],
)
def test_what_strict_readers_refuse(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_what_they_take() -> None:
    assert parse(b"[" * DEEPEST + b"]" * DEEPEST).duplicates == ()
    assert parse(b'"\\ud83d\\ude00 \\u0000"').content == "\U0001f600 \0"
    assert parse(b"[1e308, -1, 18446744073709551616]").content == [1e308, -1, 1 << 64]
    (zero,) = parse(b"[-0]").content
    assert isinstance(zero, float)


def test_keys_that_stand_twice_at_any_depth() -> None:
    assert parse(b'{"a": {"b": 1, "b": 2, "b": 3}, "\\u0061": [{"c": 1, "c": 1}]}').duplicates == (
        "b",
        "c",
        "a",
    )
    many = b"[" + b",".join([b'{"a":1,"a":2}'] * 500) + b"]"
    assert len(parse(many).duplicates) == DUPLICATES_KEPT


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_what_json_writes_is_read_as_it_is(content: Any) -> None:
    found = parse(json.dumps(content).encode())
    assert found.content == content
    assert found.duplicates == ()


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"[]," * 2_000,
        b'["' + b'","' * 40_000,
        b"[" + b"0," * 40_000,
        b'{"\\\\":"\\\\",' * 40_000,
    ],
)
def test_floods_are_refused_before_they_are_parsed(text: bytes) -> None:
    with pytest.raises(LimitReached):
        refuse_floods(text, 100)


def test_honest_headers_are_no_floods() -> None:
    tensors = {
        f"m.{n}": {"dtype": "F32", "shape": [1, 2, 3, 4, 5], "data_offsets": [n, n]}
        for n in range(100)
    }
    text = json.dumps(
        {"__metadata__": {"tags": json.dumps({f"t, {{{n}": n for n in range(99)})}} | tensors
    )
    refuse_floods(text.encode(), 200)


def test_repeated_keys_take_time_in_proportion() -> None:
    text = b"{" + b",".join(b'"%d":0' % (n % 50_000) for n in range(100_000)) + b"}"
    start = time.process_time()
    parse(text)
    assert time.process_time() - start < 5
