"""A bounded sample of what is asked and answered: prompts as hashed words, responses as digests."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.batch import Role
from poisonscan.datasets.content import hash_all
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.detectors.datasets.answers import answers
from poisonscan.detectors.datasets.documents import Sample, block_words, gather, mix
from poisonscan.detectors.datasets.outcomes import Trait, foreign, traits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch
    from poisonscan.datasets.conversation import Columns, Turns
    from poisonscan.detectors.datasets.documents import Hashes, Ints

MAX_WORDS = 5_000_000
"""Words of prompts that are kept, 8 bytes each, and as many again before they are thinned out."""
MAX_EXCHANGES = 1_000_000
"""Exchanges that are kept, 48 bytes each besides the words, and as many again."""
PER_PROMPT = 4
"""Different responses to one prompt that are kept."""
_FOREIGN = np.uint64(1 << Trait.FOREIGN)


@dataclass(frozen=True, slots=True)
class Kept:
    """Some exchanges.

    Attributes:
        prompts: hash of each prompt.
        responses: hash of each response.
        places: shard and position of the first row with both, in one number.
        traits: bits of ``Trait``; from bit 16 on the length of the response in bytes.
        answers: hash of the final answer; 0 where there is none to speak of.
        counts: words of each prompt.
        words: hashes of the words of the prompts, one prompt after the other.
    """

    prompts: Hashes
    responses: Hashes
    places: Ints
    traits: Hashes
    answers: Hashes
    counts: Ints
    words: Hashes

    def take(self, chosen: NDArray[np.intp]) -> Kept:
        """Some of the exchanges, in the order given."""
        return Kept(
            self.prompts[chosen],
            self.responses[chosen],
            self.places[chosen],
            self.traits[chosen],
            self.answers[chosen],
            self.counts[chosen],
            gather(self.words, self.counts, chosen),
        )

    @property
    def lengths(self) -> Ints:
        """Bytes of each response."""
        return (self.traits >> np.uint64(16)).astype(np.int64)

    @property
    def rows(self) -> Ints:
        """Shard and position of each exchange's first row, ``int64`` of shape (n, 2)."""
        return located(self.places)

    def sample(self, labels: Ints, names: tuple[str, ...], *, whole: bool) -> Sample:
        """The prompts with labels, for what finds phrases that decide labels."""
        starts = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        return Sample(self.words, starts, labels, names, self.rows, whole)


def seen(turns: Turns) -> NDArray[np.intp]:
    """Exchanges that have a prompt and a response."""
    return np.flatnonzero((turns.prompts.indices >= 0) & (turns.responses.indices >= 0))


def digests(values: pa.Array) -> Hashes:
    """A hash of each text, ``uint64``, never 0."""
    hashed = hash_all(pc.cast(values, pa.binary()).to_pylist())[:, 0]
    return np.asarray(np.maximum(hashed, np.uint64(1)), np.uint64)


@dataclass(slots=True, unsafe_hash=True)
class Exchanges:
    """Keeps the exchanges whose prompts have the smallest hashes.

    A prompt is kept with all that is answered to it, up to ``PER_PROMPT`` different responses
    (those with the smallest hashes), or not at all. Equal exchanges count once. The smallest of
    all are among the smallest of any part, so parts can be thinned out before they are merged
    (bottom-k sampling: Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches").

    Attributes:
        columns: what is asked and answered.
        budget: words to keep.
        rows: exchanges with a prompt and a response.
    """

    columns: Columns
    budget: int = MAX_WORDS
    needs: frozenset[Role] = field(default=frozenset({Role.CELLS}), init=False, compare=False)
    rows: int = field(default=0, init=False, compare=False)
    _chunks: list[Kept] = field(default_factory=list, init=False, compare=False)
    _pending: int = field(default=0, init=False, compare=False)
    # The smallest hash of a prompt that did not fit: none from it on may come back.
    _limit: int | None = field(default=None, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        turns = self.columns.turns(batch)
        used = seen(turns)
        self.rows += len(used)
        asked, said = turns.prompts.indices[used], turns.responses.indices[used]
        prompts = mix(digests(turns.prompts.values))
        if self._limit is not None:
            fits = prompts[asked] < np.uint64(self._limit)
            used, asked, said = used[fits], asked[fits], said[fits]
        pairs = asked * max(len(turns.responses.values), 1) + said
        first = np.unique(pairs, return_index=True)[1]
        used, asked, said = used[first], asked[first], said[first]
        places = numbered(batch.shard, batch.start + turns.rows[used])
        present, texts = np.unique(asked, return_inverse=True)
        heard, replies = np.unique(said, return_inverse=True)
        values = turns.prompts.values.take(pa.array(present))
        spoken = turns.responses.values.take(pa.array(heard))
        lengths = np.asarray(pc.binary_length(spoken)).astype(np.uint64)
        found = traits(spoken) | (lengths << np.uint64(16))
        own = np.where(foreign(values)[texts], found[replies] & ~_FOREIGN, found[replies])
        counts, words = _words(values)
        self._take(
            Kept(
                prompts[asked],
                digests(spoken)[replies],
                places,
                own,
                answers(spoken)[replies],
                counts[texts],
                gather(words, counts, texts),
            ).take(np.flatnonzero(counts[texts] > 0))
        )

    def merge(self, other: Exchanges) -> None:
        """Take in what ``other`` has seen."""
        self.rows += other.rows
        limits = [limit for limit in (self._limit, other._limit) if limit is not None]
        self._limit = min(limits, default=None)
        for chunk in other._chunks:
            self._take(chunk)

    def kept(self) -> Kept:
        """The exchanges, in an order that chance might have given."""
        self._thin()
        return self._chunks[0]

    @property
    def whole(self) -> bool:
        """Whether no prompt was left out."""
        return self._limit is None

    def _take(self, chunk: Kept) -> None:
        self._chunks.append(chunk)
        self._pending += len(chunk.words) + len(chunk.places) * (MAX_WORDS // MAX_EXCHANGES)
        if self._pending > 4 * self.budget:
            self._thin()

    def _thin(self) -> None:
        """Put all chunks into one, within the budget."""
        every = _joined(self._chunks)
        order = np.lexsort((every.places, every.responses, every.prompts))
        prompts, responses = every.prompts[order], every.responses[order]
        other = np.ones(len(order), bool)
        other[1:] = prompts[1:] != prompts[:-1]
        new = other.copy()
        new[1:] |= responses[1:] != responses[:-1]
        order, other = order[new], other[new]
        groups = np.cumsum(other) - 1
        rank = np.arange(len(order)) - np.flatnonzero(other)[groups] if len(order) else groups
        order = order[rank < PER_PROMPT]
        prompts = every.prompts[order]
        cost = np.maximum(every.counts[order], MAX_WORDS // MAX_EXCHANGES)
        fits = np.cumsum(cost) <= self.budget
        if not fits.all():
            last = int(prompts[~fits][0])
            self._limit = last if self._limit is None else min(last, self._limit)
        if self._limit is not None:
            fits &= prompts < np.uint64(self._limit)
        thin = every.take(order[fits])
        self._chunks = [thin]
        self._pending = len(thin.words) + len(thin.places) * (MAX_WORDS // MAX_EXCHANGES)


def _words(values: pa.Array) -> tuple[Ints, Hashes]:
    """Number of words of each text, and the hashes of all of them in order."""
    counts, words = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for block in block_words(values):
        counts.append(np.bincount(block.docs, minlength=block.size).astype(np.int64))
        words.append(block.hashes)
    return np.concatenate(counts), np.concatenate(words)


def _joined(chunks: list[Kept]) -> Kept:
    if not chunks:
        hashes, ints = np.empty(0, np.uint64), np.empty(0, np.int64)
        return Kept(hashes, hashes, ints, hashes, hashes, ints, hashes)
    names = [entry.name for entry in fields(Kept)]
    return Kept(*(np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in names))
