"""A sample of the rows of a table: what their cells say, how they are written, their labels.

The sample is the rows with the smallest hash of their place (E. Cohen and H. Kaplan 2007,
"Summarizing data using bottom-k sketches"): the same however the rows are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from poisonscan.datasets.batch import Role
from poisonscan.datasets.delimited import as_numbers
from poisonscan.datasets.encoding import encoded
from poisonscan.datasets.words import holds_text, texts
from poisonscan.detectors.datasets.places import Places, packed, places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch, Labels
    from poisonscan.datasets.dataset import Dataset

ROWS = 65_536
"""Rows of a sample."""
CELLS = 4_000_000
"""Cells of a sample, 21 bytes each: wide tables have fewer rows."""
COLUMNS = 1_000
"""Columns that are looked at, the first ones."""
STEM = 64
"""Bytes of a string that its stem is made of."""
NAME = 200
"""Characters that are kept of a label."""
NO_LABEL = 0
"""In place of a label's hash where there is none."""

NUMBER, WORD, TEXT = "number", "word", "text"
"""Kinds of columns: numbers, short strings and prose, of which only the form is kept."""

EMPTY, LEADING, TRAILING, UPPER, LOWER = 1, 2, 4, 8, 16
"""How a cell is written: nothing there, blanks around it, letters of which case."""

MISSING = np.uint64(0x7FF8_0000_0000_0000)
"""The value of a cell that holds nothing: the bits of NaN."""

_PATTERNS = ((LEADING, r"^\s"), (TRAILING, r"\s$"), (UPPER, r"[A-Z]"), (LOWER, r"[a-z]"))
_NUMBERS = frozenset(
    ["float", "double", "halffloat"]
    + [f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64)]
)
_COUNTED = frozenset({
    "bool", "decimal32", "decimal64", "decimal128", "decimal256",
    "date32", "date64", "time32", "time64", "timestamp", "duration",
})  # fmt: skip
"""Types that are as good as numbers to who asks for values that come up again."""
_DICTIONARY = re.compile(r"dictionary<values=([^,]+), ")
_UNIT = re.compile(r"[\[(].*$")


@dataclass(frozen=True, slots=True)
class Sample:
    """Sampled rows in order of file and position.

    Attributes:
        rows: packed places, ``int64`` of shape (n,).
        total: rows that the sample was taken from.
        labels: codes into ``names``, ``int32`` of shape (n,); -1 where there is none.
        names: labels in order, the first ``NAME`` characters of each.
        columns: name and kind of each column.
        values: ``uint64`` of shape (n, columns): the bits of a number, the hash of a word.
        stems: ``uint64`` of shape (n, columns): the hash of a word without its digits.
        lengths: bytes of a string, ``int32`` of shape (n, columns).
        forms: how a cell is written, ``uint8`` of shape (n, columns).
    """

    rows: NDArray[np.int64]
    total: int
    labels: NDArray[np.int32]
    names: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    values: NDArray[np.uint64]
    stems: NDArray[np.uint64]
    lengths: NDArray[np.int32]
    forms: NDArray[np.uint8]

    def numbers(self, column: int) -> NDArray[np.float64]:
        """The numbers of a column, ``float64`` of shape (n,), NaN where there is none."""
        return np.ascontiguousarray(self.values[:, column]).view(np.float64)

    def at(self, chosen: NDArray[np.intp]) -> Sample:
        """Some of the rows."""
        return replace(
            self,
            rows=self.rows[chosen],
            labels=self.labels[chosen],
            values=self.values[chosen],
            stems=self.stems[chosen],
            lengths=self.lengths[chosen],
            forms=self.forms[chosen],
        )

    def distinct(self) -> Sample:
        """The first of rows that say the same and have the same label."""
        return self.at(np.sort(np.unique(self.contents(), return_index=True)[1]))

    def contents(self) -> NDArray[np.uint64]:
        """A hash of what each row says and of its label, ``uint64`` of shape (n,)."""
        keys = mixed(self.labels.astype(np.int64))
        for column in range(len(self.columns)):
            for part in (self.values, self.lengths):
                keys = mixed((keys ^ part[:, column].astype(np.uint64)).view(np.int64))
        return keys


@dataclass(slots=True, unsafe_hash=True)
class RowSample:
    """Keeps the rows with the smallest hash of their place.

    Attributes:
        places: file and first row of each shard.
        columns: name and kind of the columns to keep.
        size: rows to keep.
        total: rows seen.
    """

    places: Places
    columns: tuple[tuple[str, str], ...]
    size: int = ROWS
    needs: frozenset[Role] = field(
        default=frozenset({Role.CELLS, Role.LABEL}), init=False, compare=False
    )
    total: int = field(default=0, init=False, compare=False)
    _parts: list[_Part] = field(default_factory=list, init=False, compare=False)
    _kept: int = field(default=0, init=False, compare=False)
    _limit: np.uint64 = field(default=np.uint64(2**64 - 1), init=False, compare=False)
    _names: dict[int, str] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        self.total += batch.size
        rows = packed(batch, self.places)
        keys = mixed(rows)
        chosen = np.flatnonzero(keys <= self._limit)
        if len(chosen) > self.size:
            chosen = np.sort(chosen[np.argpartition(keys[chosen], self.size)[: self.size]])
        if not len(chosen):
            return
        labels = self._hashed(batch.labels)[batch.labels.codes[chosen]]
        part = _Part(keys[chosen], rows[chosen], labels, len(self.columns))
        taken = pa.array(chosen)
        for index, (name, kind) in enumerate(self.columns):
            part.fill(index, batch.cells[name].take(taken), kind)
        self._take(part)

    def merge(self, other: RowSample) -> None:
        """Take in what ``other`` has seen."""
        self.total += other.total
        self._names |= other._names
        for part in other._parts:
            self._take(part)

    def sample(self) -> Sample:
        """The sample, in an order that does not depend on how the rows were read."""
        whole = _Part.joined([_Part.empty(len(self.columns)), *self._parts]).smallest(self.size)
        whole = whole.at(np.argsort(whole.rows))
        used = sorted((self._names[key], key) for key in set(whole.labels.tolist()) - {NO_LABEL})
        hashes = np.array([key for _, key in used], np.uint64)
        order = np.argsort(hashes)
        labels = np.full(len(whole.rows), -1, np.int32)
        there = np.flatnonzero(whole.labels)
        labels[there] = order[np.searchsorted(hashes[order], whole.labels[there])]
        return Sample(
            whole.rows,
            self.total,
            labels,
            tuple(name for name, _ in used),
            self.columns,
            whole.values,
            whole.stems,
            whole.lengths,
            whole.forms,
        )

    def _hashed(self, labels: Labels) -> NDArray[np.uint64]:
        """The hash of each label; the last entry serves code -1."""
        hashes = np.full(len(labels.names) + 1, NO_LABEL, np.uint64)
        for code, name in enumerate(labels.names):
            data = name.encode("utf-8", "surrogatepass")
            hashes[code] = key = xxhash.xxh3_64_intdigest(data) or 1
            self._names.setdefault(key, name[:NAME])
        return hashes

    def _take(self, part: _Part) -> None:
        self._parts.append(part)
        self._kept += len(part.rows)
        if self._kept > 2 * self.size:
            whole = _Part.joined(self._parts).smallest(self.size)
            self._parts, self._kept = [whole], len(whole.rows)
            self._limit = whole.keys.max()
        if len(self._names) > 2 * self.size:
            used = {key for each in self._parts for key in np.unique(each.labels).tolist()}
            self._names = {key: name for key, name in self._names.items() if key in used}


class _Part:
    """Some rows of a sample."""

    __slots__ = ("forms", "keys", "labels", "lengths", "rows", "stems", "values")

    def __init__(
        self,
        keys: NDArray[np.uint64],
        rows: NDArray[np.int64],
        labels: NDArray[np.uint64],
        columns: int,
    ) -> None:
        shape = (len(rows), columns)
        self.keys, self.rows, self.labels = keys, rows, labels
        self.values = np.full(shape, MISSING, np.uint64)
        self.stems = np.full(shape, MISSING, np.uint64)
        self.lengths = np.zeros(shape, np.int32)
        self.forms = np.zeros(shape, np.uint8)

    @classmethod
    def empty(cls, columns: int) -> _Part:
        none = np.empty(0, np.int64)
        return cls(none.astype(np.uint64), none, none.astype(np.uint64), columns)

    @classmethod
    def joined(cls, parts: list[_Part]) -> _Part:
        out = cls.empty(0)
        for name in cls.__slots__:
            setattr(out, name, np.concatenate([getattr(part, name) for part in parts]))
        return out

    def at(self, chosen: NDArray[np.intp]) -> _Part:
        out = _Part.empty(0)
        for name in self.__slots__:
            setattr(out, name, getattr(self, name)[chosen])
        return out

    def smallest(self, size: int) -> _Part:
        if len(self.keys) <= size:
            return self
        return self.at(np.argpartition(self.keys, size - 1)[:size])

    def fill(self, index: int, cells: pa.Array, kind: str) -> None:
        """Take in a column."""
        if kind == NUMBER:
            self.values[:, index] = values = _number_bits(cells)
            if not holds_text(cells.type):
                self.forms[:, index] = np.where(values == MISSING, EMPTY, 0)
                return
        codes, data = _words(cells)
        self.lengths[:, index] = np.asarray(pc.binary_length(data))[codes]
        self.forms[:, index] = _forms(data)[codes]
        if kind == WORD:
            self.values[:, index] = _hashes(data)[codes]
            short = pc.binary_slice(data, 0, STEM)
            self.stems[:, index] = _hashes(pc.replace_substring_regex(short, r"[0-9]+", ""))[codes]


def bits(cells: pa.Array, kind: str) -> NDArray[np.uint64]:
    """The values of a column as a sample keeps them: the bits of a number, the hash of a word."""
    if kind == NUMBER:
        return _number_bits(cells)
    codes, data = _words(cells)
    return _hashes(data)[codes]


def _number_bits(cells: pa.Array) -> NDArray[np.uint64]:
    if pa.types.is_dictionary(cells.type):
        cells = cells.dictionary_decode()
    if pa.types.is_temporal(cells.type):  # days, seconds or parts of them, counted from some start
        whole = pa.int32() if cells.type.bit_width == 32 else pa.int64()
        cells = cells.cast(whole)
    numbers = np.asarray(pc.fill_null(as_numbers(cells), np.nan), np.float64) + 0.0
    numbers[np.isnan(numbers)] = np.nan
    return numbers.view(np.uint64)


def _words(cells: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Codes of strings, and the bytes of each code; the last is the empty one, of code -1."""
    codes, distinct = encoded(texts(cells))
    return codes, pa.concat_arrays([distinct.cast(pa.binary()), pa.array([b""], pa.binary())])


def _forms(data: pa.Array) -> NDArray[np.uint8]:
    forms = np.where(np.asarray(pc.equal(pc.binary_length(data), 0), bool), EMPTY, 0)
    for flag, pattern in _PATTERNS:
        forms |= np.where(np.asarray(pc.match_substring_regex(data, pattern), bool), flag, 0)
    return forms.astype(np.uint8)


def _hashes(data: pa.Array) -> NDArray[np.uint64]:
    """64-bit hash of each string, that of the empty one ``MISSING``."""
    hashes = [xxhash.xxh3_64_intdigest(word) if word else int(MISSING) for word in data.to_pylist()]
    return np.array(hashes, np.uint64)


def mixed(numbers: NDArray[np.int64]) -> NDArray[np.uint64]:
    """A different number for each: the finalizer of SplitMix64 (Steele et al. 2014)."""
    out = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    out = (out ^ (out >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    out = (out ^ (out >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return out ^ (out >> np.uint64(31))


def holds_numbers(dataset: Dataset, column: str) -> bool:
    """Whether a column holds single numbers, perhaps written as text."""
    return dataset.columns[column] in _NUMBERS


def row_sample(dataset: Dataset) -> RowSample:
    """A sample of the columns of a dataset, the label apart."""
    kinds = ((name, _kind(dataset, name)) for name in _asked(dataset))
    columns = [(name, kind) for name, kind in kinds if kind is not None]
    kept = tuple(columns[:COLUMNS])
    return RowSample(places(dataset), kept, min(ROWS, CELLS // max(len(kept), 1)))


def unsampled(dataset: Dataset) -> tuple[list[str], int]:
    """Columns of lists, structs or bytes, which a sample leaves out; how many it has no room for.

    Only the first ``COLUMNS`` of those that hold numbers or strings are taken.
    """
    names = _asked(dataset)
    other = [name for name in names if _kind(dataset, name) is None]
    return other, max(len(names) - len(other) - COLUMNS, 0)


def _asked(dataset: Dataset) -> list[str]:
    label = dataset.roles.get("label", ())
    return [name for name in dataset.cells if name not in label]


def _kind(dataset: Dataset, name: str) -> str | None:
    """What a column holds; None if that is neither numbers nor strings."""
    encoded = _DICTIONARY.match(dataset.columns[name])
    kind = encoded.group(1) if encoded else dataset.columns[name]
    if _UNIT.sub("", kind) in _NUMBERS | _COUNTED:
        return NUMBER
    if name in dataset.roles.get("text", ()):
        return TEXT
    return WORD if kind in ("string", "large_string") else None
