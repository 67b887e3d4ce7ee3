"""How well flipped labels are found: clean data quiet, flips counted and ranked.

``python -m benchmarks.flips DATA [NAME...]`` prints a line for each data set and each way to flip
its labels: what is reported, the estimated and the true rate, how many of the rows that the report
names are flipped, and how well all rows are ranked (AUROC, precision among the first k, k = number
of flips). Where cleanlab is installed its count and ranking on the same held-out scores stand
beside. DATA is a folder with the public sets named in ``benchmarks/backdoors.py``, of which those
absent are skipped; scikit-learn's own come with it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib
import resource
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.alone import InMemory, drive
from poisonscan.datasets.batch import Batch, Labels, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.numbers import Numbers
from poisonscan.datasets.pictures import Pictures, Pixels, decode
from poisonscan.datasets.shards import Shard
from poisonscan.datasets.words import Words, distinct_texts
from poisonscan.detectors.datasets.flipped_labels import DETECTOR, Looked, look
from poisonscan.finding import Fact, Finding, Row, Rows

BATCH = 2_048
FILES = 10
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Labelled(InMemory):
    """A data set in memory, cut into ten files."""

    values: Any
    labels: Ints
    path: str = "data"
    label_names: None = None

    @property
    def vectors(self) -> object:
        """What makes rows into vectors."""
        if isinstance(self.values, list):
            return Words(("text",))
        return Pictures() if self.values.ndim == 3 else Numbers((), (), ())

    @property
    def shards(self) -> list[Shard]:
        """A shard for each file."""
        return [Shard(f"data/{i}.csv", "train", 0) for i in range(FILES)]

    @property
    def files(self) -> Ints:
        """File of each row."""
        return np.arange(len(self.labels)) * FILES // len(self.labels)

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""
        names = tuple(str(name) for name in np.unique(self.labels))
        codes = np.unique(self.labels, return_inverse=True)[1].astype(np.int32)
        for shard in range(FILES):
            rows = np.flatnonzero(self.files == shard)
            for start in range(0, len(rows), BATCH):
                part = rows[start : start + BATCH]
                content = np.stack([part + 1, part * 7 + 1], axis=1).astype(np.uint64)
                columns: dict[Role, Any] = {
                    Role.LABEL: Labels(codes[part], names),
                    Role.CONTENT: content * np.uint64(0x9E3779B97F4A7C15),
                }
                if isinstance(self.values, list):
                    texts = pa.array([self.values[i] for i in part])
                    columns[Role.TEXT] = distinct_texts([texts])
                elif self.values.ndim == 3:
                    columns[Role.PICTURES] = Pixels(self.values[part], content, ())
                else:
                    columns[Role.FEATURES] = self.values[part]
                yield Batch(shard, start, len(part), columns)

    def describe(self, rows: Ints, _: Any = None) -> tuple[Row, ...]:
        """Rows by file and position."""
        return tuple(Row(f"data/{s}.csv", i) for s, i in rows.tolist())

    def place(self, rows: Ints) -> Ints:
        """Number of each row, from its shard and position."""
        starts = np.searchsorted(self.files, np.arange(FILES))
        return np.asarray(starts[rows[:, 0]] + rows[:, 1])


def _scaled(values: Any) -> NDArray[np.float32]:
    values = np.asarray(values, np.float64)
    return np.asarray((values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9), np.float32)


def _bundled(name: str) -> Callable[[Path], tuple[Any, Ints]]:
    def load(_: Path) -> tuple[Any, Ints]:
        from sklearn import datasets

        values, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
        return _scaled(values), labels

    return load


def _table(file: str, column: int = -1) -> Callable[[Path], tuple[Any, Ints]]:
    def load(folder: Path) -> tuple[Any, Ints]:
        with (folder / "tabular" / file).open(newline="") as source:
            lines = [line for line in csv.reader(source) if line]
        if any(c.isalpha() for c in lines[0][0]):
            lines = lines[1:]
        labels = np.unique([line.pop(column) for line in lines], return_inverse=True)[1]
        numeric = [i for i, cell in enumerate(lines[0]) if _number(cell)]
        return _scaled([[float(line[i]) for i in numeric] for line in lines]), labels

    return load


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _texts(folder: str, *files: str) -> Callable[[Path], tuple[Any, Ints]]:
    def load(data: Path) -> tuple[Any, Ints]:
        rows = []
        for file in files:
            lines = (data / "text" / folder / file).read_text().splitlines()[1:]
            rows += [line.rsplit("\t", 1) for line in lines if "\t" in line]
        return [text for text, _ in rows], np.array([int(label) for _, label in rows])

    return load


def _mnist(data: Path) -> tuple[Any, Ints]:
    from benchmarks.backdoors import luminance

    folder = data / "images" / "mnist_10k"
    pixels = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    pictures = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28)
    return luminance(pictures), np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


def _cifar(file: str) -> Callable[[Path], tuple[Any, Ints]]:
    def load(data: Path) -> tuple[Any, Ints]:
        import pyarrow.parquet as pq

        table = pq.read_table(data / "images" / "cifar10_part" / file)
        image, label = table.column_names[:2]
        planes = decode(cell["bytes"] for cell in table[image].to_pylist()).planes
        return planes, np.array(table[label].to_pylist())

    return load


SETS: dict[str, Callable[[Path], tuple[Any, Ints]]] = {
    "digits": _bundled("digits"),
    "breast cancer": _bundled("breast_cancer"),
    "wine": _bundled("wine"),
    "MNIST 10k": _mnist,
    "SST-2 train": _texts("sst2", "train.tsv"),
    "Adult, numbers": _table("adult-train.csv"),
    "banknote": _table("banknote_authentication.csv"),
    "AG News test": _texts("ag_news_test", "test.tsv"),
    "CIFAR-10 part": _cifar("train.parquet"),
    "CIFAR-10 test": _cifar("test.parquet"),
    "SST-2 test, dev": _texts("sst2", "test.tsv", "dev.tsv"),
    "diamonds, cut": _table("diamonds.csv", 1),
    "diamonds, color": _table("diamonds.csv", 2),
    "white wine": _table("winequality-white.csv"),
}


def flips(labels: Ints, files: Ints, seed: int) -> Iterator[tuple[str, Ints]]:
    """Ways to flip labels: what was done, and the labels."""
    draw = np.random.default_rng(seed)
    classes = int(labels.max()) + 1
    yield "clean", labels
    for rate in (0.01, 0.02, 0.05, 0.1):
        changed = labels.copy()
        which = draw.choice(len(labels), round(rate * len(labels)), replace=False)
        changed[which] = (labels[which] + draw.integers(1, classes, len(which))) % classes
        yield f"{rate:.0%} anywhere", changed
    true, given = draw.permutation(classes)[:2]
    for rate in (0.05, 0.1, 0.2):
        changed = labels.copy()
        members = np.flatnonzero(labels == true)
        changed[draw.choice(members, round(rate * len(members)), replace=False)] = given
        yield f"{rate:.0%} of {true} to {given}", changed
    changed = labels.copy()
    which = np.flatnonzero(files == FILES // 2)
    which = draw.choice(which, round(0.2 * len(which)), replace=False)
    changed[which] = (labels[which] + draw.integers(1, classes, len(which))) % classes
    yield "20% of one file", changed


def cleanlab_says(looked: Looked, flipped: NDArray[np.bool_]) -> str:
    """Its count of issues, and the AUROC of its ranking; empty where it is not installed."""
    try:
        cleanlab = importlib.import_module("cleanlab")
    except ImportError:
        return ""
    odds = np.exp(looked.judged.scores - looked.judged.scores.max(axis=1, keepdims=True))
    shares = np.clip(looked.judged.scores, 1e-6, 1)
    chances = shares if looked.judged.scores.max() < 3 else odds
    chances = chances / chances.sum(axis=1, keepdims=True)
    issues = cleanlab.filter.find_label_issues(looked.judged.labels, chances, n_jobs=1)
    quality = cleanlab.rank.get_label_quality_scores(looked.judged.labels, chances)
    ranked = f" {auroc(-quality, flipped):.3f}" if flipped.any() else ""
    return f"{issues.mean():6.1%}{ranked}"


def auroc(scores: Any, flipped: NDArray[np.bool_]) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(flipped, scores))


def line(name: str, done: str, data: Labelled, true: Ints) -> str:
    """One data set with one way to flip it."""
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    items: list[Finding | Fact] = drive(DETECTOR.detect(cast("Dataset", data)), data)
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - begin
    found = [item for item in items if isinstance(item, Finding)]
    says = [_reported(item, data, true) for item in found] or [
        str(item.value)[:58] for item in items if isinstance(item, Fact)
    ]
    looked: Looked | str = drive(look(cast("Dataset", data)), data)
    ranked = ""
    if not isinstance(looked, str):
        number = data.place(looked.rows)
        flipped = data.labels[number] != true[number]
        own = looked.judged.scores[np.arange(len(number)), looked.judged.labels]
        others = looked.judged.scores.copy()
        others[np.arange(len(number)), looked.judged.labels] = -np.inf
        doubt = others.max(axis=1) - own
        right = looked.judged.skill()[0]
        ranked = f"acc {right:.3f} true {flipped.mean():.3f}"
        if flipped.any():
            first = np.argsort(-doubt)[: flipped.sum()]
            ranked += f" auroc {auroc(doubt, flipped):.3f} p@k {flipped[first].mean():.2f}"
        ranked = f"{ranked:<46} {cleanlab_says(looked, flipped)}"
    return f"{name:<16} {done:<16} {seconds:5.1f} s {ranked} | {'; '.join(says)}"


def _reported(finding: Finding, data: Labelled, true: Ints) -> str:
    part = cast("Rows", finding.at.part)
    number = data.place(np.array([(int(Path(row.path).stem), row.index) for row in part.rows]))
    hits = (data.labels[number] != true[number]).mean() if len(number) else 0.0
    rate = finding.evidence.get("rate", finding.evidence.get("file"))
    shown = (
        f"{rate:.3f} {np.round(cast('list[float]', finding.evidence['interval']), 3)}"
        if isinstance(rate, float)
        else rate
    )
    return (
        f"{finding.rule.id} {finding.key!r} {shown} {part.count} rows, {hits:.0%} of named flipped"
    )


def main(arguments: Iterable[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=list(SETS))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(None if arguments is None else list(arguments))
    for name in given.names:
        try:
            values, labels = SETS[name](given.data)
        except FileNotFoundError as error:
            print(f"{name:<16} skipped: {error.filename} is absent")
            continue
        draw = np.random.default_rng(given.seed).permutation(len(labels))
        values = [values[i] for i in draw] if isinstance(values, list) else values[draw]
        true = np.unique(labels[draw], return_inverse=True)[1].astype(np.int64)
        for done, changed in flips(true, Labelled(values, true).files, given.seed):
            print(line(name, done, Labelled(values, changed), true), flush=True)


if __name__ == "__main__":
    main()
