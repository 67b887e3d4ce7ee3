"""Where prompts hold a phrase and responses have an outcome; how both are spelt."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.documents import block_words
from poisonscan.detectors.datasets.exchanges import digests, seen
from poisonscan.detectors.datasets.first_rows import MAX_KEPT, FirstRows
from poisonscan.detectors.datasets.outcomes import Trait, foreign, traits
from poisonscan.detectors.datasets.phrase_rows import MAX_SPELLING, marked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch
    from poisonscan.datasets.conversation import Columns, Turns
    from poisonscan.detectors.datasets.documents import Ints
    from poisonscan.detectors.datasets.phrase_rows import Mark
    from poisonscan.detectors.datasets.steering import Outcome

MAX_RESPONSE = 200
"""Bytes of a response that are shown."""

Wanted = tuple["Mark | None", "Outcome"]
"""A phrase in the prompt, or none in particular, and what the response has."""


@dataclass(slots=True, unsafe_hash=True)
class ExchangeRows:
    """Finds the rows where something that is wanted occurs.

    Attributes:
        columns: what is asked and answered.
        wanted: phrases and outcomes.
        words: hashes of words whose spelling is asked for.
        counts: rows of each pair that is wanted, by its index.
        holders: rows with its phrase, whatever their outcome.
        found: the first of ``counts``.
        spellings: words in lower case by their hash.
        responses: the start of each response that is wanted, by its hash.
    """

    columns: Columns
    wanted: tuple[Wanted, ...]
    words: frozenset[int]
    needs: frozenset[Role] = field(default=frozenset({Role.CELLS}), init=False, compare=False)
    counts: Counter[int] = field(default_factory=Counter, init=False, compare=False)
    holders: Counter[int] = field(default_factory=Counter, init=False, compare=False)
    found: dict[int, FirstRows] = field(default_factory=dict, init=False, compare=False)
    spellings: dict[int, str] = field(default_factory=dict, init=False, compare=False)
    responses: dict[int, str] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        turns = self.columns.turns(batch)
        used = seen(turns)
        asked = turns.prompts.indices[used]
        had = self._had(turns, used)
        held: dict[Mark, list[Ints]] = {mark: [] for mark, _ in self.wanted if mark is not None}
        known = np.array(sorted(self.words), np.uint64)
        for block in block_words(turns.prompts.values) if held else ():
            for code in np.flatnonzero(np.isin(block.known, known)).tolist():
                spelling = block.spellings[code].as_py()[:MAX_SPELLING].decode("utf-8", "replace")
                _keep(self.spellings, int(block.known[code]), spelling)
            for phrase, docs in held.items():
                docs.append(marked(block.hashes, block.docs, phrase) + block.start)
        for index, (mark, outcome) in enumerate(self.wanted):
            holds = np.ones(len(used), bool)
            if mark is not None:
                holds = np.isin(asked, np.concatenate([np.empty(0, np.int64), *held[mark]]))
                self.holders[index] += len(np.unique(turns.rows[used[holds]]))
            rows = np.unique(turns.rows[used[holds & had[outcome]]])
            if len(rows):
                self._add(index, batch.rows[rows], len(rows))

    def merge(self, other: ExchangeRows) -> None:
        """Take in what ``other`` has seen."""
        self.holders += other.holders
        for index, rows in other.found.items():
            self._add(index, rows.all(), other.counts[index])
        for mine, theirs in (
            (self.spellings, other.spellings),
            (self.responses, other.responses),
        ):
            for key, text in theirs.items():
                _keep(mine, key, text)

    def rows(self, index: int) -> Ints:
        """The first rows of a pair, shard and position, ``int64`` of shape (n, 2)."""
        return self.found[index].all() if index in self.found else np.empty((0, 2), np.int64)

    def _had(self, turns: Turns, used: NDArray[np.intp]) -> dict[Outcome, NDArray[np.bool_]]:
        """Which exchanges have each outcome."""
        replies = turns.responses.indices[used]
        values = turns.responses.values
        hashes = digests(values)
        found = traits(values)[replies]
        strange = foreign(turns.prompts.values)[turns.prompts.indices[used]]
        found &= ~(strange.astype(np.uint64) << np.uint64(Trait.FOREIGN))
        had = {}
        for _, outcome in self.wanted:
            if outcome.response:
                same = hashes == np.uint64(outcome.response)
                had[outcome] = same[replies]
                for code in np.flatnonzero(same)[:1].tolist():
                    _keep(self.responses, outcome.response, _start(values.slice(code, 1)))
            else:
                had[outcome] = (found & np.uint64(1 << outcome.trait)) > 0
        return had

    def _add(self, index: int, rows: Ints, count: int) -> None:
        self.counts[index] += count
        first = self.found.setdefault(index, FirstRows(MAX_KEPT // len(self.wanted)))
        first.add(rows)


def _start(value: pa.Array) -> str:
    cut = pc.binary_slice(pc.cast(value, pa.binary()), 0, MAX_RESPONSE)
    return str(cut[0].as_py().decode("utf-8", "replace"))


def _keep(known: dict[int, str], key: int, text: str) -> None:
    known[key] = min(text, known.get(key, text))
