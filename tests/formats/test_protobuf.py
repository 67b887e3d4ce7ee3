from __future__ import annotations

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.graphs import field, varint
from poisonscan.formats import protobuf as pb
from poisonscan.limits import Budget, LimitReached, Limits


def read(data: bytes) -> list[pb.Field]:
    return list(pb.fields(memoryview(data), pb.Message(0, len(data))))


def test_each_wire_type_is_read() -> None:
    data = (
        field(1, 300)
        + field(2, b"abc")
        + varint(3 << 3 | 1) + struct.pack("<d", 1.5)
        + varint(4 << 3 | 5) + struct.pack("<f", 1.5)
    )  # fmt: skip
    found = read(data)
    assert [(f.number, f.wire, f.value) for f in found] == [
        (1, 0, 300), (2, 2, 0), (3, 1, 0), (4, 5, 0),
    ]  # fmt: skip
    assert pb.text(memoryview(data), found[1]) == "abc"


def test_groups_are_stepped_over() -> None:
    data = varint(5 << 3 | 3) + field(1, 7) + varint(5 << 3 | 4) + field(2, 8)
    assert [f.number for f in read(data)] == [2]


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a length of 2^63
        b"\x0a\x80\x80\x80\x80\x08x",  # of 2^31
        b"\x08" + b"\x80" * 11,  # a varint that does not end
        b"\x00\x00",  # field 0
        b"\x0e",  # wire type 6
        b"\x0c",  # the end of a group that did not begin
        b"\x0b",  # a group that does not end
        b"\x0b\x14",  # that ends as another
        b"\x09\0\0",  # a cut 64-bit number
        b"\x0b" * 101,
    ],
)
def test_what_does_not_fit_is_refused(data: bytes) -> None:
    with pytest.raises(pb.ProtobufError):
        read(data)


def test_a_number_is_no_message() -> None:
    with pytest.raises(pb.ProtobufError):
        _ = read(field(1, 1))[0].message


def test_fields_are_counted_against_the_budget() -> None:
    data = field(1, 1) * 100
    with pytest.raises(LimitReached):
        list(pb.fields(memoryview(data), pb.Message(0, 200), Budget(Limits(fields=50))))


def test_packed_numbers_are_read() -> None:
    data = field(1, varint(1) + varint(300))
    assert list(pb.numbers(memoryview(data), read(data)[0])) == [1, 300]
    assert pb.signed((1 << 64) - 1) == -1


def test_a_file_of_another_schema_has_no_shape() -> None:
    view = memoryview(field(1, 1) + field(2, b"x"))
    assert set(pb.shape(view, {1: pb.VARINT, 2: pb.BYTES}) or ()) == {1, 2}
    assert pb.shape(view, {1: pb.VARINT}) is None
    assert pb.shape(memoryview(bytes(view) + b"\x0a\x09"), {1: 0, 2: 2}) is None


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        spans = [(f.start, f.end) for f in read(data)]
    except pb.ProtobufError:
        return
    assert all(start <= end <= len(data) for start, end in spans)


def test_time_is_linear_in_the_size() -> None:
    data = memoryview(field(1, b"x") * 200_000)
    begin = time.process_time()
    assert sum(1 for _ in pb.fields(data, pb.Message(0, len(data)))) == 200_000
    assert time.process_time() - begin < 10
