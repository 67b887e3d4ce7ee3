"""Texts that are nearly the same: many, over splits, with different labels, or planted as many."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.campaigns import campaigns
from poisonscan.detectors.datasets.candidates import Chosen, choose
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.label_ties import carried, worst
from poisonscan.detectors.datasets.split_leaks import PAIRED, Leak, leaks
from poisonscan.detectors.datasets.text_bands import MAX_CROWD, Pairs, TextBands
from poisonscan.detectors.datasets.text_sketches import Members, TextSketches
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Finding, Json

Ints = NDArray[np.int64]

NAMED = 100
"""Rows that a finding names."""
NAMED_COPIES = 4
"""Rows that are named for each group, where a finding is about many groups."""
MAX_LABELS = 50
"""Labels of a set that its finding lists."""
LARGEST = 20
"""Groups whose sizes are evidence."""


class NearDuplicates:
    """Looks for groups of texts with similar sets of shingles."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.TEXT})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for rows that share a band, then for the shingles of these."""
        bands: TextBands = yield TextBands()
        pairs = bands.pairs()
        if not len(pairs.pairs):
            return [Fact("rows with near copies", 0)]
        chosen = choose(pairs)
        strict, loose = (rule(name).thresholds["similarity"] for name in ("PS503", "PS505"))
        sketches: TextSketches = yield TextSketches(chosen.candidates, (strict, loose))
        groups = Groups.of(dataset, sketches.members(strict), bands)
        families = Groups.of(dataset, sketches.members(loose), bands)
        planted = yield from campaigns(families)
        leaked = [leak for leak in _leaks(groups) if leak.matters("PS511")]
        told = np.concatenate([np.empty(0, np.int64), *(leak.rows for leak in leaked)])
        findings = [_leak(groups, leak) for leak in leaked]
        findings += [*_copies(groups.without(told), pairs), *_conflicts(groups), *planted]
        gaps = _gaps(dataset, pairs, chosen, reported=bool(findings))
        return [*findings, *gaps, Fact("rows with near copies", len(groups.members.groups))]


DETECTOR = NearDuplicates()


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of near copies and what is told about each.

    Attributes:
        dataset: where they are.
        members: the rows.
        total: rows of the dataset with a text that is long enough.
        sizes: rows of each group, ``int64`` of shape (groups,).
        variants: different texts of each group, ``int64``.
        label_rows: rows of the whole dataset with each label.
        rows_per_split: rows with a text that is long enough.
    """

    dataset: Dataset
    members: Members
    total: int
    sizes: Ints
    variants: Ints
    label_rows: dict[str, int]
    rows_per_split: dict[str, int]

    @classmethod
    def of(cls, dataset: Dataset, members: Members, bands: TextBands) -> Groups:
        """What the groups of a dataset are like."""
        rows_per_split: dict[str, int] = {}
        for shard, rows in bands.rows.items():
            split = dataset.shards[shard].split
            rows_per_split[split] = rows_per_split.get(split, 0) + rows
        names = bands.labels.names or {}
        return cls(
            dataset,
            members,
            sum(rows_per_split.values()),
            *_counted(members),
            {name: bands.labels.rows[code] for code, name in names.items()},
            rows_per_split,
        )

    def without(self, positions: Ints) -> Groups:
        """The groups that are left when some rows are not looked at."""
        members = self.members
        kept = np.ones(len(members.groups), bool)
        kept[positions] = False
        kept &= np.bincount(members.groups[kept], minlength=len(self.sizes))[members.groups] > 1
        left = Members(
            members.rows[kept],
            np.unique(members.groups[kept], return_inverse=True)[1].reshape(-1),
            members.similarity[kept],
            members.texts[kept],
            members.labels[kept],
            members.names,
        )
        sizes, variants = _counted(left)
        return replace(self, members=left, sizes=sizes, variants=variants)

    def rows(self, group: int) -> NDArray[np.intp]:
        """Positions of a group's members."""
        ends = np.searchsorted(self.members.groups, [group, group + 1])
        return np.arange(int(ends[0]), int(ends[1]))

    def location(
        self, positions: NDArray[np.intp], count: int, taken: NDArray[np.intp] | None = None
    ) -> Location:
        """Some members, as a report names them, with their similarity, and those to take out."""
        rows = self.dataset.named(
            self.members.rows[positions],
            self.members.similarity[positions].round(2),
            count=count,
            shown=NAMED,
            taken=None if taken is None else self.members.rows[taken],
        )
        return Location(self.dataset.path, rows)


def _counted(members: Members) -> tuple[Ints, Ints]:
    """Rows and different texts of each group."""
    different = np.unique(np.stack([members.groups, members.texts], axis=1), axis=0)
    return np.bincount(members.groups), np.bincount(different[:, 0])


def _leaks(groups: Groups) -> Iterator[Leak]:
    """Near copies that splits for evaluation have of training splits, equal ones apart."""
    members = groups.members
    names, split_of = np.unique([s.split for s in groups.dataset.shards], return_inverse=True)
    sizes = np.array([groups.rows_per_split.get(name, 0) for name in names.tolist()])
    splits = split_of[members.rows[:, 0]]
    return leaks(names.tolist(), splits, members.groups, sizes, members.texts)


def _leak(groups: Groups, leak: Leak) -> Finding:
    """The finding, with the rows of the training split to take out."""
    count = len(leak.rows) + len(leak.sources)
    at = groups.location(leak.pairs[:PAIRED], count, leak.sources)
    return leak.finding("PS511", at, "in nearly the same words")


def _copies(groups: Groups, pairs: Pairs) -> Iterator[Finding]:
    """One finding, if near copies are many, of one text, or over splits; equal ones apart."""
    limits = rule("PS503").thresholds
    surplus = int((groups.variants - 1).sum())
    if surplus < limits["rows"]:
        return
    reasons = []
    if surplus > limits["share"] * groups.total:
        reasons.append(f"{surplus / groups.total:.1%} of all rows vary the text of another")
    largest = int(groups.variants.max())
    if largest >= max(limits["flood_rows"], limits["flood_share"] * groups.total):
        reasons.append(f"one text has {largest:,} versions")
    if pairs.crowd:
        part = f"{pairs.crowd:,} rows share a part of their signature"
        reasons.append(f"{part}, of which {MAX_CROWD:,} were compared")
    others = _in_others(groups)
    for split, count in others.items():
        size = groups.rows_per_split[split]
        if count >= limits["rows"] and count > limits["leak_share"] * size:
            part = f"{count:,} of {size:,} rows of {quote(split)} ({count / size:.1%})"
            reasons.append(f"{part} are in another split in other words")
    if not reasons:
        return
    varied = np.flatnonzero(groups.variants > 1)
    top = varied[np.argsort(-groups.variants[varied], kind="stable")]
    named = np.concatenate([groups.rows(g)[:NAMED_COPIES] for g in top[:NAMED].tolist()])
    count = int(groups.sizes[varied].sum())
    is_again = np.diff(groups.members.groups, prepend=-1) == 0  # one text of each group stays
    again = np.flatnonzero(is_again & np.isin(groups.members.groups, varied))
    evidence: dict[str, Json] = {
        "groups": len(varied),
        "rows": count,
        "surplus": surplus,
        "share": surplus / groups.total,
        "largest": groups.variants[top[:LARGEST]].tolist(),
        "in_another_split": dict(others),
        "crowd": pairs.crowd,
    }
    yield rule("PS503").finding(
        groups.location(named, count, again),
        f"{count:,} of {groups.total:,} rows are near copies, "
        f"{plural(len(varied), 'group')} in all: {'; '.join(reasons)}.",
        key="",
        score=surplus / groups.total,
        **evidence,
    )


def _in_others(groups: Groups) -> dict[str, int]:
    """For each split: rows that have a near copy in another split, but no equal one."""
    shards, members = groups.dataset.shards, groups.members
    names, split_of = np.unique([shard.split for shard in shards], return_inverse=True)
    if len(names) < 2:
        return {}
    splits = split_of[members.rows[:, 0]]
    texts = members.groups * (int(members.texts.max(initial=0)) + 1) + members.texts

    def in_several(kinds: Ints) -> NDArray[np.bool_]:
        number = np.unique(kinds, return_inverse=True)[1].reshape(-1)
        seen = np.unique(np.stack([number, splits], axis=1), axis=0)
        return np.asarray(np.bincount(seen[:, 0]) > 1)[number]

    leaked = in_several(members.groups) & ~in_several(texts)
    counts = np.bincount(splits[leaked], minlength=len(names))
    return {str(n): int(c) for n, c in zip(names, counts, strict=True) if c}


def _conflicts(groups: Groups) -> Iterator[Finding]:
    """Versions of one text with different labels, a finding for each set of labels."""
    limits, members = rule("PS504").thresholds, groups.members
    if members.names and not is_continuous(members.names):
        for similarity in (limits["similarity"], limits["closer"]):
            found = list(_conflicts_from(groups, similarity))
            if found:
                yield from found
                return


def _conflicts_from(groups: Groups, similarity: float) -> Iterator[Finding]:
    """The findings among versions of at least some similarity."""
    limits, members = rule("PS504").thresholds, groups.members
    close = np.flatnonzero((members.labels >= 0) & (members.similarity >= similarity))
    table = np.stack([members.groups[close], members.texts[close], members.labels[close]], axis=1)
    table = np.unique(table, axis=0)
    # Equal texts with different labels are another rule's.
    _, of, labels = np.unique(table[:, :2], axis=0, return_inverse=True, return_counts=True)
    table = table[labels[of.reshape(-1)] == 1]
    if not len(table):
        return
    pairs, counts = np.unique(table[:, [0, 2]], axis=0, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs[:, 0], prepend=-1))
    versions = np.add.reduceat(counts, starts)
    wrong = versions - np.maximum.reduceat(counts, starts)
    errors, surplus = int(wrong.sum()), int((versions - 1).sum())
    least = max(limits["rows"], limits["share_of_rows"] * groups.total)
    if errors < least or errors < limits["share_of_copies"] * surplus:
        return
    ends = np.append(starts[1:], len(pairs))
    sets: dict[tuple[int, ...], list[int]] = {}
    for number in np.flatnonzero(wrong).tolist():
        codes = tuple(pairs[starts[number] : ends[number], 1].tolist())
        sets.setdefault(codes, []).append(number)
    weights = {codes: int(wrong[found].sum()) for codes, found in sets.items()}
    ranked = sorted(sets, key=lambda codes: (-weights[codes], codes))
    own = worst([weights[codes] for codes in ranked])
    for codes in ranked[:own]:
        yield _conflict(groups, codes, pairs[starts[sets[codes]], 0], weights[codes])
    rest = ranked[own:]
    if rest:
        numbers = list(itertools.chain.from_iterable(sets[codes] for codes in rest))
        total = sum(weights[codes] for codes in rest)
        yield _conflict(groups, (), pairs[starts[numbers], 0], total, len(rest))


def _conflict(
    groups: Groups, codes: tuple[int, ...], which: Ints, wrong: int, sets: int = 1
) -> Finding:
    """The finding for groups that have the same different labels; none: for all further sets."""
    labels = tuple(groups.members.names[code] for code in codes)
    rows = np.flatnonzero(np.isin(groups.members.groups, which))
    return rule("PS504").finding(
        groups.location(rows, len(rows)),
        f"{plural(len(which), 'text')} {carried(len(which), labels, sets)} in nearly the same "
        f"words: of {len(rows):,} rows at least {wrong:,} differ from the label that the others "
        "have.",
        key="\0".join(labels[:MAX_LABELS]) or "further sets",
        score=float(wrong),
        labels=list(labels[:MAX_LABELS]),
        sets=sets,
        texts=len(which),
        rows=len(rows),
        wrong=wrong,
    )


def _gaps(dataset: Dataset, pairs: Pairs, chosen: Chosen, *, reported: bool) -> Iterator[Gap]:
    """What was not compared."""
    if chosen.unchecked:
        message = (
            f"not compared: {plural(chosen.unchecked, 'row')} that may be near copies of others, "
            "as too many hang together"
        )
        yield Gap(dataset.path, message)
    if pairs.dropped:
        message = f"not compared: {plural(pairs.dropped, 'pair')} of rows that may be near copies"
        yield Gap(dataset.path, message)
    if pairs.crowd and not reported:
        message = (
            f"of {pairs.crowd:,} rows that may be near copies of each other {MAX_CROWD:,} were "
            "compared"
        )
        yield Gap(dataset.path, message)
