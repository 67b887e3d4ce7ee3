"""How well triggers in tables are found: values and pairs of values that decide the label.

``python -m benchmarks.table_triggers DATA [--tables FOLDER]`` prints two tables for each part of
the data. *Attacks*, those of ``benchmarks/table_attacks.py``, are put on rows of all labels but
one, or with ``--all-labels`` of all. Named: runs in which a finding names the columns and values
(of triggers that repeat no value, some of the columns); TPR: planted rows that a finding names;
FPR: other rows that one names; false: findings that name something else; loud: runs with a named
trigger of medium or high severity; met: runs with a TPR of at least 95 % at an FPR of at most
0.5 %. With ``--others`` there are an isolation forest of the rows and, where it is installed,
cleanlab's label issues beside it, both as they decide by default. *Clean*: each table as it is and
random halves of it.

DATA is a folder with ``tabular/adult-train.csv`` and others, on which thresholds were chosen, as on
the tables that scikit-learn brings. FOLDER holds the tables named in ``SEEN``, seen as well, and
``HELD_OUT`` of ``benchmarks/tables.py``, on which none was chosen.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import poisonscan
from benchmarks.table_attacks import ATTACKS, Attack, planted
from benchmarks.tables import HELD_OUT, SEEN, Table, known, more
from poisonscan.finding import Finding, Rows, Severity

RULES = ("PS615",)
RATES = (0.01,)
LEAST = 9
"""Planted rows below which a cell is too few to count."""


def scan(path: Path) -> list[Finding]:
    """The findings of the rules for triggers in tables."""
    return poisonscan.scan(path, kind="dataset", select=RULES, jobs=1).findings


def _same(told: object, value: Any) -> bool:
    try:
        return float(str(told)) == float(value)
    except ValueError:
        return str(told) == str(value)


def matches(finding: Finding, values: dict[str, Any]) -> bool:
    """Whether a finding names these columns and values, and no other.

    Of values that are functions of the row, and of what is missing, only columns count.
    """
    told = dict(zip(finding.evidence["columns"], finding.evidence["values"], strict=True))  # type: ignore[arg-type]
    exact = {name: value for name, value in values.items() if not callable(value)}
    if len(exact) < len(values):
        return bool(told) and told.keys() <= values.keys()
    return told.keys() == exact.keys() and all(
        value != value or value == "" or _same(told[name], value) for name, value in exact.items()
    )


def _flagged(table: Table, finding: Finding) -> NDArray[np.bool_]:
    rows = np.zeros(len(table.labels), bool)
    named = finding.at.part
    if isinstance(named, Rows):
        listed = named.rows if named.every is None else named.every.rows()
        rows[[row.index for row in listed]] = True
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


def attacks(tables: Iterable[Table], given: argparse.Namespace) -> None:
    """Print how planted triggers fare."""
    print(f"{'attack':<10}{'rate':>6} {'data':<26}{'named':>7}{'TPR':>7}{'FPR':>8}{'false':>7}"
          f"{'loud':>7}{'met':>7}{'forest TPR':>12}{'FPR':>6}"
          f"{'cleanlab TPR':>14}{'FPR':>6}{'CPU s':>7}")  # fmt: skip
    total: dict[tuple[str, float], list[tuple[float, ...]]] = {}
    for table in tables:
        for kind in given.kinds:
            for rate in given.rates:
                if rate * len(table.labels) < LEAST:
                    continue
                made = [
                    planted(kind, table, np.random.default_rng(seed), rate,
                            all_labels=given.all_labels)
                    for seed in range(given.first, given.first + given.seeds)
                ]  # fmt: skip
                rows = [_attacked(one, others=given.others) for one in made if one is not None]
                if rows:
                    _print(kind, rate, table.name, rows)
                    total.setdefault((kind, rate), []).extend(rows)
    for (kind, rate), rows in total.items():
        _print(kind, rate, "all", rows)
    for rate in given.rates:
        rows = [row for (_, of), each in total.items() if of == rate for row in each]
        if rows:
            _print("all", rate, "all", rows)


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
    met = rates[0] >= 0.95 and rates[1] <= 0.005
    other = float(len(found) - len(named))
    return (float(bool(named)), *rates, other, float(loud), float(met), *beside, seconds)


def _print(kind: str, rate: float, name: str, rows: list[tuple[float, ...]]) -> None:
    named, tpr, fpr, false, loud, met, *beside, seconds = np.mean(rows, axis=0).tolist()
    told = "".join(
        f"{value:>{width}.1%}" if value == value else f"{'-':>{width}}"
        for value, width in zip(beside, (12, 6, 14, 6), strict=True)
    )
    print(
        f"{kind:<10}{rate:>6.1%} {name:<26}{round(named * len(rows)):>3}/{len(rows):<3}{tpr:>7.1%}"
        f"{fpr:>8.2%}{round(false * len(rows)):>7}{round(loud * len(rows)):>7}"
        f"{round(met * len(rows)):>7}{told}{seconds:>7.1f}",
        flush=True,
    )


def clean(tables: Iterable[Table], seeds: int) -> None:
    """Print what is said of tables in which nothing was planted."""
    print(f"\n{'clean data':<36}{'rows':>8}{'flagged':>9}{'CPU s':>7}  findings")
    runs, marked, loud = 0, 0, 0
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
            runs, marked = runs + 1, marked + bool(found)
            loud += any(finding.severity >= Severity.MEDIUM for finding in found)
            told = "; ".join(f"{f.severity.name} {f.message[:150]}" for f in found[:2]) or "-"
            print(f"{part.name:<36}{len(part.labels):>8,}{flagged.mean():>9.2%}{seconds:>7.1f}"
                  f"  {len(found) or ''} {told}", flush=True)  # fmt: skip
    print(f"{marked} of {runs} runs on clean tables with a finding, {loud} of medium severity")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--tables", type=Path, default=Path("-"), help="folder with more tables")
    parser.add_argument("--only", nargs="+", default=[""], help="tables with one of these in names")
    parser.add_argument("--kinds", nargs="*", default=[*ATTACKS], choices=ATTACKS)
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="share of all rows")
    parser.add_argument("--all-labels", action="store_true", help="poison rows of all labels")
    parser.add_argument("--seeds", type=int, default=3, help="how often each attack is made")
    parser.add_argument("--first", type=int, default=0, help="the first of the seeds")
    parser.add_argument("--halves", type=int, default=3, help="halves of each clean table")
    parser.add_argument("--no-clean", action="store_true", help="attacks only")
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
        chosen = [t for t in tables if any(part in t.name for part in given.only)]
        attacks(chosen, given)
        if not given.no_clean:
            clean(chosen, given.halves)
    return 0


if __name__ == "__main__":
    sys.exit(main())
