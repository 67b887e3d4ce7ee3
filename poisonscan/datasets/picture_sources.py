"""The bytes of pictures: from columns, from files on disk, from archives."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from poisonscan.datasets.encoding import encoded
from poisonscan.datasets.pixel_lists import files_of_lists, is_list
from poisonscan.formats.members import opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from poisonscan.formats.base import TableFile

MAX_FILE = 64 << 20
"""Bytes of a picture."""


def sources(
    column: pa.Array, folder: Path
) -> tuple[Iterator[bytes | pa.Buffer | str], NDArray[np.int64]]:
    """The different pictures of a column of bytes, of structs of bytes and path, or of lists.

    A path is followed only when there are no bytes and it stays inside ``folder``.

    Returns:
        The bytes of each, read when it is its turn, or why there are none; and for each row which
        of them it shows, -1 where it has none.
    """
    if is_list(column.type):
        column = files_of_lists(column)
    if pa.types.is_struct(column.type):
        fields = {f.name: column.field(i) for i, f in enumerate(column.type)}
        data = fields.get("bytes", pa.nulls(len(column), pa.binary()))
        paths = fields.get("path", pa.nulls(len(column), pa.string()))
        present = np.asarray(column.is_valid(), bool)
    elif _holds_paths(column.type):
        data, paths = pa.nulls(len(column), pa.binary()), column
        present = np.ones(len(column), bool)
    else:
        data, paths = column, pa.nulls(len(column), pa.string())
        present = np.ones(len(column), bool)
    indices, values = encoded(data)
    indices = np.where(present, indices, -1)
    outside = np.flatnonzero((indices < 0) & np.asarray(paths.is_valid(), bool) & present)
    # One file after the other, each once: rows may all name the same large one.
    which, names = encoded(paths.take(pa.array(outside)))
    indices[outside] = len(values) + which
    from_files = (inside(folder, name.as_py()) for name in names)
    return itertools.chain((value.as_buffer() for value in values), from_files), indices


def _holds_paths(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def picture_bytes(item: bytes | pa.Buffer | str) -> bytes:
    """The bytes of a picture.

    Raises:
        OSError: there are none, for the reason that a string gives, or too many.
    """
    if isinstance(item, str):
        raise OSError(item)
    if len(item) > MAX_FILE:
        message = f"a picture of more than {MAX_FILE:,} bytes"
        raise OSError(message)
    return item if isinstance(item, bytes) else item.to_pybytes()


def inside(folder: Path, path: str) -> bytes | str:
    """Bytes of a file below a folder, or why it is not read."""
    try:
        target = (folder / path).resolve()
        if Path(path).is_absolute() or not target.is_relative_to(folder.resolve()):
            return "its path leads out of the folder"
        return read_picture(target)
    except (OSError, ValueError, RuntimeError) as error:  # the last: links in circles
        return f"cannot be read: {type(error).__name__}"


def read_picture(file: Path) -> bytes | str:
    """Bytes of a picture file, or why it is not read."""
    try:
        if not file.is_file():
            return "not a regular file"
        with file.open("rb") as source:
            return source.read(MAX_FILE + 1)
    except OSError as error:
        return f"cannot be read: {type(error).__name__}"


def read_file(file: TableFile) -> bytes | str:
    """Bytes of a picture on disk or in an archive, or why it is not read."""
    if not file.steps:
        return read_picture(Path(file.file))
    try:
        with opened(file) as source:
            return source.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        return f"cannot be read: {error}"


def file_values(
    files: Sequence[TableFile], labels: Sequence[str]
) -> tuple[dict[str, pa.Array], list[tuple[int, str]]]:
    """Columns for files that are rows: digest and class; and which cannot be read, and why."""
    digests: list[bytes | None] = []
    unread: list[tuple[int, str]] = []
    for row, file in enumerate(files):
        data = read_file(file)
        if len(data) > MAX_FILE:
            data = f"more than {MAX_FILE:,} bytes"
        if isinstance(data, str):
            unread.append((row, data))
        digests.append(None if isinstance(data, str) else hashlib.sha256(data).digest())
    columns = {"file": pa.array(digests, pa.binary())}
    if labels:
        columns["label"] = pa.array(labels, pa.string())
    return columns, unread
