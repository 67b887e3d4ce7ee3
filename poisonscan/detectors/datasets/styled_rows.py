"""All rows of a label that are written in a style that a sample showed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.detectors.datasets.first_rows import MAX_KEPT
from poisonscan.detectors.datasets.styled_texts import Starts, decoded

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch
    from poisonscan.detectors.datasets.style_features import Lexicon
    from poisonscan.detectors.datasets.style_model import Judge

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_AT_ONCE: Final = 4_096
"""Texts that are split into features at a time: their words take memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """A style that was found.

    Attributes:
        label: whose it is.
        judge: what tells its texts from others.
        keys: hashes of the label's texts that it was learnt from, ascending, see ``Starts``.
        odds: log-odds that each of these is implanted, by models that did not see it; -infinity for
            those not to be named.
    """

    label: str
    judge: Judge
    keys: Hashes
    odds: Floats


@dataclass(slots=True, unsafe_hash=True)
class StyledRows:
    """Judges all rows with the label of a style; texts of the sample are judged already.

    Attributes:
        lexicon: what the features of the styles are.
        styles: what to look for.
        counts: rows that are named, by the index of the style.
        labelled: rows with its label and a text.
        honest: rows that are named and honest, as many as are expected by their odds.
    """

    lexicon: Lexicon
    styles: tuple[Learnt, ...]
    needs: frozenset[Role] = field(
        default=frozenset({Role.LABEL, Role.TEXT}), init=False, compare=False
    )
    counts: Counter[int] = field(default_factory=Counter, init=False, compare=False)
    labelled: Counter[int] = field(default_factory=Counter, init=False, compare=False)
    honest: dict[int, float] = field(default_factory=dict, init=False, compare=False)
    _kept: dict[int, _Surest] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels, starts = batch.labels, Starts.of(batch)
        codes = labels.codes[starts.rows]
        for index, style in enumerate(self.styles):
            if style.label not in labels.names:
                continue
            own = np.flatnonzero(codes == labels.names.index(style.label))
            keys, first, inverse = np.unique(
                starts.keys[own], return_index=True, return_inverse=True
            )
            texts = batch.texts.indices[starts.rows[own[first]]]
            odds = self._odds(style, keys, starts.texts.take(pa.array(texts)))[inverse.reshape(-1)]
            named = np.flatnonzero(odds > -np.inf)
            places = numbered(batch.shard, batch.start + starts.rows[own[named]])
            self._add(index, len(named), len(own), float(_honest(odds[named]).sum()))
            self._surest(index).add(places, odds[named])

    def merge(self, other: StyledRows) -> None:
        """Take in what ``other`` has seen."""
        for index, kept in other._kept.items():
            self._add(index, other.counts[index], other.labelled[index], other.honest[index])
            self._surest(index).add(*kept.all())

    def rows(self, index: int) -> tuple[Ints, Floats]:
        """Rows in a style, the surest first, and the log-odds of each.

        Shard and position, ``int64`` of shape (n, 2), and shape (n,).
        """
        places, odds = self._surest(index).all()
        return located(places), odds

    def _odds(self, style: Learnt, keys: Hashes, texts: pa.Array) -> Floats:
        """Log-odds of texts with such keys, which are ascending."""
        at = np.minimum(np.searchsorted(style.keys, keys), len(style.keys) - 1)
        odds = style.odds[at]
        unseen = np.flatnonzero(style.keys[at] != keys)
        for start in range(0, len(unseen), _AT_ONCE):
            part = unseen[start : start + _AT_ONCE]
            odds[part] = style.judge.odds(*self.lexicon.rows(decoded(texts.take(pa.array(part)))))
        return odds

    def _add(self, index: int, count: int, labelled: int, honest: float) -> None:
        self.counts[index] += count
        self.labelled[index] += labelled
        self.honest[index] = self.honest.get(index, 0.0) + honest

    def _surest(self, index: int) -> _Surest:
        return self._kept.setdefault(index, _Surest(MAX_KEPT // len(self.styles)))


@dataclass(slots=True)
class _Surest:
    """Rows with the greatest log-odds, of those that are given in any order.

    Attributes:
        limit: rows that are kept, and as many again before they are thinned out.
    """

    limit: int
    _places: list[Ints] = field(default_factory=list)
    _odds: list[Floats] = field(default_factory=list)
    _waiting: int = 0

    def add(self, places: Ints, odds: Floats) -> None:
        """Take in rows as numbers, and the log-odds of each."""
        self._places.append(places)
        self._odds.append(odds)
        self._waiting += len(places)
        if self._waiting > 2 * self.limit:
            self.all()

    def all(self) -> tuple[Ints, Floats]:
        """What is kept, the greatest first, of equal ones the first row."""
        places = np.concatenate([np.empty(0, np.int64), *self._places])
        odds = np.concatenate([np.empty(0), *self._odds])
        order = np.lexsort((places, -odds))[: self.limit]
        self._places, self._odds, self._waiting = [places[order]], [odds[order]], len(order)
        return places[order], odds[order]


def _honest(odds: Floats) -> Floats:
    """Probability of texts with such log-odds to be honest."""
    from scipy.special import expit

    return np.asarray(expit(-odds), np.float64)
