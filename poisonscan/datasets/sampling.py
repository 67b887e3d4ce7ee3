"""Looking at a part of the rows only: the first ones, or some chosen at random.

Whether a row is chosen follows from the seed, its file and its place there alone, by a hash
(SplitMix64: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014):
neither the number of workers nor the size of batches changes the choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import xxhash

from poisonscan.datasets.errors import DatasetError, OptionError
from poisonscan.datasets.group_sample import choose, is_fetched_in_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.shards import DatasetOptions, Shard

_STRIDE = 1 << 20
"""Rows that are hashed at once."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of a shard chosen by chance.

    Attributes:
        share: of all rows, 0 to 1.
        key: of the seed and the file, 0 to 2**64 - 1.
        start: row of the file that is the first of the shard.
    """

    share: float
    key: int
    start: int = 0

    def mask(self, first: int, size: int) -> NDArray[np.bool_]:
        """Whether rows of the shard are chosen, of shape (size,), from row ``first`` on."""
        begin = self.start + first
        rows = np.arange(begin, begin + size, dtype=np.uint64) + np.uint64(1)
        state = np.uint64(self.key) + rows * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
        # Of 64 bits the upper 53 fit into a float exactly.
        chosen: NDArray[np.bool_] = (state >> np.uint64(11)) < self.share * 2.0**53
        return chosen

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the shard by their places among the chosen ones.

        Args:
            places: ``int64`` of shape (n,), 0 for the first row that is chosen.
        """
        out = np.zeros(len(places), np.int64)
        first = seen = 0
        most = int(places.max(initial=-1))
        while seen <= most:
            found = np.flatnonzero(self.mask(first, _STRIDE))
            here = (places >= seen) & (places < seen + len(found))
            out[here] = first + found[places[here] - seen]
            first, seen = first + _STRIDE, seen + len(found)
        return out


def chosen(
    tables: Iterator[tuple[int, pa.RecordBatch]], shard: Shard
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Of the rows of a shard those to be looked at, numbered without the others."""
    dense = 0
    for start, table in tables:
        kept = table
        if shard.limit is not None:
            kept = kept.slice(0, max(0, shard.limit - start))
        number = start
        if shard.sample is not None:
            rows = np.flatnonzero(shard.sample.mask(start, kept.num_rows))
            kept, number = kept.take(pa.array(rows)), dense
            dense += len(rows)
        if kept.num_rows:
            yield number, kept
        if shard.limit is not None and start + table.num_rows >= shard.limit:
            return


def limited(dataset: Dataset, options: DatasetOptions) -> Dataset:
    """A dataset with as many rows as the user wants to have looked at, and saying so.

    Raises:
        OptionError: activations are given as well, which belong to all rows.
    """
    if options.max_rows is None and options.sample is None:
        return dataset
    if options.activations is not None:
        message = "activations belong to all rows: neither --sample nor --max-rows goes with them"
        raise OptionError(message)
    said: list[str] = []
    if options.max_rows is not None:
        dataset = _first(dataset, options.max_rows, said)
    if options.sample is not None:
        dataset = _sampled(dataset, options.sample, options.seed, said)
    if not said:
        return dataset
    return replace(dataset, partial="; ".join(said))


def _first(dataset: Dataset, most: int, said: list[str]) -> Dataset:
    kept: list[Shard] = []
    rows = 0
    for shard in dataset.shards:
        if rows >= most:
            break
        here = _rows(shard)
        left = most - rows
        kept.append(shard if here <= left else _shortened(shard, left))
        rows += min(here, left)
    if kept == list(dataset.shards):
        return dataset
    said.append(f"only the first {rows:,} rows were looked at")
    return replace(dataset, shards=tuple(kept))


def _shortened(shard: Shard, rows: int) -> Shard:
    if shard.layout is None:
        return replace(shard, files=shard.files[:rows], labels=shard.labels[:rows], rows=rows)
    return replace(shard, limit=rows, rows=rows)


def _sampled(dataset: Dataset, wanted: int, seed: int, said: list[str]) -> Dataset:
    counts = [_rows(shard) for shard in dataset.shards]
    total = sum(counts)
    if wanted >= total:
        return dataset
    text = (
        f"only about {wanted:,} of {total:,} rows, chosen at random (seed {seed}), were looked at"
    )
    if is_fetched_in_parts(dataset.shards) and not any(shard.limit for shard in dataset.shards):
        kept, chosen, count = _of_groups(dataset.shards, counts, wanted, seed)
        text += (
            f", from {chosen:,} of {count:,} row groups: only these were fetched (--download lets "
            "all rows have the same chance)"
        )
    else:
        kept = [_some(shard, wanted / total, seed) for shard in dataset.shards]
    said.append(text)
    return replace(dataset, shards=tuple(kept))


def _of_groups(
    shards: Sequence[Shard], counts: Sequence[int], wanted: int, seed: int
) -> tuple[list[Shard], int, int]:
    """Rows of some row groups of each split; how many groups, and of how many."""
    kept: list[Shard] = []
    count = 0
    for split in dict.fromkeys(shard.split for shard in shards):
        own = [n for n, shard in enumerate(shards) if shard.split == split]
        part = wanted * sum(counts[n] for n in own) / sum(counts)
        groups = choose([shards[n] for n in own], math.ceil(part), seed, first=own[0] == 0)
        share = min(1.0, part / max(groups.rows, 1))
        kept += [_some(shard, share, seed) for shard in groups.shards]
        count += groups.count
    return kept, len(kept), count


def _some(shard: Shard, share: float, seed: int) -> Shard:
    if shard.layout is None:
        return _some_files(shard, share, seed)
    sample = Sample(share, _key(seed, shard.path), shard.start)
    return replace(shard, sample=sample, rows=None)


def _some_files(shard: Shard, share: float, seed: int) -> Shard:
    picked = [
        i
        for i, file in enumerate(shard.files)
        if Sample(share, _key(seed, file.path)).mask(0, 1)[0]
    ]
    return replace(
        shard,
        files=tuple(shard.files[i] for i in picked),
        labels=tuple(shard.labels[i] for i in picked) if shard.labels else (),
        rows=len(picked),
    )


def _key(seed: int, path: str) -> int:
    return xxhash.xxh3_64_intdigest(path.encode("utf-8", "surrogatepass"), seed)


def _rows(shard: Shard) -> int:
    """Rows of a shard, counted where that is not known; of one that cannot be read, none."""
    from poisonscan.datasets.tables import count

    if shard.rows is not None or shard.layout is None:
        return len(shard.files) if shard.layout is None else shard.rows or 0
    try:
        return count(shard.files[0], shard.layout, shard.part)
    except DatasetError:
        return 0
