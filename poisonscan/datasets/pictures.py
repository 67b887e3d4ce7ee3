"""Decode pictures, and see them as vectors that show faint additive patterns.

The vector is the high-pass residual of the luminance at 32×32: each pixel minus the mean of its
3×3 neighbourhood. What a picture shows lives in low frequencies and goes; a pasted patch or a
blended pattern stays (Zeng et al. 2021, "Rethinking the backdoor attacks' triggers: a frequency
perspective").
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import xxhash
from PIL import Image

from poisonscan.datasets.encoding import encoded
from poisonscan.escape import clip, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

SIDE = 32
MAX_PIXELS = 89_478_485
"""Pixels of a picture that are decoded, Pillow's own limit."""
MAX_FILE = 64 << 20
"""Bytes of a picture."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""What is decoded: formats that hold pixels only. (EPS, for one, would start Ghostscript.)"""
# What Pillow raises on broken pictures, over all its decoders.
_BROKEN = (
    OSError, SyntaxError, ValueError, ArithmeticError, LookupError, EOFError, MemoryError,
    TypeError, AttributeError, NotImplementedError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pixels:
    """Decoded pictures.

    Attributes:
        planes: luminance, ``float32`` of shape (pictures, 32, 32), 0–255; NaN where it failed.
        digests: of mode, size and pixels (of the bytes where it failed), ``uint64`` of shape
            (pictures, 2).
        problems: number of the picture and what is wrong with it.
    """

    planes: NDArray[np.float32]
    digests: NDArray[np.uint64]
    problems: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Vectors of a column of pictures, or of the files of a folder when there is no column."""

    columns: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """What the vectors are made of, for people."""
        return f"high-pass pictures, {SIDE}x{SIDE} grey"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return SIDE * SIDE


def residuals(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixel minus mean of its 3×3 neighbourhood (edges repeated), flattened.

    Args:
        planes: ``float32`` of shape (pictures, side, side).

    Returns:
        ``float32`` of shape (pictures, side × side).
    """
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    local = (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(9)
    out: NDArray[np.float32] = (planes - local).reshape(len(planes), -1)
    return out


def decode_column(column: pa.Array, folder: Path) -> Pixels:
    """Decode a column of pictures: bytes, or structs of bytes and path.

    A path is followed only when there are no bytes and it stays inside ``folder``.
    """
    if pa.types.is_struct(column.type):
        fields = {f.name: column.field(i) for i, f in enumerate(column.type)}
        data = fields.get("bytes", pa.nulls(len(column), pa.binary()))
        paths = fields.get("path", pa.nulls(len(column), pa.string()))
        present = np.asarray(column.is_valid(), bool)
    elif pa.types.is_string(column.type):
        data, paths = pa.nulls(len(column), pa.binary()), column
        present = np.ones(len(column), bool)
    else:
        data, paths = column, pa.nulls(len(column), pa.string())
        present = np.ones(len(column), bool)
    indices, values = encoded(data)
    indices = np.where(present, indices, -1)
    pixels = decode(value.as_buffer() for value in values)
    outside = np.flatnonzero((indices < 0) & np.asarray(paths.is_valid(), bool) & present)
    # One file after the other, each once: rows may all name the same large one.
    which, names = encoded(paths.take(pa.array(outside)))
    from_files = decode(_inside(folder, name.as_py()) for name in names)
    indices[outside] = len(values) + which
    return _gather(pixels, from_files, indices)


def _gather(first: Pixels, second: Pixels, indices: NDArray[np.int64]) -> Pixels:
    """Pictures by index into both; index -1 is a row without one."""
    none = np.full((1, SIDE, SIDE), np.nan, np.float32)
    planes = np.concatenate([first.planes, second.planes, none])[indices]
    digests = np.concatenate([first.digests, second.digests, np.zeros((1, 2), np.uint64)])[indices]
    reasons = dict(first.problems)
    reasons |= {len(first.planes) + i: reason for i, reason in second.problems}
    broken = [i for i, index in enumerate(indices.tolist()) if index in reasons]
    problems = tuple((i, reasons[int(indices[i])]) for i in broken)
    return Pixels(planes, digests, problems)


def decode(items: Iterable[bytes | pa.Buffer | str]) -> Pixels:
    """Decode pictures, each from its bytes; a string says why there are none."""
    planes, digests, problems = [], [], []
    blank = np.full((SIDE, SIDE), np.nan, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for number, item in enumerate(items):
            try:
                plane, digest = _one(item)
            except _BROKEN as error:
                plane = blank
                digest = xxhash.xxh3_128_digest(
                    item if not isinstance(item, str) else item.encode()
                )
                text = " ".join(str(error).split()) or type(error).__name__
                problems.append((number, escape(clip(text.split(" <_io.")[0]))))
            planes.append(plane)
            digests.append(digest)
    shape = (len(planes), SIDE, SIDE)
    return Pixels(
        np.stack(planes) if planes else np.zeros(shape, np.float32),
        np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2),
        tuple(problems),
    )


def _one(item: bytes | pa.Buffer | str) -> tuple[NDArray[np.float32], bytes]:
    if isinstance(item, str):
        raise OSError(item)
    if len(item) > MAX_FILE:
        message = f"a picture of more than {MAX_FILE:,} bytes"
        raise OSError(message)
    data = item if isinstance(item, bytes) else item.to_pybytes()
    with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            message = f"a picture of more than {MAX_PIXELS:,} pixels"
            raise ValueError(message)
        opened.load()
        # The palette is part of the picture.
        image = opened.convert("RGBA") if opened.mode in {"P", "PA"} else opened
        head = f"{image.mode} {image.width} {image.height} ".encode()
        digest = xxhash.xxh3_128_digest(head + image.tobytes())
        return _luminance(image), digest


def _luminance(image: Image.Image) -> NDArray[np.float32]:
    """ITU-R 601 luma at 32×32, 0–255."""
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image, np.float32)
        scale = 257 if image.mode.startswith("I;16") or deep.max(initial=0) > 255 else 1
        image = Image.fromarray(deep / scale)
    else:
        image = image.convert("L")
    if image.size != (SIDE, SIDE):
        image = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image, np.float32)


def _inside(folder: Path, path: str) -> bytes | str:
    """Bytes of a file below a folder, or why it is not read."""
    try:
        target = (folder / path).resolve()
        if Path(path).is_absolute() or not target.is_relative_to(folder.resolve()):
            return "its path leads out of the folder"
        return read_picture(target)
    except (OSError, ValueError) as error:
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


def looks_like_picture(values: Sequence[bytes]) -> bool:
    """Whether bytes start like a picture, all of them."""
    starts = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    return bool(values) and all(
        value.startswith(starts) or (value[:4] == b"RIFF" and value[8:12] == b"WEBP")
        for value in values
    )
