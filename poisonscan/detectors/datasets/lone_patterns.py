"""Patterns that one label's pictures show and no other's, and that nothing leads up to.

What pictures show of a thing slides: the edge that many have at one place, others have a pixel
beside it, and for each of its patterns there are some that differ in one pixel. A patch that
somebody put there is at one place (or, wherever it is, always the same), so the patterns beside it
are missing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.patch_counts import SHAPES, Kind
from poisonscan.detectors.datasets.patch_patterns import ANY, LARGE, SMALL, Shades

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

    from poisonscan.detectors.datasets.patch_counts import PatchCounts
    from poisonscan.detectors.datasets.patch_rows import Wanted

MIN_PICTURES = 8
"""Pictures that must show a pattern: chance brings fewer together, and so do copies."""
MOST = 16
"""Patterns of a group that are looked for, the surest."""
MAX_PATTERNS = 64
"""Patterns of all groups."""
REACH = 4
"""Pixels from a place within which all places are beside it: those of a picture of 8×8 pixels that
was enlarged are four apart."""
MIN_PLACES = 3
"""Places with patterns of their own that make a patch that does not move: one of 2×2 pixels is seen
whole in four windows and cut off in more. The end of a handle in the middle of the upper edge made
two, in pictures that are cut out and scaled to touch the edges."""
MIN_STEADY = 2
"""Places beside each other with patterns of one shade that make a patch: one in the corner of the
picture has its own corner in few windows only."""
MOST_PEAKS = 128
"""Patterns of a group whose shades are looked at, the surest."""
MIN_VERSION = 2
"""Pictures of the group that must show another version of a pattern."""
_SIDES: dict[Kind, int] = {"placed": SMALL, "small": SMALL, "large": LARGE}


class Pattern(NamedTuple):
    """A pattern, and how sure it is that it belongs to one group of labels.

    Attributes:
        log_p: log10 of the chance that the group has so many of its pictures, corrected for all
            patterns and groups.
        kind: which table it is from.
        cell: where in the table.
        group: whose pictures show it.
        pictures: how many of them do.
        elsewhere: how many of other groups.
        codes: the pattern, and those that differ from it in one pixel and are the group's too.
        shades: of the windows that count.
    """

    log_p: float
    kind: Kind
    cell: tuple[int, ...]
    group: str
    pictures: int
    elsewhere: int
    codes: tuple[int, ...]
    shades: Shades = ANY

    @property
    def wanted(self) -> Wanted:
        """What to look for in pictures."""
        return self.kind, self.cell, self.codes, self.shades


def lone_patterns(counts: PatchCounts, limits: Mapping[str, float]) -> list[Pattern]:
    """Patterns of one group alone that nothing leads up to.

    If a pattern had nothing to do with the label, the pictures that show it would be spread over
    the groups as all pictures are: an exact binomial test, corrected by Bonferroni for all
    patterns that ``MIN_PICTURES`` show, and all groups.

    Args:
        counts: pictures by label and pattern.
        limits: ``significance`` of the test; ``purity``, the least share of the pictures with the
            pattern that are of the group; and how often the group may show what is beside it, as a
            share of how often it shows the pattern: ``beside``, the same pattern at all places
            around together, and ``turned``, all patterns that differ in one pixel together.
    """
    sizes = counts.pictures()
    found: list[Pattern] = []
    if len(sizes) < 2:
        return found
    for kind in SHAPES:
        table = counts.table(kind)
        total = table.sum(axis=0, dtype=np.int64)
        looks = looks_at(total, len(sizes))
        for number, group in enumerate(counts.groups):
            own = table[number]
            share = float(sizes[number] / sizes.sum())
            wanted = (own >= MIN_PICTURES) & (own >= limits["purity"] * total)
            for log_p, cell in _associated(own, total, wanted, share, looks, limits):
                if _alone(kind, own, cell, limits):
                    count = int(own[cell])
                    rest = int(total[cell]) - count
                    codes = _versions(kind, own, total, cell, limits["purity"])
                    found.append(Pattern(log_p, kind, cell, group, count, rest, codes))
    return found


def peaks(counts: PatchCounts, limits: Mapping[str, float]) -> list[Pattern]:
    """Placed patterns that one group shows more than others, and at one place more than beside it.

    A plain square in a corner looks like the edge of many a thing: its patterns are not lone, but
    may be once those of another shade are left out.

    Args:
        counts: pictures by label and pattern; not folded.
        limits: as for ``lone_patterns``, and ``leaning``, the least share of the pictures with the
            pattern that are of the group, and ``peak``, how often the group may show the pattern at
            any place around, as a share of how often it does at this one.
    """
    sizes, table = counts.pictures(), counts.table("placed")
    total = table.sum(axis=0, dtype=np.int64)
    looks, found = looks_at(total, len(sizes)), []
    for number, group in enumerate(counts.groups if len(sizes) > 1 else ()):
        own, share = table[number], float(sizes[number] / sizes.sum())
        wanted = (own >= MIN_PICTURES) & (own >= limits["leaning"] * total)
        of_group = [
            Pattern(
                log_p, "placed", cell, group, int(own[cell]), int(total[cell] - own[cell]),
                (cell[2],),
            )
            for log_p, cell in _associated(own, total, wanted, share, looks, limits)
            if _turned(own, cell, SMALL) <= limits["turned"] * int(own[cell])
            and _highest(own, cell) <= limits["peak"] * int(own[cell])
        ]  # fmt: skip
        found += sorted(of_group)[:MOST_PEAKS]
    return found


def looks_at(total: NDArray[np.int64], groups: int) -> int:
    """Tests to correct for, given how many pictures show each pattern of a kind."""
    return max(int((total >= MIN_PICTURES).sum()), 1) * len(SHAPES) * groups


def surest(lone: list[Pattern], steady: list[Pattern]) -> list[Pattern]:
    """The first patterns of each group, but not those at a few places only, as a patch has more.

    Args:
        lone: of any shades.
        steady: of one shade.
    """
    groups: dict[str, list[Pattern]] = {}
    for pattern in sorted(lone):
        groups.setdefault(pattern.group, []).append(pattern)
    several = {
        group: patterns
        for group, patterns in groups.items()
        if patterns[0].kind != "placed" or len({p.cell[:2] for p in patterns}) >= MIN_PLACES
    }
    for group in {pattern.group for pattern in steady}:
        of_group = [pattern for pattern in steady if pattern.group == group]
        near = max((_beside(one, of_group) for one in sorted(of_group)), key=_places)
        if _places(near) >= MIN_STEADY:
            several[group] = sorted(several.get(group, []) + near)
    most = min(MOST, MAX_PATTERNS // max(len(several), 1))
    return [pattern for group in sorted(several) for pattern in several[group][:most]]


def _beside(one: Pattern, patterns: list[Pattern]) -> list[Pattern]:
    return [
        p
        for p in patterns
        if max(abs(p.cell[0] - one.cell[0]), abs(p.cell[1] - one.cell[1])) <= REACH
    ]


def _places(patterns: list[Pattern]) -> int:
    return len({pattern.cell[:2] for pattern in patterns})


def _associated(
    own: NDArray[np.uint32],
    total: NDArray[np.int64],
    wanted: NDArray[np.bool_],
    share: float,
    looks: int,
    limits: Mapping[str, float],
) -> list[tuple[float, tuple[int, ...]]]:
    """Cells that pass the test, with log10 of the corrected chance."""
    cells = np.argwhere(wanted)
    chance = log10_associated(own[wanted].astype(np.int64), total[wanted], share)
    chance = chance + math.log10(looks)
    passing = np.flatnonzero(chance <= math.log10(limits["significance"]))
    return [(max(float(chance[i]), -300.0), tuple(int(part) for part in cells[i])) for i in passing]


def log10_associated(own: ArrayLike, total: ArrayLike, share: float) -> Any:
    """log10 of the chance that so many of some pictures, or more, are of a group.

    Args:
        own: pictures of the group.
        total: pictures of all.
        share: of all pictures, that are of the group.
    """
    return tails.log_binomial(own, total, share) / math.log(10)


def _versions(
    kind: Kind,
    own: NDArray[np.uint32],
    total: NDArray[np.int64],
    cell: tuple[int, ...],
    purity: float,
) -> tuple[int, ...]:
    """A pattern, and those that an encoder may have made of it."""
    *place, code, level = cell
    codes = [code]
    for bit in range(_SIDES[kind] ** 2):
        other = (*place, code ^ (1 << bit), level)
        if own[other] >= max(MIN_VERSION, purity * int(total[other])):
            codes.append(other[-2])
    return tuple(codes)


def _alone(
    kind: Kind, own: NDArray[np.uint32], cell: tuple[int, ...], limits: Mapping[str, float]
) -> bool:
    """Whether the patterns beside a pattern are missing."""
    if _turned(own, cell, _SIDES[kind]) > limits["turned"] * int(own[cell]):
        return False
    if kind != "placed":
        return True
    around = int(_around(own, cell).sum(dtype=np.int64)) - int(own[cell])
    return around <= limits["beside"] * int(own[cell])


def _turned(own: NDArray[np.uint32], cell: tuple[int, ...], side: int) -> int:
    """Pictures with the patterns that differ in one pixel."""
    *place, code, level = cell
    return sum(int(own[(*place, code ^ (1 << bit), level)]) for bit in range(side**2))


def _around(own: NDArray[np.uint32], cell: tuple[int, ...]) -> NDArray[np.uint32]:
    """Pictures with a placed pattern at each place around, and at its own."""
    row, column, code, level = cell
    rows = slice(max(row - REACH, 0), row + REACH + 1)
    columns = slice(max(column - REACH, 0), column + REACH + 1)
    return own[rows, columns, code, level]


def _highest(own: NDArray[np.uint32], cell: tuple[int, ...]) -> int:
    """Pictures with a placed pattern at the place around that has most."""
    around = _around(own, cell).copy()
    around[min(cell[0], REACH), min(cell[1], REACH)] = 0
    return int(around.max())
