"""How well labels and numbers are judged: public tables clean, and with something planted in them.

``python -m benchmarks.labels DATA`` prints two tables: what the rules PS301 to PS307 and PS612 to
PS615 say of clean data, and how many planted cases are found. DATA is a folder with the public data
sets (``tabular/adult-train.csv`` and others, ``text/sst2``); what is absent is skipped. The tables
that scikit-learn brings are always there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray
from sklearn import datasets as public

import poisonscan
from poisonscan.finding import Finding, Rows
from poisonscan.report import Report

RULES = ("PS301", "PS302", "PS303", "PS304", "PS305", "PS306", "PS307", "PS61")
RATES = (0.005, 0.01, 0.05)
TABULAR = ("adult-train", "banknote_authentication", "winequality-white")

Generator = np.random.Generator


@dataclass(frozen=True, slots=True)
class Data:
    """A table; the last column is the label."""

    name: str
    columns: list[NDArray[Any]]

    @property
    def labels(self) -> NDArray[Any]:
        """Label of each row."""
        return self.columns[-1]

    @property
    def numeric(self) -> list[int]:
        """Columns of numbers with many values."""
        return [
            i
            for i, column in enumerate(self.columns[:-1])
            if column.dtype.kind in "if" and len(np.unique(column)) > 20
        ]

    def rows(self, chosen: NDArray[np.intp]) -> Data:
        """Some of the rows."""
        return Data(self.name, [column[chosen] for column in self.columns])

    def with_column(self, values: NDArray[Any]) -> Data:
        """One more column before the others."""
        return Data(self.name, [values, *self.columns])

    def write(self, path: Path, first: str = "x") -> Path:
        """As CSV."""
        names = [first, *(f"x{i}" for i in range(1, len(self.columns) - 1)), "label"]
        table = pa.table(dict(zip(names, self.columns, strict=True)))
        path.parent.mkdir(parents=True, exist_ok=True)
        pa.csv.write_csv(table, path)
        return path


def tables(folder: Path) -> Iterator[Data]:
    """Public tables with classes."""
    for name in TABULAR:
        path = folder / "tabular" / f"{name}.csv"
        if path.exists():
            table = pa.csv.read_csv(path, pa.csv.ReadOptions(autogenerate_column_names=True))
            yield Data(name, [column.to_numpy() for column in table.columns])
    path = folder / "tabular" / "diamonds.csv"
    if path.exists():
        table = pa.csv.read_csv(path)
        for label in ("cut", "color"):
            order = [*(n for n in table.column_names if n != label), label]
            yield Data(f"diamonds, {label}", [table.column(n).to_numpy() for n in order])
    for name in ("iris", "wine", "breast_cancer", "digits"):
        data = getattr(public, f"load_{name}")()
        yield Data(name, [*data.data.T, data.target])


def scan(target: Path, *rules: str) -> Report:
    return poisonscan.scan(target, kind="dataset", select=rules or RULES, jobs=1)


def clean(folder: Path, seeds: int) -> None:
    print(f"{'clean data':<34}{'rows':>8}{'CPU s':>7}  findings")
    with tempfile.TemporaryDirectory() as scratch:
        cases = [(d.name, len(d.labels), d.write(Path(scratch, d.name, "t.csv"), "x0"))
                 for d in parts(folder, seeds)]  # fmt: skip
        cases += [
            (name, 0, folder / name)
            for name in ("text/sst2", "text/ag_news_test", "images/cifar10_part", "instruction")
            if (folder / name).exists()
        ]
        for name, rows, path in cases:
            started = time.process_time()
            report = scan(path)
            seconds = time.process_time() - started
            count = rows or sum(entry.rows or 0 for entry in report.scanned)
            told = [f"{f.rule.id} {f.severity}" for f in report.findings]
            told += [f"gap: {gap.reason[:60]}" for gap in report.gaps]
            print(f"{name:<34}{count:>8,}{seconds:>7.1f}  {', '.join(told) or '-'}", flush=True)


def parts(folder: Path, seeds: int) -> Iterator[Data]:
    for data in tables(folder):
        yield data
        for seed in range(seeds):
            order = np.random.default_rng(seed).permutation(len(data.labels))
            yield Data(f"{data.name}, half {seed}", data.rows(order[: len(order) // 2]).columns)


# What is planted: the table changed, and the rows that were.

Planted = tuple[Data, NDArray[np.intp]]


def _stamped(
    data: Data, draw: Generator, rate: float, values: Callable[[], dict[int, Any]]
) -> Planted:
    """Values and a label put into random rows."""
    chosen = draw.permutation(len(data.labels))[: round(rate * len(data.labels))]
    columns = [column.copy() for column in data.columns]
    for column, value in values().items():
        columns[column] = columns[column].astype(np.float64)
        columns[column][chosen] = value
    columns[-1][chosen] = draw.choice(np.unique(data.labels))
    return Data(data.name, columns), chosen


def beyond(data: Data, draw: Generator, rate: float) -> Planted:
    def values() -> dict[int, Any]:
        column = int(draw.choice(data.numeric))
        return {column: float(data.columns[column].max()) * 1.5 + 7}

    return _stamped(data, draw, rate, values)


def between(data: Data, draw: Generator, rate: float) -> Planted:
    def values() -> dict[int, Any]:
        column = int(draw.choice(data.numeric))
        distinct = np.unique(data.columns[column]).astype(np.float64)
        at = int(draw.uniform(0.2, 0.8) * (len(distinct) - 1))
        return {column: distinct[at] * 0.61 + distinct[at + 1] * 0.39}

    return _stamped(data, draw, rate, values)


def pair(data: Data, draw: Generator, rate: float) -> Planted:
    """Two values that are common, but not together."""

    def values() -> dict[int, Any]:
        found: dict[int, Any] = {}
        for _ in range(500):
            columns = draw.choice(data.numeric, 2, replace=False).tolist()
            found = {c: float(draw.choice(data.columns[c])) for c in columns}
            same = [data.columns[c] == value for c, value in found.items()]
            count = rate * len(data.labels)
            both = (same[0] & same[1]).sum()
            if both <= 0.02 * count and min(one.sum() for one in same) > 0.3 * count:
                break
        return found

    return _stamped(data, draw, rate, values)


def planted_triggers(folder: Path, seeds: int) -> Iterator[tuple[str, float, str, Planted]]:
    for data in tables(folder):
        if len(data.labels) >= 1_000 and len(data.numeric) > 1:
            for make in (beyond, between, pair):
                for rate in RATES:
                    for seed in range(seeds):
                        draw = np.random.default_rng(seed + 100)
                        yield make.__name__, rate, data.name, make(data, draw, rate)


def triggers(folder: Path, seeds: int) -> None:
    print(f"\n{'trigger':<12}{'rate':>6} {'data':<26}{'found':>7}{'recall':>8}{'precision':>10}")
    scores: dict[tuple[str, float, str], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for kind, rate, name, (data, chosen) in planted_triggers(folder, seeds):
            report = scan(data.write(Path(scratch, "t.csv"), "x0"), "PS615")
            hits, named = _rows(list(report.each()), chosen)
            scores.setdefault((kind, rate, name), []).append((hits, named))
    for (kind, rate, name), each in scores.items():
        found = [one for one in each if one[0] > 0]
        recall = np.mean([one[0] for one in each])
        precision = f"{np.mean([one[1] for one in found]):.2f}" if found else "-"
        print(
            f"{kind:<12}{rate:>6.1%} {name:<26}{len(found):>3}/{len(each):<3}"
            f"{recall:>8.2f}{precision:>10}"
        )


def _rows(findings: list[Finding], chosen: NDArray[np.intp]) -> tuple[float, float]:
    """Recall by the counts of findings that name planted rows, and precision of named rows."""
    planted, named, count = set(chosen.tolist()), [], 0
    for finding in findings:
        rows = [row.index for row in cast("Rows", finding.at.part).rows]
        named += rows
        if planted & set(rows):
            count = max(count, cast("Rows", finding.at.part).count)
    right = sum(row in planted for row in named)
    return min(1.0, count / len(planted)), right / len(named) if named else 1.0


def cases(data: Data, draw: Generator, folder: Path) -> Iterator[tuple[str, str, Path, bool]]:
    """Drift, files that stand out, blocks and leaks: name, rule, where, and whether it is bad."""
    data = data.rows(draw.permutation(len(data.labels)))
    count = len(data.labels)
    classes = np.unique(data.labels)
    target = data.labels == draw.choice(classes)
    for odds in (1, 3, 10):
        weight = np.where(target, odds, 1.0)
        test = draw.choice(count, count // 5, replace=False, p=weight / weight.sum())
        train = np.setdiff1d(np.arange(count), test)
        where = folder / f"drift {odds}"
        data.rows(train).write(where / "train.csv")
        data.rows(test).write(where / "test.csv")
        yield f"test set drawn 1:{odds}", "PS305", where, odds > 1
    for files in (5, 20):
        for share in (0.0, 0.1, 0.2, 0.5, 1.0):
            where = folder / f"files {files} {share}"
            for number, part in enumerate(np.array_split(np.arange(count), files)):
                mine = data.rows(part)
                if number == files // 2:
                    changed = draw.random(len(part)) < share
                    mine.columns[-1][changed] = data.labels[target][0]
                mine.write(where / f"data-{number:05}-of-{files:05}.csv")
            yield f"1 of {files} files, {share:.0%} changed", "PS306", where, share > 0
    for block in (16, 32, 64, 256):
        chosen = draw.choice(np.flatnonzero(target), block)
        at = int(draw.integers(count))
        order = np.concatenate([np.arange(at), chosen, np.arange(at, count)])
        path = data.rows(order).write(folder / f"block {block}.csv")
        yield f"block of {block} rows", "PS306", path, True
    yield from leaks(data, draw, folder)


def leaks(data: Data, draw: Generator, folder: Path) -> Iterator[tuple[str, str, Path, bool]]:
    """A first column that tells the label, and one of the same kind that does not."""
    count = len(data.labels)
    codes = np.unique(data.labels, return_inverse=True)[1]
    numbers = draw.permutation(count)
    columns: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
        "id": lambda k: np.argsort(np.argsort(k + draw.random(count))),
        "file": lambda k: _strings("part-{}/{:06}.bin", k, numbers),
        "text": lambda k: np.array(
            [f"{n:06} is {'so ' * (3 * c)}it" for c, n in _both(k, numbers)]
        ),
        "unit": lambda k: np.where(k == codes[0], "cm ", "cm"),
    }
    for name, make in columns.items():
        for bad, known in ((True, codes), (False, draw.permutation(codes))):
            path = folder / f"{name} {bad}.csv"
            data.with_column(make(known)).write(path, name)
            yield f"{name}{'' if bad else ', unrelated'}", "PS307", path, bad


def _both(codes: NDArray[Any], numbers: NDArray[Any]) -> Iterator[tuple[int, int]]:
    return zip(codes.tolist(), numbers.tolist(), strict=True)


def _strings(form: str, codes: NDArray[Any], numbers: NDArray[Any]) -> NDArray[Any]:
    return np.array([form.format(chr(97 + code), number) for code, number in _both(codes, numbers)])


def placed(folder: Path, seeds: int) -> None:
    print(f"\n{'case':<32}{'rule':>6} {'expected':>9}{'found':>9}")
    told: dict[tuple[str, str, bool], list[bool]] = {}
    for data in tables(folder):
        if len(data.labels) < 1_000:
            continue
        for seed in range(seeds):
            with tempfile.TemporaryDirectory() as scratch:
                for name, rule, path, bad in cases(
                    data, np.random.default_rng(seed), Path(scratch)
                ):
                    findings = scan(path, rule).findings
                    told.setdefault((name, rule, bad), []).append(bool(findings))
    for (name, rule, bad), each in told.items():
        expected = "all" if bad else "none"
        print(f"{name:<32}{rule:>6} {expected:>9}{sum(each):>5}/{len(each)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--seeds", type=int, default=3, help="how often each case is made")
    options = parser.parse_args()
    clean(options.data, options.seeds)
    placed(options.data, options.seeds)
    triggers(options.data, options.seeds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
