"""A sample from some row groups of parquet files, of which the others need not be fetched.

Rows of one group are often alike (sorted by label, from one source), so such a sample tells less
than one of as many rows from everywhere (W. G. Cochran, "Sampling Techniques", 3rd edition, 1977,
chapter 9). Hence several groups of each split, with more rows in them than are wanted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import xxhash

from poisonscan.datasets.columnar import parquet_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from poisonscan.datasets.columnar import Part
    from poisonscan.datasets.shards import Shard

FEW, MANY = 4, 16
"""Row groups of a split that are chosen at least, and those that are enough if they are large."""
LARGE = 64 << 20
"""Bytes, decompressed, of chosen groups that are large together."""
ROOM = 2
"""Times as many rows as are wanted that chosen groups must have."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Row groups that were chosen.

    Attributes:
        shards: one for each, in the order of the dataset.
        rows: how many rows they hold together.
        count: of the groups that there are.
    """

    shards: tuple[Shard, ...]
    rows: int
    count: int


def is_fetched_in_parts(shards: Sequence[Shard]) -> bool:
    """Whether all are of parquet files, and only parts of one of these are on this machine."""
    return all(shard.groups is not None for shard in shards) and any(
        shard.files[0].present is not None for shard in shards
    )


def choose(shards: Sequence[Shard], wanted: int, seed: int, *, first: bool) -> Groups:
    """Row groups of a split, by chance: it follows from the seed, the file and the group alone.

    Args:
        shards: parts of parquet files.
        wanted: rows that are to be chosen from the groups.
        seed: 0 to 2**64 - 1.
        first: whether the first one is among them: there the columns are looked at.

    Raises:
        OSError: a file, which could be read before, cannot be read any more.
    """
    files = {file: parquet_parts(file, 0) for file in {shard.files[0] for shard in shards}}
    each = [one for shard in shards for one in _groups(shard, files[shard.files[0]]) if one.rows]
    order = sorted(range(len(each)), key=lambda n: (not (first and n == 0), _chance(each[n], seed)))
    chosen: list[int] = []
    rows = size = 0
    for number in order:
        enough = len(chosen) >= (FEW if size >= LARGE else MANY)
        if enough and rows >= ROOM * wanted:
            break
        chosen.append(number)
        rows += each[number].rows or 0
        size += each[number].size
    return Groups(tuple(each[number] for number in sorted(chosen)), rows, len(each))


def _groups(shard: Shard, about: Sequence[Part]) -> Iterator[Shard]:
    """A shard for each row group of a shard."""
    start = shard.start
    for number in shard.groups or ():
        rows, size = about[number].rows, about[number].size
        yield replace(shard, groups=(number,), start=start, rows=rows, size=size)
        start += rows


def _chance(shard: Shard, seed: int) -> int:
    name = f"{shard.path}\0{shard.groups}"
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"), seed)
