"""Groups of rows that are alike without being equal: what is worth saying about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.row_numbers import located
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.label_ties import carried, worst
from poisonscan.detectors.datasets.near_pairs import Pairs, groups_of
from poisonscan.detectors.datasets.picture_keys import Looks
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.vector_keys import Sketches
    from poisonscan.finding import Finding, Json

    Ints = NDArray[np.int64]

NAMED_GROUPS = 25
"""Groups whose rows a finding names, the largest."""
NAMED_ROWS = 4
"""Rows of a group that are named."""
MAX_LABELS = 50
"""Labels of a set that its finding lists."""
_COUNTERPARTS = (
    "They differ in the same labels throughout: copies under another label, perhaps with a mark "
    "added, or counterparts made to differ in just what the labels are about. Compare the named "
    "ones."
)


@dataclass(frozen=True, slots=True)
class Alike:
    """Rows that are like another, ordered by group and then by place.

    Attributes:
        rows: shard and position in the shard, ``int64`` of shape (n, 2).
        groups: group of each row, ``int64`` of shape (n,), from 0 without holes.
        labels: codes into ``names``, ``int32`` of shape (n,); -1 where there is none.
        names: labels in order; None when there were too many to be classes.
        seen: rows of each shard, alike or not, ``int64``.
    """

    rows: Ints
    groups: Ints
    labels: NDArray[np.int32]
    names: tuple[str, ...] | None
    seen: Ints

    @classmethod
    def of(
        cls,
        pairs: Pairs,
        rows: Ints,
        labels: NDArray[np.int32],
        names: tuple[str, ...] | None,
        seen: Ints,
    ) -> Alike:
        """What pairs of rows connect.

        Args:
            pairs: of positions in ``rows``, which are ordered by place.
            rows: shard and position of all rows, ``int64`` of shape (rows, 2).
            labels: their labels.
            names: what the codes mean.
            seen: rows of each shard.
        """
        members = np.unique(np.concatenate([pairs.first, pairs.second]))
        groups = groups_of(pairs, len(rows))[members]
        # Numbered by their first row, whatever the algorithm made of them.
        _, first, groups = np.unique(groups, return_index=True, return_inverse=True)
        groups = np.argsort(np.argsort(first))[groups].astype(np.int64)
        order = np.argsort(groups, kind="stable")
        members, groups = members[order], groups[order]
        return cls(rows[members], groups, labels[members], names, seen)

    @property
    def sizes(self) -> Ints:
        """Rows of each group."""
        return np.bincount(self.groups).astype(np.int64)


def many(dataset: Dataset, alike: Alike, which: str, what: str, how: str) -> Iterator[Finding]:
    """A finding if the rows that are alike are many, fill a group, or cross splits.

    Args:
        dataset: where they are.
        alike: the groups.
        which: identifier of the rule.
        what: the rows in words, such as ``pictures``.
        how: how alike they are, in words.
    """
    limits, sizes, total = rule(which).thresholds, alike.sizes, int(alike.seen.sum())
    surplus = len(alike.groups) - len(sizes)
    if surplus < limits["rows"]:
        return
    reasons = []
    if surplus > limits["share"] * total:
        reasons.append(f"{surplus:,} more than one of each are {surplus / total:.1%} of all")
    if sizes.max() >= max(limits["flood_rows"], limits["flood_share"] * total):
        reasons.append(f"{sizes.max():,} are alike among themselves")
    leaks = _leaks(dataset, alike)
    for split, (count, size) in leaks.items():
        if count >= limits["rows"] and count > limits["leak_share"] * size:
            reasons.append(
                f"{count:,} of {size:,} of {quote(split)} ({count / size:.1%}) are like one of "
                "another split"
            )
    if not reasons:
        return
    top = np.argsort(-sizes, kind="stable")[:NAMED_GROUPS]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    chosen = np.concatenate([np.arange(starts[g], starts[g + 1])[:NAMED_ROWS] for g in top])
    again = np.flatnonzero(np.diff(alike.groups, prepend=-1) == 0)  # one of each group stays
    named = dataset.named(
        alike.rows[chosen],
        sizes[alike.groups[chosen]],
        count=len(alike.groups),
        taken=alike.rows[again],
    )
    evidence: dict[str, Json] = {
        "groups": len(sizes),
        "rows": len(alike.groups),
        "share": surplus / total,
        "largest": sizes[top].tolist(),
        "in_another_split": {split: count for split, (count, _) in leaks.items()},
    }
    yield rule(which).finding(
        Location(dataset.path, named),
        f"{len(alike.groups):,} of {total:,} {what} {how} another, "
        f"in {plural(len(sizes), 'group')}: {'; '.join(reasons)}. "
        "Look at the named ones and keep one of each group.",
        key="",
        score=surplus / total,
        **evidence,
    )


def _leaks(dataset: Dataset, alike: Alike) -> dict[str, tuple[int, int]]:
    """For each split: rows that are like one of another split, and rows in all."""
    names, split_of = np.unique([shard.split for shard in dataset.shards], return_inverse=True)
    sizes = np.bincount(split_of[: len(alike.seen)], alike.seen, minlength=len(names))
    splits = split_of[alike.rows[:, 0]]
    seen = np.unique(np.stack([alike.groups, splits], axis=1), axis=0)
    over = np.bincount(seen[:, 0], minlength=1) > 1
    leaked = np.bincount(splits[over[alike.groups]], minlength=len(names))
    return {
        str(name): (int(count), int(size))
        for name, count, size in zip(names, leaked, sizes, strict=True)
        if count
    }


def conflicts(dataset: Dataset, alike: Alike, which: str, what: str, how: str) -> Iterator[Finding]:
    """Groups whose rows have different labels, a finding for each set of labels.

    For the arguments see ``many``.
    """
    limits, names = rule(which).thresholds, alike.names
    if names is None or is_continuous(names) or not (alike.labels >= 0).any():
        return
    labelled = np.flatnonzero(alike.labels >= 0)
    pairs, counts = np.unique(
        np.stack([alike.groups[labelled], alike.labels[labelled]], axis=1),
        axis=0,
        return_counts=True,
    )
    groups, starts = np.unique(pairs[:, 0], return_index=True)
    wrong = np.add.reduceat(counts, starts) - np.maximum.reduceat(counts, starts)
    total, errors = int(alike.seen.sum()), int(wrong.sum())
    surplus = len(alike.groups) - len(alike.sizes)
    enough = min(limits["share_of_rows"] * total, limits["share_of_alike"] * surplus)
    if errors < limits["rows"] or errors < enough:
        return
    sets: dict[tuple[str, ...], list[int]] = {}
    ends = np.append(starts[1:], len(pairs))
    for position in np.flatnonzero(wrong).tolist():  # only groups that contradict themselves
        codes = pairs[starts[position] : ends[position], 1].tolist()
        sets.setdefault(tuple(names[code] for code in codes), []).append(position)
    ranked = sorted(sets.items(), key=lambda item: (-int(wrong[item[1]].sum()), item[0]))
    different = len(ranked)
    own = worst([int(wrong[members].sum()) for _, members in ranked])
    if different > own:
        rest = [position for _, members in ranked[own:] for position in members]
        ranked = [*ranked[:own], ((), rest)]
    for labels, members in ranked:
        first = np.isin(alike.groups, groups[members[:NAMED_GROUPS]])
        every = np.isin(alike.groups, groups[members])
        count = int(every.sum())
        rows = np.concatenate([np.flatnonzero(first), np.flatnonzero(every & ~first)])
        named = dataset.named(alike.rows[rows], shown=min(100, int(first.sum())))
        missed, number = int(wrong[members].sum()), 1 if labels else different - own
        advice = _COUNTERPARTS if different == 1 else "Compare the named ones."
        yield rule(which).finding(
            Location(dataset.path, named),
            f"{plural(len(members), 'group')} of {what} that {how} each other "
            f"{carried(len(members), labels, number)}: of {count:,} at least {missed:,} seem to be "
            f"labelled wrongly. {advice}",
            key="\0".join(labels[:MAX_LABELS]) or "further sets",
            score=float(missed),
            labels=list(labels[:MAX_LABELS]),
            sets=number,
            groups=len(members),
            wrong=missed,
        )


def similar(
    dataset: Dataset,
    keyed: Looks | Sketches,
    pairs: Pairs,
    kept: NDArray[np.bool_],
    rules: tuple[str, str],
    how: str,
) -> Iterator[Finding | Fact | Gap]:
    """What is to be said of pairs that were compared whole.

    Args:
        dataset: where the rows are.
        keyed: the rows that pairs are numbered by.
        pairs: that were compared.
        kept: which of them are alike, of shape (pairs,).
        rules: for many such rows, and for those under different labels.
        how: what the rows do to each other, for people.
    """
    what = "pictures" if isinstance(keyed, Looks) else "vectors"
    yield Fact(f"pairs of similar {what}", int(kept.sum()))
    if pairs.left_out and kept.mean() > 0.5:
        message = (
            f"more than {len(kept):,} pairs of {what} are alike: {pairs.left_out:,} pairs were "
            "not compared"
        )
        yield Gap(dataset.path, message)
    if not kept.any():
        return
    alike = Alike.of(
        Pairs(pairs.first[kept], pairs.second[kept], pairs.cosines[kept]),
        located(keyed.places),
        keyed.labels,
        keyed.names,
        keyed.seen,
    )
    yield from many(dataset, alike, rules[0], what, how)
    yield from conflicts(dataset, alike, rules[1], what, how)
