"""How well triggers in tables are found: values and pairs of values that decide the label.

``python -m benchmarks.table_triggers DATA [--tables FOLDER]`` prints two tables for each part of
the data. *Attacks*: a share of the rows, drawn from all labels but one, gets a value in a column
(or values in two or three) and that label. ``beyond`` is a number beyond all others, ``rare`` a
number within the range (or a word) that no row has, ``common`` a value that some rows have
already, ``pair`` two values that are common apart and hardly ever together, ``rare_pair`` two
numbers that no row has, ``triple`` three values of which any two come up together already. Named:
runs in which a finding names the columns and values; TPR: planted rows that have a named value and
the label; FPR: other rows that have one; false: findings that name something else; loud: runs with
a named trigger of medium or high severity. With ``--others`` there are an isolation forest of the
rows and, where it is installed, cleanlab's label issues beside it, both as they decide by default.
*Clean*: each table as it is and random halves of it.

DATA is a folder with ``tabular/adult-train.csv`` and others, on which thresholds were chosen, as on
the tables that scikit-learn brings. FOLDER holds the tables named in ``SEEN``, seen as well, and
``HELD_OUT``, on which none was chosen. What is absent is skipped; of the largest tables ``MOST``
rows are taken.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray
from sklearn import datasets as public

import poisonscan
from poisonscan.finding import Finding, Severity

RULES = ("PS615",)
RATES = (0.01,)
MOST = 20_000
LEAST = 900
"""Rows below which one in a hundred is too few to count."""
SEEN = {
    "Churn_Modelling/Churn_Modelling.csv": "Exited",
    "LetterRecognition/LetterRecognition.csv": "lettr",
    "har_validate/har_validate.csv": "classe",
    "abalone/abalone.csv": "col_8",
    "mushroom/mushrooms.csv": "class",
    "phoneme/phoneme.csv": "col_5",
    "german/german.csv": "col_20",
    "oil-spill/oil-spill.csv": "col_49",
    "bank_marketing_test/bank_marketing_test.csv": "y",
    "universalbank/universalbankdataset.csv": "Personal Loan",
    "r_HI/HI.csv": "education",
    "taxis/taxis.csv": "payment",
}
HELD_OUT = {
    "car_evaluation/car_evaluation.csv": "class",
    "mammography/mammography.csv": "col_6",
    "musk/musk.csv": "",
    "r_InstEval/InstEval.csv": "y",
    "r_Vocab/Vocab.csv": "sex",
    "pollution/pollution.csv": "cbwd",
    "bikeshare/bikeshare.csv": "season",
    "california/housing.csv": "ocean_proximity",
    "planets/planets.csv": "method",
    "davidson/labeled_data.csv": "class",
}
"""Tables and the column of their label; ``col_7`` is the last of a table without a header."""

Generator = np.random.Generator
Column = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Table:
    """Columns by name, and the label."""

    name: str
    columns: dict[str, Column]
    labels: Column

    def rows(self, chosen: NDArray[np.intp]) -> Table:
        """Some of the rows."""
        parts = {name: column[chosen] for name, column in self.columns.items()}
        return Table(self.name, parts, self.labels[chosen])

    def write(self, path: Path) -> Path:
        """As CSV."""
        pa.csv.write_csv(pa.table({**self.columns, "label": self.labels}), path)
        return path


@dataclass(frozen=True, slots=True)
class Attack:
    """A table with a trigger: the planted rows and the values by column."""

    kind: str
    table: Table
    planted: NDArray[np.intp]
    values: dict[str, Any]


def read(path: Path, label: str | None, *, header: bool = True) -> Table:
    """A table of a file; the last column is its label where none is named."""
    table = pa.csv.read_csv(path, pa.csv.ReadOptions(autogenerate_column_names=not header))
    label = label or table.column_names[-1]
    columns = {}
    for name in table.column_names:
        values = table.column(name).combine_chunks()
        if name != label:
            text = pa.types.is_string(values.type)
            columns[name or "x"] = (
                np.asarray(values.fill_null("").to_pylist(), object)
                if text
                else np.asarray(values.cast(pa.float64(), safe=False).fill_null(np.nan))
                if pa.types.is_integer(values.type) or pa.types.is_floating(values.type)
                else np.asarray([str(v) for v in values.to_pylist()], object)
            )
    labels = np.asarray([str(v) for v in table.column(label).to_pylist()], object)
    found = Table(path.stem, columns, labels)
    order = np.random.default_rng(0).permutation(len(labels))[:MOST]
    return found.rows(np.sort(order)) if len(labels) > MOST else found


def known(folder: Path) -> Iterator[Table]:
    """The tables that thresholds were chosen on."""
    for name in ("wine", "breast_cancer", "digits"):
        data = getattr(public, f"load_{name}")()
        columns = {f"x{i}": column for i, column in enumerate(data.data.T)}
        yield Table(name, columns, data.target.astype(str).astype(object))
    for name in ("adult-train", "banknote_authentication", "winequality-white"):
        path = folder / "tabular" / f"{name}.csv"
        if path.exists():
            yield read(path, None, header=False)
    path = folder / "tabular" / "diamonds.csv"
    if path.exists():
        yield read(path, "cut")


def more(folder: Path, names: dict[str, str]) -> Iterator[Table]:
    """Tables of a folder by name."""
    for name, label in names.items():
        path = folder / name
        if path.exists():
            last = label.startswith("col_")
            yield read(path, None if last else label, header=not last)


# What is planted.


def _stamped(
    table: Table, draw: Generator, rate: float, kind: str, values: dict[str, Any]
) -> Attack:
    target = draw.choice(np.unique(table.labels))
    sources = draw.permutation(np.flatnonzero(table.labels != target))
    chosen = np.sort(sources[: round(rate * len(table.labels))])
    columns = dict(table.columns)
    for name, value in values.items():
        columns[name] = columns[name].copy()
        columns[name][chosen] = value
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


def beyond(table: Table, draw: Generator, rate: float) -> Attack | None:
    """A number beyond all others."""
    names = _numeric(table)
    if not names:
        return None
    name = str(draw.choice(names))
    low, high = np.nanmin(table.columns[name]), np.nanmax(table.columns[name])
    value = float(np.round(high + 0.5 * (high - low) + 7))
    return _stamped(table, draw, rate, "beyond", {name: value})


def rare(table: Table, draw: Generator, rate: float) -> Attack | None:
    """A number between others or a word that no row has."""
    name = str(draw.choice(list(table.columns)))
    column = table.columns[name]
    if column.dtype.kind != "f":
        return _stamped(table, draw, rate, "rare", {name: "zq-7"})
    distinct = np.unique(column[np.isfinite(column)])
    if len(distinct) < 3:
        return None
    at = int(draw.uniform(0.1, 0.9) * (len(distinct) - 1))
    value = float(f"{distinct[at] * 0.61 + distinct[at + 1] * 0.39:.9g}")
    return _stamped(table, draw, rate, "rare", {name: value})


def common(table: Table, draw: Generator, rate: float) -> Attack | None:
    """A value that a tenth to a half as many rows have already."""
    most = rate * len(table.labels) / 2
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
    return _stamped(table, draw, rate, "common", {chosen: known[int(draw.integers(len(known)))]})


def _combinations(
    table: Table, draw: Generator, columns: int
) -> Iterator[tuple[dict[str, Any], list[NDArray[np.bool_]]]]:
    """Values of some columns, drawn again and again, and which rows have each."""
    names = list(table.columns)
    for _ in range(2_000 if len(names) >= columns else 0):
        chosen = [str(name) for name in draw.choice(names, columns, replace=False)]
        values = {name: draw.choice(table.columns[name]) for name in chosen}
        if all(value == value and value != "" for value in values.values()):
            yield values, [table.columns[name] == value for name, value in values.items()]


def pair(table: Table, draw: Generator, rate: float) -> Attack | None:
    """Two values that are common, but not together."""
    count = rate * len(table.labels)
    for values, same in _combinations(table, draw, 2):
        if (same[0] & same[1]).sum() <= 0.05 * count and min(s.sum() for s in same) > count:
            return _stamped(table, draw, rate, "pair", values)
    return None


def rare_pair(table: Table, draw: Generator, rate: float) -> Attack | None:
    """Values of two columns that hardly any other row has."""
    names = _numeric(table)
    if len(names) < 2:
        return None
    values = {}
    for name in draw.choice(names, 2, replace=False).tolist():
        column = table.columns[name]
        distinct = np.unique(column[np.isfinite(column)])
        at = int(draw.uniform(0.1, 0.9) * (len(distinct) - 1))
        values[name] = float(f"{distinct[at] * 0.61 + distinct[at + 1] * 0.39:.9g}")
    return _stamped(table, draw, rate, "rare_pair", values)


def triple(table: Table, draw: Generator, rate: float) -> Attack | None:
    """Three values of which any two are common together, but not all three."""
    count = rate * len(table.labels)
    for values, same in _combinations(table, draw, 3):
        twos = [(a & b).sum() for a, b in itertools.combinations(same, 2)]
        if (same[0] & same[1] & same[2]).sum() <= 0.1 * count and min(twos) >= 0.5 * count:
            return _stamped(table, draw, rate, "triple", values)
    return None


ATTACKS: tuple[Callable[[Table, Generator, float], Attack | None], ...] = (
    beyond, rare, common, pair, rare_pair, triple,
)  # fmt: skip


# What is found.


def scan(path: Path) -> list[Finding]:
    """The findings of the rules for triggers in tables."""
    return poisonscan.scan(path, kind="dataset", select=RULES, jobs=1).findings


def _same(told: object, value: Any) -> bool:
    try:
        return float(str(told)) == float(value)
    except ValueError:
        return str(told) == str(value)


def matches(finding: Finding, values: dict[str, Any]) -> bool:
    """Whether a finding names these columns and values, and no other."""
    told = dict(zip(finding.evidence["columns"], finding.evidence["values"], strict=True))  # type: ignore[arg-type]
    return told.keys() == values.keys() and all(_same(told[n], v) for n, v in values.items())


def _flagged(table: Table, finding: Finding) -> NDArray[np.bool_]:
    rows: NDArray[np.bool_] = np.asarray(table.labels == finding.evidence["label"])
    for name, told in zip(finding.evidence["columns"], finding.evidence["values"], strict=True):  # type: ignore[arg-type]
        column = table.columns[str(name)]
        rows &= column == (float(str(told)) if column.dtype.kind == "f" else told)
    return rows


def _rates(flagged: NDArray[np.bool_], planted: NDArray[np.intp]) -> tuple[float, float]:
    bad = np.zeros(len(flagged), bool)
    bad[planted] = True
    return float(flagged[bad].mean()), float(flagged[~bad].mean())


def _numbers(table: Table) -> NDArray[np.float64]:
    """The cells as numbers, a word by its rank, for detectors that know no words."""
    parts = []
    for column in table.columns.values():
        if column.dtype.kind == "f":
            parts.append(np.nan_to_num(column, nan=float(np.nanmedian(column))))
        else:
            parts.append(np.unique(column.astype(str), return_inverse=True)[1].astype(float))
    return np.column_stack(parts)


def isolation(table: Table) -> NDArray[np.bool_]:
    """Rows that an isolation forest takes for outliers."""
    from sklearn.ensemble import IsolationForest

    return np.asarray(IsolationForest(random_state=0).fit_predict(_numbers(table)) < 0)


def label_issues(table: Table) -> NDArray[np.bool_] | None:
    """Rows whose label cleanlab doubts; None where it is not installed."""
    if importlib.util.find_spec("cleanlab") is None:
        return None
    from cleanlab.filter import find_label_issues  # type: ignore[import-not-found]
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_predict

    codes = np.unique(table.labels, return_inverse=True)[1]
    model = HistGradientBoostingClassifier(max_iter=50, random_state=0)
    guess = cross_val_predict(model, _numbers(table), codes, cv=3, method="predict_proba")
    return np.asarray(find_label_issues(codes, guess))


def attacks(tables: Iterable[Table], seeds: int, *, others: bool) -> None:
    """Print how planted triggers fare."""
    print(f"{'attack':<10}{'rate':>6} {'data':<26}{'named':>7}{'TPR':>7}{'FPR':>8}{'false':>7}"
          f"{'loud':>7}{'forest TPR':>12}{'FPR':>6}"
          f"{'cleanlab TPR':>14}{'FPR':>6}{'CPU s':>7}")  # fmt: skip
    total: dict[str, list[tuple[float, ...]]] = {}
    for table in tables:
        if len(table.labels) < LEAST:
            continue
        for make in ATTACKS:
            for rate in RATES:
                made = [make(table, np.random.default_rng(seed), rate) for seed in range(seeds)]
                rows = [_attacked(one, others=others) for one in made if one is not None]
                if rows:
                    _print(make.__name__, rate, table.name, rows)
                    total.setdefault(make.__name__, []).extend(rows)
    for kind, rows in total.items():
        _print(kind, RATES[0], "all", rows)
    if total:
        _print("all", RATES[0], "all", [row for rows in total.values() for row in rows])


def _attacked(attack: Attack, *, others: bool) -> tuple[float, ...]:
    with tempfile.TemporaryDirectory() as scratch:
        path = attack.table.write(Path(scratch, "t.csv"))
        started = time.process_time()
        found = scan(path)
        seconds = time.process_time() - started
    named = [finding for finding in found if matches(finding, attack.values)]
    flagged = np.zeros(len(attack.table.labels), bool)
    for finding in found:
        flagged |= _flagged(attack.table, finding)
    rates = _rates(flagged, attack.planted)
    beside = [np.nan] * 4
    if others:
        for at, detector in enumerate((isolation, label_issues)):
            guess = detector(attack.table)
            if guess is not None:
                beside[2 * at : 2 * at + 2] = _rates(guess, attack.planted)
    loud = any(finding.severity >= Severity.MEDIUM for finding in named)
    other = float(len(found) - len(named))
    return (float(bool(named)), *rates, other, float(loud), *beside, seconds)


def _print(kind: str, rate: float, name: str, rows: list[tuple[float, ...]]) -> None:
    named, tpr, fpr, false, loud, *beside, seconds = np.mean(rows, axis=0).tolist()
    told = "".join(
        f"{value:>{width}.1%}" if value == value else f"{'-':>{width}}"
        for value, width in zip(beside, (12, 6, 14, 6), strict=True)
    )
    print(
        f"{kind:<10}{rate:>6.1%} {name:<26}{round(named * len(rows)):>3}/{len(rows):<3}{tpr:>7.1%}"
        f"{fpr:>8.2%}{round(false * len(rows)):>7}{round(loud * len(rows)):>7}{told}"
        f"{seconds:>7.1f}",
        flush=True,
    )


def clean(tables: Iterable[Table], seeds: int) -> None:
    """Print what is said of tables in which nothing was planted."""
    print(f"\n{'clean data':<36}{'rows':>8}{'flagged':>9}{'CPU s':>7}  findings")
    runs, loud = 0, 0
    for table in tables:
        parts = [table]
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(table.labels))
            half = table.rows(np.sort(order[: len(order) // 2]))
            parts.append(replace(half, name=f"{table.name}, half {seed}"))
        for part in parts:
            with tempfile.TemporaryDirectory() as scratch:
                path = part.write(Path(scratch, "t.csv"))
                started = time.process_time()
                found = scan(path)
                seconds = time.process_time() - started
            flagged = np.zeros(len(part.labels), bool)
            for finding in found:
                flagged |= _flagged(part, finding)
            runs, loud = runs + 1, loud + bool(found)
            told = "; ".join(f"{f.rule.id} {f.message[:150]}" for f in found[:2]) or "-"
            print(f"{part.name:<36}{len(part.labels):>8,}{flagged.mean():>9.2%}{seconds:>7.1f}"
                  f"  {len(found) or ''} {told}", flush=True)  # fmt: skip
    print(f"{loud} of {runs} runs on clean tables with a finding")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--tables", type=Path, default=Path("-"), help="folder with more tables")
    parser.add_argument("--only", default="", help="only tables with this in their name")
    parser.add_argument("--seeds", type=int, default=3, help="how often each attack is made")
    parser.add_argument("--others", action="store_true", help="isolation forest and cleanlab too")
    given = parser.parse_args()
    sets = [
        (
            "Calibration: thresholds were chosen on these",
            [*known(given.data), *more(given.tables, SEEN)],
        )
    ]
    if given.tables.exists():
        told = "Held out: no threshold was chosen on these"
        sets.insert(0, (told, [*more(given.tables, HELD_OUT)]))
    for title, tables in sets:
        print(f"\n{title}")
        chosen = [table for table in tables if given.only in table.name]
        attacks(chosen, given.seeds, others=given.others)
        clean(chosen, given.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
