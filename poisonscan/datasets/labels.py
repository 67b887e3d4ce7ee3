"""A column of labels as codes and names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.batch import Labels
from poisonscan.datasets.encoding import encoded

if TYPE_CHECKING:
    from collections.abc import Sequence


def labels(column: pa.Array, classes: Sequence[str] = (), *, numeric: bool = False) -> Labels:
    """Labels of a batch.

    Null, NaN and empty text are a missing label. Numbers without a fraction are written as
    integers, so ``1`` and ``1.0`` are the same label.

    Args:
        column: integers, floating-point numbers, booleans or strings.
        classes: declared names by number. A number outside keeps itself as its name: ``-1``.
        numeric: whether strings hold numbers (columns of delimited text).
    """
    indices, values = encoded(column)
    names: dict[str, int] = {}
    codes = np.full(len(values) + 1, -1, np.int32)  # the last entry serves index -1
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = values.cast(pa.binary())  # parquet does not promise that its text is UTF-8
    for i, value in enumerate(values.to_pylist()):
        name = _name(value, classes, numeric=numeric)
        if name:
            codes[i] = names.setdefault(name, len(names))
    return Labels(codes[indices], tuple(names))


def labels_of(names: Sequence[str]) -> Labels:
    """Labels that are known by name; an empty name is a missing label."""
    return labels(pa.array(names, pa.string()))


def _name(value: object, classes: Sequence[str], *, numeric: bool) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if numeric and isinstance(value, str):
        value = _number(value)
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        value = int(value) if value.is_integer() else value
    if classes and isinstance(value, int) and 0 <= value < len(classes):
        return classes[value]
    return str(value)


def _number(text: str) -> float | int | str:
    trimmed = text.strip()
    for read in (int, float):
        try:
            return read(trimmed)
        except ValueError:
            continue
    return trimmed
