"""Structs of the compact protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets.thrift import Compact, ShortError, integer, structure

STRUCT = bytes([
    0x15, 0x0E,  # 1: i32 7
    0x28, 0x02, 0x61, 0x62,  # 3: two bytes
    0x11,  # 4: true
    0x19, 0x36, 0x01, 0x02, 0x03,  # 5: list of i64 -1, 1, -2
    0x0C, 0x28, 0x15, 0x80, 0x01, 0x00,  # 20: struct with 1: i32 64
    0x00,
])  # fmt: skip


def test_a_struct() -> None:
    reader = Compact(STRUCT + b"rest")
    fields = reader.struct()
    assert fields == {1: 7, 3: None, 4: True, 5: [-1, 1, -2], 20: {1: 64}}
    assert reader.place == len(STRUCT)
    assert (integer(fields, 1), integer(fields, 2)) == (7, 0)
    assert (structure(fields, 20), structure(fields, 2)) == ({1: 64}, {})
    with pytest.raises(ValueError, match="no sense"):
        integer(fields, 5)
    with pytest.raises(ValueError, match="no sense"):
        structure(fields, 1)


@pytest.mark.parametrize("size", range(len(STRUCT)))
def test_a_struct_that_is_cut_off(size: int) -> None:
    with pytest.raises(ShortError):
        Compact(STRUCT[:size]).struct()


@pytest.mark.parametrize(
    "data", [b"\x1c" * 10_000, b"\x19\x19" * 10_000, b"\x1e\x00", b"\x15" + b"\xff" * 50 + b"\0"]
)
def test_hostile_structs(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"nested|no sense|too long"):
        Compact(data).struct()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_struct_or_an_error(data: bytes) -> None:
    reader = Compact(data)
    try:
        reader.struct()
    except ValueError:
        return
    assert reader.place <= len(data)
