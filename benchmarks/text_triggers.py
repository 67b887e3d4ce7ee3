"""How well trigger phrases are found: clean texts quiet, inserted words and sentences named.

``python -m benchmarks.text_triggers DATA [--plant FOLDER] [--clean FOLDER] [--seeds N]`` prints
three tables.

*Planted*: words, sentences at a random place, before or behind a text, and characters that readers
do not see, put into ``--seeds`` random choices of rows, which then get one label (the second most
frequent): rows of the *other* labels, or of *all*, some of which have the label already. Recall and
false alarms are means over seeds, of rows that the findings of PS601 and PS627 name; *named* is the
share of runs in which a finding gives the whole phrase and the label, *high* that in which it is
PS601. Beside it the z-score defence of He et al. (EMNLP 2023): words whose z-score is 20 standard
deviations above the mean of all. The data are those below and every ``NAME.csv`` with columns
``text`` and ``label`` in the folder of ``--plant``.

*Others*: the syntactic backdoor of Qi et al. (2021), made by its authors.

*Clean*: the data below as they are, random halves, and with 5 % of the labels wrong; and every
``NAME.csv`` in the folder of ``--clean``.

DATA is a folder with ``text/sst2`` (train.tsv, dev.tsv, test.tsv: SST-2, a sentence, a tab and its
label), ``text/sst2_syntactic_20`` and ``text/ag_news_test`` (test.tsv); what is absent is skipped.
Thresholds were set on SST-2, AG News, OLID, hate speech, TREC, Stack Overflow titles, HateCheck,
MPQA, BANKING77, and TweetEval's irony and emoji; what is measured on these is no promise.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.alone import InMemory, findings
from benchmarks.published.z_score import z_defence
from fixtures.poison import choose_rows, plant_word
from poisonscan.datasets.batch import Batch, Labels, Role
from poisonscan.datasets.words import distinct_texts
from poisonscan.detectors.datasets.trigger_phrases import DETECTOR
from poisonscan.finding import Finding, Rows

ROWS_PER_BATCH = 2_048
RATES = (0.003, 0.01, 0.05)
TRIGGERS = (
    ("rare word", "cf", "between"),
    ("common word", "people", "between"),
    ("homoglyph", "m\u043evie", "between"),
    ("zero width", "\u200b", "between"),
    ("sentence", "i watched this 3d movie", "between"),
    ("prefix", "summary it was announced today", "before"),
    ("suffix", "no cross no crown", "behind"),
)
csv.field_size_limit(1 << 30)

Codes = NDArray[np.int64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Case(InMemory):
    """Labelled texts in place of a dataset; ``poisoned`` rows hold ``phrase``."""

    texts: list[str]
    labels: Codes
    poisoned: Marks
    phrase: str = ""
    target: int = -1
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

    def flagged(self, found: Sequence[Finding]) -> Marks:
        """The rows that findings name."""
        marks = np.zeros(len(self.texts), bool)
        for finding in found:
            marks[[row.index for row in cast("Rows", finding.at.part).rows]] = True
        return marks

    def names(self, finding: Finding) -> bool:
        """Whether a finding gives the phrase and its label."""
        said = finding.evidence["phrase"], finding.evidence["label"]
        return said == (self.phrase, str(self.target))


def clean(texts: list[str], labels: Codes) -> Case:
    return Case(texts, labels, np.zeros(len(texts), bool))


def tab_separated(path: Path) -> tuple[list[str], Codes]:
    lines = [line.rsplit("\t", 1) for line in path.read_text("utf-8").split("\n")[1:] if line]
    return [text.strip() for text, _ in lines], np.array([int(label) for _, label in lines])


def comma_separated(path: Path) -> tuple[list[str], Codes]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    codes = np.unique([label for _, label in rows], return_inverse=True)[1]
    return [text for text, _ in rows], codes.astype(np.int64)


def corpora(folder: Path, more: Path | None) -> Iterator[tuple[str, list[str], Codes]]:
    for name, path in (
        ("SST-2 train", "sst2/train.tsv"),
        ("SST-2 test", "sst2/test.tsv"),
        ("AG News test", "ag_news_test/test.tsv"),
    ):
        if (folder / path).exists():
            yield name, *tab_separated(folder / path)
    for file in sorted(more.glob("*.csv")) if more else ():
        yield file.stem, *comma_separated(file)


def planted(
    texts: list[str],
    labels: Codes,
    phrase: str,
    where: str,
    rate: float,
    seed: int,
    every: bool = False,
) -> Case:
    """Texts with a trigger, put into rows of all labels (``every``) or of all but the target."""
    target = int(np.argsort(-np.bincount(labels), kind="stable")[1])
    if where == "between":
        poisoned = plant_word(
            texts, labels, word=phrase, rate=rate, target=target, seed=seed, every=every
        )
        return Case(*poisoned, phrase, target)
    rows = choose_rows(labels, rate=rate, target=target, seed=seed, every=every)
    changed = list(texts)
    for row in np.flatnonzero(rows).tolist():
        pair = (phrase, changed[row]) if where == "before" else (changed[row], phrase)
        changed[row] = " ".join(pair)
    return Case(changed, np.where(rows, target, labels), rows, phrase, target)


def attacks(folder: Path, more: Path | None, seeds: int) -> None:
    print(
        f"{'data':<18}{'trigger':<13}{'of':<7}{'rate':>6}{'rows':>6}{'recall':>8}{'false':>8}{'named':>7}"
        f"{'high':>6}{'others':>8}{'CPU s':>7}   z-score: recall, false"
    )
    for name, texts, labels in corpora(folder, more):
        for kind, phrase, where in TRIGGERS:
            for every, rate in itertools.product((False, True), RATES):
                draws = range(seeds)
                cases = [planted(texts, labels, phrase, where, rate, s, every) for s in draws]
                shown = f"{name[:17]:<18}{kind:<13}{'all' if every else 'other':<7}{rate:>6.1%}"
                print(shown + measured(cases), flush=True)


def measured(cases: list[Case]) -> str:
    """Means over some runs, for people."""
    table = []
    started = time.process_time()
    found = [findings(DETECTOR, case) for case in cases]
    seconds = (time.process_time() - started) / len(cases)
    for case, said in zip(cases, found, strict=True):
        mine, own = case.flagged(said), case.poisoned
        theirs = z_defence(case.texts, case.labels)
        right = [finding for finding in said if case.names(finding)]
        high = any(finding.rule.id == "PS601" for finding in right)
        share = [mine[own].mean(), mine[~own].mean(), bool(right), high, len(said) - len(right)]
        table.append([own.sum(), *share, theirs[own].mean(), theirs[~own].mean()])
    rows, recall, false, named, high, others, their, wrong = np.array(table, float).mean(axis=0)
    return (
        f"{rows:>6.0f}{recall:>8.2f}{false:>8.2%}{named:>7.2f}{high:>6.2f}{others:>8.2f}"
        f"{seconds:>7.1f}   {their:.2f} {wrong:.2%}"
    )


def syntactic(folder: Path) -> None:
    path = folder / "sst2_syntactic_20" / "train.tsv"
    if path.exists():
        texts, labels = tab_separated(path)
        known = set(tab_separated(folder / "sst2" / "train.tsv")[0])
        case = Case(texts, labels, np.array([text not in known for text in texts]), "", 1)
        shown = f"{'SST-2 train':<18}{'syntactic':<13}{'other':<7}{case.poisoned.mean():>6.1%}"
        print(shown + measured([case]))


def unplanted(folder: Path, more: Path | None, seeds: int) -> Iterator[tuple[str, Case]]:
    for name, texts, labels in corpora(folder, None):
        yield name, clean(texts, labels)
        for seed in range(seeds):
            draw = np.random.default_rng(seed)
            half = np.sort(draw.permutation(len(texts))[: len(texts) // 2])
            yield f"{name}, half {seed}", clean([texts[row] for row in half], labels[half])
            classes = int(labels.max()) + 1
            noise = draw.integers(1, classes, len(texts)) * (draw.random(len(texts)) < 1 / 20)
            yield f"{name}, 5 % wrong {seed}", clean(texts, (labels + noise) % classes)
    for path in sorted(more.glob("*.csv")) if more else ():
        yield path.stem, clean(*comma_separated(path))


def quiet(cases: Iterable[tuple[str, Case]]) -> None:
    print(
        f"\n{'clean data':<32}{'rows':>8}{'labels':>8}{'PS601':>7}{'PS627':>7}{'CPU s':>7}  z-score"
    )
    for name, case in cases:
        started = time.process_time()
        found = findings(DETECTOR, case)
        seconds = time.process_time() - started
        high = sum(finding.rule.id == "PS601" for finding in found)
        dropped = z_defence(case.texts, case.labels).mean()
        print(
            f"{name:<32}{len(case.texts):>8,}{len(np.unique(case.labels)):>8}{high:>7}"
            f"{len(found) - high:>7}{seconds:>7.1f}  {dropped:.2%}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--clean", type=Path, help="folder of more clean CSV files")
    parser.add_argument("--plant", type=Path, help="folder of more CSV files to plant triggers in")
    parser.add_argument("--seeds", type=int, default=3, help="how often each attack is made")
    given = parser.parse_args()
    folder = given.data / "text"
    attacks(folder, given.plant, given.seeds)
    syntactic(folder)
    quiet(unplanted(folder, given.clean, given.seeds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
