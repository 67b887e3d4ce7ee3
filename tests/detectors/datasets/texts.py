"""Labelled sentences of made-up words: a topic a label, and words that say nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.fakes import FakeDataset, Part

NAMES = ("no", "yes", "often", "seldom", "maybe")


def sentences(
    rows: int = 800, *, seed: int = 0, telling: int = 4, classes: int = 2
) -> tuple[list[str], NDArray[np.int64]]:
    """Sentences of 12 words, of which about ``telling`` are of the label's own 40 words."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(classes, size=rows)
    own = draw.integers(40, size=(rows, 12)) + 40 * labels[:, None]
    words = np.where(
        draw.random((rows, 12)) < telling / 12,
        own,
        draw.integers(0, 200, (rows, 12)) + 40 * classes,
    )
    return [" ".join(f"w{word}" for word in row) for row in words.tolist()], labels


def dataset(texts: list[str], labels: NDArray[np.int64]) -> FakeDataset:
    return FakeDataset(Part([NAMES[label] for label in labels], texts=texts))
