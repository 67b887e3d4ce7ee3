"""The z-score defence.

He et al., "Mitigating Backdoor Poisoning Attacks through the Lens of Spurious Correlation" (EMNLP
2023).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from benchmarks.published.told import Answer, Codes, Mask, Told

DEVIATIONS = 20.0


def z_score(told: Told) -> Answer | None:
    """What it says of texts; nothing of other rows."""
    return None if told.texts is None else Answer(z_defence(told.texts, told.labels))


def z_defence(texts: Sequence[str], labels: Codes) -> Mask:
    """Rows that it drops: those with a word and the label that the word is tied to."""
    classes = int(labels.max()) + 1
    counts: dict[str, Codes] = defaultdict(lambda: np.zeros(classes, np.int64))
    words = [set(text.lower().split()) for text in texts]
    for label, said in zip(labels.tolist(), words, strict=True):
        for word in said:
            counts[word][label] += 1
    even = 1 / classes
    table = np.array(list(counts.values()), np.float64)
    total = table.sum(axis=1, keepdims=True)
    scores = (table / total - even) / np.sqrt(even * (1 - even) / total)
    far = scores > scores.mean(axis=0) + DEVIATIONS * scores.std(axis=0)
    tied = {
        (word, int(c)) for word, row in zip(counts, far, strict=True) for c in np.flatnonzero(row)
    }
    rows = zip(labels.tolist(), words, strict=True)
    return np.array([any((word, label) in tied for word in said) for label, said in rows])
