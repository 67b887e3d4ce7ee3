"""SentencePiece models are told from other protocol buffers, and read to their end."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.graphs import field, onnx_graph, onnx_model, onnx_node, paddle, saved_model
from poisonscan.finding import Gap
from poisonscan.formats.registry import identify
from poisonscan.formats.sentencepiece import SentencePiece
from poisonscan.limits import Budget, Limits
from poisonscan.sources.base import Blob


def piece(text: str, kind: int | None = None) -> bytes:
    """An entry of the vocabulary; ordinary ones have no kind."""
    score = b"\x15" + struct.pack("<f", -1.5)
    return field(1, field(1, text) + score + (field(3, kind) if kind else b""))


PIECES = piece("<unk>", 2) + piece("<s>", 3) + piece("\u2581a") + piece("b")
MODEL = PIECES + field(2, field(4, 8)) + field(3, field(1, "nmt_nfkc") + field(2, b"\0" * 64))


def blob(data: bytes, name: str = "tokenizer.model") -> Blob:
    return Blob(name, len(data), lambda: memoryview(data))


def opened(data: bytes, **limits: int) -> list[Any]:
    return list(SentencePiece().open(blob(data), memoryview(data), Budget(Limits(**limits))))


@pytest.mark.parametrize("name", ["tokenizer.model", "spiece.model", "x"])
@pytest.mark.parametrize("data", [MODEL, PIECES], ids=["whole", "only pieces"])
def test_a_model_is_recognised_by_its_content(name: str, data: bytes) -> None:
    (format_,) = identify(blob(data, name), memoryview(data))
    assert format_.name == "SentencePiece model"
    assert not any(isinstance(item, Gap) for item in opened(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n\n text",
        field(1, b""),
        field(1, field(1, "no score")),
        MODEL + field(6, "of no known field"),
        MODEL + b"\x80\x04.",
        onnx_model(onnx_graph(onnx_node("Relu"))),
        paddle(("relu", {})),
        saved_model(field(1, b"")),
    ],
)
def test_other_bytes_are_none(data: bytes) -> None:
    assert not SentencePiece().matches(blob(data), data[:4096])


@pytest.mark.parametrize("end", [len(MODEL) - 1, len(MODEL) - 70])
def test_a_model_that_is_cut_short_is_a_gap(end: int) -> None:
    assert any(isinstance(item, Gap) for item in opened(MODEL[:end]))


def test_what_stands_behind_the_fields_that_are_looked_at_is_a_gap() -> None:
    assert any(isinstance(item, Gap) for item in opened(MODEL + field(99, "x")))


def test_a_pickle_behind_a_model_is_found() -> None:
    data = MODEL + b"\x80\x04cos\nsystem\n."
    assert not SentencePiece().matches(blob(data), data[:4096])


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda tail: PIECES + tail))
def test_any_bytes_are_read(data: bytes) -> None:
    SentencePiece().matches(blob(data), data[:4096])
    opened(data)
