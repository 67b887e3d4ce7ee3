"""Digests in a column, compared with the content that they are of."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.batch import Role
from poisonscan.datasets.encoding import unviewed
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from poisonscan.datasets.batch import Aggregate, Batch
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Finding, Json

KEEP = 100
"""Rows with a wrong digest that are kept for each pair of columns."""
MAX_PAIRS = 32
"""Pairs of a column with digests and one with content."""
_NAMED = re.compile(r"md5|sha_?-?(?:1|224|256|384|512)|hash|digest|checksum|etag", re.IGNORECASE)
_ALGORITHMS: dict[int, Callable[[bytes], Any]] = {
    32: lambda data: hashlib.md5(data, usedforsecurity=False),
    40: lambda data: hashlib.sha1(data, usedforsecurity=False),
    56: hashlib.sha224,
    64: hashlib.sha256,
    96: hashlib.sha384,
    128: hashlib.sha512,
}
_HEX = re.compile(rb"[0-9a-f]+")

Pair = tuple[str, str]
Place = tuple[int, int]


@dataclass(slots=True, unsafe_hash=True)
class DigestChecks:
    """Counts rows whose digest is, or is not, that of the content, for pairs of columns.

    Attributes:
        pairs: columns with digests and with content.
        right: rows where the digest fits.
        wrong: rows where it does not.
        first: the first of these.
    """

    pairs: tuple[Pair, ...]
    needs: frozenset[Role] = field(default=frozenset({Role.CELLS}), init=False, compare=False)
    right: Counter[Pair] = field(default_factory=Counter, init=False, compare=False)
    wrong: Counter[Pair] = field(default_factory=Counter, init=False, compare=False)
    first: dict[Pair, list[Place]] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        for digests, content in self.pairs:
            if digests not in batch.cells or content not in batch.cells:
                continue
            fits = _fits(batch.cells[digests], batch.cells[content])
            self.right[digests, content] += int((fits == 1).sum())
            wrong = np.flatnonzero(fits == 0)
            self.wrong[digests, content] += len(wrong)
            self._keep((digests, content), [(batch.shard, batch.start + r) for r in wrong.tolist()])

    def merge(self, other: DigestChecks) -> None:
        """Take in what ``other`` has seen."""
        self.right.update(other.right)
        self.wrong.update(other.wrong)
        for pair, places in other.first.items():
            self._keep(pair, places)

    def _keep(self, pair: Pair, places: list[Place]) -> None:
        if places:
            self.first[pair] = sorted(self.first.get(pair, []) + places)[:KEEP]


def _fits(digests: pa.Array, content: pa.Array) -> np.ndarray[Any, np.dtype[np.int8]]:
    """For each row 1 where the digest is that of the content, 0 where not, -1 without either."""
    out = np.full(len(digests), -1, np.int8)
    both = np.flatnonzero(np.asarray(pc.and_(digests.is_valid(), content.is_valid())))
    rows = pa.array(both)
    pairs = zip(both.tolist(), _bytes(digests.take(rows)), _bytes(content.take(rows)), strict=True)
    for row, digest, data in pairs:
        lowered = digest.as_py().lower()
        algorithm = _ALGORITHMS.get(len(lowered))
        if algorithm is not None and _HEX.fullmatch(lowered):
            out[row] = algorithm(data.as_buffer()).hexdigest().encode() == lowered
    return out


def _bytes(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return unviewed(column).cast(pa.large_binary())


class ContentHashes:
    """Compares digests with text and bytes of the same row."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for comparisons, where a column is named like a digest."""
        plain = [name for name, kind in dataset.columns.items() if _is_plain(kind)]
        every = [
            (digests, content)
            for digests in plain
            if _NAMED.search(digests)
            for content in plain
            if not _NAMED.search(content)
        ]
        pairs = every[:MAX_PAIRS]
        if not pairs:
            return []
        found: DigestChecks = yield DigestChecks(tuple(pairs))
        limit = rule("PS702").thresholds["share"]
        out: list[Finding | Fact | Gap] = []
        if len(every) > MAX_PAIRS:
            message = f"{len(every):,} pairs of a column with digests and one with content: "
            message += f"{MAX_PAIRS} of them were compared"
            out.append(Gap(dataset.path, message))
        unmatched = _unmatched(found)
        if unmatched:
            out.append(Fact("digests that are of no column beside them", unmatched))
        for pair in pairs:
            right, wrong = found.right[pair], found.wrong[pair]
            if not wrong or right < limit * (right + wrong):
                continue  # the digest of something else
            rows = np.array(found.first[pair], np.int64).reshape(-1, 2)
            message = (
                f"{wrong:,} of {right + wrong:,} rows hold in {quote(pair[0])} another digest than "
                f"that of {quote(pair[1])}: the content was changed after the digest was made."
            )
            at = Location(dataset.path, dataset.named(rows, count=wrong))
            out.append(
                rule("PS702").finding(at, message, key="\0".join(pair), wrong=wrong, right=right)
            )
        return out


DETECTOR = ContentHashes()


def _unmatched(found: DigestChecks) -> dict[str, Json]:
    """Columns of digests that never fit, and how many they are: they may be of something else."""
    most: dict[str, int] = {}
    for (digests, _), wrong in found.wrong.items():
        most[digests] = max(most.get(digests, 0), wrong)
    fitting = {digests for (digests, _), right in found.right.items() if right}
    return {name: rows for name, rows in sorted(most.items()) if rows and name not in fitting}


def _is_plain(kind: str) -> bool:
    """Whether a column's type, as text, is strings or bytes."""
    return (
        re.fullmatch(
            r"(?:dictionary<values=)?(?:large_)?(?:string|binary|utf8|str|bytes)(?:_view)?(?:,.*)?",
            kind,
        )
        is not None
    )
