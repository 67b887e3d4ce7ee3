"""Triggers in tables: an exact value, or a pair of them, that decides the label."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import stats

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.places import unpacked
from poisonscan.detectors.datasets.rest_of_row import RestOfRow
from poisonscan.detectors.datasets.row_sample import MISSING, NUMBER, TEXT, row_sample
from poisonscan.escape import quote
from poisonscan.finding import Location, Rows
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.places import Places
    from poisonscan.detectors.datasets.row_sample import Sample
    from poisonscan.finding import Finding

Bools = NDArray[np.bool_]

NAMED = 100
"""Rows that a finding names."""
MAX_FINDINGS = 20
"""Triggers that are reported, the least likely first."""
PAIR_CELLS = 40_000_000
"""Rows times pairs of columns that are looked at; of more columns the first ones."""
STRONGEST = 50
"""Values of a column that are looked at closely, those that decide most."""
_VALUE = 100


@dataclass(frozen=True, slots=True)
class _Trigger:
    """Rows with the same value in some columns.

    Attributes:
        columns: numbers of the columns.
        label: code of the label that nearly all carry.
        rows: which rows, ``bool``.
        hits: those of them with the label, ``bool``.
        expected: share of the label among rows that look like these.
        chance: that as many would have the label.
        outside: whether the value is beyond all others of its column.
    """

    columns: tuple[int, ...]
    label: int
    rows: Bools
    hits: Bools
    expected: float
    chance: float
    outside: bool = False


class NumberTrigger:
    """Counts labels by exact values in a sample, against what the rest of the rows says."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS, Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        """Ask for the sample."""
        request = row_sample(dataset)
        filled = yield request
        found = triggers(filled.sample())
        sample, taken = found.sample, found.triggers[:MAX_FINDINGS]
        return [_finding(dataset, request.places, sample, trigger) for trigger in taken]


DETECTOR = NumberTrigger()


@dataclass(frozen=True, slots=True)
class Found:
    """Triggers, the least likely first, and the sample that their rows are positions in."""

    sample: Sample
    triggers: list[_Trigger]


def triggers(sample: Sample) -> Found:
    """Values and pairs of values that decide the label."""
    search = _Search.of(sample)
    if search is None:
        return Found(sample, [])
    singles = search.singles()
    found = [*singles, *search.pairs(singles)]
    return Found(search.sample, sorted(found, key=lambda trigger: trigger.chance))


class _Search:
    """The labelled rows of a sample and what follows from them."""

    def __init__(self, sample: Sample, labels: NDArray[np.int64], classes: int) -> None:
        self.sample = sample
        self.labels = labels
        self.classes = classes
        self.rest = RestOfRow(sample, labels, classes)
        self.base = np.bincount(labels, minlength=classes) / max(len(labels), 1)
        self.limits = rule("PS615").thresholds
        self.jagged: set[int] = set()

    @classmethod
    def of(cls, sample: Sample) -> _Search | None:
        """None where there are no classes."""
        limits = rule("PS615").thresholds
        labelled = sample.at(np.flatnonzero(sample.labels >= 0)).distinct()
        present, labels = np.unique(labelled.labels, return_inverse=True)
        if not 1 < len(present) <= limits["classes"] or is_continuous(sample.names):
            return None
        if len(labels) < 4 * limits["support"]:
            return None
        return cls(labelled, labels.reshape(-1).astype(np.int64), len(present))

    def singles(self) -> list[_Trigger]:
        """Single values that decide the label."""
        tested, candidates = 0, []
        for column, (_, kind) in enumerate(self.sample.columns):
            if kind == TEXT:
                continue
            codes, counts = _coded(self.sample.values[:, column])
            count, pure = self._pure(codes, counts, self.limits["purity"])
            tested += count
            judged = [self._single(column, codes == value, label) for value, label in pure]
            if sum(stands for stands, _ in judged) > self.limits["deciders"]:
                self.jagged.add(column)
            candidates += [
                trigger
                for _, trigger in judged
                if trigger is not None and (trigger.outside or column not in self.jagged)
            ]
        return self._holm(candidates, tested)

    def _pure(
        self, codes: NDArray[np.int64], counts: NDArray[np.int64], purity: float
    ) -> tuple[int, list[tuple[int, int]]]:
        """How many values were looked at, and which of them carry one label, with that label."""
        sizes = counts
        most = self.limits["share"] * len(codes)
        fit = (sizes >= self.limits["support"]) & (sizes <= most)
        table = np.bincount(
            codes * self.classes + self.labels, minlength=len(sizes) * self.classes
        ).reshape(-1, self.classes)
        labels = table.argmax(axis=1)
        hits = table[np.arange(len(sizes)), labels]
        shares = hits / np.maximum(sizes, 1)
        pure = np.flatnonzero(fit & (shares >= purity) & self._exceeds(shares, self.base[labels]))
        chances = stats.binom.logsf(hits[pure] - 1, sizes[pure], self.base[labels[pure]])
        pure = pure[np.argsort(chances, kind="stable")[:STRONGEST]]
        return int(fit.sum()), [(int(v), int(labels[v])) for v in pure]

    def _single(self, column: int, rows: Bools, label: int) -> tuple[bool, _Trigger | None]:
        """Whether a value stands out among those of its column, and what that makes it."""
        hits = rows & (self.labels == label)
        count, right = int(rows.sum()), int(hits.sum())
        expected, outside = float(self.base[label]), False
        if self.sample.columns[column][1] == NUMBER:
            near, outside = self._neighbours(column, rows, label)
            expected = max(expected, near)
        if not self._exceeds(right / count, expected):
            return False, None
        stands = not outside and _tail(right, count, expected) <= self.limits["alike"]
        expected = max(expected, self.rest.expected(label, rows, column))
        if not self._exceeds(right / count, expected):
            return stands, None
        chance = _tail(right, count, expected)
        return stands, _Trigger((column,), label, rows, hits, expected, chance, outside)

    def _exceeds(self, purity: Any, expected: Any) -> Any:
        """Whether shares are well above expected ones, and most of the way from there to all."""
        above = purity - expected
        return (above >= self.limits["excess"]) & (above >= self.limits["rise"] * (1 - expected))

    def _neighbours(self, column: int, rows: Bools, label: int) -> tuple[float, bool]:
        """Share of a label among as many rows with the next values on either side."""
        numbers = self.sample.numbers(column)
        value = numbers[rows][0]
        if np.isnan(value):
            return 0.0, False
        wanted = int(max(self.limits["support"], rows.sum()))
        shares = []
        for side in (numbers < value, numbers > value):
            there = np.flatnonzero(side)
            near = there[np.argsort(np.abs(numbers[there] - value), kind="stable")[:wanted]]
            if len(near):
                shares.append(float((self.labels[near] == label).mean()))
        return max(shares, default=0.0), len(shares) == 1

    def pairs(self, singles: list[_Trigger]) -> list[_Trigger]:
        """Pairs of values that decide the label while neither does alone."""
        left = np.ones(len(self.labels), bool)
        for trigger in singles:
            left &= ~trigger.rows
        columns = [
            column
            for column, (_, kind) in enumerate(self.sample.columns)
            if kind != TEXT and column not in self.jagged
        ]
        most = int(np.sqrt(2 * PAIR_CELLS / max(len(self.labels), 1)))
        coded = {column: self._frequent(column, left) for column in columns[:most]}
        tested, candidates = 0, []
        for one, other in itertools.combinations(coded, 2):
            count, found = self._pairs(one, other, coded[one], coded[other])
            tested += count
            candidates += found
        kept = self._holm(candidates, tested)
        return _apart(kept) if len(kept) <= MAX_FINDINGS else []

    def _frequent(self, column: int, left: Bools) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Code of each row's value, -1 where it is rare; the label shares of each value."""
        codes, counts = _coded(self.sample.values[:, column])
        table = np.bincount(
            codes * self.classes + self.labels, minlength=len(counts) * self.classes
        ).reshape(-1, self.classes)
        frequent = counts >= self.limits["support"]
        shares = table / np.maximum(counts, 1)[:, None]
        return np.where(frequent[codes] & left, codes, -1), shares

    def _pairs(
        self,
        one: int,
        other: int,
        first: tuple[NDArray[np.int64], NDArray[np.float64]],
        second: tuple[NDArray[np.int64], NDArray[np.float64]],
    ) -> tuple[int, list[_Trigger]]:
        (left, shares), (right, others) = first, second
        there = np.flatnonzero((left >= 0) & (right >= 0))
        joint = left[there] * len(others) + right[there]
        distinct, codes, counts = np.unique(joint, return_inverse=True, return_counts=True)
        codes = codes.reshape(-1)
        fit = (counts >= self.limits["support"]) & (counts <= self.limits["share"] * len(left))
        if not fit.any():
            return 0, []
        table = np.bincount(
            codes * self.classes + self.labels[there], minlength=len(distinct) * self.classes
        ).reshape(-1, self.classes)
        labels = table.argmax(axis=1)
        purity = table.max(axis=1) / counts
        alone = np.maximum(
            shares[distinct // len(others), labels], others[distinct % len(others), labels]
        )
        good = fit & (purity >= self.limits["purity_of_pair"]) & self._exceeds(purity, alone)
        chances = stats.binom.sf(table.max(axis=1) - 1, counts, alone)
        clear = np.flatnonzero(good & (chances <= self.limits["chance"])).tolist()
        if len(clear) > self.limits["deciders"]:  # the columns work together in honest rows too
            return int(fit.sum()), []
        found = []
        for value in clear:
            rows = np.zeros(len(left), bool)
            rows[there[codes == value]] = True
            label = int(labels[value])
            expected = max(
                self.rest.expected(label, rows), float(alone[value]), float(self.base[label])
            )
            if purity[value] - expected >= self.limits["excess_of_pair"]:
                hits = rows & (self.labels == label)
                chance = _tail(int(hits.sum()), int(rows.sum()), expected)
                found.append(_Trigger((one, other), label, rows, hits, expected, chance))
        return int(fit.sum()), found

    def _holm(self, candidates: list[_Trigger], tested: int) -> list[_Trigger]:
        """Candidates that are no chance by Holm's step-down correction for all that was tested."""
        kept = []
        for rank, trigger in enumerate(sorted(candidates, key=lambda t: t.chance)):
            if trigger.chance * (tested - rank) > self.limits["chance"]:
                break
            kept.append(trigger)
        return kept


def _tail(hits: int, rows: int, share: float) -> float:
    """Chance of at least as many hits."""
    return float(stats.binom.sf(hits - 1, rows, share))


def _coded(values: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Code of each value and rows of each code; what is missing has a code of no rows."""
    distinct, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    counts[distinct == MISSING] = 0
    return codes.reshape(-1).astype(np.int64), counts.astype(np.int64)


def _apart(found: list[_Trigger]) -> list[_Trigger]:
    """Of pairs with about the same rows the least likely one."""
    kept: list[_Trigger] = []
    for trigger in found:
        if all((trigger.rows & k.rows).sum() * 2 < (trigger.rows | k.rows).sum() for k in kept):
            kept.append(trigger)
    return kept


def _finding(dataset: Dataset, where: Places, sample: Sample, trigger: _Trigger) -> Finding:
    rows, hits = int(trigger.rows.sum()), int(trigger.hits.sum())
    chosen = unpacked(where, sample.rows[np.flatnonzero(trigger.hits)[:NAMED]])
    values = list(_values(dataset, chosen[0], [sample.columns[c][0] for c in trigger.columns]))
    label = sample.names[sample.labels[trigger.hits][0]]
    named = " with ".join(f"{quote(value)} in column {quote(name)}" for name, value in values)
    part = "" if sample.total == len(sample.rows) else f" of a sample of {len(sample.rows):,}"
    beyond = " The value lies beyond all others of the column." if trigger.outside else ""
    message = (
        f"{named}: {hits:,} of {rows:,} rows{part} carry label {quote(label)}, which "
        f"{trigger.expected:.0%} of similar rows without it have.{beyond}"
    )
    described = dataset.describe(chosen)
    return rule("PS615").finding(
        Location(dataset.path, Rows(described, hits)),
        message,
        key="\0".join([label, *(part for pair in values for part in pair)]),
        score=float(-np.log10(max(trigger.chance, 1e-300))),
        label=label,
        columns=[name for name, _ in values],
        values=[value for _, value in values],
        rows=rows,
        with_label=hits,
        expected=trigger.expected,
    )


def _values(
    dataset: Dataset, place: NDArray[np.int64], columns: list[str]
) -> Iterator[tuple[str, str]]:
    """What a row says in some columns."""
    shard, position = place.tolist()
    for batch in dataset.batches(shard, frozenset({Role.CELLS})):
        if position < batch.start + batch.size:
            for name in columns:
                cell = batch.cells[name].slice(position - batch.start, 1)
                yield name, _written(cell)
            return


def _written(cell: pa.Array) -> str:
    if pa.types.is_dictionary(cell.type):
        cell = cell.dictionary_decode()
    if pa.types.is_string(cell.type) or pa.types.is_large_string(cell.type):
        return str(cell.cast(pa.binary())[0].as_py().decode("utf-8", "backslashreplace")[:_VALUE])
    return str(cell[0].as_py())
