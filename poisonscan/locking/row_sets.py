"""Digests of sets of rows, which no order, shard layout or file format changes.

LtHash with 1,024 lanes of 32 bits: every row is expanded to 4 KiB by SHAKE128, and these are added
lane by lane. Finding two sets of the same sum is a lattice problem (Bellare and Micciancio 1997, "A
new paradigm for collision-free hashing"; Lewi et al. 2019, "Securing update propagation with
homomorphic hashing", who give more than 200 bits for 16-bit lanes). Wide lanes, because a row that
stands there 2**lane-bits times adds nothing. A plain sum of hashes would be broken by the
generalised birthday attack (Wagner 2002).
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.finding import Fact
from poisonscan.locking.values import rows as row_bytes

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Aggregate, Batch
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Finding, Gap, Json

FACT: Final = "row sets"
"""Name of the fact that holds the digests."""
_LANES: Final = 1024
_CHUNK: Final = 256
_DOMAIN: Final = b"poisonscan row set 1\0"


@dataclass(slots=True)
class RowSet:
    """Rows that were added up.

    Attributes:
        rows: how many.
        lanes: their sum, ``uint32`` of shape (1024,).
    """

    rows: int = 0
    lanes: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(_LANES, np.uint32))

    def add(self, rows: Iterable[bytes]) -> None:
        """Add rows, as ``values.rows`` encodes them."""
        waiting: list[bytes] = []
        for row in rows:
            waiting.append(hashlib.shake_128(row).digest(4 * _LANES))
            if len(waiting) == _CHUNK:
                self._take(waiting)
                waiting.clear()
        self._take(waiting)

    def join(self, other: RowSet) -> None:
        """Add the rows of another set."""
        self.rows += other.rows
        self.lanes += other.lanes

    @property
    def digest(self) -> str:
        """64 hex digits."""
        count = self.rows.to_bytes(8, "little")
        return hashlib.sha256(_DOMAIN + count + self.lanes.astype("<u4").tobytes()).hexdigest()

    def _take(self, expanded: list[bytes]) -> None:
        table = np.frombuffer(b"".join(expanded), "<u4").reshape(-1, _LANES)
        self.lanes += table.sum(axis=0, dtype=np.uint32)
        self.rows += len(expanded)


@dataclass(slots=True, unsafe_hash=True)
class RowSets:
    """Adds up the rows of each split.

    Attributes:
        splits: the split of each shard.
        sets: by split.
    """

    splits: tuple[str, ...]
    needs: frozenset[Role] = field(default=frozenset({Role.VALUES}), init=False, compare=False)
    sets: dict[str, RowSet] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        if not batch.size:
            return
        into = self.sets.setdefault(self.splits[batch.shard], RowSet())
        into.add(row_bytes(batch.values) if batch.values else [b""] * batch.size)

    def merge(self, other: RowSets) -> None:
        """Take in what ``other`` has seen."""
        for split, rows in other.sets.items():
            self.sets.setdefault(split, RowSet()).join(rows)


class Measure:
    """Tells the digests of a dataset's splits as a fact."""

    needs: ClassVar[frozenset[Role]] = frozenset()

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for one pass, shared with the detectors."""
        found: RowSets = yield RowSets(tuple(shard.split for shard in dataset.shards))
        about: dict[str, Json] = {
            split: {"rows": rows.rows, "digest": rows.digest}
            for split, rows in sorted(found.sets.items())
        }
        classes: Json = None if dataset.label_names is None else list(dataset.label_names)
        return [Fact(FACT, {"splits": about, "classes": classes})]
