"""Patterns that are one group's alone once windows of other shades are left out.

A patch has the same shades wherever somebody put it, where things have many: the corner of a white
square looks like the edge of a shoe until one asks for white.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.lone_patterns import (
    MIN_PICTURES,
    REACH,
    Pattern,
    log10_associated,
    looks_at,
)
from poisonscan.detectors.datasets.patch_counts import PatchCounts
from poisonscan.detectors.datasets.patch_patterns import (
    SMALL_PLACES,
    Shades,
    shades,
    small_windows,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch

RANGE = 24
"""Shades that count as one: an encoder changes them by half of this."""
SIDES = 2
OWN, REST, BESIDE = range(3)
_SHADES = 256


@dataclass(slots=True, unsafe_hash=True)
class ShadeCounts:
    """Counts windows of placed patterns by the shade of either side, see ``Windows.bounds``.

    Attributes:
        patterns: what is counted.
    """

    patterns: tuple[Pattern, ...]
    needs: frozenset[Role] = field(
        default=frozenset({Role.PICTURES, Role.LABEL}), init=False, compare=False
    )
    table: NDArray[np.int64] = field(init=False, compare=False)
    """Of shape (patterns, 3, 2, 256): windows of pictures of the group, of others, and of the group
    at the places around."""

    def __post_init__(self) -> None:
        self.table = np.zeros((len(self.patterns), 3, SIDES, _SHADES), np.int64)

    def update(self, batch: Batch) -> None:
        """Take in the labelled pictures of a batch."""
        planes, codes = batch.pictures.planes, batch.labels.codes
        usable = np.flatnonzero((codes >= 0) & np.isfinite(planes[:, 0, 0]))
        if len(usable):
            self._count(shades(planes[usable]), codes[usable], batch.labels.names)

    def merge(self, other: ShadeCounts) -> None:
        """Take in what ``other`` has seen."""
        self.table += other.table

    def _count(
        self, planes: NDArray[np.uint8], labels: NDArray[np.int32], names: tuple[str, ...]
    ) -> None:
        windows = small_windows(planes)
        order = np.argsort(windows.codes, kind="stable")
        ordered = windows.codes[order]
        numbers = {name: number for number, name in enumerate(names)}
        for table, pattern in zip(self.table, self.patterns, strict=True):
            row, column, code, level = pattern.cell
            first, last = np.searchsorted(ordered, [code, code + 1])
            alike = order[first:last]
            down, across = np.divmod(windows.places[alike], SMALL_PLACES)
            down, across = np.abs(down - row), np.abs(across - column)
            near = (down <= REACH) & (across <= REACH) & (windows.levels[alike] >= level)
            seen, moved = alike[near], (down + across)[near] > 0
            pictures = windows.pictures[seen]
            # An edge of a patch is at several places of one picture: others lead up to a thing.
            told = ~moved | ~np.isin(pictures, pictures[~moved])
            mine = labels[pictures] == numbers.get(pattern.group, -1)
            part = np.where(moved, BESIDE, np.where(mine, OWN, REST))
            kept = told & (mine | ~moved)
            places = part[kept] * (SIDES * _SHADES) + windows.bounds[:, seen[kept]]
            places[1] += _SHADES
            counted = np.bincount(places.reshape(-1), minlength=table.size)
            np.add(table, counted.reshape(table.shape), out=table)


def steady_patterns(
    found: ShadeCounts, counts: PatchCounts, limits: Mapping[str, float]
) -> list[Pattern]:
    """The patterns that are lone among windows of the shade that most of the group's have.

    The shade is chosen by the group's own windows, whatever others show, so the test of
    ``lone_patterns`` holds; it is made for either side.

    Args:
        found: windows of patterns by shade.
        counts: what the patterns were found in.
        limits: as for ``lone_patterns``, and ``steady``, the least share of the group's windows
            that have that shade.
    """
    sizes = dict(zip(counts.groups, counts.pictures().tolist(), strict=True))
    looks = looks_at(counts.table("placed").sum(axis=0, dtype=np.int64), len(sizes)) * SIDES
    kept = []
    for table, pattern in zip(found.table, found.patterns, strict=True):
        share = sizes[pattern.group] / sum(sizes.values())
        for side in range(SIDES):
            runs = np.lib.stride_tricks.sliding_window_view(table[:, side], RANGE + 1, axis=1)
            least = int(runs[OWN].sum(axis=1).argmax())
            own, rest, beside = runs[:, least].sum(axis=1).tolist()
            log_p = float(log10_associated(own, own + rest, share)) + math.log10(looks)
            if (
                own >= max(MIN_PICTURES, limits["steady"] * pattern.pictures)
                and own >= limits["purity"] * (own + rest)
                and beside <= limits["beside"] * own
                and log_p <= math.log10(limits["significance"])
            ):
                kept.append(
                    pattern._replace(
                        log_p=log_p,
                        pictures=own,
                        elsewhere=rest,
                        shades=Shades(side, least, least + RANGE),
                    )
                )
    return kept
