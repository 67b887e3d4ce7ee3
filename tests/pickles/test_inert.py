"""Stepping over runs of opcodes changes nothing but the time that it takes."""

from __future__ import annotations

import collections
import contextlib
import datetime as dt
import io
import pickle
import pickletools
import random
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.pickles import events, inert, machine
from poisonscan.pickles.machine import Machine
from poisonscan.pickles.values import expression
from tests.pickles.test_oracle import _PIECES, requested, seen


@contextlib.contextmanager
def eager(short: int = 0) -> Iterator[None]:
    """Step over whatever can be, however short it is."""
    small: Any = {
        "_SMALL": 0,
        "_LARGE": 0,
        "_PATIENCE": 0,
        "_SOON": 0,
        "_WORTH": 1,
        "_SHORT_RUN": short,
    }
    with mock.patch.multiple(machine, **small):
        yield


def history(data: bytes, *, exact: bool) -> tuple[list[object], int]:
    """Everything that happens, and how many opcodes were looked at."""
    budget = Budget()
    told: list[object] = []
    for event in Machine(memoryview(data), 0, budget, exact=exact).run():
        if isinstance(event, events.Call):
            told.append((event.offset, event.opcode, expression(event.callee)))
        elif isinstance(event, events.Import):
            told.append((event.offset, event.written))
        elif isinstance(event, events.Irregular):
            told.append("irregular")
        else:
            told.append((event.offset, type(event)))
    return told, budget.opcodes


PLAIN = [
    list(range(5_000)),
    [f"text {i}" for i in range(5_000)],
    [b"bytes %d" % i for i in range(3_000)],
    {f"key {i}": i * 0.5 for i in range(3_000)},
    [(i, -i, None, True) for i in range(3_000)],
    [{"id": i, "label": str(i % 7), "tags": {"a", i}} for i in range(2_000)],
    [[[i, (i, None)], (), {}, frozenset({i, "x"})] for i in range(2_000)],
    [2**40 + i for i in range(2_000)] + [-(2**70), 2**2000],
    ["long text " * 30] * 3 + ["x" * n for n in range(600)],
]
MIXED = [
    [dt.date(2000, 1, 1 + i % 28) for i in range(2_000)],
    [1.5] * 3_000 + [dt.date(2000, 1, 1)] * 3 + list(range(3_000)) + [{"os": "system"}],
    collections.OrderedDict((f"k{i}", [i] * 3) for i in range(2_000)),
    [["builtins", "complex"] for _ in range(500)] + [complex(i) for i in range(500)],
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", PLAIN + MIXED, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize("optimized", [False, True])
def test_the_same_happens(value: Any, protocol: int, *, optimized: bool) -> None:
    data = pickle.dumps(value, protocol)
    if optimized:
        data = pickletools.optimize(data)
    slow, every = history(data, exact=True)
    assert history(data, exact=False)[0] == slow
    for short in (0, 1 << 20):
        with eager(short):
            assert history(data, exact=False)[0] == slow
    assert every > 500


@pytest.mark.parametrize("value", PLAIN[:7], ids=lambda value: repr(value)[:30])
def test_most_opcodes_of_plain_data_are_stepped_over(value: Any) -> None:
    data = pickle.dumps([[value], *value] * 5, 4)
    with mock.patch.object(machine, "_LARGE", 0):
        assert history(data, exact=False)[1] < history(data, exact=True)[1] / 4


PAYLOAD = b"cos\nsystem\n(S'true'\ntR"
RUN = pickle.dumps(list(range(1_000)), 2)[2:-1]


@pytest.mark.parametrize(
    "data",
    [
        RUN + PAYLOAD + b".",
        RUN + b"0" + PAYLOAD + b"0" + RUN + b".",
        b"(" + RUN + PAYLOAD + RUN + b"t.",
        b"(" + RUN * 3 + b"1" + PAYLOAD + b".",
        b"\x80\x04](" + b"\x8c\x02os\x94\x8c\x06system\x94" * 300 + b"e0h\x00h\x01\x93.",
        b"\x80\x04](" + b"K\x01" * 600 + b"\x8c\x02os\x94\x8c\x06system\x94e0h\x00h\x01\x93.",
        b"\x80\x04" + b"K\x01" * 600 + b"\x8c\x02os\x8c\x06system\x93.",
        b"\x80\x04("
        + b"K\x01" * 600
        + b"\x8c\x02os\x8c\x06system\x86t0\x8c\x02os\x8c\x06system\x93.",
    ],
)
def test_a_name_in_or_behind_a_run_is_seen(data: bytes) -> None:
    for short in (0, 1 << 20):
        with eager(short):
            names = [t[1] for t in history(data, exact=False)[0] if isinstance(t, tuple)]
    assert any(getattr(name, "dotted", "") == "os.system" for name in names)


@pytest.mark.parametrize(
    "stored",
    [
        b"cos\nsystem\nq\x00" + b"K\x01q\x00" * 500 + b"h\x00.",
        b"K\x01q\x00" * 500 + b"cos\nsystem\nq\x00h\x00.",
        b"K\x01q\x05" * 500 + b"h\x05.",
    ],
)
def test_entries_stored_out_of_order_are_irregular(stored: bytes) -> None:
    with eager():
        assert "irregular" in history(stored, exact=False)[0]


@settings(max_examples=600)
@given(st.lists(st.sampled_from(_PIECES), max_size=25).map(b"".join), st.sampled_from([0, 99]))
@example(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94h\x00h\x01\x93.", 0)
@example(b"K\x01K\x01\x86q\x00h\x00\x85h\x00.", 0)
@example(b"cos\nsystem\nq\x00(h\x00K\x01tK\x010R", 0)
def test_every_name_that_an_unpickler_asks_for_is_still_seen(stream: bytes, short: int) -> None:
    data = stream + b"."
    with eager(short):
        found, warned = seen(data)
    for unpickler in (pickle.Unpickler, pickle._Unpickler):
        assert requested(unpickler, data) <= found or warned


@settings(max_examples=150)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
        | st.just(dt.date(2000, 1, 1)) | st.just("os"),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
        max_leaves=60,
    ),
    st.integers(0, 5),
)  # fmt: skip
def test_the_same_happens_in_whatever_a_pickler_writes(value: Any, protocol: int) -> None:
    data = pickle.dumps([value, value], protocol)
    slow, _ = history(data, exact=True)
    with eager():
        assert history(data, exact=False)[0] == slow


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_random_bytes_do_no_harm(data: bytes) -> None:
    with eager():
        told, _ = history(data, exact=False)
    assert told


def test_the_end_of_a_frame_is_not_stepped_over() -> None:
    body = b"K\x01" * 500
    straddling = b"\x80\x04\x95" + (len(body) - 1).to_bytes(8, "little") + body + b"."
    assert "irregular" in history(straddling, exact=False)[0]
    with eager():
        assert "irregular" in history(straddling, exact=False)[0]


def test_entries_are_limited() -> None:
    data = b"\x80\x04](" + b"K\x01\x94" * 2_000 + b"eh\x01."
    with pytest.raises(LimitReached, match="memo"):
        list(Machine(memoryview(data), 0, Budget(Limits(memo=1_000))).run())


def test_where_a_run_ends() -> None:
    generator = random.Random(1)
    for _ in range(200):
        pieces = [
            generator.choice([b"N", b"K\x01", b"\x8c\x03abc", b"]", b"\x94"]) for _ in range(9)
        ]
        data = b"".join(pieces)
        behind = generator.choice(
            [b"R", b"b", b"0", b"2", b"Q", b"\x93", b"cos\nsystem\n", b"a", b"s"]
        )
        assert inert.end_of_run(memoryview(data + behind), 0, len(data + behind)) == len(data)
    cut = memoryview(b"K\x01\x8c\x05abc")
    assert inert.end_of_run(cut, 0, len(cut)) == 2
    assert inert.end_of_run(memoryview(b"K\x01K\x01"), 0, 3) == 2


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 70_000])
@pytest.mark.parametrize("first", [0, 200, 256, 66_000])
def test_stored_entries_are_counted(count: int, first: int) -> None:
    out = io.BytesIO()
    for index in range(first, first + count):
        out.write(b"K\x01")
        out.write(b"q%c" % index if index < 256 else b"r" + index.to_bytes(4, "little"))
    data = memoryview(out.getvalue() + b"N")
    assert inert.memo_entries(data, 0, len(data), first) == (count, True)
    if count:
        assert inert.memo_entries(data, 0, len(data), first + 1) == (count, False)
    places = inert.stored_values(data, 0, len(data))
    assert len(places) == count
    assert all(data[place] == ord("K") for place in places)
