"""Labels by place: a file that stands out, a stretch of one label in otherwise shuffled rows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import POSITIONS
from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.label_blocks import LabelBlocks, RowsWithin
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.label_drift import drift
from poisonscan.detectors.datasets.places import files, places, unpacked
from poisonscan.escape import quote
from poisonscan.finding import Fact, Location, Severity
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.label_blocks import Blocks, Stretch
    from poisonscan.detectors.datasets.label_drift import Drift
    from poisonscan.finding import Finding

MAX_FINDINGS = 20
"""Files and stretches that are reported."""
FILES = 4
"""Files of a split from which one can stand out."""
ROWS = 50
"""Rows of a file from which it is compared with others."""
_PURE = 0.9
_SOURCE = (
    "So many rows, or rows with other labels all over them, are rather a part that comes from "
    "another source than rows that were added for their label."
)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What stands out: the stretch whose rows are to be named, and what is said of it.

    Attributes:
        stretch: see ``RowsWithin``.
        message: what was seen.
        score: how much it stands out.
        doubt: why nobody need have added the rows; empty if nothing speaks against it.
    """

    stretch: Stretch
    message: str
    score: float
    doubt: str = ""


class LabelRuns:
    """Counts labels along each file."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact]]:
        """Ask for counts; if something stands out, for its rows.

        Raises:
            LimitReached: too many labels or files.
        """
        if dataset.format == "image":  # the rows are files, in order of their names
            return []
        where = places(dataset)
        counted: LabelBlocks = yield LabelBlocks(where)
        blocks = counted.blocks()
        if len(blocks.names) < 2 or is_continuous(blocks.names):
            return []
        every = [*_files(dataset, blocks), *_stretches(dataset, blocks)]
        claims = every[:MAX_FINDINGS]
        facts = _order(blocks)
        if not claims:
            return facts
        rows: RowsWithin = yield RowsWithin(where, tuple(claim.stretch for claim in claims))
        found = [
            _finding(dataset, claim, unpacked(where, named), count)
            for claim, named, count in zip(claims, rows.found, rows.counts, strict=True)
        ]
        return [*few(found, len(every) - len(claims)), *facts]


DETECTOR = LabelRuns()


def _finding(dataset: Dataset, claim: _Claim, rows: NDArray[np.int64], count: int) -> Finding:
    file, first, last, label = claim.stretch
    path = files(dataset)[file]
    whole = last == POSITIONS
    found = rule("PS306").finding(
        Location(dataset.path, dataset.named(rows, count=count)),
        claim.message,
        key=f"{path}\0{label}\0{'file' if whole else 'stretch'}",
        score=claim.score,
        file=path,
        label=label,
        first=None if whole else first,
        last=None if whole else last - 1,
    )
    return found.tested(Severity.LOW, claim.doubt) if claim.doubt else found


def _files(dataset: Dataset, blocks: Blocks) -> Iterator[_Claim]:
    """Files whose labels are not those of the other files of their split."""
    paths = files(dataset)
    splits = {shard.path: shard.split for shard in dataset.shards}
    groups: dict[str, dict[int, NDArray[np.int64]]] = defaultdict(dict)
    for file, counts in blocks.counts.items():
        rows = counts.sum(axis=0)
        if rows.sum() >= ROWS:
            groups[splits[paths[file]]][file] = rows
    limits = rule("PS306").thresholds
    for split, group in groups.items():
        if len(group) < FILES:
            continue
        total = np.sum(list(group.values()), axis=0)
        found = _standing_out(group)
        if len(found) > limits["share_of_files"] * len(group):
            continue  # files that all differ are sources or parts, not exceptions
        for file in found:
            each = drift(total - group[file], group[file])
            label = int(each.differences.argmax())
            rows = group[file]
            share = rows[label] / rows.sum()
            other = (total - rows)[label] / (total - rows).sum()
            message = (
                f"{quote(paths[file])} has {share:.1%} {quote(blocks.names[label])}, the other "
                f"{len(group) - 1:,} files of {quote(split)} have {other:.1%}: none of them "
                f"differs from the rest like this (effect w {each.effect:.2f})."
            )
            stretch = (file, 0, POSITIONS, blocks.names[label])
            yield _Claim(stretch, message, each.effect)


def _standing_out(group: dict[int, NDArray[np.int64]]) -> list[int]:
    """Files that differ more than files here do anyway, one after the other.

    Where files differ by more than chance, the test statistic is divided by that excess, its median
    over the files (as for overdispersed counts, P. McCullagh and J. Nelder 1989).
    """
    limits = rule("PS306").thresholds
    left = dict(group)
    found: list[int] = []
    while len(left) >= FILES and len(found) < MAX_FINDINGS:
        drifts = _each(left)
        most = max(drifts, key=lambda file: (drifts[file].effect, -file))
        others = _each({file: rows for file, rows in left.items() if file != most}).values()
        usual = float(np.median([each.effect for each in others]))
        excess = max(1.0, float(np.median([d.statistic / max(d.degrees, 1) for d in others])))
        each = drifts[most]
        chance = tails.chi_squared(each.statistic / excess, max(each.degrees, 1))
        wide = each.effect >= max(limits["effect"], limits["times_usual"] * usual)
        if not wide or chance * len(group) > limits["chance"]:
            break
        found.append(most)
        del left[most]
    return found


def _each(group: dict[int, NDArray[np.int64]]) -> dict[int, Drift]:
    """Each file against the others together."""
    total = np.sum(list(group.values()), axis=0)
    return {file: drift(total - rows, rows) for file, rows in group.items()}


def _stretches(dataset: Dataset, blocks: Blocks) -> Iterator[_Claim]:
    """Stretches of nearly one label in files whose other rows are shuffled."""
    paths = files(dataset)
    for file, counts in blocks.counts.items():
        found = stretch(counts)
        if found is None:
            continue
        first, last, label = found
        rows = counts[first:last]
        outside = counts.sum(axis=0) - rows.sum(axis=0)
        share, usual = rows[:, label].sum() / rows.sum(), outside[label] / outside.sum()
        start, stop = first * blocks.rows, last * blocks.rows
        name = blocks.names[label]
        message = (
            f"rows {start:,} to {start + int(rows.sum()) - 1:,} of {quote(paths[file])} are "
            f"{share:.0%} {quote(name)}, which has {usual:.0%} elsewhere in the file, where labels "
            "come in no order."
        )
        doubt = _SOURCE if _is_source(counts, first, last, label) else ""
        yield _Claim((file, start, stop, name), message, float(rows.sum()), doubt)


def _is_source(counts: NDArray[np.int64], first: int, last: int, label: int) -> bool:
    """Whether a stretch is a large part of a file, or other labels are all over it.

    Rows that somebody added are few, and come as one piece of what they are to teach; only a block
    that it begins or ends in has rows of the file's own, too.
    """
    limits = rule("PS306").thresholds
    inner = counts[first + (first > 0) : last - (last < len(counts))].sum(axis=0)
    mixed = inner[label] < limits["within"] * inner.sum()
    return bool(mixed or counts[first:last].sum() > limits["of_file"] * counts.sum())


def stretch(counts: NDArray[np.int64]) -> tuple[int, int, int] | None:
    """The stretch of a file that is least likely if its rows were shuffled.

    A scan statistic (J. Naus 1965; M. Kulldorff 1997) over stretches of 1, 2, 4, … blocks,
    corrected for their number and the labels.

    Args:
        counts: labels of each block, ``int64`` of shape (blocks, labels).

    Returns:
        First block, last block plus one, and label; None if nothing stands out, or if the rest is
        not shuffled either.
    """
    limits = rule("PS306").thresholds
    sizes = counts.sum(axis=1)
    if len(counts) < 8:
        return None
    ends = np.concatenate([[0], np.cumsum(sizes)])
    totals = counts.sum(axis=0)
    best: tuple[float, int, int, int] | None = None
    tests = 0
    for label in np.flatnonzero(totals).tolist():
        along = np.concatenate([[0], np.cumsum(counts[:, label])])
        length = 1
        while 2 * length <= len(counts):
            hits, rows = along[length:] - along[:-length], ends[length:] - ends[:-length]
            tests += len(hits)
            usual = (totals[label] - hits) / np.maximum(ends[-1] - rows, 1)
            share = hits / np.maximum(rows, 1)
            fit = (share >= limits["purity"]) & (share - usual >= limits["excess"])
            at = np.flatnonzero(fit)
            if len(at):
                tail = tails.log_binomial(hits[at], rows[at], usual[at])
                least = int(tail.argmin())
                if best is None or tail[least] < best[0]:
                    best = (float(tail[least]), int(at[least]), int(at[least]) + length, label)
            length *= 2
    if best is None or best[0] + np.log(tests) > np.log(limits["chance_of_stretch"]):
        return None
    first, last = _grown(counts[:, best[3]], sizes, best[1], best[2], limits["purity"])
    rest = np.concatenate([counts[:first], counts[last:]])
    if 2 * sizes[first:last].sum() > sizes.sum() or dispersion(rest) > limits["dispersion"]:
        return None
    # The blocks that it begins and ends in may hold rows of it.
    apart = np.concatenate([counts[: max(first - 1, 0)], counts[last + 1 :]])
    if _in_runs(apart, best[3], limits["chance"]):
        return None
    if _is_sorted(counts[:, best[3]], sizes, first, last):
        return None
    return first, last, best[3]


def _in_runs(counts: NDArray[np.int64], label: int, chance: float) -> bool:
    """Whether blocks hold more unlike numbers of one label than shuffled rows would.

    Among hundreds of rare labels ``dispersion`` of all hides that one comes in runs.
    """
    counts = counts[counts.sum(axis=1) > 0]
    own = counts[:, label]
    if not own.any():
        return False
    degrees = len(counts) - 1
    spread = dispersion(np.stack([own, counts.sum(axis=1) - own], axis=1))
    return tails.chi_squared(spread * degrees, degrees) < chance


def _is_sorted(hits: NDArray[np.int64], sizes: NDArray[np.int64], first: int, last: int) -> bool:
    """Whether a file just has the rows of a label at one end.

    Rows that somebody added are few, or of a label that the other rows have too.
    """
    limits = rule("PS306").thresholds
    ends = first == 0 or last == len(sizes)
    large = sizes[first:last].sum() >= limits["end_rows"] * sizes.sum()
    return bool(ends and large and hits[first:last].sum() >= limits["end_share"] * hits.sum())


def _grown(
    hits: NDArray[np.int64], sizes: NDArray[np.int64], first: int, last: int, purity: float
) -> tuple[int, int]:
    """A stretch with the blocks beside it that are as pure."""
    while first > 0 and hits[first - 1] >= purity * sizes[first - 1]:
        first -= 1
    while last < len(sizes) and hits[last] >= purity * sizes[last]:
        last += 1
    return first, last


def dispersion(counts: NDArray[np.int64]) -> float:
    """How much more blocks differ than shuffled rows would: chi-square over its degrees."""
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    degrees = (len(counts) - 1) * (counts.shape[1] - 1)
    if degrees < 1:  # one label only
        return np.inf
    expected = counts.sum(axis=1)[:, None] * counts.sum(axis=0) / counts.sum()
    return float(((counts - expected) ** 2 / expected).sum() / degrees)


def _order(blocks: Blocks) -> list[Fact]:
    """Whether rows are in order of their labels, which is common and worth knowing."""
    pure = rows = 0
    for counts in blocks.counts.values():
        sizes = counts.sum(axis=1)
        pure += int(sizes[counts.max(axis=1) >= _PURE * sizes].sum())
        rows += int(sizes.sum())
    total = np.sum([counts.sum(axis=0) for counts in blocks.counts.values()], axis=0)
    if rows >= ROWS and pure >= _PURE * rows and total.max() < _PURE * rows:
        return [Fact("order of labels", "rows are sorted by label")]
    return []
