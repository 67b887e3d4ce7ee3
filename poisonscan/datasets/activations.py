"""Activations that the user brings: a matrix in a ``.npy``, ``.npz`` or ``.safetensors`` file.

Its row *i* belongs to row *i* of the dataset in reading order. Rows are read with plain reads at
computed places, never mapped into memory and never unpickled.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.lib import format as npy

from poisonscan.datasets.errors import OptionError
from poisonscan.escape import quote
from poisonscan.plural import plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_HEADER = 100_000_000
"""Bytes of a safetensors header, the bound of its specification."""
MAX_NPY_HEADER = 10_000
MAX_MEMBERS = 1_000
"""Arrays of a ``.npz`` file that are looked at."""
_NAMES = ("activations", "features", "embeddings", "penultimate", "hidden_states")
_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}
_ZIP, _ZIP_ENTRY = b"PK\3\4", 30
"""How a zip archive and each of its entries starts, and the bytes before an entry's name."""

_BROKEN = (
    OSError, ValueError, KeyError, TypeError, struct.error, RecursionError, RuntimeError,
    EOFError, zipfile.BadZipFile,
)  # fmt: skip
"""What the libraries raise on broken files."""


@dataclass(frozen=True, slots=True)
class Activations:
    """A matrix on disk.

    Attributes:
        file: where it is.
        rows: number of rows.
        dimension: numbers in a row.
        dtype: of a number, as numpy writes it.
        offset: of the first row in the file.
        brain: whether the numbers are the upper halves of 32-bit floats (bfloat16).
    """

    file: str
    rows: int
    dimension: int
    dtype: str
    offset: int
    brain: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read: none."""
        return ()

    @property
    def size(self) -> int:
        """Length of the matrix in the file."""
        return self.rows * self.dimension * np.dtype(self.dtype).itemsize

    @property
    def source(self) -> str:
        """What the vectors are made of, for people."""
        return f"activations in {Path(self.file).name} ({plural(self.dimension, 'number')})"

    @classmethod
    def open(cls, file: str) -> Activations:
        """Read the header of a matrix.

        Raises:
            OptionError: no such file, not a matrix of floating-point numbers, or shorter than it
                says.
        """
        try:
            with Path(file).open("rb") as source:
                start = source.read(6)
                source.seek(0)
                if start == npy.MAGIC_PREFIX:
                    found = _open_npy(file, source)
                elif start.startswith(_ZIP):
                    found = _open_npz(file, source)
                else:
                    found = _open_safetensors(file, source)
                size = source.seek(0, 2)
        except _BROKEN as error:
            if isinstance(error, OptionError):
                raise
            message = (
                f"{quote(file)} is no readable .npy, .npz or .safetensors file: {quote(error)}"
            )
            raise OptionError(message) from None
        if found.offset + found.size > size:
            message = f"{quote(file)} is shorter than its header says"
            raise OptionError(message)
        return found

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Rows from ``start`` on, ``float32`` of shape (count, dimension).

        A row with a number that is infinite or not a number is all NaN.

        Raises:
            OSError: the file became shorter.
        """
        dtype = np.dtype(self.dtype)
        with Path(self.file).open("rb") as source:
            source.seek(self.offset + start * self.dimension * dtype.itemsize)
            data = source.read(count * self.dimension * dtype.itemsize)
        if len(data) != count * self.dimension * dtype.itemsize:
            raise OSError("the activations file became shorter")
        numbers = np.frombuffer(data, dtype)
        if self.brain:
            numbers = (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
        with np.errstate(over="ignore"):
            out = numbers.reshape(count, self.dimension).astype(np.float32)
        out[~np.isfinite(out).all(axis=1)] = np.nan
        return out


def _chosen(file: str, names: list[str]) -> str:
    """The one matrix, or the one with a telling name.

    Raises:
        OptionError: there is none.
    """
    if len(names) == 1:
        return names[0]
    for name in _NAMES:
        if name in names:
            return name
    shown = ", ".join(quote(name, 40) for name in names[:20]) or "none"
    message = f"{quote(file)}: name one matrix 'activations'; matrices in it: {shown}"
    raise OptionError(message)


def _open_npz(file: str, source: BinaryIO) -> Activations:
    """A member that is stored as it is: of a compressed one no row can be read by itself."""
    matrices: dict[str, Activations] = {}
    refused: OptionError | None = None
    with zipfile.ZipFile(source) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    for info in members[:MAX_MEMBERS]:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            message = f"{quote(file)} is compressed; save with numpy.savez or numpy.save instead"
            refused = OptionError(message)
            continue
        source.seek(info.header_offset)
        entry = source.read(_ZIP_ENTRY)
        if len(entry) < _ZIP_ENTRY or not entry.startswith(_ZIP):
            raise ValueError("a member is not where the archive says")
        lengths = struct.unpack("<HH", entry[-4:])
        first = source.seek(sum(lengths), 1)
        try:
            found = _open_npy(file, source, first)
        except OptionError as error:  # labels, for one, may be stored beside
            refused = error
            continue
        if found.offset + found.size > first + info.file_size:
            message = f"{quote(file)} is shorter than its header says"
            raise OptionError(message)
        matrices[info.filename.removesuffix(".npy")] = found
    if not matrices and refused is not None:
        raise refused
    return matrices[_chosen(file, list(matrices))]


def _open_npy(file: str, source: BinaryIO, start: int = 0) -> Activations:
    source.seek(start)
    version = npy.read_magic(source)
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(source.read(width), "little")
    if length > MAX_NPY_HEADER or version not in {(1, 0), (2, 0)}:
        message = f"{quote(file)} has an unusual .npy header"
        raise OptionError(message)
    source.seek(-width, 1)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(source, max_header_size=MAX_NPY_HEADER)
    if dtype.kind != "f" or len(shape) != 2 or min(shape) < 1:
        message = (
            f"{quote(file)} holds {dtype} of shape {shape}; activations are a matrix of "
            "floating-point numbers, one row for each row of the dataset"
        )
        raise OptionError(message)
    if fortran and shape[1] > 1:
        message = f"{quote(file)} is stored by columns; save numpy.ascontiguousarray(x) instead"
        raise OptionError(message)
    return Activations(file, int(shape[0]), int(shape[1]), dtype.str, source.tell())


def _open_safetensors(file: str, source: BinaryIO) -> Activations:
    (length,) = struct.unpack("<Q", source.read(8))
    if length > MAX_HEADER:
        message = f"{quote(file)} is no .npy, .npz or .safetensors file, or its header is too long"
        raise OptionError(message)
    header = json.loads(source.read(length))
    matrices = {
        name: entry
        for name, entry in header.items()
        if name != "__metadata__"
        and entry["dtype"] in _TYPES
        and len(entry["shape"]) == 2
        and all(type(n) is int and n > 0 for n in entry["shape"])
    }
    chosen = _chosen(file, list(matrices))
    entry = matrices[chosen]
    start, end = entry["data_offsets"]
    dtype = _TYPES[entry["dtype"]]
    rows, dimension = entry["shape"]
    if start < 0 or end - start != math.prod(entry["shape"]) * np.dtype(dtype).itemsize:
        message = f"{quote(file)}: the size of {quote(chosen)} does not fit its shape"
        raise OptionError(message)
    brain = entry["dtype"] == "BF16"
    return Activations(file, rows, dimension, dtype, 8 + length + start, brain)
