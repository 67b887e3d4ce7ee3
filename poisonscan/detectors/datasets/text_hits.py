"""What a search of all text finds: how many rows, of which labels, and the first of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.first_rows import MAX_KEPT, FirstRows
from poisonscan.detectors.datasets.label_counts import MAX_CHARACTERS, MAX_LABELS
from poisonscan.escape import clip
from poisonscan.finding import Gap
from poisonscan.masking import mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch, Texts
    from poisonscan.datasets.joined_columns import JoinedColumns
    from poisonscan.datasets.text_scan import Indices, Screen

KEEP = 100
"""Rows of which details are kept, of each sort of hit in each column."""
MAX_SORTS = 1_000
"""Sorts of hits, each counted in every column; of more, an arbitrary but fixed part is kept."""
LISTED = MAX_KEPT // MAX_SORTS
"""Rows that are kept of each, for lists of all rows."""
_DETAIL = 300

Place = tuple[int, int]
"""Shard and position in the shard."""
Key = tuple[str, str]
"""A sort of hit and the column it is in."""
Found = dict[str, dict[int, str]]
"""Details by sort of hit and by number of the string."""
Detail = Callable[[int], str]
"""A detail for people by number of the string: asked for those that are kept only."""
Sighting = tuple[str, "int | Indices", "str | Detail"]
"""Sort of hit, number of the string or those of all, and for people a detail of it or of each."""
Look = Callable[["Screen"], Iterable[Sighting]]
"""Searches strings. A module's function."""


@dataclass(slots=True)
class Hits:
    """Rows with one sort of hit in one column.

    Attributes:
        rows: how many.
        labels: how many of each label; None: without one. None once labels are too many.
        first: details and a hash of the text of the first ``KEEP`` rows, by place.
        listed: the first ``LISTED`` rows; None where only ``first`` is wanted.
    """

    rows: int = 0
    labels: Counter[str | None] = field(default_factory=Counter)
    first: dict[Place, tuple[str, int]] = field(default_factory=dict)
    listed: FirstRows | None = field(default=None, compare=False)

    @property
    def distinct(self) -> int:
        """Different texts among the rows that are kept."""
        return len({token for _, token in self.first.values()})

    @property
    def places(self) -> list[Place]:
        """The first rows, in reading order."""
        return sorted(self.first)

    @property
    def every(self) -> NDArray[np.int64]:
        """All rows that are kept, in reading order, ``int64`` of shape (n, 2)."""
        if self.listed is None:
            return np.array(self.places, np.int64).reshape(-1, 2)
        return np.unique(self.listed.all(), axis=0)

    @property
    def details(self) -> list[str]:
        """Different details of the first rows, in reading order."""
        return list(dict.fromkeys(self.first[place][0] for place in self.places))

    def add(self, other: Hits) -> None:
        """Take in further rows."""
        self.rows += other.rows
        for label, count in other.labels.items():  # ``update`` takes four times as long for one
            self.labels[label] += count
        self.first.update(other.first)
        if other.listed is not None:
            self.listed = self.listed or FirstRows(LISTED)
            self.listed.add(other.listed.all())
        if len(self.first) > KEEP:
            self.first = {place: self.first[place] for place in self.places[:KEEP]}


@dataclass(slots=True, unsafe_hash=True)
class TextHits:
    """Searches every string column; counts rows by sort of hit, column and label.

    Attributes:
        look: what is searched for.
        hits: by sort and column.
        texts: rows of each column that say something.
        labels: rows of each label; empty once there are too many to be classes.
        overflow: there were more labels than classes can have.
        left_out: there were more sorts of hits than ``MAX_SORTS``.
    """

    look: Look
    needs: frozenset[Role] = field(
        default=frozenset({Role.CELLS, Role.LABEL}), init=False, compare=False
    )
    hits: dict[Key, Hits] = field(default_factory=dict, init=False, compare=False)
    texts: Counter[str] = field(default_factory=Counter, init=False, compare=False)
    labels: Counter[str | None] = field(default_factory=Counter, init=False, compare=False)
    overflow: bool = field(default=False, init=False, compare=False)
    left_out: bool = field(default=False, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        codes = batch.labels.codes
        counts = np.bincount(codes + 1, minlength=len(batch.labels.names) + 1).tolist()
        for name, count in zip((None, *batch.labels.names), counts, strict=True):
            if count:
                self.labels[name] += count
        self._bound_labels()
        for column, texts in batch.strings.items():
            self.texts[column] += int(np.count_nonzero(texts.indices >= 0))
        for columns in batch.searched:
            details: Found = {}
            for sort, index, detail in self.look(columns.screen):
                if isinstance(index, np.ndarray):
                    self._take_all(batch, columns, sort, index, detail)
                elif index not in details.setdefault(sort, {}):
                    details[sort][index] = clip(mask(_said(detail, index)), _DETAIL)
            for sort, found in details.items():
                indices = np.fromiter(found, np.int64, len(found))
                self._take_all(batch, columns, sort, indices, found.__getitem__)

    def merge(self, other: TextHits) -> None:
        """Take in what ``other`` has seen."""
        self.overflow |= other.overflow
        self.left_out |= other.left_out
        self.texts.update(other.texts)
        self.labels.update(other.labels)
        self._bound_labels()
        for key, hits in other.hits.items():
            self._take(key, hits)

    def of(self, sort: str) -> list[tuple[str, Hits]]:
        """Columns with a sort of hit, in order of their names."""
        return sorted(
            ((column, hits) for (kind, column), hits in self.hits.items() if kind == sort),
            key=lambda item: item[0],
        )

    def gaps(self, path: str) -> list[Gap]:
        """What was not counted, for people."""
        if not self.left_out:
            return []
        message = f"more than {MAX_SORTS:,} sorts of hits in columns: some of them are not reported"
        return [Gap(path, message)]

    def share(self, column: str, hits: Hits) -> float:
        """Which part of the texts of a column are hits."""
        return hits.rows / max(self.texts[column], 1)

    def _take_all(
        self,
        batch: Batch,
        columns: JoinedColumns,
        sort: str,
        strings: Indices,
        detail: str | Detail,
    ) -> None:
        """Take in strings of columns that were searched together."""
        for column, mine, indices in columns.by_column(strings):
            first = int(strings[mine[0]] - indices[0])

            def of_column(index: int, first: int = first) -> str:
                return _said(detail, first + index)

            self._take((sort, column), _hits(batch, batch.strings[column], indices, of_column))

    def _take(self, key: Key, hits: Hits) -> None:
        self.hits.setdefault(key, Hits()).add(hits)
        # Those with the smallest hashes stay: which ones does not depend on the order of rows, and
        # what stays to the end was there from its first row on, so it is counted whole.
        while len(self.hits) > MAX_SORTS:
            del self.hits[max(self.hits, key=_order)]
            self.left_out = True

    def _bound_labels(self) -> None:
        characters = sum(len(name or "") for name in self.labels)
        if len(self.labels) > MAX_LABELS or characters > MAX_CHARACTERS:
            self.overflow = True
        if self.overflow:
            self.labels.clear()


def _order(key: Key) -> tuple[int, Key]:
    return xxhash.xxh3_64_intdigest("\0".join(key).encode("utf-8", "surrogatepass")), key


def _said(detail: str | Detail, index: int) -> str:
    return detail if isinstance(detail, str) else detail(index)


def _hits(batch: Batch, texts: Texts, indices: Indices, detail: str | Detail) -> Hits:
    """The rows that hold some strings."""
    member = np.zeros(len(texts.values) + 1, bool)  # the last entry serves index -1
    member[indices] = True
    rows = np.flatnonzero(member[texts.indices])
    codes: NDArray[np.int32] = batch.labels.codes[rows]
    names = batch.labels.names
    used, counts = np.unique(codes, return_counts=True)
    labels = Counter(
        {
            None if code < 0 else names[code]: count
            for code, count in zip(used.tolist(), counts.tolist(), strict=True)
        }
    )
    first = {}
    for row in rows[:KEEP].tolist():
        index = int(texts.indices[row])
        token = xxhash.xxh3_64_intdigest(texts.values[index].as_buffer())
        first[batch.shard, batch.start + row] = (_said(detail, index), token)
    listed = FirstRows(LISTED)
    listed.add(batch.rows[rows[:LISTED]])
    return Hits(len(rows), labels, first, listed)
