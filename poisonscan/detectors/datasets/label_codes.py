"""Labels as codes that batches and workers agree on once they are merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.label_counts import MAX_CHARACTERS, MAX_LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Labels


@dataclass(slots=True)
class LabelCodes:
    """Numbers labels in order of appearance; gives up on more than classes can have."""

    _codes: dict[str, int] | None = field(default_factory=dict)
    _characters: int = 0

    def coded(self, labels: Labels) -> NDArray[np.int32]:
        """The labels of a batch as codes, ``int32`` of shape (rows,); -1 for none."""
        lookup = np.full(len(labels.names) + 1, -1, np.int32)  # the last entry serves code -1
        present = np.unique(labels.codes[labels.codes >= 0])
        lookup[present] = self._numbered([labels.names[code] for code in present.tolist()])
        return lookup[labels.codes]

    def merged(self, other: LabelCodes) -> NDArray[np.int32]:
        """Take in what ``other`` has seen: its codes as codes of this one."""
        if other._codes is None:
            self._codes = None
            return np.full(MAX_LABELS + 2, -1, np.int32)
        return np.append(self._numbered(list(other._codes)), np.int32(-1))

    def ordered(self) -> tuple[tuple[str, ...] | None, NDArray[np.int32]]:
        """Labels in order, None when there were too many; and codes as positions among them."""
        if self._codes is None:
            return None, np.full(MAX_LABELS + 2, -1, np.int32)
        names = tuple(sorted(self._codes))
        lookup = np.full(len(names) + 1, -1, np.int32)
        for position, name in enumerate(names):
            lookup[self._codes[name]] = position
        return names, lookup

    def _numbered(self, names: Sequence[str]) -> NDArray[np.int32]:
        for name in names:
            if self._codes is None:
                break
            if name not in self._codes:
                self._codes[name] = len(self._codes)
                self._characters += len(name)
            if len(self._codes) > MAX_LABELS or self._characters > MAX_CHARACTERS:
                self._codes = None
        if self._codes is None:
            return np.full(len(names), -1, np.int32)
        return np.array([self._codes[name] for name in names], np.int32)
