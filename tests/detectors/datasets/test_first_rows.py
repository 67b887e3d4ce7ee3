from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.detectors.datasets.first_rows import FirstRows

ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 99)), max_size=30)


@given(st.lists(ROWS, max_size=6), st.integers(1, 40))
def test_they_are_the_first_in_any_order(parts: list[list[tuple[int, int]]], limit: int) -> None:
    first = FirstRows(limit)
    for part in parts:
        first.add(np.array(part, np.int64).reshape(-1, 2))
    every = sorted(row for part in parts for row in part)
    assert list(map(tuple, first.all().tolist())) == every[:limit]
    assert list(map(tuple, first.all().tolist())) == every[:limit]


def test_memory_is_bounded() -> None:
    first = FirstRows(1_000)
    rng = np.random.default_rng(0)
    for _ in range(200):
        first.add(rng.integers(0, 1_000_000, (500, 2)))
        assert sum(map(len, first._parts)) <= 1_000 + 2 * 4_096
