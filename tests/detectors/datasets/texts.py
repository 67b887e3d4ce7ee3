"""Labelled sentences of made-up words: two topics, and words that say nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.fakes import FakeDataset, Part

NAMES = ("no", "yes")


def sentences(
    rows: int = 800, *, seed: int = 0, telling: int = 4
) -> tuple[list[str], NDArray[np.int64]]:
    """Sentences of 12 words, of which about ``telling`` are of the label's own 40 words."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=rows)
    own = draw.integers(40, size=(rows, 12)) + 40 * labels[:, None]
    words = np.where(
        draw.random((rows, 12)) < telling / 12, own, draw.integers(80, 280, (rows, 12))
    )
    return [" ".join(f"w{word}" for word in row) for row in words.tolist()], labels


def dataset(texts: list[str], labels: NDArray[np.int64]) -> FakeDataset:
    return FakeDataset(Part([NAMES[label] for label in labels], texts=texts))
