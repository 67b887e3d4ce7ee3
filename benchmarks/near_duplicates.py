"""Near duplicates of text: speed to bands, recall and precision, and grouping on disk.

* ``speed``: documents per CPU-second from text to bands, for documents of about 2 kB and for lines.
* ``quality``: pairs found and pairs confirmed against all pairs of similarity .7 and more, by sets.
* ``grouping``: 100 million band keys grouped in this process, with its peak memory; under a limit
  where one is given, as with ``prlimit --as=2147483648 python benchmarks/near_duplicates.py``.

    OMP_NUM_THREADS=1 python benchmarks/near_duplicates.py [speed|quality|grouping] [SIZE]
"""

from __future__ import annotations

import resource
import sys
import sysconfig
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Labels, Role, Texts
from poisonscan.datasets.minhash import BANDS, bands
from poisonscan.datasets.shingles import shingles
from poisonscan.datasets.spill import Records
from poisonscan.detectors.datasets.candidates import choose
from poisonscan.detectors.datasets.text_bands import TextBands
from poisonscan.detectors.datasets.text_sketches import Members, TextSketches

THRESHOLD = 0.7


def lines() -> list[str]:
    """Lines of the standard library: code and English."""
    folder = Path(sysconfig.get_path("stdlib"))
    found = [
        line.strip()
        for path in sorted(folder.glob("*.py"))
        for line in path.read_text("utf-8", "replace").splitlines()
    ]
    return sorted({line for line in found if len(line) > 20})


def documents(count: int, each: int, seed: int = 0) -> list[str]:
    """Texts of ``each`` lines drawn at random."""
    rng, known = np.random.default_rng(seed), np.array(lines(), object)
    return [" ".join(row) for row in known[rng.integers(len(known), size=(count, each))]]


def edited(texts: list[str], rates: tuple[float, ...], seed: int = 1) -> list[str]:
    """A copy of each text with words replaced, at rates that are taken in turn."""
    rng, copies = np.random.default_rng(seed), []
    for number, text in enumerate(texts):
        words = text.split()
        for place in np.flatnonzero(rng.random(len(words)) < rates[number % len(rates)]):
            words[place] = f"edit{rng.integers(1_000)}"
        copies.append(" ".join(words))
    return copies


def speed(count: int) -> None:
    """Texts to shingles, and to bands."""
    for name, each, factor in (("documents", 45, 1), ("paragraphs", 4, 4), ("lines", 1, 8)):
        texts = pa.array(documents(count * factor, each))
        size = texts.nbytes / len(texts)
        for step, function in (("shingles", shingles), ("bands", bands)):
            begin = time.process_time()
            for _ in function(texts):
                pass
            seconds = time.process_time() - begin
            print(
                f"{name} of {size:,.0f} bytes to {step}: {len(texts) / seconds:,.0f} per "
                f"CPU-second, {texts.nbytes / 1e6 / seconds:,.0f} MB/s"
            )


def batch(texts: list[str]) -> Batch:
    labels = Labels(np.full(len(texts), -1, np.int32), ())
    columns = {Role.TEXT: Texts(np.arange(len(texts)), pa.array(texts)), Role.LABEL: labels}
    return Batch(0, 0, len(texts), columns)


def grouped(texts: list[str]) -> tuple[set[tuple[int, int]], Members]:
    """Pairs that share a band, and the groups."""
    found = TextBands()
    found.update(batch(texts))
    pairs = found.pairs()
    sketches = TextSketches(choose(pairs).candidates, (THRESHOLD,))
    sketches.update(batch(texts))
    # All are of the first shard: their numbers are their positions.
    return set(map(tuple, pairs.pairs[:, :2].tolist())), sketches.members(THRESHOLD)


def similar(texts: list[str]) -> dict[tuple[int, int], float]:
    """All pairs of similarity .7 and more, compared as Python sets; those close to each other."""
    sets: list[dict[int, set[int]]] = [{} for _ in texts]
    for block in shingles(pa.array(texts)):
        for text, found in zip(block.docs.tolist(), block.hashes.tolist(), strict=True):
            sets[block.start + text].setdefault(block.width, set()).add(found)
    owners: dict[int, list[int]] = {}
    for text, widths in enumerate(sets):
        for found in set().union(*widths.values()):
            owners.setdefault(found, []).append(text)
    near = {pair for texts_of in owners.values() for pair in combinations(texts_of[:200], 2)}
    alike = {}
    for one, other in near:
        score = max(
            (len(a & b) / len(a | b) for w, a in sets[one].items() if (b := sets[other].get(w))),
            default=0.0,
        )
        alike[one, other] = score
    return alike


def quality(count: int) -> None:
    """Recall of bands and of groups; precision of groups."""
    for name, each in (("documents", 45), ("paragraphs", 4), ("lines", 1)):
        plain = documents(count, each)
        texts = plain + edited(plain, (0.0, 0.01, 0.02, 0.03, 0.05, 0.08))
        scores = similar(texts)
        true = {pair for pair, score in scores.items() if score >= THRESHOLD}
        hard = {pair for pair in true if scores[pair] < 0.8}
        found, members = grouped(texts)
        joined = set()
        for number in range(int(members.groups.max(initial=-1)) + 1):
            rows = members.rows[members.groups == number, 1].tolist()
            joined |= set(combinations(sorted(rows), 2))
        right = len(joined & true) / max(len(joined), 1)
        print(
            f"{name}: {len(true):,} pairs of {THRESHOLD} and more ({len(hard):,} below .8); share "
            f"a band or are grouped: {len(true & (found | joined)) / len(true):.4f} (below .8: "
            f"{len(hard & (found | joined)) / max(len(hard), 1):.4f}); grouped: "
            f"{len(true & joined) / len(true):.4f}; of grouped pairs similar: {right:.4f}"
        )


def grouping(count: int) -> None:
    """Band keys that are written to disk in runs, and grouped a part at a time."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        begin, found = time.process_time(), TextBands()
        records = Records(2)
        records.use_scratch(folder)
        step = 1_000_000
        for start in range(0, count, step):
            table = np.empty((min(step, count - start), 2), np.uint64)
            table[:, 0] = rng.integers(1 << 63, size=len(table), dtype=np.uint64) << np.uint64(1)
            again = rng.random(len(table)) < 0.02  # keys that occur in every million
            table[again, 0] = keys_again(int(again.sum()))
            table[:, 1] = (start + np.arange(len(table))) // BANDS
            records.add(table)
        mapped = time.process_time() - begin
        parts, pairs = records.parts(), 0
        reduce = found.grouping()
        for part in parts:
            pairs += len(reduce(part).pairs)
        seconds = time.process_time() - begin - mapped
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} keys: {size / 1e9:.2f} GB on disk, {mapped:.1f} CPU-s to make and write, "
        f"{seconds:.1f} CPU-s to group in {len(parts)} parts, {pairs:,} pairs, peak {peak:,.0f} MiB"
    )


def keys_again(count: int) -> NDArray[np.uint64]:
    rng = np.random.default_rng(7)
    return rng.integers(1 << 63, size=count, dtype=np.uint64) << np.uint64(1)


TASKS = {"speed": (speed, 20_000), "quality": (quality, 3_000), "grouping": (grouping, 100_000_000)}


def main() -> None:
    chosen = sys.argv[1:2] or list(TASKS)
    for name in chosen:
        function, size = TASKS[name]
        function(int(sys.argv[2]) if len(sys.argv) > 2 else size)


if __name__ == "__main__":
    main()
