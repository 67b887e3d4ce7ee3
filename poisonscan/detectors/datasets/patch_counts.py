"""How many pictures of each label show a pattern: at a place, or anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xxhash

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.patch_patterns import (
    LARGE_CODES,
    LEVELS,
    SMALL_CODES,
    SMALL_PLACES,
    Windows,
    large_windows,
    shades,
    small_windows,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch

Kind = Literal["placed", "small", "large"]
"""A small pattern at one place, a small one anywhere, a large one anywhere."""
PLACED_LEVELS = 2
SHAPES: dict[Kind, tuple[int, ...]] = {
    "placed": (SMALL_PLACES, SMALL_PLACES, SMALL_CODES, PLACED_LEVELS),
    "small": (SMALL_CODES, LEVELS),
    "large": (LARGE_CODES, 1),
}
MAX_GROUPS = 32
"""Labels that are counted apart, 4 MB each; of more, groups of labels are."""
BLOCK = 512


class _Group:
    """Counts of one label, or of a group of labels.

    Most counts of few pictures are zero: on its way between processes, and until it is added to
    another, a group is what is not.
    """

    __slots__ = ("_counts", "_sparse", "pictures")

    def __init__(self) -> None:
        self.pictures = 0
        self._counts: dict[Kind, NDArray[np.uint32]] = {}
        self._sparse: dict[Kind, tuple[NDArray[np.uint32], NDArray[np.uint32]]] = {}

    @property
    def counts(self) -> dict[Kind, NDArray[np.uint32]]:
        """Flat tables of ``SHAPES``."""
        if not self._counts:
            for kind, shape in SHAPES.items():
                self._counts[kind] = np.zeros(int(np.prod(shape)), np.uint32)
            for kind, (places, numbers) in self._sparse.items():
                self._counts[kind][places] = numbers
            self._sparse = {}
        return self._counts

    def absorb(self, other: _Group) -> None:
        self.pictures += other.pictures
        counts = self.counts
        if other._sparse:
            for kind, (places, numbers) in other._sparse.items():
                counts[kind][places] += numbers
        else:
            for kind in SHAPES:
                np.add(counts[kind], other.counts[kind], out=counts[kind])

    def __getstate__(self) -> tuple[int, dict[Kind, tuple[Any, Any]]]:
        sparse = dict(self._sparse)
        for kind, table in self._counts.items():
            places = np.flatnonzero(table).astype(np.uint32)
            sparse[kind] = places, table[places]
        return self.pictures, sparse

    def __setstate__(self, state: tuple[int, dict[Kind, tuple[Any, Any]]]) -> None:
        self._counts = {}
        self.pictures, self._sparse = state


@dataclass(slots=True, unsafe_hash=True)
class PatchCounts:
    """Counts pictures by label and pattern; where there are more labels, by a hash of the label.

    Attributes:
        limit: labels that are counted apart, and groups of labels.
        folded: there were more labels than that.
    """

    limit: int = MAX_GROUPS
    needs: frozenset[Role] = field(
        default=frozenset({Role.PICTURES, Role.LABEL}), init=False, compare=False
    )
    folded: bool = field(default=False, init=False, compare=False)
    _groups: dict[str, _Group] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in the labelled pictures of a batch."""
        planes, codes = batch.pictures.planes, batch.labels.codes
        usable = (codes >= 0) & np.isfinite(planes[:, 0, 0])
        for code in np.unique(codes[usable]).tolist():
            rows = np.flatnonzero(usable & (codes == code))
            group = self._group(batch.labels.names[code])
            group.pictures += len(rows)
            for start in range(0, len(rows), BLOCK):
                _count(group.counts, shades(planes[rows[start : start + BLOCK]]))

    def merge(self, other: PatchCounts) -> None:
        """Take in what ``other`` has seen."""
        if other.folded:
            self._fold()
        for name, theirs in other._groups.items():
            self._group(name, grouped=other.folded).absorb(theirs)

    def group_of(self, name: str) -> str:
        """What a label is counted under."""
        return (
            f"{xxhash.xxh3_64_intdigest(name.encode('utf-8', 'surrogatepass')) % self.limit}"
            if self.folded
            else name
        )

    @property
    def groups(self) -> tuple[str, ...]:
        """What is counted apart, in order."""
        return tuple(sorted(self._groups))

    def pictures(self) -> NDArray[np.int64]:
        """Pictures of each group."""
        return np.array([self._groups[name].pictures for name in self.groups], np.int64)

    def table(self, kind: Kind) -> NDArray[np.uint32]:
        """Pictures with each pattern at its level or above, of shape (groups, *SHAPES[kind])."""
        tables = [self._groups[name].counts[kind].reshape(SHAPES[kind]) for name in self.groups]
        stacked = np.stack(tables) if tables else np.zeros((0, *SHAPES[kind]), np.uint32)
        if kind == "placed":  # a place of a picture has one level
            stacked[..., 0] += stacked[..., 1]
        return stacked

    def _group(self, name: str, *, grouped: bool = False) -> _Group:
        if not grouped and not self.folded and name not in self._groups:
            if len(self._groups) < self.limit:
                return self._groups.setdefault(name, _Group())
            self._fold()
        key = name if grouped else self.group_of(name)
        return self._groups.setdefault(key, _Group())

    def _fold(self) -> None:
        """Put labels in groups from now on."""
        if self.folded:
            return
        self.folded = True
        known, self._groups = self._groups, {}
        for name, group in known.items():
            self._group(name).absorb(group)


def _count(counts: dict[Kind, NDArray[np.uint32]], planes: NDArray[np.uint8]) -> None:
    small = small_windows(planes)
    level = np.minimum(small.levels, PLACED_LEVELS - 1)
    keys = (small.places * SMALL_CODES + small.codes) * PLACED_LEVELS + level
    np.add.at(counts["placed"], keys, np.uint32(1))
    seen = np.zeros((len(planes), SMALL_CODES, LEVELS), bool)
    seen[small.pictures, small.codes, small.levels] = True
    for lower in range(LEVELS - 2, -1, -1):
        seen[..., lower] |= seen[..., lower + 1]
    counts["small"] += seen.sum(axis=0, dtype=np.uint32).reshape(-1)
    np.add.at(counts["large"], _once(large_windows(planes)), np.uint32(1))


def _once(windows: Windows) -> NDArray[np.int64]:
    """Codes of windows, each once for a picture."""
    keys = np.unique(windows.pictures * LARGE_CODES + windows.codes)
    return np.asarray(keys % LARGE_CODES)
