"""Compares the datasets of two versions: columns, class names and rows."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.label_hashes import MISSING
from poisonscan.differences.found import Difference, Differences
from poisonscan.differences.rows import NAMED, Asks, RowChanges, RowRecords, compare, place_of
from poisonscan.escape import clip, escape, quote
from poisonscan.finding import Gap, Json
from poisonscan.limits import LimitReached

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.base import DatasetDetector
    from poisonscan.finding import Row
    from poisonscan.report import Report

Run = Callable[["Dataset", dict[str, "DatasetDetector"]], "Report"]
"""Makes the passes over a dataset that a detector asks for."""
_EXCERPT = 80


def compare_datasets(
    old: Sequence[Dataset], new: Sequence[Dataset], run: Run, out: Differences, scratch: str | None
) -> None:
    """Compare datasets of the same path, or the only ones, or those of the same columns.

    Args:
        old: of the old version.
        new: of the new one.
        run: makes passes.
        out: takes in what is found.
        scratch: folder for what does not fit into memory; None: the system's.
    """
    pairs, gone, added = _matched(old, new)
    for dataset in gone:
        out.add(Difference("dataset", dataset.path, "dataset that is gone"))
    for dataset in added:
        out.add(Difference("dataset", dataset.path, "new dataset"))
    for was, now in pairs:
        _columns(was, now, out)
        with tempfile.TemporaryDirectory(
            prefix="poisonscan-", dir=scratch, ignore_cleanup_errors=True
        ) as folder:
            _rows(was, now, run, out, folder)


def _matched(
    old: Sequence[Dataset], new: Sequence[Dataset]
) -> tuple[list[tuple[Dataset, Dataset]], list[Dataset], list[Dataset]]:
    left = {dataset.path: dataset for dataset in new}
    pairs: list[tuple[Dataset, Dataset]] = []
    rest = []
    for dataset in old:
        match = left.pop(dataset.path, None)
        if match is None:
            rest.append(dataset)
        else:
            pairs.append((dataset, match))
    gone = []
    for dataset in rest:
        alike = [d for d in left.values() if set(d.columns) == set(dataset.columns)]
        if not alike and len(old) == len(new) == 1:
            alike = list(left.values())
        if len(alike) == 1:
            pairs.append((dataset, left.pop(alike[0].path)))
        else:
            gone.append(dataset)
    return pairs, gone, list(left.values())


def _columns(old: Dataset, new: Dataset, out: Differences) -> None:
    for name in sorted({*old.columns, *new.columns}):
        before, now = old.columns.get(name), new.columns.get(name)
        if before is None:
            out.add(
                Difference("columns", new.path, f"new column {quote(name)}, {escape(str(now))}")
            )
        elif now is None:
            out.add(Difference("columns", new.path, f"column that is gone: {quote(name)}"))
    if old.label_names != new.label_names:
        before, after = _names(old.label_names), _names(new.label_names)
        out.add(Difference("classes", new.path, f"class names were {before} and are {after} now"))


def _names(names: Sequence[str] | None) -> str:
    if names is None:
        return "not declared"
    return ", ".join(quote(name, 40) for name in names[:10]) + (" …" if len(names) > 10 else "")


def _rows(old: Dataset, new: Dataset, run: Run, out: Differences, folder: str) -> None:
    label = next(iter(old.roles.get("label", ())), None)
    if label is not None and label in new.columns:
        new = replace(new, roles={**new.roles, "label": (label,)})
    leave_out = frozenset(
        {*old.roles.get("label", ()), *old.roles.get("id", ())}
        | ({"label"} if old.shards[0].layout is None else set())
    )
    asked = []
    for side, dataset in enumerate((old, new)):
        asks = Asks(RowRecords(leave_out, side, folder))
        report = run(dataset, {"differences": asks})
        out.gaps += report.gaps
        asked.append(asks.answer)
    first, second = asked
    if first is None or second is None:
        out.gaps.append(Gap(new.path, "its rows were not compared"))
        return
    names = {**(first.labels.names or {}), **(second.labels.names or {})}
    try:
        first.merge(second)
        changes = compare(first.records, (_splits(old, new, 0), _splits(old, new, 1)))
    except LimitReached as error:
        out.gaps.append(Gap(new.path, f"its rows were not compared: {error}"))
        return
    _tell(old, new, changes, names, out)


def _splits(old: Dataset, new: Dataset, side: int) -> NDArray[np.int64]:
    """Number of the split of each shard."""
    known = sorted({shard.split for shard in (*old.shards, *new.shards)})
    return np.array([known.index(shard.split) for shard in (old, new)[side].shards], np.int64)


def _tell(
    old: Dataset, new: Dataset, changes: RowChanges, labels: dict[int, str], out: Differences
) -> None:
    def names(code: int) -> str:
        unnamed = "none" if code == MISSING else "one of too many to name"
        return quote(labels[code], 60) if code in labels else unnamed

    pairs: list[Json] = [
        {"old": names(was), "new": names(now), "rows": count}
        for (was, now), count in sorted(
            changes.relabelled.items(), key=lambda item: (-item[1], names(item[0][0]))
        )
    ]
    relabelled = changes.relabelled.total()
    about: dict[str, Json] = {
        "added": changes.added, "removed": changes.removed, "relabelled": relabelled,
        "moved": changes.moved, "label pairs": pairs[:NAMED],
    }  # fmt: skip
    out.rows[escape(new.path)] = about
    for kind, count, side, places in (
        ("added row", changes.added, 1, changes.first_added),
        ("removed row", changes.removed, 0, changes.first_removed),
    ):
        dataset = (old, new)[side]
        for row in _described(dataset, places):
            out.add(_row(kind, row, f"{_where(row)}{_said(row)}"), 0)
        out.counts[kind] += count
    for kind, count, found in (
        ("relabelled", relabelled, changes.first_relabelled),
        ("moved", changes.moved, changes.first_moved),
    ):
        both = sorted(found, key=lambda pair: pair[1])[:NAMED]
        before = _described(old, [pair[0] for pair in both])
        now = _described(new, [pair[1] for pair in both])
        for was, row in zip(before, now, strict=True):
            change = f"{_label(was)}, now {_label(row)}"
            if kind == "moved":
                change = f"in {quote(was.split)}, now in {quote(row.split)}"
            what = f"{_where(row)}: {change}{_excerpt(row)}"
            out.add(_row(kind, row, what, was=was), 0)
        out.counts[kind] += count


def _described(dataset: Dataset, places: Sequence[int]) -> tuple[Row, ...]:
    if not places:
        return ()
    rows = np.array([place_of(place) for place in places], np.int64).reshape(-1, 2)
    with contextlib.suppress(ValueError):  # a file that cannot be read again: told in the pass
        return dataset.describe(rows)
    return ()


def _where(row: Row) -> str:
    return f"row {row.index:,}"


def _label(row: Row) -> str:
    return "no label" if row.label is None else quote(row.label, 60)


def _said(row: Row) -> str:
    return ("" if row.label is None else f", label {_label(row)}") + _excerpt(row)


def _excerpt(row: Row) -> str:
    return f": {clip(escape(row.excerpt), _EXCERPT)}" if row.excerpt else ""


def _row(kind: str, row: Row, what: str, was: Row | None = None) -> Difference:
    about: dict[str, Json] = {
        "row": row.index, "split": escape(row.split),
        "label": None if row.label is None else escape(row.label),
    }  # fmt: skip
    if was is not None:
        label = None if was.label is None else escape(was.label)
        about |= {"old": {"path": escape(was.path), "row": was.index, "label": label}}
    return Difference(kind, row.path, what, about)
