"""The same small patch on pictures of one label that show nothing else in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.perceptual import described
from poisonscan.datasets.pictures import SIDE
from poisonscan.detectors.datasets.lone_patterns import (
    MIN_PICTURES,
    REACH,
    Pattern,
    lone_patterns,
    peaks,
    surest,
)
from poisonscan.detectors.datasets.patch_counts import MAX_GROUPS, PatchCounts
from poisonscan.detectors.datasets.patch_patterns import (
    LARGE,
    LARGE_PLACES,
    SMALL,
    SMALL_PLACES,
    large_windows,
    small_windows,
)
from poisonscan.detectors.datasets.patch_rows import Carriers, PatchRows, matching
from poisonscan.detectors.datasets.steady_shades import ShadeCounts, steady_patterns
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location, Rows
from poisonscan.limits import LimitReached
from poisonscan.plural import plural
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.places import ListedRows
    from poisonscan.finding import Finding, Json

AROUND = 2
"""Pixels around a window that are looked at for the rest of a patch."""
SPREAD = 12.0
"""Shades: half the distance of the 16th and 84th percentiles of a pixel that is always the same."""
SLIDES = 0.75
"""Share of the pictures in which a pattern is within ``REACH`` pixels of its usual place, without
being at one place in half of them, above which it is what they show: strokes of a letter slide so.
A patch that somebody moves is all over the pictures."""
COPY = 0.95
"""Cosine of the descriptions of two pictures above which one is taken for a copy of the other."""


class RepeatedPatches:
    """Counts patterns of small windows by label, then looks at the pictures that show odd ones."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.PICTURES, Role.LABEL})

    def detect(
        self, dataset: Dataset
    ) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap | ClassTest]]:
        """Ask for counts, then for the pictures with the patterns that stand out.

        Raises:
            LimitReached: too many pictures show such a pattern, or they have too many labels.
        """
        counts: PatchCounts = yield PatchCounts()
        sizes = dict(zip(counts.groups, counts.pictures().tolist(), strict=True))
        if len(sizes) < 2:
            return [Fact("repeated patches", "not decided: it takes two classes or more")]
        limits = rule("PS404").thresholds
        steady: list[Pattern] = []
        likely = [] if counts.folded else peaks(counts, limits)
        if likely:
            found_shades: ShadeCounts = yield ShadeCounts(tuple(likely))
            steady = steady_patterns(found_shades, counts, limits)
        patterns = surest(lone_patterns(counts, limits), steady)
        classes = plural(len(sizes), "class", "classes")
        note = f"looked for in {plural(sum(sizes.values()), 'picture')} of {classes}"
        if counts.folded:
            note += f" (more than {MAX_GROUPS} labels, counted in groups)"
        fact = Fact("repeated patches", note)
        # Labels that are counted in groups are not tested one by one.
        tested = [] if counts.folded else counts.groups
        if not patterns:
            return [fact, *ClassTest.of_classes(["PS404"], tested, {}, None)]
        found: PatchRows = yield PatchRows(tuple(pattern.wanted for pattern in patterns))
        carriers = found.carriers()
        findings = list(_findings(dataset, patterns, found, carriers, sizes))
        if len(findings) > max(1.0, rule("PS405").thresholds["classes"] * len(sizes)):
            findings = [_usual(dataset, findings)]
        # The chances are corrected for all groups of labels: here each is a test of its own.
        chances = {
            finding.key: 10 ** -(finding.score or 0.0) / len(sizes)
            for finding in findings
            if finding.rule.id == "PS404"
        }
        return [*findings, fact, *ClassTest.of_classes(["PS404"], tested, chances, None)]


DETECTOR = RepeatedPatches()


@dataclass(frozen=True, slots=True)
class _Patch:
    """What the pictures with a pattern have in common around it.

    Attributes:
        place: row and column of its upper left corner; None where it moves.
        shades: the usual luminance, ``uint8``, of shape (height, width).
    """

    place: tuple[int, int] | None
    shades: NDArray[np.uint8]

    def describe(self) -> str:
        height, width = self.shades.shape
        size = f"about {width}×{height} pixels of {SIDE}×{SIDE}"
        if self.place is None:
            return f"{size}, at various places"
        return f"{size}, {self.place[0]} from the top and {self.place[1]} from the left"


def _findings(
    dataset: Dataset,
    patterns: list[Pattern],
    found: PatchRows,
    carriers: Carriers,
    sizes: Mapping[str, int],
) -> Iterator[Finding]:
    """One for each label that nearly all pictures with a group's patterns have.

    Raises:
        LimitReached: the labels are too many to be classes.
    """
    limits, names = rule("PS404").thresholds, carriers.names
    if names is None:
        message = "pictures with a repeated patch have too many different labels to be classes"
        raise LimitReached(message)
    for group in sorted({pattern.group for pattern in patterns}):
        bits = [bit for bit, pattern in enumerate(patterns) if pattern.group == group]
        bits = [bit for bit in bits if _varied(found.planes(bit), limits["varied"])]
        if not bits:
            continue
        surest = carriers.labels[carriers.shown & np.uint64(1 << bits[0]) > 0]
        if not (surest >= 0).any():
            continue
        label = int(np.bincount(surest[surest >= 0]).argmax())
        shown = carriers.shown & np.uint64(sum(1 << bit for bit in bits))
        chosen = np.flatnonzero((shown > 0) & (carriers.labels == label))
        different = len(np.unique(carriers.digests[chosen]))
        rest = int((surest != label).sum())
        if different < MIN_PICTURES or rest > (1 - limits["purity"]) * len(surest):
            continue
        strength = _bits(shown[chosen])
        order = np.argsort(-strength, kind="stable")
        named = dataset.named(carriers.rows[chosen[order]], strength[order])
        placed = [b for b in bits if patterns[b].kind == "placed"]
        steady = placed and 2 * patterns[placed[0]].pictures >= len(chosen)
        pictured = placed[0] if steady else bits[0]
        patch = _patch(patterns[pictured], found.planes(pictured))
        if patch is None:
            continue
        name = names[label]
        evidence: dict[str, Json] = {
            "label": name,
            "pictures": len(chosen),
            "different_pictures": different,
            "elsewhere": rest,
            "share_of_class": len(chosen) / max(sizes.get(name, 0), len(chosen)),
            "share_of_dataset": len(chosen) / sum(sizes.values()),
            "place": None if patch.place is None else list(patch.place),
            "patch": [row.tobytes().hex() for row in patch.shades],
            "mean_shade": float(patch.shades.mean()),
            "false_rows": min(_honest(rest, name, sizes) / len(chosen), 1.0),
            "patterns": len(bits),
            "log10_p": patterns[bits[0]].log_p,
        }
        message = (
            f"{len(chosen):,} pictures of class {quote(name)} show the same small patch"
            f" ({patch.describe()}), and {rest:,} of all other classes; otherwise they differ."
            " Look at them beside each other, and leave them out if the patch is no part of what"
            " they show."
        )
        at = Location(dataset.path, named)
        yield rule("PS404").finding(
            at, message, key=name, score=-patterns[bits[0]].log_p, **evidence
        )


def _honest(elsewhere: int, label: str, sizes: Mapping[str, int]) -> float:
    """How many pictures of a class show a patch if they do so as often as others, and one more."""
    own = sizes.get(label, 0)
    return (1 + elsewhere) / (1 + sum(sizes.values()) - own) * own


def _usual(dataset: Dataset, findings: list[Finding]) -> Finding:
    """One finding for classes of which many have patches of their own: what they show, perhaps."""
    names = [str(finding.key) for finding in findings]
    parts = [cast("Rows", finding.at.part) for finding in findings]
    every = [cast("ListedRows", part.every) for part in parts]
    places = [np.stack([e.shard, e.position], axis=1).astype(np.int64) for e in every]
    shown = np.concatenate([rows[:MIN_PICTURES] for rows in places])
    message = (
        f"Pictures of {len(findings):,} classes, such as {quote(names[0])}, show small patches that"
        " no other class has: perhaps that is what they show, as letters and icons do. A patch that"
        " somebody put there would not stand out among them: look at some pictures of each class."
    )
    count = sum(part.count for part in parts)
    named = dataset.named(shown, count=count, taken=np.concatenate(places))
    listed: list[Json] = [*names]
    at = Location(dataset.path, named)
    return rule("PS405").finding(at, message, key="patches", score=None, classes=listed)


def _bits(shown: NDArray[np.uint64]) -> NDArray[np.float64]:
    """How many patterns each picture shows."""
    single = np.unpackbits(np.ascontiguousarray(shown).view(np.uint8).reshape(-1, 8), axis=1)
    return np.asarray(single.sum(axis=1), np.float64)


def _varied(planes: NDArray[np.uint8], least: float) -> bool:
    """Whether the pictures are mostly different ones, and not one of them in many versions."""
    bands = described(planes.astype(np.float32)).astype(np.float32)
    lengths = np.sqrt((bands**2).sum(axis=1))
    units = bands / np.maximum(lengths, 1)[:, None]
    alike = np.tril(units @ units.T > COPY, -1).any(axis=1)
    different = int((~alike).sum())
    return different >= MIN_PICTURES and different >= least * len(planes)


def _slides(corners: NDArray[np.int64]) -> bool:
    """Whether a pattern is at one place and those beside it, as what pictures show of things is.

    Args:
        corners: row and column in each picture, of shape (2, pictures).
    """
    usual = np.median(corners, axis=1, keepdims=True)
    near = (np.abs(corners - usual) <= REACH).all(axis=0)
    most = np.unique(corners, axis=1, return_counts=True)[1].max()
    return bool(near.mean() > SLIDES and 2 * most < corners.shape[1])


def _patch(pattern: Pattern, planes: NDArray[np.uint8]) -> _Patch | None:
    """The pixels around a pattern that are the same in most pictures with it; None if it slides."""
    side = LARGE if pattern.kind == "large" else SMALL
    windows = large_windows(planes) if pattern.kind == "large" else small_windows(planes)
    hits = matching(windows, pattern._replace(codes=pattern.codes[:1]).wanted)
    _, first = np.unique(windows.pictures[hits], return_index=True)
    places = windows.places[hits[first]]
    corners = np.divmod(places, LARGE_PLACES if pattern.kind == "large" else SMALL_PLACES)
    if _slides(np.stack(corners)):
        return None
    reach = side + 2 * AROUND
    padded = np.pad(
        planes.astype(np.float32), ((0, 0), (AROUND,) * 2, (AROUND,) * 2), constant_values=np.nan
    )
    views = np.lib.stride_tricks.sliding_window_view(padded, (reach, reach), axis=(1, 2))
    crops = views[windows.pictures[hits[first]], corners[0], corners[1]]
    inside = np.isfinite(crops).mean(axis=0) > 1 / 2
    crops = np.where(np.isfinite(crops) | inside, crops, 0.0)
    low, middle, high = np.nanpercentile(crops, [16, 50, 84], axis=0)
    same = inside & (high - low <= 2 * SPREAD)
    same[AROUND : AROUND + side, AROUND : AROUND + side] = True
    rows, columns = _run(same.mean(axis=1), side), _run(same.mean(axis=0), side)
    shades = np.clip(np.rint(middle[rows, columns]), 0, 255).astype(np.uint8)
    if pattern.kind != "placed":
        return _Patch(None, shades)
    top, left = (
        int(corners[0][0]) - AROUND + rows.start,
        int(corners[1][0]) - AROUND + columns.start,
    )
    return _Patch((top, left), shades)


def _run(same: NDArray[np.floating[Any]], side: int) -> slice:
    """The window, and lines around it of which more is the same than the window makes up."""
    start, stop = AROUND, AROUND + side
    while start > 0 and same[start - 1] >= side / len(same):
        start -= 1
    while stop < len(same) and same[stop] >= side / len(same):
        stop += 1
    return slice(start, stop)
