"""What the cells of a row say about its label, to trees that have not seen rows like it.

Gradient boosting on histograms (G. Ke et al. 2017, "LightGBM"), one label against all others,
learnt without the rows that are asked about. A number that no other row has is read as the nearest
ones, a word that no other row has as a missing one. Scores are turned into shares by what they
were worth on rows held back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from poisonscan.detectors.datasets.row_sample import MISSING, NUMBER, TEXT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.row_sample import Sample

    Bools = NDArray[np.bool_]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

WORDS = 64
"""Most frequent words of a column; the rest count as one."""
LEARNT = 7_000
"""Rows that a model learns from."""
LEARNT_CELLS = 300_000
"""Cells that a model learns from; of wide tables fewer rows, but ``LEAST``."""
LEAST = 2_000
ROUNDS, LEAVES, PACE = 40, 15, 0.2
RANKS = 20
"""Groups of rows with similar scores, of about as many rows each."""


class RestOfRow:
    """Asks how likely rows are to have a label, by the rows that are not among them.

    Attributes:
        cells: what the rows say, for trees, of shape (n, columns).
        words: which columns hold ranks of words.

    Args:
        sample: the rows.
        labels: code of each row's label, ``int64`` of shape (n,).
    """

    def __init__(self, sample: Sample, labels: NDArray[np.int64]) -> None:
        self.labels = labels
        kinds = [kind for _, kind in sample.columns]
        self.words = [kind not in (NUMBER, TEXT) for kind in kinds]
        self.cells = np.empty((len(labels), len(kinds)), np.float64)
        for column, kind in enumerate(kinds):
            self.cells[:, column] = _cells(sample, column, kind)
        self._order = np.random.default_rng(0).permutation(len(labels))

    def crossed(self, label: int, columns: tuple[int, ...]) -> Floats:
        """How often rows like each have a label, by two models of which neither has seen the row.

        Nothing is left out of the rows, so a label that few other rows have is known as well; some
        columns are, so what only these say is not.

        Args:
            label: the label's code.
            columns: columns that are not looked at.

        Returns:
            0 to 1, of shape (n,).
        """
        order = self._order[: self._most()]
        parts = order[::2], order[1::2]
        rest = np.setdiff1d(np.arange(len(self.labels)), order)
        shares = np.full(len(self.labels), float((self.labels == label).mean()))
        for learnt, held in (parts, parts[::-1]):
            asked = held if learnt is parts[1] else np.concatenate([held, rest])
            known = self._scores(label, learnt, [held, asked], columns)
            if known is not None:
                shares[asked] = as_shares(known[0], self.labels[held] == label, known[1])
        return shares

    def told_apart(self, members: Ints, others: Ints, columns: tuple[int, ...]) -> float:
        """How well some rows can be told from others by trees that have not seen them.

        Args:
            members: positions of the rows.
            others: positions of the others.
            columns: columns that are not looked at.

        Returns:
            The area under the curve of true over false positives: 0.5 not at all, 1 always.
        """
        from scipy.stats import rankdata

        both = np.concatenate([members, others])
        is_member = np.arange(len(both)) < len(members)
        half = np.arange(len(both)) % 2 == 0
        kept = np.delete(np.arange(self.cells.shape[1]), columns)
        if min(len(members), len(others)) < 4 or not len(kept):
            return 0.5
        words = [self.words[k] for k in kept]
        cells = self.cells[np.ix_(both, kept)]
        found = []
        with threadpool_limits(1):
            for learnt in (half, ~half):
                model = learn(cells[learnt], is_member[learnt], words)
                ranks = rankdata(model.decision_function(cells[~learnt]))
                has = is_member[~learnt]
                count = int(has.sum())
                above = ranks[has].sum() - count * (count + 1) / 2
                found.append(above / (count * (len(has) - count)))
        return float(np.mean(found))

    def _most(self) -> int:
        most = max(LEAST, min(LEARNT, LEARNT_CELLS // max(self.cells.shape[1], 1)))
        return 2 * most

    def _scores(
        self, label: int, learnt: Ints, rows: list[Ints], without: tuple[int, ...]
    ) -> list[Floats] | None:
        """Scores of some rows by a model of others; None where there is nothing to learn."""
        has = self.labels[learnt] == label
        kept = np.delete(np.arange(self.cells.shape[1]), without)
        if not 0 < has.sum() < len(has) or len(rows[0]) < RANKS or not len(kept):
            return None
        with threadpool_limits(1):  # so that sums are in one order
            model = learn(self.cells[np.ix_(learnt, kept)], has, [self.words[k] for k in kept])
            return [
                model.decision_function(self.cells[np.ix_(part, kept)])
                if len(part)
                else np.empty(0)
                for part in rows
            ]


def _cells(sample: Sample, column: int, kind: str) -> Floats:
    """A column for trees: numbers, the length of prose, or the rank of a word by frequency."""
    if kind == TEXT:
        return np.asarray(np.log2(sample.lengths[:, column] + 1.0), np.float64)
    if kind == NUMBER:
        numbers = sample.numbers(column)
        return np.where(np.isfinite(numbers), numbers, np.nan)
    values = sample.values[:, column]
    distinct, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.empty(len(distinct))
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(distinct))
    rank = np.minimum(rank, WORDS)
    rank[distinct == MISSING] = np.nan
    return np.asarray(rank[codes.reshape(-1)], np.float64)


def learn(cells: Floats, has: Bools, words: list[bool], *, balanced: bool = False) -> Any:
    """Trees that tell some rows from others.

    Args:
        cells: of shape (n, columns), NaN where nothing is.
        has: which rows, of shape (n,).
        words: which columns hold ranks of words.
        balanced: whether both kinds count alike, however few one is.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    blank = np.isnan(cells).all(axis=0)
    cells = np.where(blank, 0.0, cells)
    model = HistGradientBoostingClassifier(
        max_iter=ROUNDS,
        learning_rate=PACE,
        max_leaf_nodes=LEAVES,
        min_samples_leaf=10,
        categorical_features=words,
        class_weight="balanced" if balanced else None,
        early_stopping=False,
        random_state=0,
    )
    return model.fit(cells, has)


def as_shares(known: Floats, has: Bools, scores: Floats) -> Floats:
    """The share of the label among held-back rows of similar scores, which never falls with them.

    By isotonic regression (R. E. Barlow et al. 1972) over ``RANKS`` groups, each with one row more
    at the base rate.
    """
    from scipy.optimize import isotonic_regression

    edges = np.unique(np.quantile(known, np.arange(1, RANKS) / RANKS))
    ranks = np.searchsorted(edges, known, side="right")
    seen = np.bincount(ranks, minlength=len(edges) + 1)
    right = np.bincount(ranks[has], minlength=len(edges) + 1)
    shares = (right + has.mean()) / (seen + 1)
    steady = isotonic_regression(shares, weights=seen + 1.0).x
    return np.asarray(steady[np.searchsorted(edges, scores, side="right")], np.float64)
