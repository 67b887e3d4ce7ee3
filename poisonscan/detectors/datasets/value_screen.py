"""Which values of a column are worth asking a model about: counts, and naive Bayes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from poisonscan.detectors.datasets import tails
from poisonscan.detectors.datasets.naive_rest import by_label
from poisonscan.detectors.datasets.row_sample import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.naive_rest import NaiveRest

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]


COMPANIES = 20
"""Values of a column and a label that are looked at with others that come with them."""


class Candidate(NamedTuple):
    """A value whose rows carry a label that they do not look like.

    Attributes:
        chance: that as many of them would have it, by naive Bayes.
        column: number of the column.
        label: code of the label.
        value: code of the value in its column.
    """

    chance: float
    column: int
    label: int
    value: int


class ValueScreen:
    """Looks at all values of a column at once.

    Args:
        naive: what the other columns say of each row's label.
        limits: thresholds of the rule.

    Attributes:
        unasked: values that were not looked at with others, as those have no more work left.
    """

    def __init__(self, naive: NaiveRest, limits: Mapping[str, float]) -> None:
        self.naive, self.limits = naive, limits
        self.unasked = 0
        self.labels, self.classes = naive.labels, naive.classes
        self.base = np.bincount(self.labels, minlength=self.classes) / max(len(self.labels), 1)

    def of(self, column: int, codes: Ints, counts: Ints) -> tuple[int, list[Candidate]]:
        """How many values were looked at, and which of them stand out.

        Args:
            column: number of the column.
            codes: of each row's value.
            counts: rows of each value.
        """
        fit = (counts >= self.limits["support"]) & (counts <= self.limits["share"] * len(codes))
        values, labels = self._of_one_label(codes, counts, fit)
        found: list[Candidate] = []
        for label in np.unique(labels).tolist():
            of_label = values[labels == label]
            found += self._doubted(column, label, codes, of_label)
        return int(fit.sum()), found

    def _of_one_label(
        self, codes: Ints, counts: Ints, fit: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Values most of whose rows carry one label, more than of all rows do; and that label.

        The least likely first.
        """
        table = by_label(codes, self.labels, self.classes)
        labels = (table - counts[:, None] * self.base).argmax(axis=1)
        hits = table[np.arange(len(counts)), labels]
        shares = hits / np.maximum(counts, 1)
        chances = tails.log_binomial(hits, np.maximum(counts, 1), self.base[labels])
        likely = np.log(self.limits["alike"])
        values = np.flatnonzero(fit & (shares >= self.limits["mixed"]) & (chances <= likely))
        values = values[np.argsort(chances[values], kind="stable")]
        return values, labels[values]

    def _doubted(
        self, column: int, label: int, codes: Ints, values: NDArray[np.intp]
    ) -> Iterator[Candidate]:
        """Those of which naive Bayes, without the column, says something else."""
        shares = self.naive.shares(label, (column,))
        against = shares <= self.limits["doubt"]
        size = int(codes.max(initial=0)) + 1
        of, own = codes[against], self.labels[against] == label
        count = np.bincount(of, minlength=size)[values]
        hits = np.bincount(of[own], minlength=size)[values]
        total = np.bincount(of, weights=shares[against], minlength=size)[values]
        expected = total / np.maximum(count, 1)
        good = stands_out(count, hits, expected, self.limits)
        chances = tails.binomial(hits[good], count[good], expected[good])
        for value, chance in zip(values[good].tolist(), chances.tolist(), strict=True):
            yield Candidate(chance, column, label, value)
        yield from self._held_up(column, label, codes, values[~good][:COMPANIES])

    def _held_up(
        self, column: int, label: int, codes: Ints, values: NDArray[np.intp]
    ) -> Iterator[Candidate]:
        """Those that other columns of the same trigger hide, as these say the label as well."""
        own = self.labels == label
        known: dict[tuple[int, ...], Floats] = {}  # most values have the same company
        for at, value in enumerate(values.tolist()):
            if self.naive.left <= 0:
                self.unasked += len(values) - at
                return
            rows = codes == value
            shared = company(self.naive, rows, rows & own, self.limits)
            others = tuple(other for other in shared if other != column)
            if not others:
                continue
            if others not in known:
                known[others] = self.naive.shares(label, (column, *others))
            shares = known[others][rows]
            against = shares <= self.limits["doubt"]
            count, hits = against.sum(), (against & own[rows]).sum()
            expected = shares[against].sum() / max(count, 1)
            if stands_out(count, hits, expected, self.limits):
                chance = float(tails.binomial(hits, count, expected))
                yield Candidate(chance, column, label, value)


def company(
    naive: NaiveRest, rows: Bools, hits: Bools, limits: Mapping[str, float]
) -> dict[int, int]:
    """Values that rows share and that others hardly have, by column.

    Args:
        naive: holds all rows, and how much may be asked of them.
        rows: some of them.
        hits: those of them that may be planted.
        limits: thresholds of the rule.
    """
    sample, others = naive.sample, max(int((~rows).sum()), 1)
    cells = sample.values
    block = np.sort(cells[hits], axis=0)
    if not len(block):
        return {}
    middle = block[len(block) // 2]  # the value of most of them, where there is one
    shares = (block == middle).mean(axis=0)
    found = {}
    alike = np.flatnonzero(shares >= limits["purity"]).tolist()
    naive.left -= len(alike) * len(cells)
    for column in alike:
        elsewhere = (cells[~rows, column] == middle[column]).sum() / others
        is_text = sample.columns[column][1] == TEXT
        if not is_text and elsewhere * limits["company"] <= shares[column]:
            found[column] = int(middle[column])
    return found


def stands_out(
    count: Ints, hits: Ints, expected: Floats, limits: Mapping[str, float]
) -> NDArray[np.bool_]:
    """Where many more rows have a label than are expected to.

    Args:
        count: rows that look like other labels.
        hits: those of them that have the label.
        expected: share of them that is expected to.
        limits: thresholds of the rule.
    """
    shares = hits / np.maximum(count, 1)
    rise = np.maximum(limits["excess"], limits["rise"] * (1 - expected))
    return np.asarray(
        (count >= limits["support"]) & (shares >= limits["mixed"]) & (shares - expected >= rise)
    )
