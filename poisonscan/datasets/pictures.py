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
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import xxhash
from PIL import Image

from poisonscan.datasets.picture_files import carried, outline
from poisonscan.datasets.picture_sources import picture_bytes, read_file, sources
from poisonscan.datasets.picture_windows import stacked, window
from poisonscan.engines import patience
from poisonscan.escape import clip, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from poisonscan.formats.base import TableFile

SIDE = 32
MAX_PIXELS = 89_478_485
"""Pixels of a picture that are decoded, Pillow's own limit."""
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
"""What is decoded: formats that hold pixels only. (EPS, for one, would start Ghostscript.)"""
Notes = tuple[tuple[int, str], ...]
_BLANK = np.full(SIDE * SIDE, np.nan, np.float32)
BROKEN = (
    OSError, SyntaxError, ValueError, ArithmeticError, LookupError, EOFError, MemoryError,
    TypeError, AttributeError, NotImplementedError, struct.error, zlib.error,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow raises on broken pictures, over all its decoders."""


class Kind(NamedTuple):
    """What a picture file is, apart from what it shows.

    Attributes:
        format: such as ``JPEG``.
        mode: Pillow's name of the kind of pixels, such as ``RGB``.
        size: width and height.
        encoder: traces of the program that wrote it, for people.
        animated: whether it has several frames.
    """

    format: str
    mode: str
    size: tuple[int, int]
    encoder: str
    animated: bool


@dataclass(frozen=True, slots=True)
class Pixels:
    """Decoded pictures.

    Attributes:
        planes: luminance, ``float32`` of shape (pictures, 32, 32), 0–255; NaN where it failed.
        digests: of mode, size and pixels (of the bytes where it failed), ``uint64`` of shape
            (pictures, 2).
        problems: number of the picture and what is wrong with it.
        kinds: what kind of file each is, as codes into ``kind_names``, ``int32`` of shape
            (pictures,); -1 where it failed.
        kind_names: kinds in order of appearance.
        carried: number of the picture and what its file carries beside it.
        windows: pixels as they are stored, ``uint8`` of shape (pictures, 32, 32, 3); see
            ``picture_windows``. Black where it failed.
    """

    planes: NDArray[np.float32]
    digests: NDArray[np.uint64]
    problems: tuple[tuple[int, str], ...]
    kinds: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    kind_names: tuple[Kind, ...] = ()
    carried: tuple[tuple[int, str], ...] = ()
    windows: NDArray[np.uint8] = field(default_factory=lambda: stacked(()))


@dataclass(frozen=True, slots=True)
class Encoded:
    """Pictures that nobody has decoded yet: those of a batch, of which some may be wanted.

    Attributes:
        column: bytes, structs of bytes and path, or lists of pixels; None for files.
        folder: where paths lead.
        files: the pictures where there is no column.
    """

    column: pa.Array | None
    folder: Path
    files: tuple[TableFile, ...] = ()

    def decode(self, rows: NDArray[np.int64]) -> Pixels:
        """Decode the pictures of some rows of the batch."""
        if self.column is None:
            return decode(read_file(self.files[row]) for row in rows.tolist())
        return decode_column(self.column.take(pa.array(rows)), self.folder)

    def hashes(self) -> NDArray[np.uint64]:
        """Of the bytes of each picture, ``uint64`` of shape (rows,); 0 where there are none."""
        if self.column is None:
            return np.array([_hash(read_file(file)) for file in self.files], np.uint64)
        items, indices = sources(self.column, self.folder)
        return np.array([*map(_hash, items), 0], np.uint64)[indices]


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


def _hash(item: bytes | pa.Buffer | str) -> int:
    return 0 if isinstance(item, str) else xxhash.xxh3_64_intdigest(item) or 1


def decode_column(column: pa.Array, folder: Path) -> Pixels:
    """Decode a column of pictures; see ``sources``."""
    items, indices = sources(column, folder)
    return _gather(decode(items), indices)


def _gather(pixels: Pixels, indices: NDArray[np.int64]) -> Pixels:
    """Pictures by index; index -1 is a row without one."""
    none = np.full((1, SIDE, SIDE), np.nan, np.float32)
    return Pixels(
        np.concatenate([pixels.planes, none])[indices],
        np.concatenate([pixels.digests, np.zeros((1, 2), np.uint64)])[indices],
        _spread(pixels.problems, indices),
        np.append(pixels.kinds, np.int32(-1))[indices],
        pixels.kind_names,
        _spread(pixels.carried, indices),
        np.concatenate([pixels.windows, stacked([None])])[indices],
    )


def _spread(notes: Notes, indices: NDArray[np.int64]) -> Notes:
    """Notes on pictures as notes on the rows that show them."""
    if not notes:
        return ()
    known = dict(notes)
    rows = np.flatnonzero(np.isin(indices, list(known))).tolist()
    return tuple((row, known[int(indices[row])]) for row in rows)


def decode(items: Iterable[bytes | pa.Buffer | str]) -> Pixels:
    """Decode pictures, each from its bytes; a string says why there are none."""
    digests, problems, found, noted = [], [], [], []
    windows: list[bytes | None] = []
    planes: list[NDArray[np.float32] | bytes] = []
    known: dict[Kind, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for number, item in enumerate(items):
            patience.sign()
            try:
                plane, digest, kind, note, shown = _one(item)
                found.append(known.setdefault(kind, len(known)))
                if note:
                    noted.append((number, note))
            except BROKEN as error:
                plane, shown = _BLANK, None
                found.append(-1)
                digest = xxhash.xxh3_128_digest(
                    item if not isinstance(item, str) else item.encode()
                )
                text = " ".join(str(error).split()) or type(error).__name__
                problems.append((number, escape(clip(text.split(" <_io.")[0]))))
            planes.append(plane)
            windows.append(shown)
            digests.append(digest)
    return Pixels(
        _luminances(planes),
        np.frombuffer(b"".join(digests), np.uint64).reshape(-1, 2),
        tuple(problems),
        np.array(found, np.int32),
        tuple(known),
        tuple(noted),
        stacked(windows),
    )


def _luminances(planes: Sequence[NDArray[np.float32] | bytes]) -> NDArray[np.float32]:
    """Luminances, some of which are RGB values yet: these are converted all at once."""
    out = np.empty((len(planes), SIDE * SIDE), np.float32)
    colours = {i: plane for i, plane in enumerate(planes) if isinstance(plane, bytes)}
    if colours:
        joined = b"".join(colours.values())
        values = np.frombuffer(joined, np.uint8).reshape(len(colours), -1, 3)
        # ITU-R 601 in the fixed-point numbers that Pillow uses.
        weighted = values @ np.array([19_595, 38_470, 7_471], np.uint32)
        out[list(colours)] = (weighted + np.uint32(0x8000)) >> np.uint32(16)
    for i, plane in enumerate(planes):
        if not isinstance(plane, bytes):
            out[i] = plane
    return out.reshape(-1, SIDE, SIDE)


def _one(
    item: bytes | pa.Buffer | str,
) -> tuple[NDArray[np.float32] | bytes, bytes, Kind, str, bytes | None]:
    """Luminance (or RGB values of 32×32 pixels), digest, kind, what the file carries, window."""
    data = picture_bytes(item)
    with open_picture(data) as opened:
        animated = bool(getattr(opened, "is_animated", False))
        opened.load()
        # The palette is part of the picture.
        image = opened.convert("RGBA") if opened.mode in {"P", "PA"} else opened
        head = f"{image.mode} {image.width} {image.height} ".encode()
        pixels = image.tobytes()
        digest = xxhash.xxh3_128_digest(head + pixels)
        file = outline(data)
        kind = Kind(opened.format or "", opened.mode, opened.size, file.encoder, animated)
        if image.mode == "RGB" and image.size == (SIDE, SIDE):
            return pixels, digest, kind, carried(data, file), pixels
        return luminance(image), digest, kind, carried(data, file), window(image, pixels)


def open_picture(data: bytes) -> Image.Image:
    """A picture that is not decoded yet.

    Raises:
        OSError: it is none, or of a format that holds more than pixels; and whatever else is in
            ``BROKEN``.
        ValueError: it has more pixels than are decoded.
    """
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        message = f"a picture of more than {MAX_PIXELS:,} pixels"
        raise ValueError(message)
    return image


def shallow(image: Image.Image) -> Image.Image:
    """A picture with more than 8 bits a pixel as one with values from 0 to 255."""
    deep = np.asarray(image, np.float32)
    scale = 257 if image.mode.startswith("I;16") or deep.max(initial=0) > 255 else 1
    return Image.fromarray(deep / scale)


def luminance(image: Image.Image) -> NDArray[np.float32]:
    """ITU-R 601 luma at 32×32, 0–255, ``float32`` of shape (1,024,).

    A picture that fits in is not scaled, or by a whole number: pixels that are mixed with their
    neighbours, here more and there less, would make a moved patch another one at each place. Its
    edges are repeated up to the border.
    """
    if image.mode.startswith(("I", "F")):
        image = shallow(image)
    elif image.mode != "L":
        image = image.convert("L")
    width, height = image.size
    times = SIDE // max(width, height)
    if not times:
        image = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    kind = np.uint8 if image.mode == "L" else np.float32
    # Half the time of ``np.asarray(image)``.
    values = np.frombuffer(image.tobytes(), kind).astype(np.float32)
    if not times or image.size == (SIDE, SIDE):
        return values
    rows, columns = _spread_over(height, times), _spread_over(width, times)
    return values.reshape(height, width)[rows[:, None], columns].ravel()


@lru_cache(maxsize=256)
def _spread_over(side: int, times: int) -> NDArray[np.intp]:
    """Which of a picture's rows (or columns) each one of ``SIDE`` shows; see ``luminance``."""
    first = (SIDE - side * times) // 2
    return np.clip((np.arange(SIDE) - first) // times, 0, side - 1)
