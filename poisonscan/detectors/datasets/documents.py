"""A bounded sample of distinct labelled texts, as sequences of hashed words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.datasets.words import MAX_TEXT, split
from poisonscan.detectors.datasets.fingerprints import drawn_fingerprints
from poisonscan.detectors.datasets.label_counts import MAX_CHARACTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]

MAX_WORDS = 10_000_000
"""Words that are kept, 8 bytes each, and as many again before they are thinned out."""
MAX_CLASSES = 100
"""Different labels; a column with more does not hold classes of texts."""
DOCUMENT_WORDS = 4_096
"""Words of one text that are looked at: half of them from its start, half from its end."""
_BLOCK = 4 << 20
_TEXTS = 4_096
_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, slots=True)
class BlockWords:
    """Words of some consecutive texts.

    Attributes:
        start: position of the first of the texts.
        size: number of texts.
        docs: text of each word, ``int64`` of shape (words,), from 0, ascending.
        hashes: hash of each word, ``uint64`` of shape (words,).
        known: hash of each distinct word, ``uint64``, without order.
        spellings: the distinct words in lower case, as bytes.
    """

    start: int
    size: int
    docs: Ints
    hashes: Hashes
    known: Hashes
    spellings: pa.Array


def block_words(text: pa.Array) -> Iterator[BlockWords]:
    """The words of texts without nulls, a block of texts at a time."""
    data = pc.cast(text, pa.binary())
    if len(data) and pc.max(pc.binary_length(data)).as_py() > MAX_TEXT:
        data = pc.binary_slice(data, 0, MAX_TEXT)
    step = min(_TEXTS, max(1, _BLOCK * max(len(data), 1) // max(data.nbytes, 1)))
    for start in range(0, len(data), step):
        block = data.slice(start, step)
        words = split(block)
        counts = np.bincount(words.docs, minlength=len(block))
        first = np.cumsum(counts) - counts
        place = np.arange(len(words.docs)) - first[words.docs]
        half = DOCUMENT_WORDS // 2
        kept = (place < half) | (place >= counts[words.docs] - half)
        hashes = words.hashes[words.codes[kept]]
        yield BlockWords(start, len(block), words.docs[kept], hashes, words.hashes, words.spellings)


def mix(values: Hashes) -> Hashes:
    """Scramble 64-bit numbers so that all bits of one decide all bits of the other."""
    mixed = (values ^ (values >> np.uint64(32))) * _MIX
    mixed = (mixed ^ (mixed >> np.uint64(29))) * _STEP
    return np.asarray(mixed ^ (mixed >> np.uint64(32)), np.uint64)


def sequence_hashes(words: Hashes, starts: Ints) -> Hashes:
    """One hash for each of some sequences of words that follow each other, none empty."""
    if not len(starts):
        return np.empty(0, np.uint64)
    lengths = np.diff(np.append(starts, len(words)))
    place = (np.arange(len(words)) - np.repeat(starts, lengths)).astype(np.uint64)
    return mix(np.add.reduceat(mix(words + place * _STEP), starts))


@dataclass(frozen=True, slots=True)
class Sample:
    """Distinct pairs of a text and a label, in an order that chance might have given.

    Attributes:
        words: hashes of the words of all texts, ``uint64`` of shape (words,).
        starts: where in ``words`` each text begins, and the end, ``int64`` of shape (n + 1,).
        labels: codes into ``names``, ``int64`` of shape (n,).
        names: labels in order.
        rows: first row with each text and label: shard and position, ``int64`` of shape (n, 2).
        whole: no text was left out.
    """

    words: Hashes
    starts: Ints
    labels: Ints
    names: tuple[str, ...]
    rows: Ints
    whole: bool

    @property
    def size(self) -> int:
        """Number of texts."""
        return len(self.labels)


@dataclass(slots=True)
class _Chunk:
    """Some texts.

    Attributes:
        keys: hash of words and label.
        places: shard and position in one number.
        labels: hash of the label.
        counts: number of words.
        words: hashes of the words, one text after the other.
    """

    keys: Hashes
    places: Ints
    labels: Hashes
    counts: Ints
    words: Hashes

    def only(self, which: NDArray[np.bool_]) -> _Chunk:
        """Some of the texts."""
        if which.all():
            return self
        words = self.words[np.repeat(which, self.counts)]
        return _Chunk(
            self.keys[which], self.places[which], self.labels[which], self.counts[which], words
        )

    def take(self, texts: NDArray[np.intp]) -> _Chunk:
        """Some of the texts, in the order given."""
        words = gather(self.words, self.counts, texts)
        return _Chunk(
            self.keys[texts], self.places[texts], self.labels[texts], self.counts[texts], words
        )


def gather(words: Hashes, counts: Ints, texts: NDArray[np.intp]) -> Hashes:
    """The words of some texts, in the order given.

    Args:
        words: words of all texts, one text after the other.
        counts: words of each text.
        texts: which texts.
    """
    kept = counts[texts]
    begin = np.cumsum(counts)[texts] - kept
    where = np.repeat(begin - (np.cumsum(kept) - kept), kept) + np.arange(kept.sum())
    return np.asarray(words[where])


@dataclass(slots=True, unsafe_hash=True)
class Documents:
    """Keeps the texts with the smallest hashes, as many as have ``budget`` words together.

    Texts and labels that are equal count once. The smallest of all are among the smallest of any
    part, so parts can be thinned out before they are merged (bottom-k sampling: Cohen and Kaplan
    2007, "Summarizing data using bottom-k sketches").

    Attributes:
        budget: words to keep.
        share: of all different texts, those that are drawn before anything else is known of them,
            by their hashes: words are found in few of many texts then.
        rows: rows with a label and a word.
        names: label by its hash; empty once there were too many.
        overflow: there were more labels than ``MAX_CLASSES``; then nothing is kept.
        memo: what was made of the sample, for further detectors that ask.
    """

    budget: int = MAX_WORDS
    share: float = 1.0
    needs: frozenset[Role] = field(
        default=frozenset({Role.LABEL, Role.TEXT}), init=False, compare=False
    )
    rows: int = field(default=0, init=False, compare=False)
    names: dict[int, str] = field(default_factory=dict, init=False, compare=False)
    overflow: bool = field(default=False, init=False, compare=False)
    memo: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    _chunks: list[_Chunk] = field(default_factory=list, init=False, compare=False)
    _pending: int = field(default=0, init=False, compare=False)
    # The smallest key that did not fit: none above it may come back once there is room again.
    _limit: int | None = field(default=None, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        labels = batch.labels
        hashes = np.array([_label_hash(name) for name in labels.names] or [0], np.uint64)
        texts = batch.texts.indices
        used = np.flatnonzero((labels.codes >= 0) & (texts >= 0))
        pairs = texts[used] * len(hashes) + labels.codes[used]
        pairs, first, often = np.unique(pairs, return_index=True, return_counts=True)
        texts, codes = pairs // len(hashes), pairs % len(hashes)
        said, spoken, drawn = drawn_fingerprints(batch.texts.values, self.share)
        mine = np.flatnonzero(spoken[texts])
        self.rows += int(often[mine].sum())
        self._name([batch.labels.names[code] for code in np.unique(codes[mine]).tolist()])
        mine = mine[drawn[texts[mine]]]
        keys = mix(said[texts[mine]] + hashes[codes[mine]])
        if self._limit is not None:  # the others cannot be among the smallest any more
            mine, keys = mine[keys < np.uint64(self._limit)], keys[keys < np.uint64(self._limit)]
        texts, own, first = texts[mine], hashes[codes[mine]], first[mine]
        places = numbered(batch.shard, batch.rows[used[first], 1])
        wanted, texts = np.unique(texts, return_inverse=True)
        for block in block_words(batch.texts.values.take(pa.array(wanted))):
            counts = np.bincount(block.docs, minlength=block.size)
            here = np.flatnonzero((texts >= block.start) & (texts < block.start + block.size))
            docs = texts[here] - block.start
            words = gather(block.hashes, counts, docs)
            self._take(_Chunk(keys[here], places[here], own[here], counts[docs], words))

    def merge(self, other: Documents) -> None:
        """Take in what ``other`` has seen."""
        self.rows += other.rows
        self._limit = _least(self._limit, other._limit)
        self._name(other.names.values())
        if other.overflow:
            self._forget()
        for chunk in other._chunks:
            self._take(chunk)

    def sample(self, declared: Sequence[str] | None = None) -> Sample | None:
        """The texts kept; None when there were too many labels.

        Args:
            declared: class names; if there are any, the number -1 is a missing label, as it is
                where Hub datasets leave out the labels of a test set.
        """
        if self.overflow:
            return None
        self._thin()
        keys, places, hashed, counts = self._every()
        words = np.concatenate([chunk.words for chunk in self._chunks or [_nothing()]])
        chunk = _Chunk(keys, places, hashed, counts, words).take(np.argsort(keys))
        if declared and "-1" not in declared:
            chunk = chunk.take(np.flatnonzero(chunk.labels != np.uint64(_label_hash("-1"))))
        present = set(np.unique(chunk.labels).tolist())
        names = tuple(sorted(name for hashed, name in self.names.items() if hashed in present))
        by_hash = {_label_hash(name): code for code, name in enumerate(names)}
        order = np.array(sorted(by_hash), np.uint64)
        codes = np.array([by_hash[value] for value in order.tolist()], np.int64)
        labels = codes[np.searchsorted(order, chunk.labels)]
        rows = located(chunk.places)
        starts = np.concatenate([[0], np.cumsum(chunk.counts)]).astype(np.int64)
        whole = self._limit is None and self.share >= 1
        return Sample(chunk.words, starts, labels, names, rows, whole)

    def drop(self) -> None:
        """Forget the texts, of which a sample was made."""
        self._chunks, self._pending = [], 0

    @property
    def size(self) -> int:
        """Words that are kept."""
        self._thin()
        return self._pending

    def _name(self, names: Iterable[str]) -> None:
        if not self.overflow:
            self.names |= {_label_hash(name): name for name in names}
        if len(self.names) > MAX_CLASSES or sum(map(len, self.names.values())) > MAX_CHARACTERS:
            self._forget()

    def _take(self, chunk: _Chunk) -> None:
        if self.overflow:
            return
        if self._limit is not None:
            chunk = chunk.only(chunk.keys < np.uint64(self._limit))
        if len(chunk.keys):
            self._chunks.append(chunk)
            self._pending += len(chunk.words)
        if self._pending > 2 * self.budget:
            self._thin()

    def _thin(self) -> None:
        """Leave the smallest keys, equal ones once, within the budget."""
        keys, places, _, counts = self._every()
        order = np.lexsort((places, keys))
        new = np.ones(len(order), bool)
        new[1:] = keys[order][1:] != keys[order][:-1]
        order = order[new]
        fits = np.cumsum(counts[order]) <= self.budget
        if not fits.all():
            self._limit = _least(self._limit, int(keys[order[~fits][0]]))
        if self._limit is not None:
            fits &= keys[order] < np.uint64(self._limit)
        kept = np.zeros(len(keys), bool)
        kept[order[fits]] = True
        ends = np.cumsum([len(chunk.keys) for chunk in self._chunks])
        parts = [kept[end - len(c.keys) : end] for c, end in zip(self._chunks, ends, strict=True)]
        self._chunks = [c.only(part) for c, part in zip(self._chunks, parts, strict=True)]
        self._chunks = [chunk for chunk in self._chunks if len(chunk.keys)]
        self._pending = sum(len(chunk.words) for chunk in self._chunks)

    def _every(self) -> tuple[Hashes, Ints, Hashes, Ints]:
        """Keys, places, labels and numbers of words of all texts."""
        chunks = self._chunks or [_nothing()]
        names = ("keys", "places", "labels", "counts")
        keys, places, labels, counts = (
            np.concatenate([getattr(chunk, name) for chunk in chunks]) for name in names
        )
        return keys, places, labels, counts

    def _forget(self) -> None:
        self.overflow, self._pending = True, 0
        self.names.clear()
        self._chunks.clear()


def _least(one: int | None, other: int | None) -> int | None:
    return min((key for key in (one, other) if key is not None), default=None)


def _nothing() -> _Chunk:
    hashes, ints = np.empty(0, np.uint64), np.empty(0, np.int64)
    return _Chunk(hashes, ints, hashes, ints, hashes)


def _label_hash(name: str) -> int:
    return xxhash.xxh3_64_intdigest(name.encode("utf-8", "surrogatepass"))
