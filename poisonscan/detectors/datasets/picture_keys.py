"""What is kept of every picture to find those that look alike, and the pixels of a few."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.perceptual import LENGTH, described, filled
from poisonscan.datasets.pictures import SIDE
from poisonscan.datasets.row_numbers import numbered
from poisonscan.detectors.datasets.distinct_rows import DistinctRows

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]

MAX_PICTURES = 5_000_000
"""Pictures whose descriptions are kept, 55 bytes each."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Descriptions of different pictures, in order of place.

    Attributes:
        bands: ``int8`` of shape (pictures, 35).
        places: shard and position in the shard as one number, ``int64`` of shape (pictures,).
        labels: codes into ``names``, ``int32`` of shape (pictures,); -1 where there is none.
        names: labels in order; None when there were too many to be classes.
        seen: pictures of each shard, with exact copies and flat ones, ``int64``.
    """

    bands: NDArray[np.int8]
    places: Ints
    labels: NDArray[np.int32]
    names: tuple[str, ...] | None
    seen: Ints


def _no_rows() -> DistinctRows:
    return DistinctRows(LENGTH, np.int8, MAX_PICTURES, "pictures")


@dataclass(slots=True, unsafe_hash=True)
class PictureKeys:
    """Keeps every picture's description, digest, label and place."""

    needs: frozenset[Role] = field(
        default=frozenset({Role.PICTURES, Role.LABEL}), init=False, compare=False
    )
    _rows: DistinctRows = field(default_factory=_no_rows, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch; pictures that are flat or broken are only counted."""
        if not batch.size:
            return
        bands = described(filled(batch.pictures))
        shown = np.flatnonzero(bands.any(axis=1))
        places = numbered(batch.shard, batch.start + shown)
        codes = self._rows.coded(batch.labels)[shown]
        self._rows.count(batch.shard, batch.size)
        self._rows.add(bands[shown], batch.pictures.digests[shown, 0], places, codes)

    def merge(self, other: PictureKeys) -> None:
        """Take in what ``other`` has seen."""
        self._rows.merge(other._rows)

    def looks(self) -> Looks:
        """The first picture of each digest.

        Raises:
            LimitReached: there were more than ``MAX_PICTURES``.
        """
        return Looks(*self._rows.first())


@dataclass(slots=True, unsafe_hash=True)
class PlanesAt:
    """Decodes some pictures and keeps their luminance, 1 KiB each.

    Attributes:
        wanted: their places in ascending order, ``int64`` as bytes.
    """

    wanted: bytes
    needs: frozenset[Role] = field(default=frozenset({Role.ENCODED}), init=False, compare=False)
    _planes: dict[int, NDArray[np.uint8]] = field(default_factory=dict, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        wanted = np.frombuffer(self.wanted, np.int64)
        first = numbered(batch.shard, batch.start)
        low, high = np.searchsorted(wanted, (first, first + batch.size)).tolist()
        if low == high:
            return
        planes = filled(batch.undecoded.decode(wanted[low:high] - first))
        for place, plane in zip(wanted[low:high].tolist(), planes, strict=True):
            if np.isfinite(plane).all():
                self._planes[place] = np.clip(np.rint(plane), 0, 255).astype(np.uint8)

    def merge(self, other: PlanesAt) -> None:
        """Take in what ``other`` has seen."""
        self._planes |= other._planes

    def planes(self, places: Ints) -> NDArray[np.uint8]:
        """Luminance of some pictures, ``uint8`` of shape (n, side, side); zero where it failed."""
        blank = np.zeros((SIDE, SIDE), np.uint8)
        found = [self._planes.get(place, blank) for place in places.tolist()]
        return np.array(found, np.uint8).reshape(-1, SIDE, SIDE)
