"""What the published detectors get, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Reals = NDArray[np.float64]
Vectors = NDArray[np.float32]
Codes = NDArray[np.int64]

DIMENSIONS = 64
"""Principal components that are left to detectors whose models need fewer numbers than rows."""
TRUSTED = 0.1
"""Share of the clean rows that some are told to be clean; their authors ask for a few per cent."""


@dataclass(frozen=True, eq=False)
class Told:
    """What a detector gets.

    Attributes:
        vectors: of shape (rows, numbers), finite.
        labels: 0 to the number of classes - 1, each in use.
        poisoned: the truth, from which come the rows known to be clean, and for SPECTRE class and
            rate.
        texts: what the vectors were made of, where that is text.
    """

    vectors: Vectors
    labels: Codes
    poisoned: Mask
    texts: tuple[str, ...] | None = None

    @property
    def classes(self) -> int:
        """How many."""
        return int(self.labels.max()) + 1

    @cached_property
    def known(self) -> Codes:
        """Rows that are known to be clean, in order."""
        clean = np.flatnonzero(~self.poisoned)
        size = max(round(TRUSTED * len(clean)), 2)
        return np.sort(np.random.default_rng(0).choice(clean, size, replace=False))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a detector says: rows that it flags, and a score for each where it has one."""

    flagged: Mask
    scores: Reals | None = None


def rates(said: Answer, poisoned: Mask, allowed: float) -> dict[str, Any]:
    """Recall, false alarms, precision, and the recall at the false alarms that are allowed."""
    bad, good = said.flagged[poisoned], said.flagged[~poisoned]
    out: dict[str, Any] = {
        "recall": float(bad.mean()) if len(bad) else None,
        "false": float(good.mean()) if len(good) else 0.0,
        "precision": float(bad.sum() / said.flagged.sum()) if said.flagged.any() else None,
    }
    if said.scores is not None and len(bad):
        threshold = np.quantile(said.scores[~poisoned], 1 - allowed, method="higher")
        out["best"] = float((said.scores[poisoned] > threshold).mean())
    return out


def reduced(vectors: Vectors, most: int = DIMENSIONS) -> Reals:
    """The first principal components, in double precision."""
    from sklearn.decomposition import PCA

    size = min(most, *vectors.shape)
    if size == vectors.shape[1]:
        return np.asarray(vectors - vectors.mean(axis=0), float)
    return np.asarray(PCA(size, random_state=0).fit_transform(vectors), float)
