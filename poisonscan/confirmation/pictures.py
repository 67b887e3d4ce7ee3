"""Pictures as a small model sees them: shapes, fine detail, and small patterns anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poisonscan.datasets.pictures import SIDE
from poisonscan.detectors.datasets.label_model import shapes
from poisonscan.detectors.datasets.picture_views import relief

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

FILTERS: Final = 128
"""Small patterns that are looked for, each light on dark and dark on light."""
WINDOW: Final = 5
"""Pixels on a side of them."""
_SEEN: Final = 20_000
"""Windows that the whitening is learnt from."""
_STILL: Final = 0.2
"""Of the usual spread of a number, the least that is taken for its own."""
_WIDTHS: Final = (1_568, SIDE * SIDE, 2 * FILTERS)
"""Numbers of a kind, one kind after the other."""
_FLAT: Final = 10.0
"""Variance of shades that is added: that of noise, which whitening should not blow up."""
_BLOCK: Final = 1_024
_CHUNK: Final = 128


@dataclass(frozen=True, slots=True)
class Eye:
    """Turns pictures into vectors.

    Random windows of the pictures, whitened, as filters, of which the largest answer in a picture
    counts (A. Coates and A. Ng 2011, "The importance of encoding versus training with sparse coding
    and vector quantization"; the largest and not the mean, so that one small patch shows), beside
    histograms of gradients (see ``shapes``) and fine detail by place (see ``relief``).

    Attributes:
        filters: of shape (``WINDOW`` ** 2, ``FILTERS``).
        mean: of each number over usual pictures, of shape (d,).
        scale: what it is multiplied with, of shape (d,).
    """

    filters: Floats
    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, planes: Floats, seed: int = 0) -> Eye:
        """Learn filters and scales.

        Args:
            planes: usual pictures, luminance from 0 to 255, of shape (n, 32, 32).
            seed: of the choice of windows.
        """
        draw = np.random.default_rng(seed)
        views = np.lib.stride_tricks.sliding_window_view(planes, (WINDOW, WINDOW), axis=(1, 2))
        places = SIDE - WINDOW + 1
        chosen = (
            draw.integers(0, len(planes), _SEEN),
            draw.integers(0, places, _SEEN),
            draw.integers(0, places, _SEEN),
        )
        windows = views[chosen].reshape(_SEEN, -1).astype(np.float64)
        windows -= windows.mean(axis=1, keepdims=True)
        values, vectors = np.linalg.eigh(np.cov(windows.T))
        whiten = (vectors / np.sqrt(np.maximum(values, 0) + _FLAT)) @ vectors.T
        taken = windows[:FILTERS] @ whiten
        taken /= np.maximum(np.sqrt(np.square(taken).sum(axis=1, keepdims=True)), 1e-6)
        filters = whiten @ taken.T
        filters -= filters.mean(axis=0)
        raw = cls(filters.astype(np.float32), np.zeros(1, np.float32), np.ones(1, np.float32))
        seen = raw._seen(planes)
        spread = seen.std(axis=0, dtype=np.float64)
        for part in np.split(spread, np.cumsum(_WIDTHS)[:-1]):
            # Where usual pictures are all the same, as in blank corners, a trigger shows the more.
            np.maximum(part, _STILL * _median(part[part > 0]), out=part)
        scale = 1 / (spread * np.sqrt(seen.shape[1]))
        return cls(raw.filters, seen.mean(axis=0), scale.astype(np.float32))

    def see(self, planes: Floats) -> Floats:
        """Vectors of pictures, of shape (n, d), the last number 1."""
        out = np.ones((len(planes), len(self.mean) + 1), np.float32)
        for start in range(0, len(planes), _BLOCK):
            part = slice(start, start + _BLOCK)
            out[part, :-1] = (self._seen(planes[part]) - self.mean) * self.scale
        return out

    def _seen(self, planes: Floats) -> Floats:
        parts: list[Any] = [shapes(planes), relief(planes), self._answers(planes)]
        return np.concatenate(parts, axis=1)

    def _answers(self, planes: Floats) -> Floats:
        out = np.empty((len(planes), 2 * FILTERS), np.float32)
        for start in range(0, len(planes), _CHUNK):
            part = planes[start : start + _CHUNK]
            views = np.lib.stride_tricks.sliding_window_view(part, (WINDOW, WINDOW), axis=(1, 2))
            answers = (views.reshape(-1, WINDOW**2) @ self.filters).reshape(len(part), -1, FILTERS)
            out[start : start + _CHUNK, :FILTERS] = answers.max(axis=1)
            out[start : start + _CHUNK, FILTERS:] = -answers.min(axis=1)
        return out


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values)) if len(values) else 1.0
