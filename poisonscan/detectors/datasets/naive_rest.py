"""What the other cells of a row say about its label: naive Bayes, set right by its ranking."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.rest_of_row import as_shares
from poisonscan.detectors.datasets.row_sample import MISSING, NUMBER, TEXT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.rest_of_row import Floats
    from poisonscan.detectors.datasets.row_sample import Sample

    _Scores = tuple[Floats, NDArray[np.intp], Floats, Floats]

BINS = 16
"""Parts, of about as many rows each, that a numeric column is cut into."""
WORDS = 64
"""Most frequent words of a column; the rest count as one."""
WORK = 3_000_000_000
"""Cells times labels that are looked at to leave columns out, about 10 nanoseconds each: where many
columns say the same, each value asks for all of them."""


def binned(sample: Sample, column: int) -> NDArray[np.int64]:
    """The bin of each row's cell, ``int64`` of shape (n,), counted from 0; missing is a bin too."""
    kind = sample.columns[column][1]
    if kind == TEXT:
        values = np.log2(sample.lengths[:, column] + 1.0)
    elif kind == NUMBER:
        values = sample.numbers(column)
    else:
        return _words(sample.values[:, column])
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(values[known], np.arange(1, BINS) / BINS))
    bins = np.full(len(values), len(edges) + 1, np.int64)
    bins[known] = np.searchsorted(edges, values[known], side="right")
    return bins


def _words(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    distinct, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) > len(values) // 2:
        return np.where(values == MISSING, 1, 0).astype(np.int64)
    rank = np.empty(len(distinct), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(distinct))
    few: NDArray[np.int64] = np.minimum(rank, WORDS)[codes.reshape(-1)]
    return few


def by_label(codes: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.intp]:
    """Rows with each code and label, of shape (codes, classes).

    Args:
        codes: of each row, from 0 on, ``int64`` of shape (n,).
        labels: code of each row's label, of shape (n,).
        classes: number of labels.
    """
    width = int(codes.max(initial=0)) + 1
    return np.bincount(codes * classes + labels, minlength=width * classes).reshape(width, classes)


class NaiveRest:
    """Log likelihoods of the labels of each row, column by column.

    Args:
        sample: the rows.
        labels: code of each row's label, ``int64`` of shape (n,), all from 0 on.
        classes: number of labels.

    Attributes:
        left: of ``WORK``; not above 0 where no more may be asked for.
    """

    def __init__(self, sample: Sample, labels: NDArray[np.int64], classes: int) -> None:
        self.sample = sample
        self.labels = labels
        self.classes = classes
        self.sizes = np.bincount(labels, minlength=classes)
        own = np.eye(classes)[labels]
        self.prior = np.log(self.sizes - own + 1)
        self.total = self.prior.copy()
        self.left = WORK
        self._known: tuple[tuple[int, ...], _Scores] | None = None
        for column in range(len(sample.columns)):
            self.total += self.column(column)

    def column(self, column: int) -> NDArray[np.float64]:
        """What one column says, ``float64`` of shape (n, classes), the row itself left out."""
        bins = binned(self.sample, column)
        counts = by_label(bins, self.labels, self.classes)
        rows = counts[bins].astype(np.float64)
        sizes = np.repeat(self.sizes[None].astype(np.float64), len(bins), axis=0)
        each = np.arange(len(bins))
        rows[each, self.labels] -= 1
        sizes[each, self.labels] -= 1
        return np.log((rows + 1) / (sizes + len(counts)))

    def shares(self, label: int, without: tuple[int, ...]) -> Floats:
        """How often rows that look like each have a label.

        Args:
            label: the label's code.
            without: columns that are not looked at.

        Returns:
            0 to 1, of shape (n,).
        """
        scores, first, best, second = self._without(without)
        log_odds = scores[:, label] - np.where(first == label, second, best)
        return as_shares(log_odds, self.labels == label, log_odds)

    def looks_like(self, label: int, without: tuple[int, ...]) -> NDArray[np.int64]:
        """Which label other than one each row looks like most, ``int64`` of shape (n,)."""
        scores = self._without(without)[0].copy()
        scores[:, label] = -np.inf
        return np.asarray(scores.argmax(axis=1), np.int64)

    def _without(self, columns: tuple[int, ...]) -> _Scores:
        """Scores without columns; the label that scores most, its score and the next one."""
        if self._known is None or self._known[0] != columns:
            scores = self.total
            self.left -= scores.size * max(len(columns) - 1, 0)
            for column in columns:
                scores = scores - self.column(column)
            last = np.partition(scores, -2, axis=1)
            self._known = columns, (scores, scores.argmax(axis=1), last[:, -1], last[:, -2])
        return self._known[1]
