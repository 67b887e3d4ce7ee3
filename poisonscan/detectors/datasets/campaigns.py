"""Texts that were varied many times under one label: a message that somebody planted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.row_numbers import numbered
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.texts_at import TextsAt
from poisonscan.detectors.datasets.variations import variation
from poisonscan.escape import quote
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from poisonscan.detectors.datasets.near_duplicates import Groups
    from poisonscan.finding import Finding

MAX_FINDINGS = 4
"""Campaigns that have a finding of their own, those with the most versions."""
CANDIDATES = 40
"""Texts with many versions that are read."""
VERSIONS = 50
"""Versions of each that are read."""
_PRIOR = 4
"""Texts with two versions that are added to those there are, as their mean says little."""
_FEW = 20
"""Texts with versions below which half of them are left out as unusual."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A text that was varied many times under one label.

    Attributes:
        group: its group.
        label: the label of nearly all its rows.
        agree: rows with that label.
        labelled: rows with a label.
        share: of that label among all rows with a label.
    """

    group: int
    label: str
    agree: int
    labelled: int
    share: float


def campaigns(groups: Groups) -> Generator[TextsAt, TextsAt, Iterable[Finding]]:
    """Ask for the texts of groups with too many versions; report those changed here and there.

    Args:
        groups: texts that share as much as the versions of a campaign do.
    """
    limits = rule("PS505").thresholds
    suspects = _suspects(groups)[:CANDIDATES]
    if not suspects:
        return []
    chosen = [_versions(groups, suspect.group) for suspect in suspects]
    places = [groups.members.rows[positions] for positions in chosen]
    keys = [numbered(rows[:, 0], rows[:, 1]).astype(np.uint64) for rows in places]
    read: TextsAt = yield TextsAt(np.unique(np.concatenate(keys)).tobytes())
    others, found = list(read.others.values()), []
    for suspect, wanted in zip(suspects, keys, strict=True):
        texts = [read.found[key] for key in wanted.tolist() if key in read.found]
        shape = variation(texts, others, limits["common"])
        if shape.content >= limits["words"] and shape.scattered >= limits["scattered"]:
            found.append(suspect)
    return [
        _finding(groups, campaign, rank, len(found) - MAX_FINDINGS)
        for rank, campaign in enumerate(found[:MAX_FINDINGS])
    ]


def _versions(groups: Groups, group: int) -> NDArray[np.intp]:
    """Positions of some different texts of a group."""
    rows = groups.rows(group)
    first = np.unique(groups.members.texts[rows], return_index=True)[1]
    return rows[np.sort(first)[:VERSIONS]]


def _suspects(groups: Groups) -> list[Campaign]:
    """Texts with so many versions that neither the other texts nor the label's share explain it.

    Versions beyond the second of ordinary texts are taken to follow a geometric distribution, with
    the mean of the nine tenths of texts that have the fewest.
    """
    limits, members = rule("PS505").thresholds, groups.members
    labelled_rows = sum(groups.label_rows.values())
    if len(groups.label_rows) < 2 or not members.names or is_continuous(members.names):
        return []
    ordinary = _ordinary(groups.variants)
    chance = math.log(limits["chance"] / max(1, len(groups.variants)))
    again = math.log(max(ordinary - 1, 0.5) / (max(ordinary - 1, 0.5) + 1))
    least = max(limits["rows"], limits["share"] * groups.total)
    ranked = np.argsort(-groups.variants, kind="stable")
    found = []
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
            found.append(Campaign(group, name, agree, labelled, share))
    return found


def _ordinary(variants: NDArray[np.int64]) -> float:
    """Mean number of versions of texts that have any, the tenth with the most left out.

    Of few texts the half with the most is left out: a campaign or two must not pass for ordinary.
    """
    several = np.sort(variants[variants > 1])
    kept = len(several) // 2 if len(several) < _FEW else math.ceil(0.9 * len(several))
    return float((several[:kept].sum() + 2 * _PRIOR) / (kept + _PRIOR))


def _finding(groups: Groups, campaign: Campaign, rank: int, further: int) -> Finding:
    rows, versions = groups.rows(campaign.group), int(groups.variants[campaign.group])
    last = rank == MAX_FINDINGS - 1 and further > 0
    more = f" {further:,} further texts are like this." if last else ""
    return rule("PS505").finding(
        groups.location(rows, len(rows)),
        f"one text occurs in {versions:,} versions, {len(rows):,} rows in all, {campaign.agree:,} "
        f"of {campaign.labelled:,} with label {quote(campaign.label)} (which {campaign.share:.1%} "
        "of all rows have); they differ in words here and there, as no form does; other texts "
        f"with near copies have {_ordinary(groups.variants):.1f} versions on average.{more}",
        key=f"{campaign.label}\0{rank}",
        score=float(versions),
        versions=versions,
        rows=len(rows),
        label=campaign.label,
        agree=campaign.agree,
        share=campaign.share,
        further=max(further, 0),
    )
