"""The rows that a small model is learnt from: suspects, and some of all others.

Which rows these are follows from what they hold, and neither from where they are nor from how the
data are cut into files.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from poisonscan.datasets.batch import Labels, Role
from poisonscan.detectors.datasets.label_codes import LabelCodes
from poisonscan.detectors.datasets.places import packed
from poisonscan.detectors.datasets.row_sample import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch
    from poisonscan.detectors.datasets.places import Places

    Ints = NDArray[np.int64]
    Hashes = NDArray[np.uint64]
    Marks = NDArray[np.bool_]

ROWS: Final = 8_000
"""Rows of a sample, about, besides suspects."""
SUSPECTS: Final = 500
"""Rows of a finding that are looked at, about, or as large a share of them as of all rows."""
TEXT: Final = 1_000
"""Characters that are kept of a text from its start, and as many from its end: a model of 8,000
texts of this length and 20 classes takes about ten seconds, and a finding up to two models."""
_SLACK: Final = 2
"""So many times the rows wanted are kept at most, should their hashes be made for it."""


class Sampled(NamedTuple):
    """Different rows, in order of what they hold, of their label and of who names them.

    Attributes:
        contents: hash of what a row shows or says, ``uint64`` of shape (n,).
        labels: codes into ``names``, ``int32`` of shape (n,).
        marks: which findings name it, of shape (n, findings).
        counts: how many such rows there are, ``int64`` of shape (n,).
        values: luminances, ``uint8`` of shape (n, 32, 32), or texts.
        names: labels in order; None when there were too many to be classes.
    """

    contents: Hashes
    labels: NDArray[np.int32]
    marks: Marks
    counts: Ints
    values: Any
    names: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows, see ``Sampled``; labels are codes of the aggregate."""

    contents: Hashes
    labels: NDArray[np.int32]
    marks: Marks
    counts: Ints
    values: Any

    def at(self, chosen: Ints | Marks) -> _Part:
        """Some of the rows."""
        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        shown = self.values
        values = shown[rows] if isinstance(shown, np.ndarray) else shown.take(pa.array(rows))
        return _Part(
            self.contents[rows], self.labels[rows], self.marks[rows], self.counts[rows], values
        )

    def distinct(self) -> _Part:
        """Each row once, in order."""
        named = self.marks @ (1 << np.arange(self.marks.shape[1], dtype=np.int64))
        keys = named, self.labels, self.contents
        rows = np.lexsort(keys)
        new = np.ones(len(rows), bool)
        new[1:] = np.any([key[rows][1:] != key[rows][:-1] for key in keys], axis=0)
        starts = np.flatnonzero(new)
        counts = np.add.reduceat(self.counts[rows], starts) if len(rows) else self.counts
        return replace(self.at(rows[starts]), counts=counts)

    @classmethod
    def joined(cls, parts: list[_Part]) -> _Part:
        """Several parts, of which there is one at least, as one."""
        values = [part.values for part in parts]
        shown = np.concatenate if isinstance(values[0], np.ndarray) else pa.concat_arrays
        return cls(
            np.concatenate([part.contents for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.marks for part in parts]),
            np.concatenate([part.counts for part in parts]),
            shown(values),
        )


@dataclass(slots=True, unsafe_hash=True)
class SuspectSample:
    """Keeps a share of all labelled rows, and one of each finding's, that a hash of a row picks.

    Attributes:
        where: file and first row of each shard.
        suspects: of each finding the packed places of its rows, ``int64``, as bytes; and the share
            of them that is kept.
        share: of all rows that is kept.
        pictures: pictures are kept, else texts.
        most: different rows that are kept of all, and of those of a finding.
    """

    where: Places
    suspects: tuple[tuple[bytes, float], ...]
    share: float
    pictures: bool
    most: tuple[int, int] = (_SLACK * ROWS, _SLACK * SUSPECTS)
    needs: frozenset[Role] = field(default=frozenset(), init=False, compare=False)
    _labels: LabelCodes = field(default_factory=LabelCodes, init=False, compare=False)
    _parts: list[_Part] = field(default_factory=list, init=False, compare=False)
    _kept: int = field(default=0, init=False, compare=False)
    _limits: list[float] = field(default_factory=list, init=False, compare=False)

    def __post_init__(self) -> None:
        self.needs = frozenset({Role.LABEL, Role.ENCODED if self.pictures else Role.TEXT})
        self._limits = self._shares()

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        contents = self._hashes(batch)
        places = packed(batch, self.where)
        marks = np.zeros((batch.size, len(self.suspects)), bool)
        for number, (rows, _) in enumerate(self.suspects):
            marks[:, number] = np.isin(places, np.frombuffer(rows, np.int64))
        named = (contents != 0) & (batch.labels.codes >= 0)
        first = np.flatnonzero(named & _within(contents, marks, self._shares()))
        # Also of rows that prove too many, or the labels would depend on the order of batches.
        codes = self._labels.coded(Labels(batch.labels.codes[first], batch.labels.names))
        kept = _within(contents[first], marks[first], self._limits)
        at, codes = first[kept], codes[kept]
        # Copies are read once.
        part = _Part(contents[at], codes, marks[at], np.ones(len(at), np.int64), at).distinct()
        values, usable = self._values(batch, part.values)
        self._take(replace(part.at(usable), values=values))

    def merge(self, other: SuspectSample) -> None:
        """Take in what ``other`` has seen."""
        lookup = self._labels.merged(other._labels)
        self._limits = [min(pair) for pair in zip(self._limits, other._limits, strict=True)]
        for part in other._parts:
            self._take(replace(part, labels=lookup[part.labels]))

    def sampled(self) -> Sampled | None:
        """The rows; None where there are none."""
        if not self._parts:
            return None
        names, order = self._labels.ordered()
        whole = _Part.joined(self._parts)
        part = self._fewest(replace(whole, labels=order[whole.labels]).distinct())
        return Sampled(part.contents, part.labels, part.marks, part.counts, part.values, names)

    def _shares(self) -> list[float]:
        return [self.share, *(share for _, share in self.suspects)]

    def _take(self, part: _Part) -> None:
        if not len(part.contents):
            return
        self._parts.append(part)
        self._kept += len(part.contents)
        if self._kept > 2 * sum(self.most):
            self._parts = [self._fewest(_Part.joined(self._parts).distinct())]
            self._kept = 0

    def _fewest(self, part: _Part) -> _Part:
        """Not more rows than are to be kept: those with the smallest hashes."""
        chance = luck(part.contents)
        groups = [np.ones(len(chance), bool), *part.marks.T]
        for number, group in enumerate(groups):
            most = self.most[min(number, 1)]
            if group.sum() > most:
                last = float(np.partition(chance[group], most)[most])
                self._limits[number] = min(self._limits[number], last)
        return part.at(_within(part.contents, part.marks, self._limits))

    def _hashes(self, batch: Batch) -> Hashes:
        """Of what each row shows or says; 0 where that is nothing."""
        if self.pictures:
            return batch.undecoded.hashes()
        values = batch.texts.values.cast(pa.large_binary())
        hashes = [hash_of(value.as_buffer()) for value in values]
        return np.array([*hashes, 0], np.uint64)[batch.texts.indices]

    def _values(self, batch: Batch, chosen: Ints) -> tuple[Any, Marks]:
        """What rows show or say, without those that cannot be read; and which can."""
        if self.pictures:
            pixels = batch.undecoded.decode(chosen)
            usable = np.asarray(np.isfinite(pixels.planes).all(axis=(1, 2)), bool)
            return np.clip(np.rint(pixels.planes[usable]), 0, 255).astype(np.uint8), usable
        texts = batch.texts.values.take(pa.array(batch.texts.indices[chosen]))
        texts = texts.cast(pa.large_string())
        long = pc.greater(pc.utf8_length(texts), 2 * TEXT)
        ends = [pc.utf8_slice_codeunits(texts, 0, TEXT), pc.utf8_slice_codeunits(texts, -TEXT)]
        cut = pc.binary_join_element_wise(*ends, pa.scalar(" ", pa.large_string()))
        return pc.if_else(long, cut, texts), np.ones(len(chosen), bool)


def _within(contents: Hashes, marks: Marks, limits: list[float]) -> Marks:
    """Which rows' chances are below the limit of all rows, or of a finding that names them."""
    own = np.where(marks, limits[1:], 0).max(axis=1, initial=limits[0])
    return np.asarray(luck(contents) < own, bool)


def hash_of(content: Any) -> int:
    """A hash that is the same in all processes, of a buffer; never 0."""
    return xxhash.xxh3_64_intdigest(content) or 1


def luck(contents: Hashes) -> NDArray[np.float64]:
    """A number from 0 to 1 for each row, by what it holds."""
    return np.asarray(mixed(contents.view(np.int64)) / np.float64(2**64), np.float64)
