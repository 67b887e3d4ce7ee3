"""A handful of findings of each rule: a report is read by people."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from poisonscan.finding import Fact, Finding, Gap, Rows

if TYPE_CHECKING:
    from collections.abc import Iterable

Item = TypeVar("Item", bound=Finding | Fact | Gap)

MOST = 5
"""Findings of one rule that a detector makes of a dataset."""


def few(items: Iterable[Item], unlisted: int = 0, most: int = MOST) -> list[Item | Finding]:
    """The items with at most ``most`` findings of each rule; the last one tells of the others.

    Those with the most rows stay, in the order given. How many there were besides is said in the
    message and is evidence under ``further``.

    Args:
        items: findings of one dataset, facts and gaps.
        unlisted: findings of the same rule that are not among the items.
        most: findings of a rule that are listed.
    """
    out: list[Item | Finding] = list(items)
    of_rule: dict[str, list[int]] = defaultdict(list)
    for position, item in enumerate(out):
        if isinstance(item, Finding):
            of_rule[item.rule.id].append(position)
    dropped: set[int] = set()
    for positions in of_rule.values():
        ranked = sorted(positions, key=lambda position: (-_rows(out[position]), position))
        further = len(ranked[most:]) + unlisted
        if further:
            last = max(ranked[:most])
            out[last] = _told(out[last], further)
            dropped.update(ranked[most:])
    return [item for position, item in enumerate(out) if position not in dropped]


def _rows(item: Finding | Fact | Gap) -> int:
    part = item.at.part if isinstance(item, Finding) else None
    return part.count if isinstance(part, Rows) else 0


def _told(item: Item | Finding, further: int) -> Item | Finding:
    """A finding that says how many others are not listed."""
    if not isinstance(item, Finding):
        return item
    noun = "finding" if further == 1 else "findings"
    message = f"{item.message} {further:,} further {noun} of this rule are not listed."
    return replace(item, message=message, evidence={**item.evidence, "further": further})
