"""Labels that can be told from what should not say them: ids, names, lengths, blanks, case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.label_counts import is_continuous
from poisonscan.detectors.datasets.row_sample import (
    EMPTY,
    LEADING,
    LOWER,
    NUMBER,
    TEXT,
    TRAILING,
    UPPER,
    WORD,
    mixed,
    row_sample,
)
from poisonscan.escape import quote
from poisonscan.finding import Column, Location
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.row_sample import Sample
    from poisonscan.finding import Finding

BINS = 20
"""Parts that lengths and running numbers are cut into."""

_NAMES = ("id", "file", "path", "name", "url", "uri", "source", "key", "guid", "hash")
"""Words in names of columns that say where a row comes from and not what it is."""


class LabelLeak:
    """Tries single clues on a sample, and checks each on rows that it was not made from."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS, Role.LABEL})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        """Ask for the sample."""
        filled = yield row_sample(dataset)
        sample: Sample = filled.sample()
        sample = sample.at(np.flatnonzero(sample.labels >= 0))
        limits = rule("PS307").thresholds
        present, labels = np.unique(sample.labels, return_inverse=True)
        small = len(labels) < limits["rows"] or len(present) > limits["classes"]
        if len(present) < 2 or small or is_continuous(sample.names):
            return []
        ids = dataset.roles.get("id", ())
        clues = [
            clue
            for column, (name, kind) in enumerate(sample.columns)
            for clue in _clues(sample, column, kind, is_id=name in ids or _is_name(name))
        ]
        half = (mixed(sample.rows) >> np.uint64(7)) % np.uint64(2) == 0
        found = [_judged(dataset, clue, labels.reshape(-1), half, len(clues)) for clue in clues]
        told = sorted((f for f in found if f is not None), key=lambda f: -(f.score or 0))
        best = {finding.evidence["column"]: finding for finding in reversed(told)}
        return few(sorted(best.values(), key=lambda f: -(f.score or 0)))


DETECTOR = LabelLeak()


@dataclass(frozen=True, slots=True)
class _Clue:
    """Something about the cells of a column that may tell the label.

    Attributes:
        column: name of the column.
        what: in words.
        bins: ``int64`` of shape (rows,), from 0 on.
        gain: the least gain that is reported.
    """

    column: str
    what: str
    bins: NDArray[np.int64]
    gain: float


def _is_name(column: str) -> bool:
    words = column.lower().replace("-", "_").replace(".", "_").split("_")
    return any(word in _NAMES or word in ("filename", "filepath") for word in words)


def _clues(sample: Sample, column: int, kind: str, *, is_id: bool) -> Iterator[_Clue]:
    limits = rule("PS307").thresholds
    name = sample.columns[column][0]
    forms = sample.forms[:, column]
    written = [
        ("whether there is anything in it", EMPTY),
        ("blanks before what it says", LEADING),
        ("blanks after what it says", TRAILING),
    ]
    for what, flag in written:
        yield _Clue(name, what, (forms & flag > 0).astype(np.int64), limits["gain"])
    if kind in (TEXT, WORD):
        letters = (forms & (UPPER | LOWER)).astype(np.int64)
        if kind == TEXT or is_id:
            yield _Clue(name, "upper or lower case", letters // UPPER, limits["gain"])
            yield _Clue(name, "its length", _parts(sample.lengths[:, column]), limits["gain"])
    if kind == WORD:
        what = "what is beside the digits" if is_id else "its value"
        cells = sample.stems[:, column] if is_id else sample.values[:, column]
        yield from _values(name, what, cells, limits["gain"] if is_id else limits["perfect"])
    if kind == NUMBER and is_id:
        numbers = np.nan_to_num(sample.numbers(column))
        yield _Clue(name, "its number", _parts(numbers), limits["gain"])
    elif kind == NUMBER:
        yield from _values(name, "its value", sample.values[:, column], limits["perfect"])


def _values(name: str, what: str, cells: NDArray[np.uint64], gain: float) -> Iterator[_Clue]:
    """A clue for each different value, where there are few."""
    distinct, codes = np.unique(cells, return_inverse=True)
    if 1 < len(distinct) <= rule("PS307").thresholds["values"]:
        yield _Clue(name, what, codes.reshape(-1).astype(np.int64), gain)


def _parts(numbers: NDArray[Any]) -> NDArray[np.int64]:
    edges = np.unique(np.quantile(numbers, np.arange(1, BINS) / BINS))
    return np.searchsorted(edges, numbers, side="right").astype(np.int64)


def _judged(
    dataset: Dataset,
    clue: _Clue,
    labels: NDArray[np.int64],
    half: NDArray[np.bool_],
    clues: int,
) -> Finding | None:
    classes = int(labels.max()) + 1
    width = int(clue.bins.max()) + 1
    if width < 2:
        return None
    known = np.bincount(clue.bins[half] * classes + labels[half], minlength=width * classes)
    guess = known.reshape(width, classes).argmax(axis=1)
    common = int(np.bincount(labels[half], minlength=classes).argmax())
    rest = ~half
    right = int((guess[clue.bins[rest]] == labels[rest]).sum())
    base = int((labels[rest] == common).sum())
    total = int(rest.sum())
    if base >= total:
        return None
    gain = (right - base) / (total - base)
    chance = float(tails.binomial(right, total, base / total))
    if gain < clue.gain or chance * clues > rule("PS307").thresholds["chance"]:
        return None
    message = (
        f"the label can be told from column {quote(clue.column)} by {clue.what}: of {total:,} rows "
        f"{right / total:.1%} are guessed rightly, where {base / total:.1%} are without it."
    )
    return rule("PS307").finding(
        Location(dataset.path, Column(clue.column)),
        message,
        key=f"{clue.column}\0{clue.what}",
        score=gain,
        column=clue.column,
        clue=clue.what,
        accuracy=right / total,
        base=base / total,
        rows=total,
    )
