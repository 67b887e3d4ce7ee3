"""What kinds of picture files carry which labels, and pictures that are odd by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.detectors.datasets.label_codes import LabelCodes

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch
    from poisonscan.datasets.pictures import Kind

Ints = NDArray[np.int64]

MAX_VALUES = 20_000
"""Values of a trait with their labels; a trait with more tells nothing about origins."""
KEPT = 10_000
"""Places that are kept of a value with a label, and of pictures that are odd by themselves."""
MAX_KEPT = 1_000_000
"""Places that are kept of a trait: of more than 100 values with a label fewer of each, but"""
LEAST = 20
BLANK = 0.5
"""Standard deviation of the luminance below which a picture shows nothing."""

TRAITS: dict[str, Callable[[Kind], str]] = {
    "format": lambda kind: kind.format,
    "kind of pixels": lambda kind: kind.mode,
    "size": lambda kind: f"{kind.size[0]}×{kind.size[1]}",
    "encoder": lambda kind: f"{kind.format} of {kind.encoder}" if kind.encoder else kind.format,
    "number of frames": lambda kind: "several" if kind.animated else "one",
}
"""What pictures of one origin have in common."""


@dataclass(slots=True)
class Places:
    """The first places of some pictures, and how many these are.

    Attributes:
        count: all of them.
        first: shard and position as one number, in order.
    """

    count: int = 0
    first: Ints = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, count: int, places: Ints, kept: int) -> None:
        """Take in ``count`` pictures, among them the first ones at ``places``."""
        self.count += count
        if not (len(self.first) and len(places)) or places[0] > self.first[-1]:  # as one reads them
            self.first = np.concatenate([self.first, places[: max(kept - len(self.first), 0)]])
        else:
            self.first = np.sort(np.concatenate([self.first, places]))
        self.first = self.first[:kept]

    @property
    def rows(self) -> Ints:
        """Shard and position, ``int64`` of shape (n, 2)."""
        return located(self.first)


Counts = dict[tuple[str, int], Places]


def _room(counts: Counts) -> int:
    """Places that are kept of each value with a label."""
    return max(LEAST, min(KEPT, MAX_KEPT // max(len(counts), 1)))


@dataclass(frozen=True, slots=True)
class KindTable:
    """What was counted.

    Attributes:
        traits: pictures by trait, and by value and label, whose codes are positions in
            ``names`` (-1 for none); None for a trait with too many values.
        names: labels in order; None when there were too many to be classes; then there are no
            traits either.
        odd: pictures by what is odd about them: ``blank``, ``long`` or what their files carry.
        pictures: those that were decoded.
    """

    traits: dict[str, dict[tuple[str, int], Places] | None]
    names: tuple[str, ...] | None
    odd: dict[str, Places]
    pictures: int


@dataclass(slots=True, unsafe_hash=True)
class PictureKinds:
    """Counts kinds of picture files by label.

    Attributes:
        aspect: ratio of the sides from which a picture is odd.
    """

    aspect: float
    needs: frozenset[Role] = field(
        default=frozenset({Role.PICTURES, Role.LABEL}), init=False, compare=False
    )
    _labels: LabelCodes = field(default_factory=LabelCodes, init=False, compare=False)
    _traits: dict[str, Counts | None] = field(
        default_factory=lambda: {name: {} for name in TRAITS}, init=False, compare=False
    )
    _odd: dict[str, Places] = field(default_factory=dict, init=False, compare=False)
    _pictures: int = field(default=0, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        pixels = batch.pictures
        labels = self._labels.coded(batch.labels)
        first = numbered(batch.shard, batch.start)
        used = np.flatnonzero(pixels.kinds >= 0)
        self._pictures += len(used)
        values = np.stack([pixels.kinds[used], labels[used]], axis=1)
        pairs, which, counts = np.unique(values, axis=0, return_inverse=True, return_counts=True)
        parts = np.split(np.argsort(which.ravel(), kind="stable"), np.cumsum(counts))
        for (code, label), part in zip(pairs.tolist(), parts, strict=False):  # the last is empty
            kind, places = pixels.kind_names[code], first + used[part]
            for name, value in TRAITS.items():
                self._count(name, (value(kind), label), len(places), places[:KEPT])
            if max(kind.size) >= self.aspect * max(min(kind.size), 1):
                self._note("long", len(places), places[:KEPT])
        blank = used[pixels.planes[used].std(axis=(1, 2)) < BLANK]
        self._note("blank", len(blank), first + blank[:KEPT])
        for row, what in pixels.carried:
            self._note(what, 1, np.array([first + row], np.int64))

    def merge(self, other: PictureKinds) -> None:
        """Take in what ``other`` has seen."""
        lookup = self._labels.merged(other._labels)
        for name, counts in other._traits.items():
            if counts is None:
                self._traits[name] = None
                continue
            for (value, label), places in counts.items():
                self._count(name, (value, int(lookup[label])), places.count, places.first)
        for what, places in other._odd.items():
            self._note(what, places.count, places.first)
        self._pictures += other._pictures

    def table(self) -> KindTable:
        """What was counted."""
        names, lookup = self._labels.ordered()
        traits: dict[str, dict[tuple[str, int], Places] | None] = {}
        for name, counts in self._traits.items():
            if counts is None or names is None:
                traits[name] = None
                continue
            merged: Counts = {}
            for (value, label), places in sorted(counts.items(), key=lambda item: item[0]):
                entry = merged.setdefault((value, int(lookup[label])), Places())
                entry.add(places.count, places.first, _room(counts))
            traits[name] = merged
        return KindTable(traits, names, self._odd, self._pictures)

    def _count(self, trait: str, value: tuple[str, int], count: int, places: Ints) -> None:
        counts = self._traits[trait]
        if counts is not None:
            counts.setdefault(value, Places()).add(count, places, _room(counts))
            if len(counts) > MAX_VALUES:
                self._traits[trait] = None

    def _note(self, what: str, count: int, places: Ints) -> None:
        if count:
            self._odd.setdefault(what, Places()).add(count, places, KEPT)
