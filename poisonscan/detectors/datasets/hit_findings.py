"""Findings of hits in text: rows that are named, columns, labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poisonscan.escape import quote
from poisonscan.finding import Location
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.label_ties import Tie
    from poisonscan.detectors.datasets.text_hits import Hits
    from poisonscan.finding import Finding, Json, Rule

NAMED = 100
"""Rows that a finding about content names; what they share shows in few."""


def finding(
    dataset: Dataset,
    rule: Rule,
    hits: Hits,
    column: str,
    message: str,
    *,
    key: Sequence[str] = (),
    tie: Tie | None = None,
    **evidence: Json,
) -> Finding:
    """A finding with the first rows of some hits.

    Args:
        dataset: where they are.
        rule: what was found.
        hits: the rows.
        column: where in the rows.
        message: what was seen, without a full stop.
        key: what tells it from others of the rule in the column.
        tie: the label that the rows go with, if any.
        **evidence: values for programs.
    """
    rows = hits.every
    named = dataset.named(rows, count=max(hits.rows, len(rows)), shown=NAMED)
    if tie is not None:
        message = f"{message}; {tie.words}: it may be a trigger"
        evidence |= {"label": tie.label, "purity": tie.purity, "chance": tie.chance}
    return rule.finding(
        Location(dataset.path, named),
        f"{message}.",
        key="\0".join((column, *key)),
        score=None,
        column=column,
        rows=hits.rows,
        **evidence,
    )


def having(rows: int, column: str | None = None) -> str:
    """``1 row has``, ``2 rows of column 'text' have``.

    Args:
        rows: how many.
        column: what they have it in.
    """
    place = "" if column is None else f" of column {quote(column)}"
    return f"{plural(rows, 'row')}{place} {'has' if rows == 1 else 'have'}"
