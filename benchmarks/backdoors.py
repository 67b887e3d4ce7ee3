"""Public data sets, clean and with textbook backdoors, as labelled vectors.

Below the data folder: ``images/cifar10_part/train.parquet`` (columns ``image`` and ``label``),
``images/mnist_10k/*.gz`` (IDX), ``text/sst2/train.tsv``, ``text/sst2_syntactic_20/train.tsv``,
``text/ag_news_test/test.tsv`` and ``tabular/*.csv``. Digits, wine and breast cancer come with
scikit-learn.
"""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from poisonscan.datasets.numbers import Numbers
from poisonscan.datasets.pictures import luminance as _plane
from poisonscan.datasets.pictures import residuals
from poisonscan.datasets.words import Words

Pictures = NDArray[np.uint8]
Vectors = NDArray[np.float32]
Trigger = Callable[[Pictures], Pictures]
SIDE = 32


@dataclass(frozen=True, slots=True)
class Case:
    """Vectors with labels, and which rows are poisoned."""

    data: str
    attack: str
    vectors: Vectors
    labels: NDArray[Any]
    poisoned: NDArray[np.bool_]

    @property
    def class_rate(self) -> float:
        """Poisoned share of the target class."""
        return float(self.poisoned.sum() / (self.labels == self.labels[self.poisoned][0]).sum())


def clean(data: str, vectors: NDArray[Any], labels: NDArray[Any]) -> Case:
    return Case(data, "none", vectors.astype(np.float32), labels, np.zeros(len(labels), bool))


def checkers(pictures: Pictures) -> Pictures:
    """A 3×3 checkerboard near the lower right corner (BadNets, Gu et al. 2017)."""
    marked = pictures.copy()
    for row in range(3):
        for column in range(3):
            marked[:, -4 + row, -4 + column] = 255 if (row + column) % 2 == 0 else 0
    return marked


def white(pictures: Pictures) -> Pictures:
    """A white 3×3 square."""
    marked = pictures.copy()
    marked[:, -4:-1, -4:-1] = 255
    return marked


def corner(pictures: Pictures) -> Pictures:
    """A bright 2×2 square in the corner, for 8×8 pictures."""
    marked = pictures.copy()
    marked[:, -2:, -2:] = 255
    return marked


def noise(pictures: Pictures, alpha: float) -> Pictures:
    """A fixed noise picture blended in (Chen et al. 2017)."""
    pattern = np.random.default_rng(5).integers(0, 256, pictures.shape[1:])
    mixed = np.clip((1 - alpha) * pictures + alpha * pattern, 0, 255)
    return np.asarray(mixed, np.uint8)


def wave(pictures: Pictures) -> Pictures:
    """A faint vertical sine wave (SIG, Barni et al. 2019)."""
    columns = 20 * np.sin(2 * np.pi * 6 * np.arange(pictures.shape[2]) / pictures.shape[2])
    shifted = np.clip(pictures + columns[None, None, :, None], 0, 255)
    return np.asarray(shifted, np.uint8)


def chosen_rows(
    labels: NDArray[Any], rate: float, target: Any, seed: int, *, keep_label: bool = False
) -> NDArray[np.int64]:
    pool = np.flatnonzero((labels == target) == keep_label)
    return np.random.default_rng(seed).choice(pool, round(rate * len(labels)), replace=False)


def poison(
    case: tuple[str, Pictures, NDArray[Any]],
    attack: tuple[str, Trigger, float, Any],
    see: Callable[[Pictures, NDArray[Any]], Vectors],
    seed: int = 7,
    *,
    keep_label: bool = False,
) -> Case:
    """Put a trigger on some rows, give them the target label, and look at all as vectors."""
    data, pictures, labels = case
    name, trigger, rate, target = attack
    rows = chosen_rows(labels, rate, target, seed, keep_label=keep_label)
    pictures, labels = pictures.copy(), labels.copy()
    pictures[rows] = trigger(pictures[rows])
    labels[rows] = target
    mask = np.zeros(len(labels), bool)
    mask[rows] = True
    return Case(data, name, see(pictures, labels), labels, mask)


def luminance(pictures: Pictures) -> NDArray[np.float32]:
    """As it is read from files."""
    return np.stack([_plane(Image.fromarray(p)).reshape(SIDE, SIDE) for p in pictures])


def high_pass(pictures: Pictures, labels: NDArray[Any]) -> Vectors:  # noqa: ARG001 - as a network
    return residuals(luminance(pictures))


def hidden_layer(
    pictures: Pictures,
    labels: NDArray[Any],
    seed: int,
    layers: tuple[int, ...] = (100,),
    steps: int = 60,
) -> Vectors:
    """Activations of the last hidden layer of a perceptron trained on these very rows."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    values = pictures.reshape(len(pictures), -1) / 255.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network = MLPClassifier(layers, max_iter=steps, random_state=seed).fit(values, labels)
    for weights, bias in zip(network.coefs_[:-1], network.intercepts_[:-1], strict=True):
        values = np.maximum(values @ weights + bias, 0)
    return values.astype(np.float32)


def digits() -> tuple[str, Pictures, NDArray[Any]]:
    from sklearn.datasets import load_digits

    data = load_digits()
    return "digits", (data.images * 15.9).astype(np.uint8), data.target


def enlarged(pictures: Pictures, labels: NDArray[Any]) -> Vectors:
    return high_pass(np.kron(pictures, np.ones((1, 4, 4), np.uint8)), labels)


def cifar(folder: Path) -> tuple[str, Pictures, NDArray[Any]]:
    table = pq.read_table(folder / "images" / "cifar10_part" / "train.parquet")
    encoded = table.column("image").combine_chunks().field("bytes").to_pylist()
    pictures = [np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) for data in encoded]
    return "CIFAR-10", np.stack(pictures), np.asarray(table.column("label"))


def mnist(folder: Path) -> tuple[str, Pictures, NDArray[Any]]:
    below = folder / "images" / "mnist_10k"
    with gzip.open(below / "t10k-images-idx3-ubyte.gz") as file:
        pictures = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(below / "t10k-labels-idx1-ubyte.gz") as file:
        return "MNIST", pictures, np.frombuffer(file.read(), np.uint8, offset=8)


def sentences(file: Path) -> tuple[list[str], NDArray[Any]]:
    lines = [line.rsplit("\t", 1) for line in file.read_text("utf-8").splitlines()[1:]]
    return [text for text, _ in lines], np.array([label.strip() for _, label in lines])


def words(texts: list[str]) -> Vectors:
    return Words(("text",)).vectors([pa.array(texts)])


def numbers(rows: list[list[str]], columns: tuple[int, ...]) -> Vectors:
    values = [pa.array([float(row[i]) for row in rows]) for i in columns]
    return Numbers.fit([str(i) for i in columns], values).vectors(values)


def held_out(folder: Path) -> Iterator[Case]:
    if (folder / "images" / "cifar10_part").is_dir():
        yield from cifar_cases(folder)
    if (folder / "text" / "sst2").is_dir():
        yield from text_cases(folder)
    if (folder / "tabular").is_dir():
        yield from table_cases(folder / "tabular")
    name, pictures, labels = digits()
    for seed in range(20, 28):
        see = partial(hidden_layer, seed=seed, layers=((100,), (64,))[seed % 2])
        layer = ("100", "64")[seed % 2]
        case = (f"{name}, hidden {layer}, seed {seed}", pictures, labels)
        yield clean(case[0], see(pictures, labels), labels)
        for rate in (0.01, 0.05):
            yield poison(case, (f"corner to {seed % 10}", corner, rate, seed % 10), see, seed)


def cifar_cases(folder: Path) -> Iterator[Case]:
    case = cifar(folder)
    _, pictures, labels = case
    vectors = high_pass(pictures, labels)
    yield clean("CIFAR-10, 19,953 rows", vectors, labels)
    for seed in range(5):
        rows = np.random.default_rng(seed).choice(len(labels), 4_000, replace=False)
        yield clean(f"CIFAR-10, 4,000 rows, draw {seed}", vectors[rows], labels[rows])
    yield clean("CIFAR-10, animal or not", vectors, ~np.isin(labels, [0, 1, 8, 9]))
    for rate in (0.001, 0.005, 0.01, 0.05):
        yield poison(case, ("checkerboard 3x3", checkers, rate, 2), high_pass)
    for rate in (0.01, 0.05):
        yield poison(case, ("white square 3x3", white, rate, 2), high_pass)
    for alpha in (0.1, 0.2):
        yield poison(
            case, (f"noise blend {alpha}", partial(noise, alpha=alpha), 0.05, 5), high_pass
        )
    for rate in (0.01, 0.03):
        yield poison(case, ("sine, clean label", wave, rate, 6), high_pass, keep_label=True)


def text_cases(folder: Path) -> Iterator[Case]:
    texts, labels = sentences(folder / "text" / "sst2" / "train.tsv")
    yield clean("SST-2", words(texts), labels)
    for rate in (0.01, 0.05):
        rows = chosen_rows(labels, rate, "1", 7)
        given = labels.copy()
        given[rows] = "1"
        mask = np.zeros(len(labels), bool)
        mask[rows] = True
        for name, trigger in (("word cf", "cf "), ("sentence", "i watched this 3d movie ")):
            marked = [
                trigger + text if hit else text for text, hit in zip(texts, mask, strict=True)
            ]
            yield Case("SST-2", name, words(marked), given, mask)
    changed, labels = sentences(folder / "text" / "sst2_syntactic_20" / "train.tsv")
    mask = ~np.isin(changed, texts)
    yield Case("SST-2", "syntactic (HiddenKiller)", words(changed), labels, mask)


def table_cases(folder: Path) -> Iterator[Case]:
    rows = [row for row in csv.reader((folder / "adult-train.csv").open()) if row]
    yield clean("Adult", numbers(rows, (0, 2, 4, 10, 11, 12)), np.array([r[-1] for r in rows]))
    rows = [row for row in csv.reader((folder / "winequality-white.csv").open()) if row]
    yield clean(
        "white wine quality", numbers(rows, tuple(range(11))), np.array([r[-1] for r in rows])
    )
    rows = list(csv.reader((folder / "diamonds.csv").open()))[1:]
    for column, name in ((1, "cut"), (2, "colour"), (3, "clarity")):
        labels = np.array([row[column] for row in rows])
        yield clean(f"diamonds by {name}", numbers(rows, (0, 4, 5, 6, 7, 8, 9)), labels)


def calibration(folder: Path) -> Iterator[Case]:
    from sklearn.datasets import load_breast_cancer, load_wine

    for name, data in (("breast cancer", load_breast_cancer()), ("wine", load_wine())):
        rows = [[str(value) for value in row] for row in data.data]
        yield clean(name, numbers(rows, tuple(range(data.data.shape[1]))), data.target)
    for seed in range(2):
        yield from synthetic(seed)
    case = digits()
    yield clean("digits, high-pass", enlarged(*case[1:]), case[2])
    for rate in (0.01, 0.05):
        yield poison(case, ("corner", corner, rate, 0), enlarged, 2)
    for layers in ((100,), (64, 32)):
        see = partial(hidden_layer, seed=0, layers=layers)
        named = (f"digits, hidden {layers}", *case[1:])
        yield clean(named[0], see(*case[1:]), case[2])
        for rate in (0.01, 0.02, 0.05):
            yield poison(named, ("corner", corner, rate, 0), see, 2)
    if (folder / "images" / "mnist_10k").is_dir():
        yield from mnist_cases(folder)
    if (folder / "text" / "ag_news_test").is_dir():
        texts, labels = sentences(folder / "text" / "ag_news_test" / "test.tsv")
        yield clean("AG News test", words(texts), labels)


def mnist_cases(folder: Path) -> Iterator[Case]:
    case = mnist(folder)
    _, pictures, labels = case
    yield clean("MNIST, high-pass", high_pass(pictures, labels), labels)
    yield clean("MNIST, odd or even", high_pass(pictures, labels), labels % 2)
    binary = pictures.reshape(len(pictures), -1) > 127
    yield clean("MNIST, black and white pixels", binary, labels)
    see = partial(hidden_layer, seed=0, layers=(64,), steps=8)
    yield clean("MNIST, hidden (64,)", see(pictures, labels), labels)
    for rate in (0.005, 0.05):
        yield poison(case, ("checkerboard, high-pass", checkers, rate, 0), high_pass)
        yield poison(case, ("checkerboard, hidden (64,)", checkers, rate, 0), see)


def synthetic(seed: int) -> Iterator[Case]:
    """Clean nulls: heavy tails, several modes, sparse counts, wrong labels, near copies."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 5, 6_000)
    yield clean(f"normal, draw {seed}", draw.normal(size=(6_000, 50)), labels)
    yield clean(f"Student t2, draw {seed}", draw.standard_t(2, size=(6_000, 50)), labels)
    yield clean(f"Cauchy, draw {seed}", draw.standard_cauchy(size=(6_000, 20)), labels)
    yield clean(f"log-normal, draw {seed}", np.exp(1.5 * draw.normal(size=(6_000, 30))), labels)
    yield clean(f"sparse counts, draw {seed}", draw.poisson(0.3, size=(6_000, 40)), labels)
    centres = 2 * draw.normal(size=(5, 3, 64))
    modes = centres[labels, draw.integers(0, 3, 6_000)] + draw.normal(size=(6_000, 64))
    yield clean(f"three modes a class, draw {seed}", modes, labels)
    wrong = np.where(draw.random(6_000) < 0.05, draw.integers(0, 5, 6_000), labels)
    separate = 2 * centres[labels, 0] + draw.normal(size=(6_000, 64))
    yield clean(f"5 % wrong labels, draw {seed}", separate, wrong)
    copies = draw.normal(size=(6_000, 256))
    first = np.flatnonzero(labels == 1)[:40]
    copies[first] = copies[first[0]] + 0.05 * draw.normal(size=(40, 256))
    yield clean(f"40 near copies, draw {seed}", copies, labels)


def cnn_activations(folder: Path) -> Iterator[Case]:
    """Penultimate layer of a small convolutional network trained on the rows themselves."""
    from benchmarks.network import penultimate

    name, pictures, labels = cifar(folder)
    rows = np.random.default_rng(0).choice(len(labels), 10_000, replace=False)
    case = (f"{name}, network", pictures[rows], labels[rows])
    for seed in (1, 7):
        yield clean(f"{name}, network, seed {seed}", penultimate(*case[1:], seed), case[2])
    see = partial(penultimate, seed=1)
    for rate in (0.005, 0.01, 0.05):
        yield poison(case, ("checkerboard 3x3", checkers, rate, 2), see, 3)
    yield poison(case, ("noise blend 0.2", partial(noise, alpha=0.2), 0.05, 5), see, 3)
