"""TensorBoard's logs are told by their first record, and read to their end."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.finding import Gap
from poisonscan.formats.registry import identify
from poisonscan.formats.tensorboard import Events
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.sources.base import Blob

NAME = "events.out.tfevents.1700000000.host.1.0"


def record(content: bytes) -> bytes:
    return struct.pack("<QI", len(content), 7) + content + b"\x01\x02\x03\x04"


TIME = b"\x09" + struct.pack("<d", 1.7e9)
LOG = record(TIME + b"\x1a\x0dbrain.Event:2") + record(TIME + b"\x10\x01") * 3


def opened(data: bytes, **limits: int) -> list[Any]:
    blob = Blob(NAME, len(data), lambda: memoryview(data))
    return list(Events().open(blob, memoryview(data), Budget(Limits(**limits))))


def test_a_log_is_recognised_and_has_no_gap() -> None:
    blob = Blob(NAME, len(LOG), lambda: memoryview(LOG))
    assert [format_.name for format_ in identify(blob, memoryview(LOG))] == ["TensorBoard log"]
    assert not any(isinstance(item, Gap) for item in opened(LOG))


@pytest.mark.parametrize(
    "data",
    [LOG[:-1], LOG + b"\x80\x04.", LOG + struct.pack("<QI", 1 << 63, 0), LOG + b"\xff" * 12],
)
def test_what_is_no_record_is_a_gap(data: bytes) -> None:
    assert any(isinstance(item, Gap) for item in opened(data))


def test_very_many_records_reach_the_limit() -> None:
    with pytest.raises(LimitReached):
        opened(LOG + record(b"") * 200, fields=100)


@given(st.binary(max_size=200))
def test_any_bytes_are_read(tail: bytes) -> None:
    opened(tail)
    opened(LOG + tail)
