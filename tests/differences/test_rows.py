from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets import spill
from poisonscan.datasets.spill import Records
from poisonscan.differences.rows import _SIDE, NAMED, RowChanges, compare, place_of

ROW = st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 1))
"""Content, label and split."""
Row = tuple[int, int, int]


def records(old: list[Row], new: list[Row], scratch: str = "") -> Records:
    """The shard of a row is its split."""
    made = Records(4)
    made.use_scratch(scratch)
    for side, rows in enumerate((old, new)):
        table = [
            (content << 58, content, label, split << 40 | number | side * _SIDE)
            for number, (content, label, split) in enumerate(rows)
        ]
        made.add(np.array(table, np.uint64).reshape(-1, 4))
    return made


def changes(old: list[Row], new: list[Row]) -> RowChanges:
    return compare(records(old, new), (np.arange(2), np.arange(2)))


@given(st.lists(ROW, max_size=25), st.lists(ROW, max_size=25))
def test_every_row_is_accounted_for(old: list[Row], new: list[Row]) -> None:
    found = changes(old, new)
    before, now = Counter(old), Counter(new)
    lost, won = before - now, now - before
    paired = found.relabelled.total() + found.moved
    assert found.removed + paired == lost.total()
    assert found.added + paired == won.total()
    # As many rows of a content as there may be are told as the same row.
    contents = Counter(row[0] for row in lost.elements()) & Counter(
        row[0] for row in won.elements()
    )
    assert paired == contents.total()
    same = Counter(row[:2] for row in lost.elements()) & Counter(row[:2] for row in won.elements())
    assert found.moved == same.total()
    assert all(was != label for was, label in found.relabelled)
    for place in found.first_removed:
        assert old[place_of(place)[1]] in lost
    for place in found.first_added:
        assert new[place_of(place)[1]] in won
    for was, label in found.first_relabelled:
        one, other = old[place_of(was)[1]], new[place_of(label)[1]]
        assert (one[0], one in lost, other in won) == (other[0], True, True)
        assert found.relabelled[one[1], other[1]]


@given(st.permutations([(c, c % 3, c % 2) for c in range(6)] * 3))
def test_order_does_not_count(rows: list[Row]) -> None:
    assert changes([(c, c % 3, c % 2) for c in range(6)] * 3, rows) == RowChanges()


def test_more_rows_than_are_named() -> None:
    old = [(0, 0, 0)] * 5_000
    found = changes(old, [(0, 1, 0)] * 4_000)
    assert found.relabelled == {(0, 1): 4_000}
    assert (found.removed, found.added) == (1_000, 0)
    assert NAMED <= len(found.first_relabelled) <= 2 * NAMED
    assert len(found.first_removed) == NAMED


def test_rows_that_do_not_fit_into_memory(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    old = [(int(c), int(c) % 3, 0) for c in rng.integers(0, 50, 600)]
    new = [*old[10:], (5, 9, 0)]
    expected = changes(old, new)
    monkeypatch.setattr(spill, "MEMORY", 1_000)
    monkeypatch.setattr(spill, "PART", 4_000)
    made = records(old, new, str(tmp_path_factory.mktemp("scratch")))
    assert len(made.parts()) > 1
    found = compare(made, (np.arange(2), np.arange(2)))
    assert (found.added, found.removed, found.relabelled) == (
        expected.added, expected.removed, expected.relabelled,
    )  # fmt: skip
