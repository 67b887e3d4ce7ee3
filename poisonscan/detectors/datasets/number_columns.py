"""Numeric columns by themselves: useless ones, extreme numbers, numbers that cannot be."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.number_summary import TAIL, NumberSummary
from poisonscan.detectors.datasets.places import places, unpacked
from poisonscan.detectors.datasets.row_sample import COLUMNS, holds_numbers
from poisonscan.escape import quote
from poisonscan.finding import Column, Gap, Location
from poisonscan.plural import plural
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.number_summary import Bounds, ColumnSummary
    from poisonscan.detectors.datasets.places import Places
    from poisonscan.finding import Finding, Json

MAX_FINDINGS = 50
"""Findings of one rule."""
NAMED = 100
"""Rows that a finding names."""
ROWS = 40
"""Rows from which a column is judged."""

_ANY: Bounds = (-np.inf, np.inf)
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
RANGES: dict[str, Bounds] = {
    "age": (0, 150),
    "count": (0, np.inf),
    "quantity": (0, np.inf),
    "price": (0, np.inf),
    "weight": (0, np.inf),
    "height": (0, np.inf),
    "duration": (0, np.inf),
    "population": (0, np.inf),
    "percent": (0, 100),
    "percentage": (0, 100),
    "pct": (0, 100),
    "probability": (0, 1),
    "latitude": (-90, 90),
    "longitude": (-180, 180),
    "month": (0, 12),
    "weekday": (0, 7),
    "hour": (0, 24),
    "ph": (0, 14),
}
"""What numbers can be, by a word of the column's name; wide enough for both ways of counting."""


class NumberColumns:
    """Sums up every numeric column."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Gap]]:
        """Ask for the summary."""
        apart = {*dataset.roles.get("label", ()), *dataset.roles.get("id", ())}
        names = [n for n in dataset.cells if n not in apart and holds_numbers(dataset, n)]
        if not names:
            return []
        where = places(dataset)
        wanted = tuple((name, bounds(name)) for name in names[:COLUMNS])
        summary: NumberSummary = yield NumberSummary(where, wanted)
        columns = dict(zip(names, summary.found, strict=False))
        found: list[Finding | Gap] = [*_degenerate(dataset, columns)]
        found += _outliers(dataset, where, columns)
        found += [*_impossible(dataset, where, columns)][:MAX_FINDINGS]
        if len(names) > COLUMNS:
            message = f"only the first {COLUMNS:,} of {len(names):,} numeric columns were looked at"
            found.append(Gap(dataset.path, message))
        return found


DETECTOR = NumberColumns()


def bounds(name: str) -> Bounds:
    """What the numbers of a column can be, by the last word of its name that says so."""
    for word in reversed(_WORDS.findall(name)):
        if word.lower() in RANGES:
            return RANGES[word.lower()]
    return _ANY


def _degenerate(dataset: Dataset, columns: dict[str, ColumnSummary]) -> Iterator[Finding]:
    constant = [
        name
        for name, column in columns.items()
        if column.numbers >= ROWS and not column.missing and column.low[0] == column.high[0]
    ]
    same: dict[int, list[str]] = defaultdict(list)
    for name, column in columns.items():
        if column.numbers >= ROWS and name not in constant:
            same[column.digest].append(name)
    copies = [names for names in same.values() if len(names) > 1]
    if constant:
        yield _about(dataset, constant, "the same number in every row", "constant")
    if len(copies) == 1:
        yield _about(dataset, copies[0], "the same numbers in the same rows", "copies")
    elif copies:
        yield _about_groups(dataset, copies)
    yield from _not_finite(dataset, columns)


def _about_groups(dataset: Dataset, copies: list[list[str]]) -> Finding:
    shown = "; ".join(", ".join(map(quote, names[:3])) for names in copies[:3])
    more = f"; and {len(copies) - 3:,} more" if len(copies) > 3 else ""
    groups = plural(len(copies), "group")
    message = f"{groups} of columns with the same numbers in the same rows: {shown}{more}."
    listed: list[Json] = [[*names[:MAX_FINDINGS]] for names in copies[:MAX_FINDINGS]]
    return rule("PS612").finding(
        Location(dataset.path, Column(copies[0][0])),
        message,
        key="\0".join(["copies", *(name for names in copies for name in names)][:MAX_FINDINGS]),
        groups=listed,
    )


def _not_finite(dataset: Dataset, columns: dict[str, ColumnSummary]) -> Iterator[Finding]:
    share = rule("PS612").thresholds["share"]
    found = {}
    for name, column in columns.items():
        odd = column.nan + column.infinite
        rows = odd + column.numbers + column.missing
        if column.infinite or (column.numbers and odd > share * rows):
            found[name] = (column.nan, column.infinite, rows)
    if not found:
        return
    name, (nan, infinite, rows) = next(iter(found.items()))
    others = [quote(other) for other in found][1:]
    more = ", ".join(others[:3]) + (f" and {len(others) - 3:,} more" if len(others) > 3 else "")
    message = (
        f"column {quote(name)} holds {plural(infinite, 'infinite number')} and {nan:,} that are "
        f"not a number (NaN), in {plural(rows, 'row')}{f'; so do {more}' if others else ''}."
    )
    listed: list[Json] = [*[*found][:MAX_FINDINGS]]
    yield rule("PS612").finding(
        Location(dataset.path, Column(name)),
        message,
        key="\0".join(["not finite", *found][:MAX_FINDINGS]),
        column=name,
        columns=listed,
        nan=nan,
        infinite=infinite,
        rows=rows,
    )


def _about(dataset: Dataset, names: list[str], what: str, kind: str) -> Finding:
    shown = ", ".join(quote(name) for name in names[:5])
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    plural = "s" * (len(names) > 1)
    message = f"column{plural} {shown}{more} hold{'s' * (not plural)} {what}."
    part = Column(names[0])
    listed: list[Json] = [*names[:MAX_FINDINGS]]
    return rule("PS612").finding(
        Location(dataset.path, part),
        message,
        key="\0".join([kind, *names[:MAX_FINDINGS]]),
        columns=listed,
    )


@dataclass(frozen=True, slots=True)
class _Apart:
    """Numbers of a column that lie apart from all others, the farthest first, and the next one."""

    name: str
    side: str
    values: NDArray[np.float64]
    rows: NDArray[np.int64]
    beside: float


def _outliers(
    dataset: Dataset, where: Places, columns: dict[str, ColumnSummary]
) -> Iterator[Finding]:
    limits = rule("PS613").thresholds
    level = limits["chance"] / max(2 * len(columns) * limits["most"], 1)
    found = []
    for name, column in columns.items():
        if column.numbers < ROWS:
            continue
        centre = float(column.low[-1] / 2 + column.high[-1] / 2)
        for tail, values, rows, side in (
            (column.high - centre, column.high, column.high_rows, "above"),
            (centre - column.low, column.low, column.low_rows, "below"),
        ):
            count = far(tail, level, limits["ratio"], int(limits["most"]))
            if count:
                beside = float(values[count])
                found.append(_Apart(name, side, values[:count], rows[:count], beside))
    if len(found) == 1:
        yield _outlier(dataset, where, found[0])
    elif found:
        yield _outliers_of_columns(dataset, where, found)


def far(tail: NDArray[np.float64], level: float, ratio: float, most: int) -> int:
    """How many of the largest distances are no part of their tail.

    In a tail that falls off like a power, ``i * log(d_i / d_(i+1))`` of the ordered distances are
    exponential with one scale (A. Rényi 1953; B. M. Hill 1975); tails that fall off faster give
    smaller ones at the end. The largest gap is measured by the gaps below it.

    Args:
        tail: distances from the centre, the largest first.
        level: chance, for one gap, below which it is none.
        ratio: the gap is at least so wide, as a ratio of distances.
        most: at most so many.
    """
    steps = -np.diff(tail)
    steps = steps[steps > 0]
    if len(steps) < 2 or tail[0] <= 0:
        return 0
    smooth = _spread(tail, float(steps.min()))
    smooth = smooth[smooth > 0]
    if len(smooth) < ROWS // 2 + most:
        return 0
    gaps = np.arange(1, len(smooth)) * np.log(smooth[:-1] / smooth[1:])
    for count in range(min(most, len(gaps) - 10), 0, -1):
        rest = gaps[count:]
        mean = float(rest.mean())
        tied = np.unique(tail[count:], return_counts=True)[1].max() > len(rest) / 2
        if tied or mean <= 0 or smooth[count - 1] < ratio * smooth[count]:
            continue
        # An exponential over the mean of n others has the tail (1 + x / n) ** -n.
        if -len(rest) * np.log1p(gaps[count - 1] / mean / len(rest)) < np.log(level):
            return count
    return 0


def _spread(tail: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Equal distances laid out evenly over the width of a step, as if they had not been rounded."""
    out = tail.astype(np.float64).copy()
    starts = np.flatnonzero(np.concatenate([[True], np.diff(tail) != 0]))
    sizes = np.diff(np.append(starts, len(tail)))
    within = np.arange(len(tail)) - np.repeat(starts, sizes)
    out += step * (0.5 - (within + 0.5) / np.repeat(sizes, sizes))
    return out


def _outlier(dataset: Dataset, where: Places, apart: _Apart) -> Finding:
    count = len(apart.values)
    shown = ", ".join(f"{value:.6g}" for value in apart.values[:3])
    more = f" and {count - 3} more" if count > 3 else ""
    message = (
        f"{count} number{'s' * (count > 1)} of column {quote(apart.name)} "
        f"lie{'s' * (count == 1)} far {apart.side} all others: {shown}{more}; the next is "
        f"{apart.beside:.6g}."
    )
    named = dataset.named(unpacked(where, apart.rows), count=count)
    return rule("PS613").finding(
        Location(dataset.path, named),
        message,
        key=f"{apart.side}\0{apart.name}",
        column=apart.name,
        values=apart.values.tolist(),
        next=apart.beside,
    )


def _outliers_of_columns(dataset: Dataset, where: Places, found: list[_Apart]) -> Finding:
    """One finding for all columns: far numbers of many columns are mostly of the same few rows."""
    told = [
        f"{quote(one.name)} {one.values[0]:.6g} {one.side} all others, the next {one.beside:.6g}"
        for one in found[:3]
    ]
    rows = np.unique(np.concatenate([one.rows for one in found]))
    names = list(dict.fromkeys(one.name for one in found))
    more = f"; and {len(found) - 3:,} more" if len(found) > 3 else ""
    message = (
        f"numbers of {plural(len(names), 'column')} lie far from all others, in "
        f"{plural(len(rows), 'row')}: {'; '.join(told)}{more}."
    )
    listed: list[Json] = [*names[:MAX_FINDINGS]]
    named = dataset.named(unpacked(where, rows), shown=NAMED)
    return rule("PS613").finding(
        Location(dataset.path, named),
        message,
        key="\0".join(names[:MAX_FINDINGS]),
        columns=listed,
        values=[one.values[:NAMED].tolist() for one in found[:MAX_FINDINGS]],
        next=[one.beside for one in found[:MAX_FINDINGS]],
    )


def _impossible(
    dataset: Dataset, where: Places, columns: dict[str, ColumnSummary]
) -> Iterator[Finding]:
    share = rule("PS614").thresholds["share"]
    for name, column in columns.items():
        least, most = bounds(name)
        total = sum(column.beyond)
        if not total or column.numbers < ROWS or total > share * column.numbers:
            continue
        low, high = (min(count, TAIL) for count in column.beyond)
        rows = np.concatenate([column.low_rows[:low], column.high_rows[:high]])[:100]
        values = np.concatenate([column.low[:low], column.high[:high]])
        shown = ", ".join(f"{value:.6g}" for value in np.unique(values)[:5])
        span = f"{least:g} to {most:g}" if np.isfinite(most) else f"{least:g} or more"
        message = (
            f"{total:,} of {column.numbers:,} numbers of column {quote(name)} cannot be what its "
            f"name says ({span}): {shown}."
        )
        named = dataset.named(unpacked(where, rows), count=total)
        yield rule("PS614").finding(
            Location(dataset.path, named),
            message,
            key=name,
            column=name,
            below=column.beyond[0],
            above=column.beyond[1],
            values=np.unique(values)[:MAX_FINDINGS].tolist(),
        )
