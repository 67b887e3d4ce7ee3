"""Pixels as they are stored, the same number of every picture: what scaling averages away."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

BLOCK = 8
"""Pixels on a side of a block, as JPEG cuts pictures."""
BLOCKS = 4
"""Blocks across a window, and as many down."""
SIDE = BLOCK * BLOCKS
COLOURED = frozenset({"RGB", "RGBA", "RGBX"})
"""Kinds of pixels that begin with red, green and blue."""
CONVERTED = frozenset({"CMYK", "YCbCr", "LAB", "HSV"})
"""Kinds of pixels that are brought to those first."""


def window(image: Image.Image, pixels: bytes) -> bytes | None:
    """Sixteen blocks of 8×8 pixels from all over a picture, put together as one of 32×32.

    No pixel is scaled. A picture of 32×32 pixels is its own window; blocks of a larger one begin
    where those of JPEG do; those of a smaller one overlap.

    Args:
        image: the picture.
        pixels: what its ``tobytes`` returned.

    Returns:
        Red, green and blue of 32×32 pixels; None for a picture without colours or with a side of
        less than 8 pixels.
    """
    if image.mode in CONVERTED:
        image = image.convert("RGB")
        pixels = image.tobytes()
    if image.mode not in COLOURED or min(image.size) < BLOCK:
        return None
    if image.mode == "RGB" and image.size == (SIDE, SIDE):
        return pixels
    values = np.frombuffer(pixels, np.uint8).reshape(image.height, image.width, -1)
    return values[_places(image.height)[:, None], _places(image.width), :3].tobytes()


def stacked(windows: Sequence[bytes | None]) -> NDArray[np.uint8]:
    """Windows as one array of shape (pictures, 32, 32, 3), black where there is none."""
    blank = bytes(SIDE * SIDE * 3)
    joined = b"".join(blank if each is None else each for each in windows)
    return np.frombuffer(joined, np.uint8).reshape(-1, SIDE, SIDE, 3)


@lru_cache(maxsize=256)
def _places(side: int) -> NDArray[np.intp]:
    """The rows (or columns) of a picture that are in its window, of shape (32,)."""
    first = np.linspace(0, side - BLOCK, BLOCKS).astype(np.intp)
    if side >= SIDE:
        first -= first % BLOCK
    return (first[:, None] + np.arange(BLOCK)).ravel()
