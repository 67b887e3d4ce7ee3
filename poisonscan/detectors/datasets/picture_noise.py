"""How much the noise of a picture looks like that of an adversarial example.

Attacks that may change every value by a little (Goodfellow, Shlens and Szegedy 2015, "Explaining
and harnessing adversarial examples"; Madry et al. 2018, "Towards deep learning models resistant to
adversarial attacks") change all of them by nearly as much as they may, red, green and blue apart.
Cameras, encoders and scaling leave no such noise: theirs is faint in colour, because of the filter
before the sensor and of JPEG, and strong only where the picture is. So four things are looked at in
the diagonal differences of neighbours (the finest Haar band, in which Donoho 1995, "De-noising by
soft-thresholding", measures noise), of luminance and of two differences of colours, and one in
plain differences; a logistic regression weighs them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.picture_windows import BLOCK, BLOCKS

Floats = NDArray[np.float32]

PLANES = ("luminance", "green against red and blue", "red against blue")
_COLOURS = np.array([[0.25, 0.5, 0.25], [-0.5, 1.0, -0.5], [0.5, 0.0, -0.5]], np.float32)
"""Weights of red, green and blue. Powers of two, for which nothing is rounded: what is counted does
not depend on how pictures are put together."""
SHARES = (4.0, 8.0, 16.0)
"""Grey levels: shares of smaller diagonal differences are three of the numbers."""
DIGITS = 3
"""Of scores: what is behind depends on the order in which numbers were added up."""
CHUNK = 256
"""Pictures that are looked at together: what they take fits into the cache of a processor."""

WEIGHTS = np.array(
    [
        [0.33, -1.023, 2.517, 4.951, 2.091],
        [-0.113, -7.607, -4.783, 11.68, -4.022],
        [-0.366, -12.802, 16.657, 0.622, 0.138],
    ]
)
"""Of the numbers of ``statistics``, in order. ``python -m benchmarks.adversarial_examples --fit``
made them, from five classes of CIFAR-10, flowers, faces with and without masks, smiles and hand
signs, all at 32×32, clean, as honest sources change them, and attacked by 8 grey levels."""
BIAS = -15.68


def noise_scores(windows: NDArray[np.uint8]) -> Floats:
    """Log odds that pictures are adversarial examples rather than clean, were both as frequent.

    Args:
        windows: of shape (pictures, 32, 32, 3); see ``picture_windows``.

    Returns:
        ``float32`` of shape (pictures,); NaN for a window without colours.
    """
    scores = np.full(len(windows), np.nan, np.float32)
    coloured = np.flatnonzero((windows != windows[..., :1]).any(axis=(1, 2, 3)))
    for start in range(0, len(coloured), CHUNK):
        part = coloured[start : start + CHUNK]
        scores[part] = statistics(windows[part]) @ WEIGHTS.ravel() + BIAS
    return scores.round(DIGITS)


def statistics(windows: NDArray[np.uint8]) -> Floats:
    """What the score is made of: five numbers for each of ``PLANES``.

    The logarithm of the mean absolute diagonal difference in the calmest block; the shares of
    differences below each of ``SHARES``; how differences of neighbours go with the next ones: -1/2
    in noise without memory (they alternate), more in what changes smoothly. Blocks are looked at
    one by one: what meets at their edges may come from far apart.

    Args:
        windows: of shape (pictures, 32, 32, 3).

    Returns:
        ``float32`` of shape (pictures, 15).
    """
    split = windows.reshape(-1, BLOCKS, BLOCK, BLOCKS, BLOCK, 3).transpose(5, 2, 4, 0, 1, 3)
    # Colour, row and column in the block, picture, block: long runs where it is added up.
    values = split.reshape(3, BLOCK, BLOCK, len(windows), BLOCKS**2).astype(np.float32)
    out: list[Floats] = []
    for weights in _COLOURS:
        plane = np.tensordot(weights, values, 1)
        down, across = plane[1:] - plane[:-1], plane[:, 1:] - plane[:, :-1]
        size = np.abs(down[:, 1:] - down[:, :-1]) / 2
        out.append(np.log(size.mean(axis=(0, 1)).min(axis=1) + np.float32(0.3)))
        out += [(size < limit).mean(axis=(0, 1, 3), dtype=np.float32) for limit in SHARES]
        out.append(_going_on(down, across.swapaxes(0, 1)))
    return np.stack(out, axis=1)


def _going_on(*differences: Floats) -> Floats:
    """Correlation of differences along the first axis with the next ones, per picture."""
    together = sum((each[1:] * each[:-1]).sum(axis=(0, 1, 3)) for each in differences)
    squares = sum((each * each).sum(axis=(0, 1, 3)) for each in differences)
    pairs = (BLOCK - 2) / (BLOCK - 1)
    return np.asarray((together + 1) / (squares * np.float32(pairs) + 2), np.float32)
