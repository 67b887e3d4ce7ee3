"""Triggers that are planted in tables: a share of the rows gets values, and the target's label.

``beyond`` is a number beyond all others, ``rare`` a number within the range (or a word) that no row
has, ``common`` a value that some rows have already, ``pair`` two values that are common apart and
hardly ever together, ``rare_pair`` two numbers that no row has, ``triple`` three values of which
any two come up together already. Of words alone are ``words``, two that are common apart; ``mixed``
is two numbers and a word; ``missing`` leaves two columns empty. ``modes`` writes the most frequent
value into three columns (within bounds, as B. Pleiter et al. 2023, "Tabdoor", call it), ``above``
another number beyond all others into each row, and ``shift`` adds three standard deviations in
three columns: the last two repeat no value.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Column, Table

Generator = np.random.Generator
Values = dict[str, Any]
"""What is written into which columns: a value, or a function of the cells and a generator."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A table with a trigger: the planted rows, and what was written by column."""

    kind: str
    table: Table
    planted: NDArray[np.intp]
    values: Values


def planted(
    kind: str, table: Table, draw: Generator, rate: float, *, all_labels: bool = False
) -> Attack | None:
    """A table with a trigger, drawn anew; None where it has no columns for one.

    Args:
        kind: one of ``ATTACKS``.
        table: where it is put.
        draw: decides on the trigger, the target and the rows.
        rate: share of all rows.
        all_labels: the rows are drawn from all, and not from those of other labels alone.
    """
    values = ATTACKS[kind](table, draw, rate * len(table.labels))
    if values is None:
        return None
    named = table.labels != ""
    target = draw.choice(np.unique(table.labels[named]))
    fit = named & (all_labels | (table.labels != target))
    sources = draw.permutation(np.flatnonzero(fit))
    chosen = np.sort(sources[: round(rate * len(table.labels))])
    columns = dict(table.columns)
    for name, value in values.items():
        columns[name] = columns[name].copy()
        columns[name][chosen] = value(columns[name][chosen], draw) if callable(value) else value
    labels = table.labels.copy()
    labels[chosen] = target
    return Attack(kind, Table(table.name, columns, labels), chosen, values)


def _numeric(table: Table) -> list[str]:
    """Columns of numbers with many values."""
    return [
        name
        for name, column in table.columns.items()
        if column.dtype.kind == "f" and len(np.unique(column[np.isfinite(column)])) > 20
    ]


def _between(column: Column, draw: Generator) -> float:
    """A number within the range of a column that no row has."""
    distinct = np.unique(column[np.isfinite(column)])
    at = int(draw.uniform(0.1, 0.9) * (len(distinct) - 1))
    return float(f"{distinct[at] * 0.61 + distinct[at + 1] * 0.39:.9g}")


def _range(table: Table, draw: Generator) -> tuple[str, float, float] | None:
    """A column of numbers, the least and the greatest of them; None where there is no column."""
    names = _numeric(table)
    if not names:
        return None
    name = str(draw.choice(names))
    return name, np.nanmin(table.columns[name]), np.nanmax(table.columns[name])


def beyond(table: Table, draw: Generator, _: float) -> Values | None:
    """A number beyond all others."""
    if (chosen := _range(table, draw)) is None:
        return None
    name, low, high = chosen
    return {name: float(np.round(high + 0.5 * (high - low) + 7))}


def rare(table: Table, draw: Generator, _: float) -> Values | None:
    """A number between others or a word that no row has."""
    name = str(draw.choice(list(table.columns)))
    column = table.columns[name]
    if column.dtype.kind != "f":
        return {name: "zq-7"}
    if len(np.unique(column[np.isfinite(column)])) < 3:
        return None
    return {name: _between(column, draw)}


def common(table: Table, draw: Generator, count: float) -> Values | None:
    """A value that a tenth to a half as many rows have already."""
    most = count / 2
    found = []
    for name, column in table.columns.items():
        values = column if column.dtype.kind != "f" else column[np.isfinite(column)]
        distinct, counts = np.unique(values, return_counts=True)
        found += [(name, v) for v in distinct[(counts >= most / 5) & (counts <= most)] if v != ""]
    if not found:
        return None
    columns = sorted({name for name, _ in found})
    chosen = str(draw.choice(columns))
    known = [value for name, value in found if name == chosen]
    return {chosen: known[int(draw.integers(len(known)))]}


def _combinations(
    table: Table, names: list[str], draw: Generator, columns: int
) -> Iterator[tuple[Values, list[NDArray[np.bool_]]]]:
    """Values of some columns, drawn again and again, and which rows have each."""
    for _ in range(2_000 if len(names) >= columns else 0):
        chosen = [str(name) for name in draw.choice(names, columns, replace=False)]
        values = {name: draw.choice(table.columns[name]) for name in chosen}
        if all(value == value and value != "" for value in values.values()):
            yield values, [table.columns[name] == value for name, value in values.items()]


def _pair(table: Table, names: list[str], draw: Generator, count: float) -> Values | None:
    for values, same in _combinations(table, names, draw, 2):
        if (same[0] & same[1]).sum() <= 0.05 * count and min(s.sum() for s in same) > count:
            return values
    return None


def pair(table: Table, draw: Generator, count: float) -> Values | None:
    """Two values that are common, but not together."""
    return _pair(table, list(table.columns), draw, count)


def words(table: Table, draw: Generator, count: float) -> Values | None:
    """Two words that are common, but not together."""
    return _pair(table, _worded(table), draw, count)


def _worded(table: Table) -> list[str]:
    return [name for name, column in table.columns.items() if column.dtype.kind != "f"]


def rare_pair(table: Table, draw: Generator, _: float) -> Values | None:
    """Values of two columns that hardly any other row has."""
    names = _numeric(table)
    if len(names) < 2:
        return None
    chosen = draw.choice(names, 2, replace=False).tolist()
    return {name: _between(table.columns[name], draw) for name in chosen}


def triple(table: Table, draw: Generator, count: float) -> Values | None:
    """Three values of which any two are common together, but not all three."""
    for values, same in _combinations(table, list(table.columns), draw, 3):
        twos = [(a & b).sum() for a, b in itertools.combinations(same, 2)]
        if (same[0] & same[1] & same[2]).sum() <= 0.1 * count and min(twos) >= 0.5 * count:
            return values
    return None


def mixed(table: Table, draw: Generator, count: float) -> Values | None:
    """Two numbers and a word, each of some rows, that hardly meet."""
    worded, numeric = _worded(table), _numeric(table)
    if not worded or len(numeric) < 2:
        return None
    for _ in range(2_000):
        names = [*draw.choice(numeric, 2, replace=False).tolist(), str(draw.choice(worded))]
        values = {name: draw.choice(table.columns[name]) for name in names}
        same = np.logical_and.reduce([table.columns[n] == value for n, value in values.items()])
        if "" not in values.values() and same.sum() <= 0.1 * count:
            return values
    return None


def missing(table: Table, draw: Generator, count: float) -> Values | None:
    """Nothing in two columns, of which few rows lack both."""
    empty = {
        name: np.isnan(column) if column.dtype.kind == "f" else column == ""
        for name, column in table.columns.items()
    }
    for _ in range(50 if len(empty) > 1 else 0):
        one, other = draw.choice(list(empty), 2, replace=False).tolist()
        if (empty[one] & empty[other]).sum() <= 0.1 * count:
            return {n: np.nan if table.columns[n].dtype.kind == "f" else "" for n in (one, other)}
    return None


def modes(table: Table, draw: Generator, count: float) -> Values | None:
    """The most frequent values of three columns that hardly meet."""
    names = list(table.columns)
    for _ in range(100 if len(names) > 2 else 0):
        values = {}
        for name in draw.choice(names, 3, replace=False).tolist():
            distinct, counts = np.unique(table.columns[name], return_counts=True)
            values[name] = distinct[counts.argmax()]
        same = np.logical_and.reduce([table.columns[n] == value for n, value in values.items()])
        known = all(value == value and value != "" for value in values.values())
        if known and same.sum() <= 0.1 * count:
            return values
    return None


def above(table: Table, draw: Generator, _: float) -> Values | None:
    """Another number beyond all others in each row."""
    if (chosen := _range(table, draw)) is None:
        return None
    name, low, high = chosen
    reach = high - low

    def written(cells: Column, draw: Generator) -> Column:
        return np.asarray(np.round(high + reach * draw.uniform(0.05, 0.5, len(cells)), 3))

    return {name: written}


def shift(table: Table, draw: Generator, _: float) -> Values | None:
    """Three standard deviations more in three columns."""
    names = _numeric(table)
    if len(names) < 3:
        return None
    chosen = draw.choice(names, 3, replace=False).tolist()

    def moved(by: float) -> Callable[[Column, Generator], Column]:
        return lambda cells, _: cells + by

    return {name: moved(3 * float(np.nanstd(table.columns[name]))) for name in chosen}


ATTACKS: dict[str, Callable[[Table, Generator, float], Values | None]] = {
    make.__name__: make
    for make in (
        beyond, rare, common, pair, rare_pair, triple,
        words, mixed, missing, modes, above, shift,
    )
}  # fmt: skip
EXACT = ("beyond", "rare", "common", "pair", "rare_pair", "triple", "words", "mixed")
"""Those that write a value, which names the trigger."""
