"""Small windows of a picture as patterns of light and dark, which survive being encoded anew.

A pattern is the signs of the pixels about their mean, as in local binary patterns (T. Ojala,
M. Pietikäinen and T. Mäenpää 2002, "Multiresolution gray-scale and rotation invariant texture
classification with local binary patterns"), here about the mean and not about the middle pixel. A
pattern counts only if light and dark are well apart, so that an encoder's noise does not turn it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from poisonscan.datasets.pictures import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Planes = NDArray[np.uint8]

SMALL, LARGE = 3, 4
"""Sides of the windows, in pixels."""
SMALL_PLACES, LARGE_PLACES = SIDE - SMALL + 1, SIDE - LARGE + 1
"""Windows along a side of the picture."""
SMALL_CODES, LARGE_CODES = 1 << SMALL**2, 1 << LARGE**2
"""Patterns of a window, one bit for each pixel, row by row."""
GAPS = (24, 64, 128)
"""Shades between the darkest light and the lightest dark pixel of a small window, by level."""
LEVELS = len(GAPS)
LEAST_DEVIATION = 30
"""Standard deviation of the shades of a large window."""


class Shades(NamedTuple):
    """Windows of a pattern in which one side of it has about one shade.

    Attributes:
        side: 0 for the lightest dark pixel, 1 for the darkest light one, as in ``Windows.bounds``.
        least: shade of it.
        most: shade of it.
    """

    side: int
    least: int
    most: int


ANY = Shades(0, 0, 255)
"""All windows of a pattern."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of some pictures that show a pattern.

    Attributes:
        pictures: number of the picture, of shape (windows,).
        places: of the top left corner, counted row by row over all windows of that size.
        codes: patterns.
        levels: from 0, how far light and dark are apart.
        bounds: shades of the lightest dark and of the darkest light pixel, ``uint8`` of shape
            (2, windows); of large windows nothing, of shape (2, 0).
    """

    pictures: NDArray[np.int64]
    places: NDArray[np.int64]
    codes: NDArray[np.int64]
    levels: NDArray[np.int64]
    bounds: NDArray[np.uint8]


def shades(planes: NDArray[np.float32]) -> Planes:
    """Luminance as whole shades; black where there is no picture."""
    return np.asarray(np.clip(np.rint(np.nan_to_num(planes)), 0, 255).astype(np.uint8))


def small_windows(planes: Planes) -> Windows:
    """Windows of 3×3 pixels in which light and dark are apart.

    Args:
        planes: ``uint8`` of shape (pictures, side, side).
    """
    pixels = _shifted(planes.astype(np.int16), SMALL)
    total = pixels[0].copy()
    for pixel in pixels[1:]:
        total += pixel
    codes = np.zeros(total.shape, np.int16)
    dark, light = np.zeros_like(total), np.full_like(total, 255)
    for bit, pixel in enumerate(pixels):
        above = pixel * np.int16(SMALL**2) > total
        codes |= above.astype(np.int16) << bit
        np.minimum(light, np.where(above, pixel, np.int16(255)), out=light)
        np.maximum(dark, np.where(above, np.int16(0), pixel), out=dark)
    gap = (light - dark).reshape(-1)
    shown = np.flatnonzero((gap >= GAPS[0]) & (codes.reshape(-1) > 0))
    levels = np.searchsorted(np.array(GAPS), gap[shown], side="right") - 1
    pictures, places = np.divmod(shown, SMALL_PLACES**2)
    bounds = np.stack([dark.reshape(-1)[shown], light.reshape(-1)[shown]]).astype(np.uint8)
    return Windows(pictures, places, codes.reshape(-1)[shown].astype(np.int64), levels, bounds)


def large_windows(planes: Planes) -> Windows:
    """Windows of 4×4 pixels whose shades vary much; all of level 0.

    Args:
        planes: ``uint8`` of shape (pictures, side, side).
    """
    pixels = _shifted(planes.astype(np.int32), LARGE)
    total, squares = np.zeros_like(pixels[0]), np.zeros_like(pixels[0])
    for pixel in pixels:
        total += pixel
        squares += pixel * pixel
    size = LARGE**2
    varied = (squares * size - total * total).reshape(-1) >= (LEAST_DEVIATION * size) ** 2
    shown = np.flatnonzero(varied)
    sums = total.reshape(-1)[shown]
    codes = np.zeros(len(shown), np.int64)
    for bit, pixel in enumerate(pixels):
        codes |= (pixel.reshape(-1)[shown] * size > sums).astype(np.int64) << bit
    pictures, places = np.divmod(shown, LARGE_PLACES**2)
    levels = np.zeros(len(shown), np.int64)
    return Windows(pictures, places, codes, levels, np.empty((2, 0), np.uint8))


def _shifted(planes: NDArray[np.int16 | np.int32], side: int) -> list[NDArray[np.int16 | np.int32]]:
    """Each pixel of all windows, row by row."""
    places = SIDE - side + 1
    return [
        np.ascontiguousarray(planes[:, row : row + places, column : column + places])
        for row in range(side)
        for column in range(side)
    ]
