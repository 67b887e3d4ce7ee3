"""A bounded sample of labelled texts as they are written, signs, case and blanks included."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.detectors.datasets.documents import MAX_CLASSES, mix
from poisonscan.detectors.datasets.label_counts import MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

MOST = 20_000
"""Texts that are kept, and as many again before they are thinned out."""
BYTES = 600
"""Bytes of a text that are kept, from its start."""


@dataclass(frozen=True, slots=True)
class StyledSample:
    """Distinct pairs of a text and a label, in an order that chance might have given.

    Attributes:
        texts: the start of each.
        labels: codes into ``names``, ``int64`` of shape (n,).
        names: labels in order.
        rows: first row with each text and label: shard and position, ``int64`` of shape (n, 2).
        keys: hash of each text and label, ``uint64`` of shape (n,).
        whole: no text was left out.
    """

    texts: list[str]
    labels: Ints
    names: tuple[str, ...]
    rows: Ints
    keys: Hashes
    whole: bool


@dataclass(frozen=True, slots=True)
class Starts:
    """The starts of a batch's texts.

    Attributes:
        texts: of different ones, an Arrow array of bytes.
        rows: which rows have a text and a label, ascending.
        keys: hash of the text and the label of each of these, ``uint64``.
    """

    texts: pa.Array
    rows: Ints
    keys: Hashes

    @classmethod
    def of(cls, batch: Batch) -> Starts:
        """Cut the texts of a batch; the same text with the same label has the same key anywhere."""
        labels, texts = batch.labels, batch.texts
        starts = pc.binary_slice(pc.cast(texts.values, pa.binary()), 0, BYTES)
        filled = np.append(np.asarray(pc.binary_length(starts)) > 0, False)
        used = np.flatnonzero((labels.codes >= 0) & filled[texts.indices])
        said = np.array([xxhash.xxh3_64_intdigest(text) for text in starts.to_pylist()], np.uint64)
        own = np.array([_hash(name) for name in labels.names], np.uint64)
        if not len(used):
            return cls(starts, used, np.empty(0, np.uint64))
        return cls(starts, used, mix(mix(said)[texts.indices[used]] + own[labels.codes[used]]))


@dataclass(slots=True)
class _Chunk:
    """Some texts: hash of text and label, place, hash of the label, and the text."""

    keys: Hashes
    places: Ints
    labels: Hashes
    texts: pa.Array


@dataclass(slots=True, unsafe_hash=True)
class StyledTexts:
    """Keeps the texts with the smallest hashes of text and label.

    Bottom-k sampling (Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches"): the
    smallest of all are among the smallest of any part.

    Attributes:
        most: texts to keep.
        rows: rows with a label and a text.
        names: label by its hash; empty once there were too many.
        overflow: there were more labels than ``MAX_CLASSES``; then nothing is kept.
    """

    most: int = MOST
    needs: frozenset[Role] = field(
        default=frozenset({Role.LABEL, Role.TEXT}), init=False, compare=False
    )
    rows: int = field(default=0, init=False, compare=False)
    names: dict[int, str] = field(default_factory=dict, init=False, compare=False)
    overflow: bool = field(default=False, init=False, compare=False)
    _chunks: list[_Chunk] = field(default_factory=list, init=False, compare=False)
    _pending: int = field(default=0, init=False, compare=False)
    _left_out: bool = field(default=False, init=False, compare=False)
    # The largest key that is kept once there are enough: no larger one can come in any more.
    _largest: int | None = field(default=None, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels, starts = batch.labels, Starts.of(batch)
        used, keys = starts.rows, starts.keys
        self.rows += len(used)
        if not len(used):
            return
        self._name([labels.names[code] for code in np.unique(labels.codes[used]).tolist()])
        if self.overflow:
            return
        if self._largest is not None:
            fits = keys <= np.uint64(self._largest)
            self._left_out |= not fits.all()
            used, keys = used[fits], keys[fits]
        keys, first = np.unique(keys, return_index=True)
        own = np.array([_hash(name) for name in labels.names], np.uint64)[labels.codes[used[first]]]
        places = numbered(batch.shard, batch.rows[used[first], 1])
        kept = starts.texts.take(pa.array(batch.texts.indices[used[first]]))
        self._take(_Chunk(keys, places, own, kept))

    def merge(self, other: StyledTexts) -> None:
        """Take in what ``other`` has seen."""
        self.rows += other.rows
        self._left_out |= other._left_out
        self._name(other.names.values())
        if other.overflow:
            self._forget()
        for chunk in other._chunks:
            self._take(chunk)

    def sample(self, declared: Sequence[str] | None = None) -> StyledSample | None:
        """The texts kept; None when there were too many labels.

        Args:
            declared: class names; if there are any, the number -1 is a missing label.
        """
        if self.overflow:
            return None
        self._thin()
        chunk = self._chunks[0] if self._chunks else _nothing()
        hashed = {_hash(name): name for name in self.names.values()}
        if declared and "-1" not in declared:
            hashed.pop(_hash("-1"), None)
        kept = np.flatnonzero(np.isin(chunk.labels, np.array(list(hashed), np.uint64)))
        present = set(chunk.labels[kept].tolist())
        names = tuple(sorted(name for key, name in hashed.items() if key in present))
        codes = {_hash(name): code for code, name in enumerate(names)}
        labels = np.array([codes[key] for key in chunk.labels[kept].tolist()], np.int64)
        places = chunk.places[kept]
        rows = located(places)
        texts = decoded(chunk.texts.take(kept))
        return StyledSample(texts, labels, names, rows, chunk.keys[kept], not self._left_out)

    def _name(self, names: Iterable[str]) -> None:
        if not self.overflow:
            self.names |= {_hash(name): name for name in names}
        if len(self.names) > MAX_CLASSES or sum(map(len, self.names.values())) > MAX_CHARACTERS:
            self._forget()

    def _take(self, chunk: _Chunk) -> None:
        if self.overflow or not len(chunk.keys):
            return
        self._chunks.append(chunk)
        self._pending += len(chunk.keys)
        if self._pending > 2 * self.most:
            self._thin()

    def _thin(self) -> None:
        """Leave the smallest keys, equal ones once."""
        if not self._chunks:
            return
        keys, places, labels = (
            np.concatenate([getattr(chunk, name) for chunk in self._chunks])
            for name in ("keys", "places", "labels")
        )
        order = np.lexsort((places, keys))
        new = np.ones(len(order), bool)
        new[1:] = keys[order][1:] != keys[order][:-1]
        order = order[new]
        self._left_out |= len(order) > self.most
        order = order[: self.most]
        texts = pa.concat_arrays([chunk.texts for chunk in self._chunks]).take(pa.array(order))
        self._chunks = [_Chunk(keys[order], places[order], labels[order], texts)]
        self._pending = len(order)
        if len(order) == self.most:
            self._largest = int(keys[order[-1]])

    def _forget(self) -> None:
        self.overflow, self._pending = True, 0
        self.names.clear()
        self._chunks.clear()


def decoded(starts: pa.Array) -> list[str]:
    """Starts of texts; a character that was cut at the end is left out."""
    return [start.decode("utf-8", "ignore") for start in starts.to_pylist()]


def _nothing() -> _Chunk:
    none = np.empty(0, np.uint64)
    return _Chunk(none, none.astype(np.int64), none, pa.array([], pa.binary()))


def _hash(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))
