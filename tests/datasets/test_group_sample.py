"""Samples from some row groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from poisonscan.datasets.group_sample import FEW, MANY, ROOM, choose
from tests.datasets.files import only, write

if TYPE_CHECKING:
    from pathlib import Path

    from poisonscan.datasets.shards import Shard

ROWS = [{"text": f"text number {i} of many", "label": i % 2} for i in range(4_000)]


@pytest.fixture
def shards(tmp_path: Path) -> tuple[Shard, ...]:
    write(tmp_path / "a-0.parquet", ROWS, row_group_size=50)
    write(tmp_path / "a-1.parquet", ROWS[:1_000], row_group_size=100)
    return only(tmp_path).shards


def _names(shards: tuple[Shard, ...]) -> list[tuple[str, object, int, int | None]]:
    return [(shard.path, shard.groups, shard.start, shard.rows) for shard in shards]


def test_groups_are_enough_and_each_is_in_its_place(shards: tuple[Shard, ...]) -> None:
    few = choose(shards, 10, 0, first=True)
    assert (len(few.shards), few.count) == (MANY, 90)
    assert few.rows == sum(shard.rows or 0 for shard in few.shards)
    assert few.shards[0].groups == (0,)
    for shard in few.shards:
        assert shard.groups is not None
        assert shard.rows == (100 if "a-1" in shard.path else 50)
        assert shard.start == shard.groups[0] * (shard.rows or 0)
    assert _names(few.shards) == sorted(_names(few.shards), key=lambda each: (each[0], each[2]))
    many = choose(shards, 1_000, 0, first=True)
    assert ROOM * 1_000 <= many.rows < ROOM * 1_000 + 100
    every = choose(shards, 4_000, 0, first=True)
    assert (len(every.shards), every.rows) == (90, 5_000)


def test_large_groups_are_enough_sooner(
    shards: tuple[Shard, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poisonscan.datasets.group_sample.LARGE", 1)
    assert len(choose(shards, 10, 0, first=True).shards) == FEW


def test_chance_follows_the_seed_and_not_the_parts(shards: tuple[Shard, ...]) -> None:
    at_once = choose(shards, 500, 7, first=False)
    alone = [shard for one in shards for shard in choose([one], 10_000, 7, first=False).shards]
    assert _names(choose(alone, 500, 7, first=False).shards) == _names(at_once.shards)
    assert _names(choose(shards, 500, 8, first=False).shards) != _names(at_once.shards)
    # Over many seeds, every group is chosen about as often.
    count = dict.fromkeys([(name[0], name[1]) for name in _names(tuple(alone))], 0)
    for seed in range(150):
        for shard in choose(alone, 10, seed, first=False).shards:
            count[shard.path, shard.groups] += 1
    expected = 150 * MANY / 90
    assert all(expected / 3 < times < expected * 2.2 for times in count.values())
