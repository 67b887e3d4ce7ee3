"""Tensors as values, whatever container holds them: name, type, shape, and bytes in C order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from poisonscan.finding import Json

BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64, "C128": 128, "F4": 4, "F6_E2M3": 6,
    "F6_E3M2": 6, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
}  # fmt: skip
"""Bits of a value, by the names of safetensors; C128 is torch's alone."""
PIECE: Final = 8 << 20
_COPIED: Final = 64 << 20
_DOMAIN: Final = b"poisonscan tensor set 1\0"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a mapped file.

    Attributes:
        name: in the state dict.
        dtype: one of ``BITS``.
        shape: extents.
        storage: the bytes that it is in; little-endian.
        offset: of its first value, in values.
        strides: steps in values; None: those of C order.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    storage: memoryview = field(repr=False)
    offset: int = 0
    strides: tuple[int, ...] | None = None

    @property
    def size(self) -> int:
        """Number of values."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    @property
    def nbytes(self) -> int:
        """Bytes of all values in C order."""
        return self.size * BITS[self.dtype] // 8

    def pieces(self) -> Iterator[memoryview]:
        """Its bytes in C order, at most ``PIECE`` at a time where it lies in one piece."""
        if self.strides is None or self.strides == _c_strides(self.shape) or self.size < 2:
            start = self.offset * BITS[self.dtype] // 8
            for at in range(start, start + self.nbytes, PIECE):
                yield self.storage[at : min(at + PIECE, start + self.nbytes)]
            return
        width = BITS[self.dtype] // 8
        base = np.frombuffer(self.storage, np.dtype((np.void, width)), offset=self.offset * width,
                             count=len(self.storage) // width - self.offset)  # fmt: skip
        steps = [step * width for step in self.strides]
        strided = np.lib.stride_tricks.as_strided(base, self.shape, steps, writeable=False)
        for block in _blocks(strided):
            yield block.data.cast("B")

    def digest(self) -> TensorDigest:
        """What identifies it."""
        sha256 = hashlib.sha256()
        for piece in self.pieces():
            sha256.update(piece)
        return TensorDigest(self.name, self.dtype, self.shape, sha256.hexdigest())


@dataclass(frozen=True, slots=True, order=True)
class TensorDigest:
    """What identifies a tensor: two containers that hold the same one agree in all of it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    sha256: str

    def as_json(self) -> Json:
        """A line of a lock file."""
        return {
            "name": self.name, "dtype": self.dtype, "shape": list(self.shape), "sha256": self.sha256
        }  # fmt: skip


def digest_of(tensors: Sequence[TensorDigest]) -> str:
    """64 hex digits for a set of tensors, whatever their order."""
    sha256 = hashlib.sha256(_DOMAIN)
    for tensor in sorted(tensors):
        for text in (tensor.name, tensor.dtype, ",".join(map(str, tensor.shape)), tensor.sha256):
            raw = text.encode("utf-8", "surrogatepass")
            sha256.update(len(raw).to_bytes(8, "little") + raw)
    return sha256.hexdigest()


def _c_strides(shape: Sequence[int]) -> tuple[int, ...]:
    steps, step = [], 1
    for extent in reversed(shape):
        steps.append(step)
        step *= max(extent, 1)
    return tuple(reversed(steps))


def _blocks(strided: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Copies in C order of parts that follow each other, of bounded size."""
    if strided.nbytes <= _COPIED or not strided.ndim:
        yield np.ascontiguousarray(strided)
        return
    row = strided.nbytes // len(strided)
    if row > _COPIED:
        for part in strided:
            yield from _blocks(part)
        return
    step = max(1, _COPIED // max(row, 1))
    for start in range(0, len(strided), step):
        yield np.ascontiguousarray(strided[start : start + step])


def reach(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Values from the first to the last of a tensor, both counted; 0 if it has none."""
    if 0 in shape:
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
