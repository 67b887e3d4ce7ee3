"""What a column is by its type and a sample of its values."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.delimited import as_numbers
from poisonscan.datasets.encoding import encoded
from poisonscan.datasets.numbers import list_lengths
from poisonscan.datasets.picture_files import looks_like_picture
from poisonscan.datasets.pixel_lists import hold_pixels, is_list

if TYPE_CHECKING:
    from poisonscan.datasets.layouts import Layout

MIN_EACH = 5
"""Rows for each value of a column of classes, on average."""
MIN_EVEN = 0.9
"""Entropy of a column of which nothing but its values tells that they are classes, of what as many
values could have at most: classes are about as large."""
MAX_DATE = 60
"""Bytes of the longest cell of a column of dates."""
_DATE = r"(?i)\b(?:jan|feb|mar|apr|may|june?|july?|aug|sep|oct|nov|dec)[a-z]*\.? \d{1,2},? \d{4}\b"
MIN_COUNTER = 32
"""Rows of a sample from which values that count up are an identifier."""


class SampledColumn:
    """A column and its sample."""

    def __init__(self, sample: pa.Table, field: pa.Field, found: Layout) -> None:
        self.name: str = field.name
        self.key = field.name.strip().lower()
        self.classes = field.name in found.classes
        self.picture = field.name in found.pictures
        chunks = sample.column(field.name)
        self.values: pa.Array = chunks.chunk(0) if chunks.num_chunks else pa.nulls(0, chunks.type)
        kind = field.type
        self.type = kind.value_type if pa.types.is_dictionary(kind) else kind

    @property
    def is_string(self) -> bool:
        """Strings of any length."""
        return bool(pa.types.is_string(self.type) or pa.types.is_large_string(self.type))

    @property
    def is_number(self) -> bool:
        """Integers or floats."""
        return bool(pa.types.is_integer(self.type) or pa.types.is_floating(self.type))

    @cached_property
    def distinct(self) -> pa.Array:
        """Its values, each once."""
        return encoded(self.values)[1]

    @property
    def rows(self) -> int:
        """Values that are there."""
        return len(self.values) - int(self.values.null_count)

    def is_discrete(self, limit: int) -> bool:
        """Integers, booleans, strings or whole floats with at most ``limit`` values."""
        simple = self.is_string or self.is_number or pa.types.is_boolean(self.type)
        if not simple or not 0 < len(self.distinct) <= limit:
            return False
        if pa.types.is_floating(self.type):
            numbers = np.asarray(as_numbers(self.distinct))
            return bool((numbers[np.isfinite(numbers)] % 1 == 0).all())
        return True

    def has_few(self, limit: int) -> bool:
        """Whether the values are at most ``limit`` discrete ones that come up again."""
        return self.is_discrete(min(limit, self.rows // MIN_EACH)) and len(self.distinct) > 1

    def is_even(self) -> bool:
        """Whether the values are a few words that come up about as often."""
        if not self.is_string or not 2 <= len(self.distinct) <= min(100, self.rows // MIN_EACH):
            return False
        counts = np.asarray(pc.value_counts(self.values.drop_null()).field("counts"))
        shares = counts / counts.sum()
        return bool(-(shares * np.log(shares)).sum() >= MIN_EVEN * np.log(len(shares)))

    def counts_up(self) -> bool:
        """Whether the values are row numbers, or names in strictly rising order."""
        if self.rows < MIN_COUNTER or self.rows < len(self.values):
            return False
        if pa.types.is_integer(self.type):
            numbers = np.asarray(as_numbers(self.values))
            return bool((np.diff(numbers) == 1).all())
        if not self.is_string or len(self.distinct) < self.rows:
            return False
        texts = self.values.cast(pa.binary()).to_pylist()
        return all(a < b for a, b in pairwise(texts)) and not any(
            b" " in text or len(text) > 64 for text in texts
        )

    def is_prose(self) -> bool:
        """Whether most strings are distinct and of several words."""
        if not self.is_string or len(self.distinct) * 2 < self.rows or not self.rows:
            return False
        dates = pc.sum(pc.match_substring_regex(self.distinct, _DATE)).as_py() or 0
        lengths = np.asarray(pc.binary_length(self.distinct))
        if dates > 0.9 * len(self.distinct) and lengths.max() < MAX_DATE:
            return False
        spaced = pc.sum(pc.match_substring(self.distinct, " ")).as_py() or 0
        return bool(np.median(lengths) >= 20) and spaced * 2 >= len(self.distinct)


def vector_length(lists: pa.Array, share: float = 0.9) -> int:
    """Numbers in the lists of a column.

    Args:
        lists: a sample of the column.
        share: at least so many of the lists that are there are equally long.

    Returns:
        The most common length; 0 when it is not common enough or these are no lists of numbers.
    """
    kind = lists.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind)):
        return 0
    if not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return 0
    lengths = list_lengths(lists)
    found, counts = np.unique(lengths[lengths > 0], return_counts=True)
    if not found.size or counts.max() < share * counts.sum():
        return 0
    return int(found[counts.argmax()])


def holds_pictures(column: SampledColumn) -> bool:
    """Whether a column holds picture files or lists of pixels, by what is in it."""
    if is_list(column.type):
        return hold_pixels(column.values, column.key)
    values = column.values
    if pa.types.is_struct(column.type):
        if column.type.get_field_index("bytes") < 0:
            return False
        values = values.field("bytes")
    return looks_like_picture(_heads(values))


def _heads(values: pa.Array) -> list[bytes]:
    """The first bytes of some values of a column of bytes; none of another."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return []
    head = encoded(values.drop_null().slice(0, 16))[1]
    starts: list[bytes] = pc.binary_slice(head.cast(pa.binary()), 0, 16).to_pylist()
    return starts
