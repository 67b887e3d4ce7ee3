"""Labels as hashes, which mean the same in every process, with the names they stand for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from poisonscan.detectors.datasets.label_counts import MAX_CHARACTERS, MAX_LABELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Labels

MISSING = 0
"""The hash of a label that is missing, and of every label once there are too many."""


def hash_of(name: str) -> int:
    """The hash of a label, which is not ``MISSING``."""
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass")) | 1


@dataclass(slots=True)
class LabelHashes:
    """The names and rows of the labels that were seen.

    Attributes:
        names: name by hash; None once there were more labels than classes can have.
        rows: rows with each label, by hash; labels that are missing are not counted.
    """

    names: dict[int, str] | None = field(default_factory=dict)
    rows: Counter[int] = field(default_factory=Counter)
    _characters: int = 0

    def hashed(self, labels: Labels, chosen: NDArray[np.intp]) -> NDArray[np.uint64]:
        """Hashes of the labels of some rows of a batch, ``uint64``; they are counted."""
        numbers = labels.codes[chosen]
        lookup = np.full(len(labels.names) + 1, MISSING, np.uint64)  # the last entry serves -1
        counts = np.bincount(numbers[numbers >= 0], minlength=len(labels.names))
        for number in np.flatnonzero(counts).tolist():
            if self.names is None:
                break
            name = labels.names[number]
            lookup[number] = hash_of(name)
            self._learn(int(lookup[number]), name, int(counts[number]))
        return lookup[numbers]

    def join(self, other: LabelHashes) -> None:
        """Take in the names and counts of ``other``."""
        if other.names is None:
            self._forget()
        for code, name in (other.names or {}).items():
            self._learn(code, name, other.rows[code])

    def ordered(self) -> tuple[tuple[str, ...], NDArray[np.uint64]]:
        """Names in order, and the hash of each, ``uint64``; nothing when there were too many."""
        pairs = sorted((name, code) for code, name in (self.names or {}).items())
        return tuple(name for name, _ in pairs), np.array([code for _, code in pairs], np.uint64)

    def numbers(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Positions of labels in ``ordered()``, ``int32``; -1 where there is none."""
        known = self.ordered()[1]
        if not len(known):
            return np.full(len(hashes), -1, np.int32)
        order = np.argsort(known)
        at = np.minimum(np.searchsorted(known[order], hashes), len(known) - 1)
        found = known[order][at] == hashes
        return np.where(found, order[at], -1).astype(np.int32)

    def _learn(self, code: int, name: str, rows: int) -> None:
        if self.names is None:
            return
        if code not in self.names:
            self.names[code] = name
            self._characters += len(name)
        self.rows[code] += rows
        if len(self.names) > MAX_LABELS or self._characters > MAX_CHARACTERS:
            self._forget()

    def _forget(self) -> None:
        self.names = None
        self.rows.clear()
