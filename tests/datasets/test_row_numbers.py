"""Rows as numbers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets.row_numbers import located, numbered

_PLACES = st.lists(st.tuples(st.integers(0, 2**23 - 1), st.integers(0, 2**40 - 1)))


@given(_PLACES)
def test_numbers_keep_shard_position_and_their_order(places: list[tuple[int, int]]) -> None:
    table = np.array(sorted(places), np.int64).reshape(-1, 2)
    numbers = numbered(table[:, 0], table[:, 1])
    assert (located(numbers) == table).all()
    assert (located(numbers.astype(np.uint64)) == table).all()
    assert (np.diff(numbers) >= 0).all()
    assert [numbered(*row) for row in table.tolist()] == numbers.tolist()
