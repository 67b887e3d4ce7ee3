"""How pictures look: a short description of each, and how well one explains another.

The description is the signs and sizes of the lowest frequencies of the luminance, as in the
perceptual hashes that use the cosine transform (C. Zauner 2010, "Implementation and benchmarking of
perceptual image hash functions"). It finds candidates. Whether two pictures are the same one is
decided on the pixels: one is moved, stretched and brightened a little so that it explains the other
as well as it can, which is one step of image registration (B. D. Lucas and T. Kanade 1981, "An
iterative image registration technique with an application to stereo vision").
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from poisonscan.datasets.pictures import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.pictures import Pixels

Floats = Any

LENGTH = 35
"""Numbers in a description: frequencies (u, v) with u + v from 1 to 7."""
FLAT = 2.0
"""Standard deviation of the luminance (0–255) below which there is nothing to compare."""
_BLOCK = 512
_TURN = 0.01
"""Share of the variance that a move by one pixel must explain to be believed."""


def _frequencies() -> tuple[list[int], list[int]]:
    """The frequencies of a description, lowest first: those that small changes hardly move."""
    pairs = [(u, v) for u in range(8) for v in range(8) if 0 < u + v <= 7]
    pairs.sort(key=lambda pair: (sum(pair), abs(pair[0] - pair[1]), pair))
    return [u for u, _ in pairs], [v for _, v in pairs]


def _basis() -> NDArray[np.float32]:
    """The first cosines of length ``SIDE``, orthonormal, of shape (8, side)."""
    places = (2 * np.arange(SIDE) + 1) * np.pi / (2 * SIDE)
    waves = np.cos(np.arange(8)[:, None] * places[None]) * np.sqrt(2 / SIDE)
    waves[0] /= np.sqrt(2)
    return np.asarray(waves, np.float32)


_ROWS, _COLUMNS = _frequencies()
_BASIS = _basis()


def described(planes: NDArray[np.float32]) -> NDArray[np.int8]:
    """Low frequencies of pictures, each description scaled to the length 127.

    Args:
        planes: luminance, ``float32`` of shape (pictures, side, side), 0–255.

    Returns:
        ``int8`` of shape (pictures, 35); all zero for a picture that is flat or not there.
    """
    out = np.zeros((len(planes), LENGTH), np.int8)
    for start in range(0, len(planes), _BLOCK):
        block = planes[start : start + _BLOCK]
        bands = ((_BASIS @ block) @ _BASIS.T)[:, _ROWS, _COLUMNS]
        lengths = np.sqrt(np.einsum("ij,ij->i", bands, bands))
        # Orthonormal: the length of all frequencies is the deviation times the side.
        shown = np.isfinite(lengths) & (lengths > FLAT * SIDE)
        scaled = bands[shown] * (127 / lengths[shown, None])
        out[start : start + _BLOCK][shown] = np.rint(scaled).astype(np.int8)
    return out


def explained(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much of each picture its partner explains, once moved, stretched and brightened a little.

    Args:
        one: luminance, ``uint8`` of shape (pairs, side, side).
        other: the partners, of the same shape.

    Returns:
        ``float32`` of shape (pairs,): share of the variance, the smaller of both directions, up to
        1. Pictures are smoothed first, so that the noise of an encoder does not count.
    """
    out = np.zeros(len(one), np.float32)
    for start in range(0, len(one), _BLOCK):
        left, right = (
            _smooth(planes[start : start + _BLOCK].astype(np.float32)) for planes in (one, other)
        )
        both = np.minimum(_fitted(left, right), _fitted(right, left))
        out[start : start + _BLOCK] = both
    return out


def _smooth(planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Binomial smoothing over 3×3 pixels, edges repeated; then without the mean."""
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    smooth = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / np.float32(16)
    out: NDArray[np.float32] = smooth - smooth.mean(axis=(1, 2), keepdims=True)
    return out


def _fitted(source: NDArray[np.float32], target: NDArray[np.float32]) -> Floats:
    """Share of the variance of targets that is explained: least squares with a small ridge.

    The columns: the source (contrast), its slopes (moves), and its slopes times the place (stretch
    along each side). Brightness went with the mean.
    """
    count, side = len(source), source.shape[1]
    place = np.linspace(-1, 1, side, dtype=np.float32)
    down, across = np.gradient(source, axis=(1, 2))
    columns = np.stack(
        [source, across, down, across * place, down * place[:, None]], axis=1
    ).reshape(count, 5, -1)
    wanted = target.reshape(count, -1)
    variance = np.einsum("ij,ij->i", wanted, wanted)
    normal = columns @ columns.transpose(0, 2, 1)
    right = np.einsum("ikj,ij->ik", columns, wanted)
    ridge = np.zeros((count, 5), np.float32)
    ridge[:, 1:] = _TURN * variance[:, None]
    ridge += 1e-3
    system = (normal + np.eye(5, dtype=np.float32) * ridge[:, None]).astype(np.float64)
    weights = np.linalg.solve(system, right.astype(np.float64)[..., None]).astype(np.float32)
    rest = wanted - np.einsum("ikj,ik->ij", columns, weights[..., 0])
    rest -= rest.mean(axis=1, keepdims=True)
    return 1 - np.einsum("ij,ij->i", rest, rest) / np.maximum(variance, np.float32(1e-3))


def filled(pixels: Pixels) -> NDArray[np.float32]:
    """Pictures stretched to the whole frame, as larger ones are shrunk to it.

    A small picture lies in the middle of its plane in its own size (``pictures.luminance``), where
    a larger copy of it shows something else at each place.

    Returns:
        Luminance, ``float32`` of shape (pictures, side, side).
    """
    planes = pixels.planes
    for code, kind in enumerate(pixels.kind_names):
        width, height = kind.size
        times = SIDE // max(width, height)
        if times and (width * times, height * times) != (SIDE, SIDE):
            planes = planes.copy() if planes is pixels.planes else planes
            rows = np.flatnonzero(pixels.kinds == code)
            down, across = _stretch(height * times), _stretch(width * times)
            planes[rows] = down @ planes[rows] @ across.T
    return planes


@lru_cache(maxsize=64)
def _stretch(side: int) -> NDArray[np.float32]:
    """What makes the frame of the ``side`` pixels in its middle, linearly interpolated."""
    first, frame = (SIDE - side) // 2, np.arange(SIDE)
    place = np.clip((frame + 0.5) * side / SIDE - 0.5, 0, side - 1)
    weights = np.maximum(0, 1 - np.abs(place[:, None] + first - frame))
    return np.asarray(weights, np.float32)
