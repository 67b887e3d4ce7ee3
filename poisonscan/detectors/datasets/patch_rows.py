"""Which pictures show given patterns, and what some of these pictures look like."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from poisonscan.datasets.batch import Labels, Role
from poisonscan.datasets.pictures import SIDE
from poisonscan.detectors.datasets.label_codes import LabelCodes
from poisonscan.detectors.datasets.patch_counts import Kind
from poisonscan.detectors.datasets.patch_patterns import (
    ANY,
    SMALL_PLACES,
    Shades,
    Windows,
    large_windows,
    shades,
    small_windows,
)
from poisonscan.detectors.datasets.projections import mix
from poisonscan.limits import LimitReached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch

MAX_PICTURES = 2_000_000
"""Pictures with a pattern that are kept, 36 bytes each."""
SHOWN = 64
"""Pictures of each pattern whose pixels are kept, 1 KiB each."""
Wanted = tuple[Kind, tuple[int, ...], tuple[int, ...], Shades]
"""A pattern by its cell in the table of its kind, the codes that count as it, and its shades."""


class Carriers(NamedTuple):
    """Pictures that show patterns, in order of place.

    Attributes:
        rows: shard and position in the shard, ``int64`` of shape (pictures, 2).
        labels: codes into ``names``, ``int32``; -1 where there is none.
        shown: which patterns, one bit for each, ``uint64``.
        digests: of the pixels, ``uint64``.
        names: labels in order; None when there were too many to be classes.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int32]
    shown: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    names: tuple[str, ...] | None


Part = tuple["NDArray[np.int64]", "NDArray[np.int32]", "NDArray[np.uint64]", "NDArray[np.uint64]"]


@dataclass(slots=True, unsafe_hash=True)
class PatchRows:
    """Keeps place, label and digest of pictures that show patterns, and the pixels of some.

    Attributes:
        wanted: the patterns, at most 64.
        overflow: more than ``MAX_PICTURES`` show one; then nothing is kept.
    """

    wanted: tuple[Wanted, ...]
    needs: frozenset[Role] = field(
        default=frozenset({Role.PICTURES, Role.LABEL}), init=False, compare=False
    )
    overflow: bool = field(default=False, init=False, compare=False)
    _size: int = field(default=0, init=False, compare=False)
    _labels: LabelCodes = field(default_factory=LabelCodes, init=False, compare=False)
    _parts: list[Part] = field(default_factory=list, init=False, compare=False)
    _pixels: dict[int, dict[tuple[int, int, int], NDArray[np.uint8]]] = field(
        default_factory=dict, init=False, compare=False
    )

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        planes = shades(batch.pictures.planes)
        shown = self._shown(planes)
        found = np.flatnonzero(shown)
        if not len(found):
            return
        rows = batch.rows[found]
        codes = self._labels.coded(Labels(batch.labels.codes[found], batch.labels.names))
        self._take((rows, codes, shown[found], batch.pictures.digests[found, 0]))
        order = mix(rows, 4)
        for bit in range(len(self.wanted)):
            hits = np.flatnonzero(shown[found] & np.uint64(1 << bit))
            for hit in hits[np.argsort(order[hits], kind="stable")[:SHOWN]].tolist():
                key = (int(order[hit]), int(rows[hit, 0]), int(rows[hit, 1]))
                self._keep(bit, key, planes[found[hit]])

    def merge(self, other: PatchRows) -> None:
        """Take in what ``other`` has seen."""
        lookup = self._labels.merged(other._labels)
        if other.overflow:
            self._forget()
        for rows, labels, shown, digests in other._parts:
            self._take((rows, lookup[labels], shown, digests))
        for bit, planes in other._pixels.items():
            for key, plane in planes.items():
                self._keep(bit, key, plane)

    def carriers(self) -> Carriers:
        """All pictures that show a pattern.

        Raises:
            LimitReached: there are too many.
        """
        if self.overflow:
            message = f"more than {MAX_PICTURES:,} pictures show a repeated patch: not listed"
            raise LimitReached(message)
        empty = (
            np.empty((0, 2), np.int64), np.empty(0, np.int32),
            np.empty(0, np.uint64), np.empty(0, np.uint64),
        )  # fmt: skip
        rows, labels, shown, digests = (
            np.concatenate(part) for part in zip(empty, *self._parts, strict=True)
        )
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        names, lookup = self._labels.ordered()
        return Carriers(rows[order], lookup[labels[order]], shown[order], digests[order], names)

    def planes(self, bit: int) -> NDArray[np.uint8]:
        """Some pictures that show a pattern, of shape (n, side, side): lowest hashes of place."""
        kept = sorted(self._pixels.get(bit, {}).items())[:SHOWN]
        return np.array([plane for _, plane in kept], np.uint8).reshape(-1, SIDE, SIDE)

    def _shown(self, planes: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Which patterns each picture shows."""
        out = np.zeros(len(planes), np.uint64)
        kinds = {kind for kind, *_ in self.wanted}
        windows: dict[Kind, Windows] = {}
        if kinds & {"small", "placed"}:
            windows["small"] = windows["placed"] = small_windows(planes)
        if "large" in kinds:
            windows["large"] = large_windows(planes)
        for bit, pattern in enumerate(self.wanted):
            seen = windows[pattern[0]]
            out[seen.pictures[matching(seen, pattern)]] |= np.uint64(1 << bit)
        return out

    def _take(self, part: Part) -> None:
        self._size += len(part[0])
        if self.overflow or self._size > MAX_PICTURES:
            self._forget()
        elif len(part[0]):
            self._parts.append(part)

    def _keep(self, bit: int, key: tuple[int, int, int], plane: NDArray[np.uint8]) -> None:
        known = self._pixels.setdefault(bit, {})
        known[key] = plane
        if len(known) > 2 * SHOWN:
            self._pixels[bit] = dict(sorted(known.items())[:SHOWN])

    def _forget(self) -> None:
        self.overflow = True
        self._parts.clear()


def matching(windows: Windows, pattern: Wanted) -> NDArray[np.int64]:
    """The windows that show a pattern."""
    kind, (*place, _, level), codes, steady = pattern
    same = np.isin(windows.codes, codes) & (windows.levels >= level)
    if steady != ANY:
        bound = windows.bounds[steady.side]
        same &= (bound >= steady.least) & (bound <= steady.most)
    if kind == "placed":
        same &= windows.places == place[0] * SMALL_PLACES + place[1]
    return np.flatnonzero(same)
