"""Rows that say exactly the same: many copies, copies over splits, copies with different labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.label_ties import carried, worst
from poisonscan.detectors.datasets.row_keys import Copies, Ints, RowKeys
from poisonscan.detectors.datasets.split_leaks import PAIRED, Leak, leaks
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Finding, Json

MAX_CONTENTS = 50
"""Contents that are named."""
MAX_LABELS = 50
"""Labels of a set that its finding lists."""
NAMED = 100
"""Rows that a label set's finding names."""
NAMED_COPIES = 4
"""Rows that are named for each content."""


class ExactDuplicates:
    """Looks for rows with equal content digests, and for labels that contradict each other."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CONTENT})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for the rows whose digests repeat, with their labels."""
        keys: RowKeys = yield RowKeys()
        copies = keys.copies()
        leaked = [leak for leak in _leaks(dataset, copies) if leak.matters("PS510")]
        found: list[Finding | Fact | Gap] = [_leak(dataset, copies, leak) for leak in leaked]
        told = np.concatenate([np.empty(0, np.int64), *(leak.rows for leak in leaked)])
        found += [*_duplicates(dataset, copies.without(told)), *_conflicts(dataset, copies)]
        if copies.unlisted:
            message = (
                f"{copies.unlisted:,} of the copied rows were only counted, as there are too many: "
                "their labels and splits were not compared"
            )
            found.append(Gap(dataset.path, message))
        return [*found, Fact("rows with copies", len(copies.groups) + copies.unlisted)]


DETECTOR = ExactDuplicates()


def _leaks(dataset: Dataset, copies: Copies) -> Iterator[Leak]:
    """What splits for evaluation have in common with training splits."""
    splits, split_of, sizes = _splits(dataset, copies)
    return leaks(splits, split_of[copies.rows[:, 0]], copies.groups, sizes)


def _leak(dataset: Dataset, copies: Copies, leak: Leak) -> Finding:
    """The finding, with the rows of the training split to take out."""
    named = dataset.named(
        copies.rows[leak.pairs],
        count=len(leak.rows) + len(leak.sources),
        shown=PAIRED,
        taken=copies.rows[leak.sources],
        partial=copies.unlisted > 0,
    )
    return leak.finding("PS510", Location(dataset.path, named), "as well")


def _duplicates(dataset: Dataset, copies: Copies) -> Iterator[Finding]:
    """One finding, if the copies are many, of one content, or over splits."""
    limits, sizes = rule("PS501").thresholds, copies.sizes
    if copies.surplus < limits["rows"] or not len(sizes):
        return
    total, largest = int(copies.rows_per_shard.sum()), int(sizes.max(initial=0))
    reasons = []
    if copies.surplus > limits["share"] * total:
        reasons.append(f"surplus copies are {copies.surplus / total:.1%} of all rows")
    if largest >= max(limits["flood_rows"], limits["flood_share"] * total):
        reasons.append(f"one content fills {largest:,} rows")
    others = _in_others(dataset, copies)
    for split, (count, size) in others.items():
        if count >= limits["rows"] and count > limits["leak_share"] * size:
            part = f"{count:,} of {size:,} rows of {quote(split)} ({count / size:.1%})"
            reasons.append(f"{part} are also in another split")
    if not reasons:
        return
    top = np.argsort(-sizes, kind="stable")[:MAX_CONTENTS]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    chosen = np.concatenate([np.arange(starts[g], starts[g + 1])[:NAMED_COPIES] for g in top])
    again = np.flatnonzero(np.diff(copies.groups, prepend=-1) == 0)  # one of each content stays
    named = dataset.named(
        copies.rows[chosen],
        sizes[copies.groups[chosen]],
        count=len(copies.groups),
        taken=copies.rows[again],
        partial=copies.unlisted > 0,
    )
    evidence: dict[str, Json] = {
        "contents": len(sizes),
        "rows": len(copies.groups),
        "surplus": copies.surplus,
        "share": copies.surplus / total,
        "largest": sizes[top].tolist(),
        "in_another_split": {split: count for split, (count, _) in others.items()},
    }
    yield rule("PS501").finding(
        Location(dataset.path, named),
        f"{len(copies.groups) + copies.unlisted:,} of {total:,} rows share their content with "
        f"another, {plural(len(sizes), 'content')} in all: {'; '.join(reasons)}.",
        key="",
        score=copies.surplus / total,
        **evidence,
    )


def _splits(dataset: Dataset, copies: Copies) -> tuple[list[str], Ints, Ints]:
    """Names of the splits, the number of each shard's split, and rows in each split."""
    names, split_of = np.unique([shard.split for shard in dataset.shards], return_inverse=True)
    counts = copies.rows_per_shard
    sizes = np.bincount(split_of[: len(counts)], counts, minlength=len(names))
    return names.tolist(), split_of, sizes.astype(np.int64)


def _in_others(dataset: Dataset, copies: Copies) -> dict[str, tuple[int, int]]:
    """For each split: rows whose content is in another split too, and rows in all."""
    names, split_of, sizes = _splits(dataset, copies)
    splits = split_of[copies.rows[:, 0]]
    seen = np.unique(np.stack([copies.groups, splits], axis=1), axis=0)
    over = np.bincount(seen[:, 0], minlength=1) > 1
    shared = np.bincount(splits[over[copies.groups]], minlength=len(names))
    return {
        name: (count, size)
        for name, count, size in zip(names, shared.tolist(), sizes.tolist(), strict=True)
        if count
    }


def _conflicts(dataset: Dataset, copies: Copies) -> Iterator[Finding | Fact]:
    """Copies with different labels, a finding for each set of labels, once they are too many."""
    limits, names = rule("PS502").thresholds, copies.names
    if names is None or is_continuous(names):
        return
    labelled = np.flatnonzero(copies.labels >= 0)
    pairs, counts = np.unique(
        np.stack([copies.groups[labelled], copies.labels[labelled]], axis=1),
        axis=0,
        return_counts=True,
    )
    groups, starts = np.unique(pairs[:, 0], return_index=True)
    if not len(groups):
        return
    # At least this many rows of a content are wrong: all but those with its commonest label.
    wrong = np.add.reduceat(counts, starts) - np.maximum.reduceat(counts, starts)
    total, errors = int(copies.rows_per_shard.sum()), int(wrong.sum())
    yield Fact("labels that copies contradict", errors)
    share = min(limits["share_of_rows"] * total, limits["share_of_copies"] * copies.surplus)
    many = errors >= limits["rows"] and errors >= share
    if copies.surplus > limits["coarse"] * total:
        return  # so few different contents that rows of one content need not be copies
    few = max(limits["few_rows"], limits["few_share"] * total)
    if not many and errors < max(few, limits["few_of_copies"] * copies.surplus):
        return
    # A set of labels is told by the sum of random numbers that stand for them.
    tokens = np.random.default_rng(0).integers(1 << 63, size=len(names), dtype=np.uint64)
    sets = np.add.reduceat(tokens[pairs[:, 1]], starts)
    several = np.flatnonzero(wrong)
    _, first, which = np.unique(sets[several], return_index=True, return_inverse=True)
    weights = np.bincount(which, wrong[several]).astype(np.int64)
    ranked = np.argsort(-weights, kind="stable")
    ends = np.append(starts[1:], len(pairs))
    found = []
    own = worst(weights[ranked].tolist())
    for rank in ranked[:own].tolist():
        one = several[first[rank]]
        labels = tuple(names[code] for code in pairs[starts[one] : ends[one], 1].tolist())
        members = groups[several[which == rank]]
        found.append(_Conflict.of(copies, labels, members, int(weights[rank])))
    further = ranked[own:]
    rest = np.isin(which, further)
    if rest.any():
        members, errors = groups[several[rest]], int(wrong[several[rest]].sum())
        found.append(_Conflict.of(copies, (), members, errors, len(further)))
    for conflict in found:
        rows = dataset.named(copies.rows[conflict.rows], shown=NAMED, partial=copies.unlisted > 0)
        yield conflict.finding(Location(dataset.path, rows))


@dataclass(frozen=True, slots=True)
class _Conflict:
    """Contents that all have the same different labels.

    Attributes:
        labels: in order; empty for contents of further sets of labels together.
        sets: how many sets of labels these are.
        contents: how many there are.
        rows: their rows, as positions in ``Copies.rows``.
        errors: how many of these rows have a wrong label at the least.
    """

    labels: tuple[str, ...]
    contents: int
    rows: NDArray[np.intp]
    errors: int
    sets: int

    @classmethod
    def of(
        cls, copies: Copies, labels: tuple[str, ...], members: Ints, errors: int, sets: int = 1
    ) -> _Conflict:
        rows = np.flatnonzero(np.isin(copies.groups, members))
        return cls(labels, len(members), rows, errors, sets)

    def finding(self, at: Location) -> Finding:
        """The finding."""
        contents = plural(self.contents, "content")
        return rule("PS502").finding(
            at,
            f"{contents} {carried(self.contents, self.labels, self.sets)}: of {len(self.rows):,} "
            f"rows at least {self.errors:,} cannot be labelled rightly.",
            key="\0".join(self.labels[:MAX_LABELS]) or "further sets",
            score=float(self.errors),
            labels=list(self.labels[:MAX_LABELS]),
            sets=self.sets,
            contents=self.contents,
            rows=len(self.rows),
            wrong=self.errors,
        )
