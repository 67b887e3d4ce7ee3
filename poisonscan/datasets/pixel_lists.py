"""Pictures that are stored as their pixels: arrays, and columns of nested lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.numbers import list_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIN_SIDE, MAX_SIDE = 8, 4_096
"""Height and width of what counts as a picture."""
WHITE = 255
NAMES = frozenset({
    "image", "images", "img", "imgs", "picture", "pictures", "pixels", "pixel_values", "photo",
    "thumbnail",
})  # fmt: skip
"""What columns of pictures are called."""
_LOOKED_AT = 16
_BROKEN = b""


def like_pictures(shape: Sequence[int]) -> bool:
    """Whether an array may hold pictures: one each row, of one channel or three."""
    if len(shape) == 3:
        sides = shape[1:]
    elif len(shape) == 4 and shape[3] in {1, 3}:
        sides = shape[1:3]
    elif len(shape) == 4 and shape[1] in {1, 3}:
        sides = shape[2:]
    else:
        return False
    return all(MIN_SIDE <= side <= MAX_SIDE for side in sides)


def as_picture_files(rows: NDArray[np.generic], scale: int) -> pa.Array:
    """Pictures as files of the simplest format that holds their pixels, PGM or PPM.

    Args:
        rows: of a shape that is ``like_pictures``.
        scale: what the values are multiplied by to lie between 0 and 255.
    """
    if rows.ndim == 4 and rows.shape[3] not in {1, 3}:
        rows = rows.transpose(0, 2, 3, 1)
    if scale != 1:
        with np.errstate(invalid="ignore"):
            rows = np.rint(np.clip(np.nan_to_num(rows), 0, 1) * scale)
    pixels = np.ascontiguousarray(rows).astype(np.uint8)
    kind = b"P6" if pixels.ndim == 4 and pixels.shape[3] == 3 else b"P5"
    head = b"%s %d %d 255\n" % (kind, pixels.shape[2], pixels.shape[1])
    flat = pixels.reshape(len(pixels), -1)
    out = np.empty((len(flat), len(head) + flat.shape[1]), np.uint8)
    out[:, : len(head)] = np.frombuffer(head, np.uint8)
    out[:, len(head) :] = flat
    ends = np.arange(len(out) + 1, dtype=np.int64) * out.shape[1]
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(out)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(out), buffers)


def is_list(kind: pa.DataType) -> bool:
    """Whether values of a type are lists."""
    large = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return bool(large or pa.types.is_fixed_size_list(kind))


def hold_pixels(lists: pa.Array, name: str) -> bool:
    """Whether a column holds pictures as lists of rows of pixels.

    Bytes in such lists are pixels. Other numbers may be a board or a matrix of anything: the name
    of the column must say that they are not.

    Args:
        lists: a sample of the column.
        name: of the column, in small letters.
    """
    pixels = _stacked(lists.drop_null().slice(0, _LOOKED_AT))
    if pixels is None or not like_pictures(pixels.shape) or not _scale(pixels):
        return False
    return pixels.dtype == np.uint8 or name in NAMES


def files_of_lists(lists: pa.Array) -> pa.Array:
    """Picture files of a column that ``hold_pixels``; empty, and so broken, where a row does not.

    Rows may differ in size, and in whether their pixels go up to 1 or to 255.
    """
    valid = np.asarray(lists.is_valid(), bool)
    files = _files(lists.drop_null())
    places = np.where(valid, np.cumsum(valid) - 1, 0)
    return files.take(pa.array(places, mask=~valid))


def _files(lists: pa.Array) -> pa.Array:
    if not len(lists):
        return pa.array([], pa.large_binary())
    pixels = _stacked(lists)
    scale = _scale(pixels) if pixels is not None and like_pictures(pixels.shape) else 0
    if pixels is not None and scale:
        return as_picture_files(pixels, scale)
    forms = _forms(lists)
    _, of = np.unique(forms, axis=0, return_inverse=True)
    order = np.argsort(of.reshape(-1), kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(of.reshape(-1)[order])) + 1)
    parts = [_alike(lists.take(pa.array(rows)), int(forms[rows[0], -1])) for rows in groups]
    return pa.concat_arrays(parts).take(pa.array(np.argsort(order, kind="stable")))


def _alike(lists: pa.Array, scale: int) -> pa.Array:
    """The same of rows of one form."""
    pixels = _stacked(lists) if scale else None
    if pixels is None or not like_pictures(pixels.shape):
        return pa.array([_BROKEN] * len(lists), pa.large_binary())
    return as_picture_files(pixels, scale)


def _forms(lists: pa.Array) -> NDArray[np.int64]:
    """Lengths of the lists in each row, outermost first, and the scale of its numbers.

    Returns:
        Of shape (rows, depth + 1); the scale is 0 where lists differ in length, or the numbers are
        no pixels.
    """
    rows = len(lists)
    owner, inner = np.arange(rows), lists
    forms, fit = [], np.ones(rows, bool)
    while is_list(inner.type):
        lengths = list_lengths(inner)
        fit[owner[~np.asarray(inner.is_valid(), bool)]] = False
        most = np.zeros(rows, np.int64)
        np.maximum.at(most, owner, lengths)
        fit[owner[lengths != most[owner]]] = False
        forms.append(most)
        owner, inner = np.repeat(owner, lengths), inner.flatten()
    if not pa.types.is_integer(inner.type) and not pa.types.is_floating(inner.type):
        return np.column_stack([*forms, np.zeros(rows, np.int64)])
    fit[owner[~np.asarray(inner.is_valid(), bool)]] = False
    scale = np.ones(rows, np.int64)
    if inner.type != pa.uint8():
        values = np.asarray(inner.fill_null(0)).astype(np.float64)
        fit[owner[~((values >= 0) & (values <= WHITE))]] = False
        if pa.types.is_floating(inner.type):
            scale[:] = WHITE
            scale[owner[values > 1]] = 1
    return np.column_stack([*forms, np.where(fit, scale, 0)])


def _stacked(lists: pa.Array) -> NDArray[np.generic] | None:
    """Nested lists of the same lengths as an array; None where they are not, or miss a number."""
    shape, inner = [len(lists)], lists
    while is_list(inner.type):
        lengths = np.unique(list_lengths(inner))
        if len(lengths) != 1 or inner.null_count:
            return None
        shape.append(int(lengths[0]))
        inner = inner.flatten()
    numeric = pa.types.is_integer(inner.type) or pa.types.is_floating(inner.type)
    if not numeric or inner.null_count:
        return None
    return np.asarray(inner).reshape(shape)


def _scale(pixels: NDArray[np.generic]) -> int:
    """What all pixels are multiplied by to lie between 0 and 255; 0 for what is no pixels."""
    if pixels.dtype == np.uint8:
        return 1
    values = pixels.astype(np.float64)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > WHITE:
        return 0
    if pixels.dtype.kind != "f":
        return 1
    tops = values.max(axis=tuple(range(1, values.ndim)))
    if (tops <= 1).all():
        return WHITE
    return 1 if (tops > 1).all() else 0
