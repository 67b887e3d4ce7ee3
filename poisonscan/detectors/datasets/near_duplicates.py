"""Texts that are nearly the same: many, over splits, with different labels, or planted as many."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.candidates import Chosen, choose
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.text_bands import MAX_CROWD, Pairs, TextBands
from poisonscan.detectors.datasets.text_sketches import Members, TextSketches
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location, Rows
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
MAX_FINDINGS = 20
"""Label sets, and campaigns, that have a finding of their own."""
_SHOWN = 6


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
        members = sketches.members(strict)
        groups = _Groups.of(dataset, members, bands)
        families = _Groups.of(dataset, sketches.members(loose), bands)
        findings = [*_copies(groups, pairs), *_conflicts(groups), *_campaigns(families)]
        gaps = _gaps(dataset, pairs, chosen, reported=bool(findings))
        return [*findings, *gaps, Fact("rows with near copies", len(members.groups))]


DETECTOR = NearDuplicates()


@dataclass(frozen=True, slots=True)
class _Groups:
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
    def of(cls, dataset: Dataset, members: Members, bands: TextBands) -> _Groups:
        """What the groups of a dataset are like."""
        count = int(members.groups.max(initial=-1)) + 1
        different = np.unique(np.stack([members.groups, members.texts], axis=1), axis=0)
        rows_per_split: dict[str, int] = {}
        for shard, rows in bands.rows.items():
            split = dataset.shards[shard].split
            rows_per_split[split] = rows_per_split.get(split, 0) + rows
        names = bands.labels.names or {}
        return cls(
            dataset,
            members,
            sum(rows_per_split.values()),
            np.bincount(members.groups, minlength=count),
            np.bincount(different[:, 0], minlength=count),
            {name: bands.labels.rows[code] for code, name in names.items()},
            rows_per_split,
        )

    def rows(self, group: int) -> NDArray[np.intp]:
        """Positions of a group's members."""
        ends = np.searchsorted(self.members.groups, [group, group + 1])
        return np.arange(int(ends[0]), int(ends[1]))

    def location(self, positions: NDArray[np.intp], count: int) -> Location:
        """Some members, as a report names them, with their similarity."""
        shown = positions[:NAMED]
        scores = self.members.similarity[shown].round(2).astype(float).tolist()
        rows = self.dataset.describe(self.members.rows[shown], scores)
        return Location(self.dataset.path, Rows(rows, count))


def _copies(groups: _Groups, pairs: Pairs) -> Iterator[Finding]:
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
    leaks = _leaks(groups)
    for split, count in leaks.items():
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
    evidence: dict[str, Json] = {
        "groups": len(varied),
        "rows": count,
        "surplus": surplus,
        "share": surplus / groups.total,
        "largest": groups.variants[top[:MAX_FINDINGS]].tolist(),
        "in_another_split": dict(leaks),
        "crowd": pairs.crowd,
    }
    yield rule("PS503").finding(
        groups.location(named, count),
        f"{count:,} of {groups.total:,} rows are near copies, {len(varied):,} groups in all: "
        f"{'; '.join(reasons)}.",
        key="",
        score=surplus / groups.total,
        **evidence,
    )


def _leaks(groups: _Groups) -> dict[str, int]:
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


def _conflicts(groups: _Groups) -> Iterator[Finding]:
    """Versions of one text with different labels, a finding for each set of labels."""
    limits, members = rule("PS504").thresholds, groups.members
    if members.names and not is_continuous(members.names):
        for similarity in (limits["similarity"], limits["closer"]):
            found = list(_conflicts_from(groups, similarity))
            if found:
                yield from found
                return


def _conflicts_from(groups: _Groups, similarity: float) -> Iterator[Finding]:
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
    for codes in ranked[:MAX_FINDINGS]:
        yield _conflict(groups, codes, pairs[starts[sets[codes]], 0], weights[codes])
    rest = ranked[MAX_FINDINGS:]
    if rest:
        numbers = list(itertools.chain.from_iterable(sets[codes] for codes in rest))
        total = sum(weights[codes] for codes in rest)
        yield _conflict(groups, (), pairs[starts[numbers], 0], total)


def _conflict(groups: _Groups, codes: tuple[int, ...], which: Ints, wrong: int) -> Finding:
    """The finding for groups that have the same different labels; none: for all further sets."""
    labels = tuple(groups.members.names[code] for code in codes)
    more = f" and {len(labels) - _SHOWN:,} more" if len(labels) > _SHOWN else ""
    shown = ", ".join(quote(label) for label in labels[:_SHOWN]) + more
    carry = f"the labels {shown} at once" if labels else "further sets of labels"
    rows = np.flatnonzero(np.isin(groups.members.groups, which))
    return rule("PS504").finding(
        groups.location(rows, len(rows)),
        f"{len(which):,} texts carry {carry} in nearly the same words: of their {len(rows):,} rows "
        f"at least {wrong:,} differ from the label that the others have.",
        key="\0".join(labels[:MAX_FINDINGS]) or "further sets",
        score=float(wrong),
        labels=list(labels[:MAX_FINDINGS]),
        texts=len(which),
        rows=len(rows),
        wrong=wrong,
    )


@dataclass(frozen=True, slots=True)
class _Campaign:
    """A text that was varied many times under one label.

    Attributes:
        group: its group.
        rank: its place among the campaigns, from 0, the one with the most versions first.
        label: the label of nearly all its rows.
        agree: rows with that label.
        labelled: rows with a label.
        share: of that label among all rows with a label.
    """

    group: int
    rank: int
    label: str
    agree: int
    labelled: int
    share: float

    def finding(self, groups: _Groups) -> Finding:
        """The finding."""
        rows, versions = groups.rows(self.group), int(groups.variants[self.group])
        ordinary = _ordinary(groups.variants)
        return rule("PS505").finding(
            groups.location(rows, len(rows)),
            f"one text occurs in {versions:,} versions, {len(rows):,} rows in all, "
            f"{self.agree:,} of {self.labelled:,} with label {quote(self.label)} (which "
            f"{self.share:.1%} of all rows have); other texts with near copies have "
            f"{ordinary:.1f} versions on average.",
            key=f"{self.label}\0{self.rank}",
            score=float(versions),
            versions=versions,
            rows=len(rows),
            label=self.label,
            agree=self.agree,
            share=self.share,
        )


def _ordinary(variants: Ints) -> float:
    """Mean number of versions of texts that have any, the tenth with the most left out."""
    several = np.sort(variants[variants > 1])
    kept = several[: max(1, math.ceil(0.9 * len(several)))] if len(several) > 1 else several[:0]
    return float(kept.mean()) if len(kept) else 2.0


def _campaigns(groups: _Groups) -> Iterator[Finding]:
    """Texts with so many versions that neither the other texts nor the label's share explain it.

    Versions beyond the second of ordinary texts are taken to follow a geometric distribution, with
    the mean of the nine tenths of texts that have the fewest.
    """
    limits, members = rule("PS505").thresholds, groups.members
    labelled_rows = sum(groups.label_rows.values())
    if len(groups.label_rows) < 2 or not members.names or is_continuous(members.names):
        return
    ordinary = _ordinary(groups.variants)
    chance = math.log(limits["chance"] / max(1, len(groups.variants)))
    again = math.log(max(ordinary - 1, 0.5) / (max(ordinary - 1, 0.5) + 1))
    least = max(limits["rows"], limits["share"] * groups.total)
    ranked = np.argsort(-groups.variants, kind="stable")
    rank = 0
    for group in ranked[groups.variants[ranked] >= least].tolist():
        versions = int(groups.variants[group])
        labels = members.labels[groups.rows(group)]
        counts = np.bincount(labels[labels >= 0], minlength=1)
        agree, labelled = int(counts.max()), int(counts.sum())
        if not labelled or agree < limits["purity"] * labelled:
            continue
        name = members.names[int(counts.argmax())]
        share = groups.label_rows[name] / labelled_rows
        if (versions - 2) * again < chance and versions * math.log(share) < math.log(
            limits["label_chance"]
        ):
            yield _Campaign(group, rank, name, agree, labelled, share).finding(groups)
            rank += 1
        if rank == MAX_FINDINGS:
            return


def _gaps(dataset: Dataset, pairs: Pairs, chosen: Chosen, *, reported: bool) -> Iterator[Gap]:
    """What was not compared."""
    if chosen.unchecked:
        message = (
            f"{chosen.unchecked:,} rows that may be near copies of others were not compared, as "
            "too many hang together"
        )
        yield Gap(dataset.path, message)
    if pairs.dropped:
        message = f"{pairs.dropped:,} pairs of rows that may be near copies were not compared"
        yield Gap(dataset.path, message)
    if pairs.crowd and not reported:
        message = (
            f"of {pairs.crowd:,} rows that may be near copies of each other {MAX_CROWD:,} were "
            "compared"
        )
        yield Gap(dataset.path, message)
