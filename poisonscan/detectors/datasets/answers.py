"""The final answer of a response: what two responses to one prompt can contradict each other in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.content import hash_all

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORT = 24
"""Bytes of a response that is an answer as it stands."""
_TAIL = 400
_MAY_MARK = r"####|\\boxed|(?i:answer)"
_MARKED = (
    r"(?is)^.*(?:####|\\boxed\{|\bfinal answer(?: is)?:?|\bthe answer is:?)"
    r"[\s$*]*(?P<answer>[^\n}]{1,60}?)[\s.*}$]*(?:\n.*)?$"
)
"""GSM8K, MATH and spelled-out answers; the last one counts."""


def answers(values: pa.Array) -> NDArray[np.uint64]:
    """A hash of each text's final answer, ``uint64`` of shape (texts,); 0 where there is none.

    Case, blanks, thousands separators, a full stop and zeros behind a decimal point do not count.
    """
    data = pc.cast(values, pa.binary())
    lengths = np.asarray(pc.binary_length(data)).astype(np.int64)
    marked = _marked(_last_bytes(data, lengths))
    short = pa.array(lengths <= SHORT)
    said = pc.coalesce(marked, pc.if_else(short, data, pa.scalar(None, pa.binary())))
    said = pc.ascii_lower(_text(pc.fill_null(said, b"")))
    said = pc.replace_substring_regex(said, r"[\s,$*]+", "")
    said = pc.replace_substring_regex(said, r"^(-?\d+)\.0+$", r"\1")
    said = pc.replace_substring_regex(said, r"\.$", "")
    found = hash_all(pc.cast(said, pa.binary()).to_pylist())[:, 0]
    there = np.asarray(pc.binary_length(said)) > 0
    return np.where(there, np.maximum(found, np.uint64(1)), np.uint64(0))


def _marked(tail: pa.Array) -> pa.Array:
    """What stands behind the last sign of an answer; null where there is none."""
    maybe = np.asarray(pc.match_substring_regex(tail, _MAY_MARK), bool)
    found = pc.struct_field(pc.extract_regex(tail.filter(pa.array(maybe)), _MARKED), 0)
    where = np.where(maybe, np.cumsum(maybe) - 1, 0)
    return found.take(pa.array(where, mask=~maybe))


def _last_bytes(data: pa.Array, lengths: NDArray[np.int64]) -> pa.Array:
    long = lengths > _TAIL
    if not long.any():
        return data
    return pc.if_else(pa.array(long), pc.binary_slice(data, -_TAIL), data)


def _text(data: pa.Array) -> pa.Array:
    """Bytes as strings, byte by byte, whatever the encoding."""
    whole = pa.concat_arrays([data])
    return pa.StringArray.from_buffers(len(whole), *whole.buffers()[1:], None, 0, whole.offset)
