"""Rows with and without textbook backdoors, as parts of a dataset in memory."""

from __future__ import annotations

import functools
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.datasets.pictures import residuals
from poisonscan.finding import Finding, Rows
from tests.fakes import Part

CIFAR = Path(__file__).parents[4] / "shared/data/images/cifar10_part/train.parquet"
Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]


def part(vectors: NDArray[Any], labels: NDArray[Any]) -> Part:
    return Part([str(label) for label in labels], features=vectors.astype(np.float32))


def flagged(finding: Finding, size: int) -> Mask:
    """The rows that a finding names."""
    assert isinstance(finding.at.part, Rows)
    mask = np.zeros(size, bool)
    mask[[row.index for row in finding.at.part.rows]] = True
    return mask


def shifted(
    seed: int, *, rows: int = 3_000, classes: int = 3, size: int = 60, by: float = 4.0
) -> Any:
    """Normal rows, some of class 1 shifted by a fixed vector: vectors, labels, which."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, rows)
    vectors = draw.normal(size=(rows, 30)) + draw.normal(size=(classes, 30))[labels]
    poisoned = np.zeros(rows, bool)
    poisoned[np.flatnonzero(labels == 1)[:size]] = True
    vectors[poisoned] += by * draw.normal(size=30)
    return vectors, labels, poisoned


@functools.cache
def digit_activations(seed: int, rate: float, target: int) -> Any:
    """Hidden layer of a perceptron trained on digits, some with a bright corner and a new label."""
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    data = load_digits()
    pictures, labels = data.images / 16, data.target.copy()
    pool = np.flatnonzero(labels != target)
    chosen = np.random.default_rng(seed).choice(pool, round(rate * len(labels)), replace=False)
    poisoned = np.zeros(len(labels), bool)
    poisoned[chosen] = True
    pictures[chosen, -2:, -2:] = 1
    labels[chosen] = target
    values = pictures.reshape(len(labels), -1)
    network = MLPClassifier((100,), max_iter=60, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(values, labels)
    hidden = np.maximum(values @ network.coefs_[0] + network.intercepts_[0], 0)
    return hidden, labels, poisoned


@functools.cache
def cifar_pictures() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Luminance of CIFAR-10 pictures and their labels."""
    if not CIFAR.exists():
        pytest.skip("the CIFAR-10 part is not beside the checkout")
    import pyarrow.parquet as pq
    from PIL import Image

    table = pq.read_table(CIFAR).slice(0, 8_000)
    encoded = table.column("image").combine_chunks().field("bytes").to_pylist()
    planes = [np.asarray(Image.open(io.BytesIO(item)).convert("L"), np.float32) for item in encoded]
    return np.stack(planes), np.asarray(table.column("label"))


def marked_cifar(rate: float, target: int, seed: int) -> Any:
    """High-pass residuals, a share of the pictures with a 3×3 checkerboard and a new label."""
    pictures, labels = cifar_pictures()
    pictures, labels = pictures.copy(), labels.copy()
    chosen = np.random.default_rng(seed).choice(
        np.flatnonzero(labels != target), round(rate * len(labels)), replace=False
    )
    pictures[chosen, -4:-1, -4:-1] = 255 * (np.indices((3, 3)).sum(axis=0) % 2)
    labels[chosen] = target
    poisoned = np.zeros(len(labels), bool)
    poisoned[chosen] = True
    return residuals(pictures), labels, poisoned


def nulls() -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Clean rows that naive tests take for poisoned ones."""
    draw = np.random.default_rng(77)
    labels = draw.integers(0, 5, 4_000)
    centres = 3 * draw.normal(size=(5, 3, 40))
    noise = draw.normal(size=(4_000, 40))
    wrong = np.where(draw.random(4_000) < 0.05, draw.integers(0, 5, 4_000), labels)
    copies = draw.normal(size=(4_000, 40))
    first = np.flatnonzero(labels == 1)[:60]
    copies[first] = 4 * copies[first[0]]
    near = copies.copy()
    near[first] += 0.05 * draw.normal(size=(60, 40))
    column = noise.copy()
    column[np.flatnonzero(labels == 2)[:100], 7] += 50
    return {
        "normal": (noise, labels),
        "heavy tails": (draw.standard_t(1.5, size=(4_000, 30)), labels),
        "skewed": (np.exp(2 * draw.normal(size=(4_000, 30))), labels),
        "counts": (draw.poisson(0.2, size=(4_000, 30)), labels),
        "three modes in every class": (centres[labels, draw.integers(0, 3, 4_000)] + noise, labels),
        "wrong labels": (centres[labels, 0] + noise, wrong),
        "classes of unlike spread": (noise * np.array([1, 10, 0.1, 5, 2])[labels][:, None], labels),
        "copies of one row": (copies, labels),
        "near copies of one row": (near, labels),
        "one column does it": (column, labels),
        "one far row": (np.vstack([noise[1:], np.full((1, 40), 1e9)]), labels),
    }


def hostile() -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Shapes and values that break careless linear algebra."""
    draw = np.random.default_rng(78)
    labels = draw.integers(0, 3, 300)
    noise = draw.normal(size=(300, 12))
    holes = noise.copy()
    holes[::7] = np.nan
    holes[::11, 3] = np.inf
    constant = noise.copy()
    constant[:, :10] = 4.0
    return {
        "no rows": (noise[:0], labels[:0]),
        "one class": (noise, np.zeros(300, int)),
        "a class for each row": (noise, np.arange(300)),
        "two rows": (noise[:2], np.arange(2)),
        "one column": (noise[:, :1], labels),
        "more columns than rows": (draw.normal(size=(90, 700)), labels[:90]),
        "all rows equal": (np.ones((300, 12)), labels),
        "all zero": (np.zeros((300, 12)), labels),
        "constant columns": (constant, labels),
        "equal columns": (np.repeat(noise[:, :1], 12, axis=1), labels),
        "holes": (holes, labels),
        "huge and tiny": (noise * 10.0 ** np.arange(-30, 6, 3), labels),
        "a large and a tiny class": (noise, np.r_[np.zeros(299, int), 1]),
        "two values": (np.sign(noise), labels),
    }
