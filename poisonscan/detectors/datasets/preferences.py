"""What is preferred in pairs of responses: a direction learnt from all, and pairs that clash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Labels, Role, Texts
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.detectors.datasets.documents import block_words, mix
from poisonscan.detectors.datasets.exchanges import digests
from poisonscan.detectors.datasets.outcomes import Trait, traits

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.conversation import Columns, Pairs
    from poisonscan.detectors.datasets.documents import Hashes, Ints

BUCKETS = 1 << 17
"""Hashed words whose preference is counted."""
MAX_PAIRS = 20_000_000
"""Pairs whose hashes are kept, 17 bytes each; of a larger dataset none is compared."""
USUAL, OPPOSITE = "as usual", "opposite"
_STEPS = 4
"""Doublings of length that are told apart."""
_RESERVED = len(Trait) + 2 * _STEPS + 1
_PRIOR = 2.0


@dataclass(frozen=True, slots=True)
class Marks:
    """What only one response of a pair holds: hashed words, traits and the difference in length.

    Attributes:
        pairs: which pair each mark belongs to, ``int64`` of shape (n,).
        buckets: which mark, ``int64`` of shape (n,).
        chosen: whether it is the chosen response that holds it.
    """

    pairs: Ints
    buckets: Ints
    chosen: NDArray[np.bool_]


def marks(found: Pairs) -> Marks:
    """The marks of pairs. A word counts once however often a response holds it."""
    size = len(found.rows)
    held = [_held(found.chosen), _held(found.rejected)]
    codes = np.unique(np.concatenate([held[0], held[1] + size * BUCKETS]))
    side = codes >= size * BUCKETS
    key = codes - side * size * BUCKETS
    order = np.lexsort((side, key))
    key, side = key[order], side[order]
    twice = np.zeros(len(key), bool)
    twice[1:] = key[1:] == key[:-1]
    twice[:-1] |= twice[1:].copy()
    key, side = key[~twice], side[~twice]
    lengths = _lengths(found.chosen), _lengths(found.rejected)
    steps = np.log2((lengths[0] + 1) / (lengths[1] + 1))
    step = np.clip(np.rint(steps), -_STEPS, _STEPS).astype(np.int64)
    longer = np.flatnonzero(step != 0)
    # A chosen response that is longer by k doublings is a rejected one that is shorter by as much.
    extra = len(Trait) + np.abs(step[longer])
    return Marks(
        np.concatenate([key // BUCKETS, longer]),
        np.concatenate([key % BUCKETS, extra]),
        np.concatenate([~side, step[longer] > 0]),
    )


def _held(texts: Texts) -> Ints:
    """Pair and bucket, in one number, of all words and traits of the responses on one side."""
    codes = [np.empty(0, np.int64)]
    docs_of = np.argsort(texts.indices, kind="stable")
    ordered = texts.indices[docs_of]
    for block in block_words(texts.values):
        buckets = (block.hashes % np.uint64(BUCKETS - _RESERVED)).astype(np.int64) + _RESERVED
        once = np.unique((block.docs + block.start) * BUCKETS + buckets)
        doc = once // BUCKETS
        left = np.searchsorted(ordered, doc, "left")
        often = np.searchsorted(ordered, doc, "right") - left
        where = np.repeat(left - (np.cumsum(often) - often), often) + np.arange(often.sum())
        codes.append(docs_of[where] * BUCKETS + np.repeat(once % BUCKETS, often))
    own = traits(texts.values)[texts.indices]
    codes += [np.flatnonzero(own & np.uint64(1 << t)) * BUCKETS + int(t) for t in Trait]
    return np.concatenate(codes)


def _lengths(texts: Texts) -> NDArray[np.int64]:
    return np.asarray(pc.binary_length(texts.values)).astype(np.int64)[texts.indices]


@dataclass(frozen=True, slots=True)
class Direction:
    """What chosen responses hold more often than rejected ones.

    The weight of a mark is the logarithm of how much more often it is only in the chosen response
    than only in the rejected one (naive Bayes; the pair itself left out). Equal counts are equal
    directions.

    Attributes:
        counts: pairs with each mark in the chosen and in the rejected response, ``int64`` of shape
            (2, ``BUCKETS``).
        digest: of the counts.
    """

    counts: NDArray[np.int64] = field(compare=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Take the digest."""
        found = hashlib.sha256(np.ascontiguousarray(self.counts).tobytes()).hexdigest()
        object.__setattr__(self, "digest", found)

    def scores(self, found: Pairs) -> NDArray[np.float64]:
        """How much what is chosen resembles what is chosen elsewhere, of shape (pairs,)."""
        own = marks(found)
        chosen = self.counts[0][own.buckets] - own.chosen + _PRIOR
        rejected = self.counts[1][own.buckets] - ~own.chosen + _PRIOR
        weight = np.log(chosen / rejected) * np.where(own.chosen, 1, -1)
        return np.bincount(own.pairs, weight, len(found.rows)).astype(np.float64)


@dataclass(slots=True, unsafe_hash=True)
class Preferences:
    """Counts what only the chosen and only the rejected response holds, and keeps pairs' hashes.

    Attributes:
        columns: the pairs.
        pairs: how many there are.
        equal: in how many both responses are the same.
        overflow: there were more than ``MAX_PAIRS``; then none is compared.
        counts: as in ``Direction``.
    """

    columns: Columns
    needs: frozenset[Role] = field(default=frozenset({Role.CELLS}), init=False, compare=False)
    pairs: int = field(default=0, init=False, compare=False)
    equal: int = field(default=0, init=False, compare=False)
    overflow: bool = field(default=False, init=False, compare=False)
    counts: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((2, BUCKETS), np.int64), init=False, compare=False
    )
    _keys: list[Hashes] = field(default_factory=list, init=False, compare=False)
    _sides: list[NDArray[np.bool_]] = field(default_factory=list, init=False, compare=False)
    _places: list[Ints] = field(default_factory=list, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        found = self.columns.pairs(batch)
        own = marks(found)
        for side, mine in enumerate((own.chosen, ~own.chosen)):
            self.counts[side] += np.bincount(own.buckets[mine], minlength=BUCKETS)
        left = digests(found.chosen.values)[found.chosen.indices]
        right = digests(found.rejected.values)[found.rejected.indices]
        asked = np.append(digests(found.prompts.values), np.uint64(0))[found.prompts.indices]
        keys = mix(mix(left) + mix(right) + asked)
        places = numbered(batch.shard, batch.start + found.rows)
        self.pairs += len(found.rows)
        self.equal += int((left == right).sum())
        other = left != right
        self._take(keys[other], (left > right)[other], places[other])

    def merge(self, other: Preferences) -> None:
        """Take in what ``other`` has seen."""
        self.counts += other.counts
        self.pairs += other.pairs
        self.equal += other.equal
        self.overflow |= other.overflow
        for keys, sides, places in zip(other._keys, other._sides, other._places, strict=True):
            self._take(keys, sides, places)

    def clashes(self) -> tuple[int, Ints]:
        """Pairs that occur with either response chosen: how many, and their rows in order.

        Returns:
            The number of different pairs, and shard and position, ``int64`` of shape (n, 2).
        """
        keys = np.concatenate([np.empty(0, np.uint64), *self._keys])
        sides = np.concatenate([np.empty(0, bool), *self._sides])
        places = np.concatenate([np.empty(0, np.int64), *self._places])
        both = np.intersect1d(keys[sides], keys[~sides])
        rows = np.sort(places[np.isin(keys, both)])
        return len(both), located(rows)

    def _take(self, keys: Hashes, sides: NDArray[np.bool_], places: Ints) -> None:
        held = sum(map(len, self._keys)) + len(keys)
        if self.overflow or held > MAX_PAIRS:
            self.overflow = True
            self._keys, self._sides, self._places = [], [], []
        elif len(keys):
            self._keys.append(keys)
            self._sides.append(sides)
            self._places.append(places)


@dataclass(slots=True, unsafe_hash=True)
class ByPreference:
    """Hands the prompts of pairs to another aggregate, labelled by whether they fit a direction.

    Attributes:
        columns: the pairs.
        direction: what is usually preferred.
        inner: takes texts and labels.
    """

    columns: Columns
    direction: Direction
    inner: Any
    needs: frozenset[Role] = field(default=frozenset({Role.CELLS}), init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        found = self.columns.pairs(batch)
        scores = self.direction.scores(found)
        codes = np.full(batch.size, -1, np.int32)
        codes[found.rows] = np.where(scores == 0, -1, scores < 0)
        texts = np.full(batch.size, -1, np.int64)
        texts[found.rows] = found.prompts.indices
        columns = {
            Role.LABEL: Labels(codes, (USUAL, OPPOSITE)),
            Role.TEXT: Texts(texts, found.prompts.values),
        }
        self.inner.update(Batch(batch.shard, batch.start, batch.size, columns))

    def merge(self, other: ByPreference) -> None:
        """Take in what ``other`` has seen."""
        inner: Aggregate = self.inner
        inner.merge(other.inner)
