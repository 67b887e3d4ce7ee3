"""Pictures as vectors in which faint changes of many pixels stand out, two ways.

What a picture shows differs in strength from place to place and from picture to picture by far more
than a faint trigger adds. Divided by the strength around it, every place of every picture counts
alike, and so a pattern that some pictures share adds up over all of them. (Divisive normalisation:
Carandini and Heeger 2012, "Normalization as a canonical neural computation".)
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.pictures import SIDE, residuals
from poisonscan.detectors.datasets.moments import ClassMoments
from poisonscan.detectors.datasets.projections import ClassProjections

Floats = NDArray[np.float32]
Inner = TypeVar("Inner", ClassMoments, ClassProjections)

AROUND = 9
"""Pixels on a side of what counts as around a place: some features of a picture, but not all."""
GRAIN = 2.0
"""Grey levels that say nothing about a flat place: rounding and the noise of cameras and encoders.
"""
STEP = 1.0
"""The same for differences of neighbours."""
CELL = 2
"""Pixels on a side of the squares that sharpness is measured in: a smooth warp moves their pixels
alike, and four say more than one."""


def relief(planes: Floats) -> Floats:
    """Fine detail, divided by how strong it is around.

    An overlay that is blended in, also a natural picture and also before JPEG, has the same signs
    in the same places of all pictures that it is in.

    Args:
        planes: luminance, 0 to 255, of shape (pictures, 32, 32).

    Returns:
        ``float32`` of shape (pictures, 1024).
    """
    detail = residuals(planes).reshape(planes.shape)
    strength = _around(detail * detail)
    np.maximum(strength, 0, out=strength)
    detail /= np.sqrt(strength + np.float32(GRAIN**2))
    return detail.reshape(len(planes), SIDE * SIDE)


def sharpness(planes: Floats) -> Floats:
    """How sharp each place is across and along, for how sharp it is around.

    Moving pixels by a part of a pixel averages neighbours: a warp (Nguyen and Tran 2021, "WaNet")
    blurs all pictures in the same places, and these places in the same direction.

    Args:
        planes: luminance, 0 to 255, of shape (pictures, 32, 32).

    Returns:
        Logarithms, ``float32`` of shape (pictures, 512).
    """
    across, down = np.zeros_like(planes), np.zeros_like(planes)
    across[:, :, 1:-1] = 2 * planes[:, :, 1:-1] - planes[:, :, :-2] - planes[:, :, 2:]
    down[:, 1:-1] = 2 * planes[:, 1:-1] - planes[:, :-2] - planes[:, 2:]
    cells = SIDE // CELL
    parts = []
    for bend in (across, down):
        squares = (bend * bend).reshape(len(planes), cells, CELL, cells, CELL).mean(axis=(2, 4))
        level = np.log(squares + np.float32(STEP**2))
        parts.append((level - _around(level)).reshape(len(planes), cells * cells))
    return np.concatenate(parts, axis=1)


def _around(values: Floats) -> Floats:
    """Mean over the square around each place; edges are mirrored."""
    from scipy.ndimage import uniform_filter

    return np.asarray(uniform_filter(values, (0, AROUND, AROUND), mode="reflect"))


class View(enum.Enum):
    """One of the ways."""

    RELIEF = "relief"
    SHARPNESS = "sharpness"
    DETAIL = "detail"
    """As rows of pictures are seen where the user brings no vectors of them."""

    def of(self, planes: Floats) -> Floats:
        """Vectors of pictures; all NaN for one that is."""
        return {View.RELIEF: relief, View.SHARPNESS: sharpness, View.DETAIL: residuals}[self](
            planes
        )


@dataclass(slots=True, unsafe_hash=True)
class Seen(Generic[Inner]):
    """What an aggregate of row vectors says of pictures that are looked at one of the ways.

    Attributes:
        inner: the aggregate.
        view: the way.
    """

    inner: Inner
    view: View
    needs: frozenset[Role] = field(default=frozenset({Role.LABEL, Role.PICTURES}), init=False)

    def update(self, batch: Batch) -> None:
        """Take in the pictures of a batch."""
        columns = {
            Role.LABEL: batch.labels,
            Role.FEATURES: self.view.of(batch.pictures.planes),
        }
        self.inner.update(Batch(batch.shard, batch.start, batch.size, columns))

    def merge(self, other: Seen[Inner]) -> None:
        """Take in what ``other`` has seen."""
        self.inner.merge(other.inner)
