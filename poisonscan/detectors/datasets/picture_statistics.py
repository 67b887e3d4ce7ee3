"""How pictures were made, apart from what they show: tone, grain, frequencies, levels.

What a camera, an encoder or a photo filter does to a picture, and what hides a message in one, is
seen in statistics of its pixels whatever it shows. They are those by which steganalysis tells those
that carry something (Pevný, Bas and Fridrich 2010, "Steganalysis by subtractive pixel adjacency
matrix"; Fridrich and Kodovský 2012, "Rich models for steganalysis of digital images"), and those of
the blocks that JPEG cuts pictures into. Triggers that differ from picture to picture are seen too,
as long as they are made in one way.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

SIDE = 32
"""Pixels on a side of what is looked at."""
_BLOCK, _LOW = 8, 6
_AT_ONCE = 256
"""Pictures whose numbers fit into the cache of a processor."""
_SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
_STEP, _MOST = 3, 2
"""Grey levels of one step of a difference, and steps that are told apart: 6 and more are edges."""
_STEPS = 4
"""Differences of neighbours in one colour that are counted: 0, 1, 2 and 3 levels."""
_COLOURS = 3
_TO_LIGHT = np.array(
    [[0.299, -0.1687, 0.5], [0.587, -0.3313, -0.4187], [0.114, 0.5, -0.0813]], np.float32
)
"""Red, green, blue to luminance and two colour differences (ITU-T T.871, JFIF)."""
GROUPS = {
    "tone": 43,
    "grain": 83,
    "frequencies": 192,
    "slow changes": 105,
    "levels": 11,
}
"""What the numbers of ``statistics`` are, in order, and how many of each."""
SIZE = sum(GROUPS.values())


def statistics(pictures: Bytes) -> Floats:
    """Statistics of pictures.

    Args:
        pictures: red, green and blue, of shape (n, 32, 32, 3).

    Returns:
        ``float32`` of shape (n, ``SIZE``).
    """
    out = np.empty((len(pictures), SIZE), np.float32)
    for start in range(0, len(pictures), _AT_ONCE):
        part = pictures[start : start + _AT_ONCE]
        out[start : start + len(part)] = np.concatenate(_groups(part), axis=1)
    return out


def _groups(pictures: Bytes) -> list[Floats]:
    values = pictures.astype(np.float32)
    light = values @ _TO_LIGHT
    counts = _counts(pictures)
    return [
        _tone(values, light, counts),
        _grain(pictures, values, light),
        _frequencies(light),
        _slow_changes(light),
        _levels(counts),
    ]


def _counts(pictures: Bytes) -> NDArray[np.int64]:
    """Pixels with each value, of shape (n, 3, 256)."""
    number = len(pictures)
    first = 256 * np.arange(_COLOURS * number).reshape(number, 1, 1, _COLOURS)
    counts = np.bincount((first + pictures).ravel(), minlength=256 * _COLOURS * number)
    return counts.reshape(number, _COLOURS, 256)


def _tone(values: Floats, light: Floats, counts: NDArray[np.int64]) -> Floats:
    """Quantiles, spreads and likeness of the colours, and quantiles of the colour differences."""
    number = len(values)
    below = counts.cumsum(axis=2)
    quantiles = [(below <= share * SIDE * SIDE).sum(axis=2) for share in (*_SHARES, 0.9995)]
    lowest = (below == 0).sum(axis=2)
    flat = values.reshape(number, -1, _COLOURS)
    flat = flat - flat.mean(axis=1, keepdims=True)
    spread = np.sqrt(np.square(flat).mean(axis=1) + 1)
    alike = _alike(flat / spread[:, None])
    shades = np.sort(light[..., 1:].reshape(number, -1, 2)[:, ::4], axis=1)
    places = [int(share * shades.shape[1]) for share in (0.02, 0.3, 0.5, 0.7, 0.98)]
    parts = [*quantiles, lowest, np.log(spread), alike, shades[:, places].reshape(number, -1)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def _alike(standard: Floats) -> Floats:
    """Correlations of the colours, from values of mean 0 and variance 1 of shape (n, pixels, 3)."""
    pairs = ((0, 1), (0, 2), (1, 2))
    products = [np.einsum("ij,ij->i", standard[..., a], standard[..., b]) for a, b in pairs]
    return np.asarray(np.stack(products, axis=1) / np.float32(standard.shape[1]), np.float32)


def _grain(pictures: Bytes, values: Floats, light: Floats) -> Floats:
    """How neighbours differ: pairs of differences, small ones, and what neighbours do not tell."""
    grey = np.rint(light[..., 0]).astype(np.int16)
    parts = [_pairs(grey), _pairs(grey.transpose(0, 2, 1))]
    whole = pictures.astype(np.int16)
    parts += [_small(np.abs(np.diff(whole, axis=axis))) for axis in (2, 1)]
    return np.concatenate([np.sqrt(np.concatenate(parts, axis=1)), _left(values)], axis=1).astype(
        np.float32
    )


def _pairs(grey: NDArray[np.int16]) -> Floats:
    """Shares of pairs of differences that follow each other along the last axis."""
    number, kinds = len(grey), 2 * _MOST + 1
    steps = np.rint(np.diff(grey, axis=2) / np.float32(_STEP))
    coded = np.clip(steps, -_MOST, _MOST).astype(np.int64) + _MOST
    pairs = coded[:, :, 1:] * kinds + coded[:, :, :-1]
    size = kinds * kinds
    first = size * np.arange(number)[:, None, None]
    counts = np.bincount((first + pairs).ravel(), minlength=size * number)
    return np.asarray(counts.reshape(number, size) / pairs[0].size, np.float32)


def _small(changes: NDArray[np.int16]) -> Floats:
    """Shares of the smallest differences, by colour."""
    kinds = _STEPS + 1
    first = kinds * np.arange(len(changes) * _COLOURS).reshape(-1, 1, 1, _COLOURS)
    coded = np.minimum(changes, _STEPS) + first
    counts = np.bincount(coded.ravel(), minlength=kinds * _COLOURS * len(changes))
    shares = counts.reshape(len(changes), _COLOURS, kinds)[:, :, :_STEPS]
    return (shares / changes[0, ..., 0].size).reshape(len(changes), -1).astype(np.float32)


def _left(values: Floats) -> Floats:
    """Strength, likeness and peaks of what neighbours do not tell of a pixel, by colour."""
    middle = values[:, 1:-1, 1:-1]
    around = values[:, :-2, 1:-1] + values[:, 2:, 1:-1] + values[:, 1:-1, :-2] + values[:, 1:-1, 2:]
    left = (middle - around / 4).reshape(len(values), -1, _COLOURS)
    squares = np.square(left)
    strength = np.sqrt(squares.mean(axis=1) + 0.25)
    peaks = np.log(np.square(squares).mean(axis=1) + 1) - 4 * np.log(strength)
    return np.concatenate([np.log(strength), _alike(left / strength[:, None]), peaks], axis=1)


@cache
def _cosines(size: int) -> Floats:
    """The orthonormal discrete cosine transform (Ahmed, Natarajan and Rao 1974), by rows."""
    angles = np.pi * (np.arange(size) + 0.5) * np.arange(size)[:, None] / size
    scale = np.full((size, 1), np.sqrt(2 / size))
    scale[0] = np.sqrt(1 / size)
    return np.asarray(scale * np.cos(angles), np.float32)


def _frequencies(light: Floats) -> Floats:
    """Logarithms of energies of the 8×8 blocks' frequencies, over all blocks of a picture."""
    number, blocks = len(light), SIDE // _BLOCK
    turn = _cosines(_BLOCK)
    cut = light.transpose(0, 3, 1, 2).reshape(number, _COLOURS, blocks, _BLOCK, blocks, _BLOCK)
    coded = np.matmul(turn, cut.transpose(0, 1, 2, 4, 3, 5)) @ turn.T
    energy = np.square(coded).mean(axis=(2, 3))
    return np.asarray(np.log(energy.reshape(number, -1) + 1), np.float32)


def _slow_changes(light: Floats) -> Floats:
    """The lowest frequencies of the whole picture with their signs, but for the mean."""
    turn = _cosines(SIDE)[:_LOW]
    coded = np.matmul(turn, light.transpose(0, 3, 1, 2)) @ turn.T
    changes = coded.reshape(len(light), _COLOURS, _LOW * _LOW)[:, :, 1:]
    return np.asarray(changes.reshape(len(light), -1), np.float32)


def _levels(counts: NDArray[np.int64]) -> Floats:
    """Which of eight neighbouring levels are used, how many are black or full, how many at all."""
    eighths = counts.reshape(len(counts), -1, 8).sum(axis=1) / (_COLOURS * SIDE * SIDE)
    ends = counts[:, :, [0, 255]].sum(axis=1) / (_COLOURS * SIDE * SIDE)
    used = (counts.sum(axis=1) > 0).mean(axis=1, keepdims=True)
    return np.concatenate([eighths, ends, used], axis=1).astype(np.float32)
