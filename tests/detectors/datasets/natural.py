"""Pictures with the spectrum of photographs, and what blends and warps do to them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, zoom

from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.pictures import Pixels
from poisonscan.finding import Row
from tests.fakes import FakeDataset, coded

Planes = NDArray[np.float32]
SIDE = 32
ROWS = 1_200


class Shown(FakeDataset):
    """Pictures with labels, in two shards."""

    def __init__(self, planes: NDArray[Any], labels: list[str | None]) -> None:
        super().__init__()
        self.planes, self.labels = planes.astype(np.float32), labels

    def describe(self, rows: NDArray[np.int64], scores: Any = None) -> tuple[Row, ...]:
        known = [None] * len(rows) if scores is None else scores
        return tuple(Row("data", int(i), score=s) for (_, i), s in zip(rows, known, strict=True))

    def batches(self, size: int = 500) -> Iterator[Batch]:
        for start in range(0, len(self.labels), size):
            planes = self.planes[start : start + size]
            columns = {
                Role.LABEL: coded(self.labels[start : start + size]),
                Role.PICTURES: Pixels(planes, np.zeros((len(planes), 2), np.uint64), ()),
            }
            yield Batch(0, start, len(planes), columns)


@functools.cache
def pictures(rows: int = ROWS, seed: int = 1) -> Planes:
    """Noise whose amplitude falls with its frequency, in contrasts that differ by factors.

    Field 1987, "Relations between the statistics of natural images and the response properties of
    cortical cells".
    """
    rng = np.random.default_rng(seed)
    side = np.fft.fftfreq(SIDE)
    falls = 1 / np.maximum(np.hypot(side[:, None], side[None, : SIDE // 2 + 1]), 1 / SIDE)
    waves = np.fft.rfft2(rng.normal(size=(rows, SIDE, SIDE))) * falls
    planes = np.fft.irfft2(waves, s=(SIDE, SIDE))
    planes /= planes.std(axis=(1, 2), keepdims=True)
    contrast = rng.uniform(15, 60, (rows, 1, 1))
    return np.rint(np.clip(128 + contrast * planes, 0, 255)).astype(np.float32)


def labels(classes: int, rows: int = ROWS) -> list[str | None]:
    return [str(i % classes) for i in range(rows)]


def blended(planes: Planes, chosen: NDArray[np.int64], share: float = 0.3) -> Planes:
    """One more picture mixed into some."""
    out = planes.copy()
    out[chosen] = np.floor((1 - share) * out[chosen] + share * pictures(1, seed=77)[0])
    return out


def warped(planes: Planes, chosen: NDArray[np.int64]) -> Planes:
    """Pixels of some moved by one smooth field, three quarters of a pixel on average."""
    field = np.random.default_rng(5).uniform(-1, 1, (2, 4, 4))
    field *= 0.75 / np.abs(field).mean()
    places = np.indices((SIDE, SIDE)) + np.stack([zoom(part, SIDE / 4, order=3) for part in field])
    out = planes.copy()
    for row in chosen:
        out[row] = np.floor(map_coordinates(out[row], places, order=1, mode="nearest"))
    return out
