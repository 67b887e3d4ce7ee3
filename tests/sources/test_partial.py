from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.sources.partial import (
    BLOCK,
    Guarded,
    Watched,
    can_watch,
    holes,
    lacking,
    united,
)

PAGE = mmap.PAGESIZE
SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8).map(
    lambda pairs: [(min(p), max(p)) for p in pairs if p[0] != p[1]]
)
watching = pytest.mark.skipif(not can_watch(), reason="this system does not tell what was read")


def members(spans: object) -> set[int]:
    return {i for begin, end in spans for i in range(begin, end)}  # type: ignore[attr-defined]


@given(SPANS, SPANS)
def test_spans_are_sets_of_bytes(one: list[tuple[int, int]], two: list[tuple[int, int]]) -> None:
    there = united(one)
    missing = holes(40, there)
    assert members(there) == members(one)
    assert members(missing) == set(range(40)) - members(one)
    assert members(lacking(two, missing)) == members(two) - members(one)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(there))
    assert united(one, apart=40) == (() if not one else ((there[0][0], there[-1][1]),))


@contextlib.contextmanager
def watched(file: Path, present: tuple[tuple[int, int], ...]) -> Iterator[Watched]:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        with contextlib.closing(Watched(descriptor, file.stat().st_size, present)) as found:
            yield found
    finally:
        os.close(descriptor)


@watching
@pytest.mark.parametrize("seed", range(5))
def test_every_look_at_a_missing_page_is_known(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    blocks, rest = 12, chance.randrange(1, BLOCK)
    data = chance.randbytes(blocks * BLOCK + rest)
    there = united(
        (at * BLOCK, min((at + 1) * BLOCK, len(data)))
        for at in chance.sample(range(blocks + 1), chance.randrange(blocks + 1))
    )
    file = tmp_path / "file"
    with file.open("wb") as stream:
        stream.truncate(len(data))
        for begin, end in there:
            stream.seek(begin)
            stream.write(data[begin:end])
    expected = bytearray(len(data))
    for begin, end in there:
        expected[begin:end] = data[begin:end]
    with watched(file, there) as found:
        assert found.missed() == ()
        looked = set()
        for _ in range(40):
            begin = chance.randrange(len(data))
            end = min(begin + chance.choice([1, 2, 100, PAGE, 3 * PAGE]), len(data))
            assert found.view[begin:end] == expected[begin:end]
            looked |= set(range(begin // PAGE, -(-end // PAGE)))
        missing = holes(len(data), there)
        pages = {page for begin, end in missing for page in range(begin // PAGE, -(-end // PAGE))}
        assert {begin // PAGE for begin, _ in found.missed()} <= looked
        assert members((b // PAGE, -(-e // PAGE)) for b, e in found.missed()) == looked & pages
        with pytest.raises(TypeError):
            found.view[0] = 1


@watching
def test_the_view_outlives_what_watches_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * (3 * BLOCK))
    with watched(file, ((0, BLOCK),)) as found:
        view = found.view
    del found
    assert (view[0], view[BLOCK]) == (ord("x"), 0)


def test_who_reads_from_disk_cannot_read_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(100)))
    with Guarded(str(file), ((10, 20), (30, 100))) as found:
        found.seek(10)
        assert found.read(50) == bytes(range(10, 20))
        with pytest.raises(OSError, match="bytes from 20 on were not fetched"):
            found.read(1)
        found.seek(-5, os.SEEK_END)
        assert found.read() == bytes(range(95, 100))
