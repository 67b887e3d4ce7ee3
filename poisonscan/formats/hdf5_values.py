"""Values in HDF5 files that may hold a pickle: small ones, read within bounds.

PyTables (and with it pandas and deepdish) pickles Python objects into text attributes and into
arrays of variable-length bytes; hickle and users of h5py write them as opaque values or bytes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from poisonscan.formats.pickle_stream import begins_pickle
from poisonscan.limits import Budget, LimitReached

_LARGEST_ATTRIBUTE: Final = 16 << 20
_LARGEST_VALUE: Final = 64 << 20
"""Bytes of a dataset, or of one of its chunks, that are read to look for a pickle."""
_ELEMENTS: Final = 100_000
"""Elements of an array of variable-length bytes that are looked at."""
_TEXTS: Final = 1_024
"""Elements of an array of texts that are looked at: no known loader unpickles these."""
_BLOCK: Final = 64
_BEGINS: Final = re.compile(rb"\x80[\x02-\x05][\x95(\[\]}\x8c\x8dcXKJU\x88\x89Nq]")
_HEAD: Final = 16


def attribute(node: Any, handle: Any, budget: Budget) -> bytes | None:
    """The bytes of a text, opaque or byte attribute; None for one of another type.

    Raises:
        LimitReached: it is too large.
    """
    import h5py
    import numpy as np

    kind = handle.get_type()
    count = math.prod(handle.shape) if handle.shape is not None else 0
    text = isinstance(kind, h5py.h5t.TypeStringID)
    variable = is_variable(kind)
    integer = isinstance(kind, h5py.h5t.TypeIntegerID) and kind.get_size() == 1
    if not (text or variable or integer or isinstance(kind, h5py.h5t.TypeOpaqueID)):
        return None
    # Elements of variable length may all name the same large one, so arrays of them are no bytes.
    if count == 0 or (variable and count > 1):
        return None
    if count * kind.get_size() > _LARGEST_ATTRIBUTE:
        shown = ascii(handle.name)[:120]
        message = f"attribute {shown} of {count * kind.get_size():,} bytes"
        raise LimitReached(message)
    if not variable and count * kind.get_size() > 1:
        # Read as it is stored: text types lose the zero bytes at their end.
        raw = np.zeros(handle.shape, dtype=f"V{kind.get_size()}")
        handle.read(raw, mtype=kind)
        data = raw.tobytes()
    else:
        data = as_bytes(node.attrs[handle.name])
    budget.take_unpacked(len(data))
    return data


def is_variable(kind: Any) -> bool:
    """Whether values of a type are in a global heap."""
    import h5py

    text = isinstance(kind, h5py.h5t.TypeStringID)
    return isinstance(kind, h5py.h5t.TypeVlenID) or (text and bool(kind.is_variable_str()))


def as_bytes(value: Any) -> bytes:
    """A value as the library gives it, as the bytes that were stored; empty for other types."""
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if hasattr(value, "tobytes") and value.dtype.kind in "SVuib" and value.dtype.fields is None:
        return bytes(value.tobytes())
    if hasattr(value, "dtype") and value.dtype.kind == "O" and value.size == 1:
        return as_bytes(value.reshape(-1)[0])
    return b""


def dataset_pieces(dataset: Any, budget: Budget) -> Iterator[bytes]:
    """Byte strings in a dataset that is no array of numbers.

    Raises:
        LimitReached: it may hold a pickle, and is too large to look.
    """
    import h5py

    kind = dataset.id.get_type()
    shape = dataset.shape
    if shape is None or math.prod(shape) == 0 or len(shape) > 2:
        return
    if isinstance(kind, h5py.h5t.TypeVlenID):
        if kind.get_super().get_size() == 1:
            yield from _elements(dataset, _ELEMENTS, budget, whole=True)
    elif isinstance(kind, h5py.h5t.TypeStringID) and kind.is_variable_str():
        yield from _elements(dataset, _TEXTS, budget, whole=False)
    elif isinstance(kind, h5py.h5t.TypeOpaqueID | h5py.h5t.TypeStringID) and kind.get_size() > 1:
        if math.prod(shape) * kind.get_size() > _LARGEST_VALUE:
            _require_fit(dataset, kind)
        yield from _elements(dataset, _TEXTS, budget, whole=False)
    elif (
        kind.get_size() == 1
        and len(shape) < 2
        and isinstance(kind, h5py.h5t.TypeIntegerID | h5py.h5t.TypeOpaqueID | h5py.h5t.TypeStringID)
    ):
        yield from _one(dataset, kind, budget)


def _require_fit(dataset: Any, kind: Any) -> None:
    """Refuse a dataset that has to be unpacked in pieces that are too large."""
    chunk = dataset.chunks
    if chunk is not None and math.prod(chunk) * kind.get_size() > _LARGEST_VALUE:
        message = f"a chunk of more than {_LARGEST_VALUE:,} bytes is not unpacked"
        raise LimitReached(message)


def _elements(dataset: Any, most: int, budget: Budget, *, whole: bool) -> Iterator[bytes]:
    """Elements one by one, the first ``most`` of them."""
    if not dataset.shape:
        value = as_bytes(dataset[()])
        budget.take_unpacked(len(value))
        yield value
        return
    rows = dataset.shape[0]
    for start in range(0, min(rows, most), _BLOCK):
        block = dataset[start : min(start + _BLOCK, rows, most)]
        for item in block.reshape(-1):
            value = as_bytes(item)
            budget.take_unpacked(len(value))
            yield value
    if whole and rows > most:
        message = f"an array of {rows:,} byte strings; {most:,} were looked at"
        raise LimitReached(message)


def _one(dataset: Any, kind: Any, budget: Budget) -> Iterator[bytes]:
    """A row of bytes, if it begins as a pickle does."""
    length = math.prod(dataset.shape)
    _require_fit(dataset, kind)
    head = as_bytes(dataset[:_HEAD] if dataset.shape else dataset[()])
    if not _BEGINS.match(head) and (length > _LARGEST_VALUE or not _may_be_text(head)):
        return
    if length > _LARGEST_VALUE:
        message = f"{length:,} bytes that begin as a pickle does"
        raise LimitReached(message)
    budget.take_unpacked(length)
    yield as_bytes(dataset[()])


def _may_be_text(head: bytes) -> bool:
    """Whether bytes may begin a pickle of protocol 0 or 1, whose first opcodes are letters."""
    return head[:1] in b"(])}lcidVSILFXUGN" and head[:1] != b""


def pickles(pieces: Iterable[bytes], *, text: bool) -> Iterator[memoryview]:
    """Those of the byte strings that begin as pickles do.

    Args:
        pieces: values as they are stored.
        text: whether they stand in text attributes, which may be padded with zero bytes.
    """
    for piece in pieces:
        view = memoryview(piece.rstrip(b"\0") if text else piece)
        if len(view) > 1 and begins_pickle(view):
            yield view
