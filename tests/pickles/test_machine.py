from __future__ import annotations

import collections
import datetime as dt
import decimal
import io
import pickle
import pickletools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.pickles import events
from poisonscan.pickles.machine import Machine
from poisonscan.pickles.opcodes import HANDLERS
from poisonscan.pickles.values import Collection, Global, Long, Result, expression

PROTOCOLS = range(6)


def run(data: bytes, start: int = 0, **limits: int) -> list[events.Event]:
    return list(Machine(memoryview(data), start, Budget(Limits(**limits))).run())


def only(data: bytes, kind: type[events.Event]) -> list[Any]:
    return [event for event in run(data) if isinstance(event, kind)]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=25,
)


def test_every_opcode_is_known() -> None:
    for opcode in pickletools.opcodes:
        assert HANDLERS[ord(opcode.code)].__name__ != "_unknown", opcode.name


@given(plain, st.sampled_from(PROTOCOLS))
def test_plain_data_ends_where_pickletools_says_and_does_nothing(value: Any, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    *before, last = run(data + b"behind the end")
    # Protocols before 3 have no bytes and write them as a call of an encoder.
    imported = {event.target.dotted for event in before if isinstance(event, events.Import)}
    assert imported <= {"_codecs.encode", "builtins.bytes", "builtins.bytearray"}
    assert protocol < 5 or not before
    assert isinstance(last, events.Stop)
    assert last.offset == len(data) - 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "names"),
    [
        (collections.OrderedDict(a=1), {"collections.OrderedDict"}),
        (dt.date(2020, 1, 2), {"datetime.date"}),
        (decimal.Decimal("1.5"), {"decimal.Decimal"}),
        (io.StringIO, {"_io.StringIO"}),
    ],
)
def test_imports_of_real_objects(value: object, names: set[str], protocol: int) -> None:
    found = {event.target.dotted for event in only(pickle.dumps(value, protocol), events.Import)}
    assert names <= found


class Payload:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, ("true",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_call_is_seen_with_its_arguments(protocol: int) -> None:
    calls = only(pickle.dumps(Payload(), protocol), events.Call)
    shown = [expression(Result(call.callee, call.arguments)) for call in calls]
    assert any(text in ("posix.system('true')", "nt.system('true')") for text in shown)


@pytest.mark.parametrize(
    ("data", "opcode"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "REDUCE"),
        (b"(S'true'\nios\nsystem\n.", "INST"),
        (b"(cos\nsystem\nS'true'\no.", "OBJ"),
        (b"\x80\x02cos\nsystem\n\x8c\x04true\x85\x81.", "NEWOBJ"),
        (b"\x80\x04cos\nsystem\n\x8c\x04true\x85}\x92.", "NEWOBJ_EX"),
        (b"cos\nsystem\n(S'true'\ntR0N.", "REDUCE"),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x04true\x85R.", "REDUCE"),
        (b"\x80\x04\x8c\x02os\x942h\x001\x8c\x06system\x93)R.", ""),
    ],
)
def test_every_way_to_call(data: bytes, opcode: str) -> None:
    calls = only(data, events.Call)
    if not opcode:
        assert isinstance(run(data)[-1], events.Broken)
        return
    assert [call.opcode for call in calls] == [opcode]
    assert calls[0].callee == Global("os", "system")


def test_names_of_python_2_are_those_that_python_3_imports() -> None:
    (found,) = only(b"c__builtin__\neval\n.", events.Import)
    assert found.target == Global("builtins", "eval")
    assert found.written == Global("__builtin__", "eval")


def test_the_result_of_a_call_is_opaque() -> None:
    first, second = only(b"cbuiltins\ngetattr\n(S'a'\nS'b'\ntR(S'true'\ntR.", events.Call)
    assert first.callee == Global("builtins", "getattr")
    assert isinstance(second.callee, Result)


def test_a_computed_name_is_no_import() -> None:
    (found,) = only(b"\x80\x04\x8c\x02osK\x01\x93.", events.ComputedImport)
    assert found.name == 1


def test_changes_of_globals_are_seen() -> None:
    assert only(b"csys\nmodules\nS'a'\nS'b'\ns.", events.Change)
    assert only(b"csys\npath\nS'a'\na.", events.Change)
    assert only(b"cnumpy\nsize\n}b.", events.Build)
    assert not only(b"}S'a'\nS'b'\ns.", events.Change)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x80\x04\x95\x02\0\0\0\0\0\0\0\x8c\x03abc.", "end of its frame"),
        (b"\x80\x04\x95\x0c\0\0\0\0\0\0\0\x95\x01\0\0\0\0\0\0\0N0N.", "inside another frame"),
        (b"\x80\x04\x95\xff\0\0\0\0\0\0\0N.", "beyond STOP"),
        (b"N0\x80\x04N.", "PROTO inside"),
        (b"cos\r\nsystem\r\n.", "white space"),
    ],
)
def test_what_no_writer_emits_is_irregular(data: bytes, what: str) -> None:
    assert any(what in event.what for event in only(data, events.Irregular))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_honest_pickles_are_regular(protocol: int) -> None:
    big = [b"x" * 100_000, "y" * 100_000, list(range(30_000)), {"k": bytearray(70_000)}]
    assert not only(pickle.dumps(big, protocol), events.Irregular)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"N",
        b"\x80\x09.",
        b"\xff",
        b"0.",
        b"t.",
        b"h\x05.",
        b"X\xff\xff\xff\xff.",
        b"cos\n",
        b"Iabc",
        b"S.\n",
    ],
)
def test_broken_streams_say_so(data: bytes) -> None:
    assert isinstance(run(data)[-1], events.Broken)


def test_what_came_before_the_break_is_kept() -> None:
    found = run(b"cos\nsystem\n(S'true'\ntR\xff")
    assert [type(event) for event in found] == [events.Import, events.Call, events.Broken]


def test_long_arguments_are_not_copied() -> None:
    data = pickle.dumps("x" * 1_000_000)
    stop = run(data)[-1]
    assert isinstance(stop, events.Stop)
    assert stop.value == Long("text", data.index(b"xxxx"), 1_000_000, b"x" * 80)


@pytest.mark.parametrize(
    ("data", "limit"),
    [(b"N0" * 100, {"opcodes": 50}), (b"N" * 100, {"stack": 50}), (b"(" * 100, {"stack": 50})],
)
def test_limits_end_the_reading(data: bytes, limit: dict[str, int]) -> None:
    with pytest.raises(LimitReached):
        run(data, **limit)


def test_collections_remember_little_and_count_all() -> None:
    stop = run(pickle.dumps(list(range(10_000))))[-1]
    assert isinstance(stop, events.Stop)
    assert isinstance(stop.value, Collection)
    assert stop.value.count == 10_000
    assert len(stop.value.items) <= 1_000


@settings(max_examples=400)
@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_event(data: bytes) -> None:
    assert isinstance(run(data)[-1], events.Stop | events.Broken)


def test_a_cycle_can_be_shown() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    stop = run(pickle.dumps(cycle))[-1]
    assert isinstance(stop, events.Stop)
    assert len(expression(stop.value)) < 200


@pytest.mark.parametrize(
    "line",
    [
        b"S'" + b"A" * 9000 + b"'\n",
        b"V" + b"A" * 9000 + b"\n",
        b"I" + b"9" * 9000 + b"\n",
        b"L" + b"9" * 9000 + b"L\n",
        b"F1." + b"0" * 9000 + b"\n",
    ],
)
def test_a_payload_behind_a_long_line_is_seen(line: bytes) -> None:
    assert [call.callee for call in only(line + b"0cos\nsystem\n(tR.", events.Call)] == [
        Global("os", "system")
    ]
