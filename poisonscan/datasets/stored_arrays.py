"""Arrays in files: ``.npy``, members of ``.npz``, tensors of safetensors, IDX. Never unpickled.

Headers are read whole, values a few rows at a time.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import math
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np
from numpy.lib import format as npy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MAX_HEADER = 16 << 20
"""Bytes of a safetensors header."""
MAX_NPY_HEADER = 10_000
MAX_MEMBERS = 1_000
"""Arrays of one file."""
MAX_ROW = 16 << 20
"""Bytes of one row."""
MAX_RATIO = 1_100
"""Bytes that come out of one compressed byte: deflate cannot do more."""
_IDX = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""Type codes of IDX, http://yann.lecun.com/exdb/mnist/."""
_TENSORS = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "I16": "<i2", "I32": "<i4", "I64": "<i8",
    "U16": "<u2", "U32": "<u4", "U64": "<u8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Stored:
    """An array in a file. Small; it pickles.

    Attributes:
        file: where it is.
        name: of the array; for a file that is one array, that of the file.
        dtype: NumPy's name of the type of its values.
        shape: of the array, at least one dimension.
        offset: of the first value, in the member or in the decompressed file.
        member: of a zip archive; empty for a file that is no archive.
        packed: whether the file is compressed by gzip.
    """

    file: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    member: str = ""
    packed: bool = False

    @property
    def rows(self) -> int:
        """Length of the first dimension."""
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize

    def is_whole(self) -> bool:
        """Whether a file that is neither compressed nor an archive is as long as it says."""
        return self.offset + self.rows * self.row_bytes <= Path(self.file).stat().st_size

    def read(
        self, rows: int, start: int = 0, stop: int | None = None
    ) -> Iterator[NDArray[np.generic]]:
        """Rows from ``start`` to ``stop``, at most ``rows`` at a time.

        Raises:
            ValueError: it is shorter than its header says, or broken.
        """
        stop = self.rows if stop is None else stop
        dtype = np.dtype(self.dtype)
        with opened(self) as source:
            _skip(source, self.offset + start * self.row_bytes)
            for first in range(start, stop, rows):
                count = min(rows, stop - first)
                data = _exactly(source, count * self.row_bytes)
                yield np.frombuffer(data, dtype).reshape(count, *self.shape[1:])


@contextlib.contextmanager
def opened(stored: Stored) -> Iterator[BinaryIO]:
    """The bytes that hold an array.

    Raises:
        ValueError: they cannot be had.
    """
    with _plainly(), contextlib.ExitStack() as stack:
        if stored.member:
            archive = stack.enter_context(zipfile.ZipFile(stored.file))
            yield cast("BinaryIO", stack.enter_context(archive.open(stored.member)))
        elif stored.packed:
            yield cast("BinaryIO", stack.enter_context(gzip.open(stored.file)))
        else:
            yield stack.enter_context(Path(stored.file).open("rb"))


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """What the standard library raises on broken archives, as ``ValueError``."""
    try:
        yield
    except (
        zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, struct.error,
        KeyError, TypeError, SyntaxError, OverflowError,
    ) as error:  # fmt: skip
        raise ValueError(str(error) or type(error).__name__) from None


def _skip(source: BinaryIO, count: int) -> None:
    if source.seekable():
        source.seek(count)
        return
    while count:
        count -= len(_exactly(source, min(count, 1 << 20)))


def _exactly(source: BinaryIO, count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
        raise ValueError("an array is shorter than its header says")
    return data


def arrays_in(file: str, name: str) -> list[Stored]:
    """The arrays of a file that hold plain values and more than one row.

    Args:
        file: where it is.
        name: the file's name without suffix, which an array in a file of its own is called.

    Raises:
        ValueError: the file is broken.
        OSError: it cannot be read.
    """
    with _plainly():
        suffix = Path(file).suffix.lower()
        with Path(file).open("rb") as source:
            if suffix == ".npz":
                found = _npz(file)
            elif suffix == ".npy":
                found = [_npy(source, file, name)]
            elif suffix == ".safetensors":
                found = _safetensors(source, file)
            else:
                found = [_idx(source, file, name)]
    return [one for one in found if one is not None and one.rows > 1 and one.row_bytes <= MAX_ROW]


def _npz(file: str) -> list[Stored | None]:
    with zipfile.ZipFile(file) as archive:
        names = [name for name in dict.fromkeys(archive.namelist()) if name.endswith(".npy")]
        found = []
        for name in names[:MAX_MEMBERS]:
            info = archive.getinfo(name)
            plain = info.compress_type in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
            if not plain or info.flag_bits & 1 or info.file_size > MAX_RATIO * info.compress_size:
                continue
            with archive.open(info) as source:
                one = _npy(cast("BinaryIO", source), file, name.removesuffix(".npy"), name)
            if one is not None and one.offset + one.rows * one.row_bytes <= info.file_size:
                found.append(one)
        return list(found)


def _npy(source: BinaryIO, file: str, name: str, member: str = "") -> Stored | None:
    """The header of an array; None for objects, which are pickles, and for columns first."""
    version = npy.read_magic(source)
    if version not in {(1, 0), (2, 0)}:
        return None
    width = 2 if version == (1, 0) else 4
    head = _exactly(source, width)
    length = int.from_bytes(head, "little")
    if length > MAX_NPY_HEADER:
        return None
    text = io.BytesIO(head + _exactly(source, length))
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(text, max_header_size=MAX_NPY_HEADER)
    if (
        dtype.hasobject
        or not dtype.itemsize
        or dtype.names
        or dtype.subdtype
        or not shape
        or min(shape) < 1
    ):
        return None
    if fortran and len(shape) > 1:
        return None
    offset = 8 + width + length
    return Stored(file, name, dtype.str, tuple(map(int, shape)), offset, member)


def _safetensors(source: BinaryIO, file: str) -> list[Stored | None]:
    (length,) = struct.unpack("<Q", source.read(8))
    if length > MAX_HEADER:
        return []
    header = json.loads(source.read(length))
    if not isinstance(header, dict):
        return []
    found = []
    for name, entry in list(header.items())[:MAX_MEMBERS]:
        if name == "__metadata__" or entry["dtype"] not in _TENSORS or not entry["shape"]:
            continue
        dtype, shape = np.dtype(_TENSORS[entry["dtype"]]), tuple(entry["shape"])
        start, end = entry["data_offsets"]
        sound = all(type(n) is int and n > 0 for n in (*shape, end)) and type(start) is int
        if sound and start >= 0 and end - start == math.prod(shape) * dtype.itemsize:
            found.append(Stored(file, name, dtype.str, shape, 8 + length + start))
    return list(found)


def _idx(source: BinaryIO, file: str, name: str) -> Stored | None:
    packed = source.read(2) == _GZIP
    source.seek(0)
    with gzip.open(file) if packed else contextlib.nullcontext(source) as plain:
        head = plain.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX or not 1 <= head[3] <= 4:
            return None
        sizes = plain.read(4 * head[3])
    shape = struct.unpack(f">{head[3]}I", sizes)
    if min(shape) < 1:
        return None
    return Stored(file, name, _IDX[head[2]], shape, 4 + 4 * head[3], packed=packed)
