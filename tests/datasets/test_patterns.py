"""Many expressions at once: what is said to end somewhere does, and nothing is left out."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from poisonscan.datasets import patterns
from poisonscan.datasets.patterns import Patterns

PATTERNS = Patterns(
    {"one": b"ab+", "two": rb"(?i:a[^b]{0,2}c|\xc3\xa9)", "three": rb"\s\w{3,}=", "none": b"zzz"}
)


def as_array(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)


@given(
    st.lists(st.sampled_from(["a", "b", "C", " ", "é", "=", "wx1", "\0"]), max_size=40),
    st.sampled_from([1, 7, patterns._PIECE]),
)
def test_ends_of_all_matches(parts: list[str], piece: int) -> None:
    data = "".join(parts).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patterns, "_PIECE", piece)
        found = PATTERNS.find(as_array(data))
    assert list(found) == list(PATTERNS.expressions)
    for name, expression in PATTERNS.expressions.items():
        pattern = re.compile(expression)
        every = {
            end - 1
            for end in range(len(data) + 1)
            for start in range(end)
            if pattern.fullmatch(data, start, end)
        }
        assert found[name].tolist() == sorted(every)


def test_threads_search_at_the_same_time() -> None:
    data = as_array(b"ab " * 100_000)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: len(PATTERNS.find(data)["one"]), range(16)))
    assert found == [100_000] * 16
