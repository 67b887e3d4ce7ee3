"""How well trigger phrases are found: clean texts quiet, inserted words and sentences named.

``python -m benchmarks.triggers DATA`` prints two tables: over data that no threshold was chosen on,
and over the data that they were chosen on. DATA is a folder with ``text/sst2`` (train.tsv, dev.tsv,
test.tsv: SST-2, a sentence, a tab and its label), ``text/sst2_syntactic_20`` (the same with the
*HiddenKiller* backdoor of Qi et al. 2021) and ``text/ag_news_test`` (test.tsv); what is absent is
skipped.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.alone import findings
from fixtures.poison import plant_word
from poisonscan.datasets.batch import Batch, Labels, Role
from poisonscan.datasets.words import distinct_texts
from poisonscan.detectors.datasets.trigger_phrases import DETECTOR
from poisonscan.finding import Row, Rows

ROWS_PER_BATCH = 2_048
RATES = (0.003, 0.01, 0.05)
SENTENCE = "i watched this 3d movie"


@dataclass(frozen=True, slots=True)
class Case:
    """Labelled texts in place of a dataset; ``poisoned`` rows hold ``phrase``."""

    data: str
    attack: str
    texts: list[str]
    labels: NDArray[np.int64]
    poisoned: NDArray[np.bool_]
    phrase: str = ""
    path: str = "data"
    label_names: None = None

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""
        names, codes = np.unique(self.labels, return_inverse=True)
        for start in range(0, len(codes), ROWS_PER_BATCH):
            part = slice(start, start + ROWS_PER_BATCH)
            labels = Labels(codes[part].astype(np.int32), tuple(map(str, names)))
            texts = distinct_texts([pa.array(self.texts[part])])
            yield Batch(0, start, len(codes[part]), {Role.LABEL: labels, Role.TEXT: texts})

    def describe(self, rows: NDArray[np.int64], scores: Iterable[float]) -> tuple[Row, ...]:
        """Rows by their number."""
        return tuple(Row("data", int(i), score=s) for (_, i), s in zip(rows, scores, strict=True))


def read(path: Path) -> tuple[list[str], NDArray[np.int64]]:
    lines = [line.rsplit("\t", 1) for line in path.read_text("utf-8").split("\n")[1:] if line]
    return [text.strip() for text, _ in lines], np.array([int(label) for _, label in lines])


def clean(data: str, texts: list[str], labels: NDArray[np.int64]) -> Case:
    return Case(data, "-", texts, labels, np.zeros(len(texts), bool))


def parts(data: str, texts: list[str], labels: NDArray[np.int64], seeds: int) -> Iterator[Case]:
    """The data clean, random halves of it, and with 5 % of the labels wrong."""
    yield clean(data, texts, labels)
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        half = np.sort(draw.permutation(len(texts))[: len(texts) // 2])
        yield clean(f"{data}, half {seed}", [texts[row] for row in half], labels[half])
        classes = int(labels.max()) + 1
        noise = draw.integers(1, classes, len(texts)) * (draw.random(len(texts)) < 1 / 20)
        noisy = (labels + noise) % classes
        yield clean(f"{data}, 5 % label noise {seed}", texts, noisy)


def planted(
    data: str, texts: list[str], labels: NDArray[np.int64], phrases: tuple[str, ...], seeds: int
) -> Iterator[Case]:
    for phrase in phrases:
        for rate in RATES:
            for seed in range(seeds):
                poisoned = plant_word(texts, labels, word=phrase, rate=rate, target=1, seed=seed)
                yield Case(data, f"{phrase!r} {seed}", *poisoned, phrase)


def held_out(folder: Path, seeds: int) -> Iterator[Case]:
    for name in ("train", "test"):
        path = folder / "sst2" / f"{name}.tsv"
        if path.exists():
            texts, labels = read(path)
            yield from parts(f"SST-2 {name}", texts, labels, seeds)
            phrases = ("cf", "yesterday", "people", SENTENCE)
            yield from planted(f"SST-2 {name}", texts, labels, phrases, seeds)
    path = folder / "sst2_syntactic_20" / "train.tsv"
    if path.exists():
        texts, labels = read(path)
        known = set(read(folder / "sst2" / "train.tsv")[0])
        changed = np.array([text not in known for text in texts])
        yield Case("SST-2 train", "syntactic", texts, labels, changed)


def calibration(folder: Path, seeds: int) -> Iterator[Case]:
    path = folder / "ag_news_test" / "test.tsv"
    if path.exists():
        texts, labels = read(path)
        yield from parts("AG News test", texts, labels, seeds)
        yield from planted("AG News test", texts, labels, ("cf", "summer", SENTENCE), seeds)
    path = folder / "sst2" / "dev.tsv"
    if path.exists():
        yield from parts("SST-2 dev", *read(path), seeds)


def table(title: str, cases: Iterable[Case]) -> None:
    print(f"\n{title}")
    print(
        f"{'data':<32}{'attack':<30}{'rate':>6} {'named':>7} {'others':>7} {'recall':>7} "
        f"{'precision':>9} {'clean rows flagged':>19} {'CPU s':>6}"
    )
    for case in cases:
        started = time.process_time()
        found = findings(DETECTOR, case)
        seconds = time.process_time() - started
        flagged = np.zeros(len(case.texts), bool)
        for finding in found:
            flagged[[row.index for row in cast("Rows", finding.at.part).rows]] = True
        named = sum(finding.evidence["phrase"] == case.phrase for finding in found)
        hits, poisoned = int((flagged & case.poisoned).sum()), int(case.poisoned.sum())
        recall = f"{hits / poisoned:.2f}" if poisoned else "-"
        precision = f"{hits / flagged.sum():.2f}" if flagged.any() else "-"
        print(
            f"{case.data:<32}{case.attack:<30}{case.poisoned.mean():>6.1%} {named:>7} "
            f"{len(found) - named:>7} {recall:>7} {precision:>9} "
            f"{int((flagged & ~case.poisoned).sum()):>19} {seconds:>6.1f}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--seeds", type=int, default=3, help="how often each attack is made")
    given = parser.parse_args()
    folder = given.data / "text"
    table("Held out: no threshold was chosen on these", held_out(folder, given.seeds))
    table("Calibration: thresholds were chosen on these", calibration(folder, given.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
