"""How much the noise of every picture is like that of adversarial examples, and where each is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.detectors.datasets.picture_noise import Floats, noise_scores
from poisonscan.limits import LimitReached

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch

Ints = NDArray[np.int64]

MAX_PICTURES = 5_000_000
"""Pictures whose scores are kept, 20 bytes each."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Pictures with colours, in order of place.

    Attributes:
        places: shard and position in the shard as one number, ``int64`` of shape (n,).
        scores: see ``picture_noise.noise_scores``; of shape (n,).
        first: whether it is the first of those that are equal, of shape (n,).
        unseen: pictures without colours, or too small; broken ones do not count.
    """

    places: Ints
    scores: Floats
    first: NDArray[np.bool_]
    unseen: int

    def rows(self, chosen: Ints) -> Ints:
        """Shard and position of some, ``int64`` of shape (n, 2)."""
        return located(self.places[chosen])


@dataclass(slots=True, unsafe_hash=True)
class NoiseTable:
    """Keeps every picture's score, digest and place.

    Attributes:
        overflow: there were more than ``MAX_PICTURES``; then nothing is kept.
    """

    needs: frozenset[Role] = field(default=frozenset({Role.PICTURES}), init=False, compare=False)
    overflow: bool = field(default=False, init=False, compare=False)
    _unseen: int = field(default=0, init=False, compare=False)
    _size: int = field(default=0, init=False, compare=False)
    _parts: list[tuple[Ints, Floats, NDArray[np.uint64]]] = field(
        default_factory=list, init=False, compare=False
    )

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        pixels = batch.pictures
        scores = noise_scores(pixels.windows)
        seen = np.flatnonzero(np.isfinite(scores))
        self._unseen += int((pixels.kinds >= 0).sum()) - len(seen)
        places = numbered(batch.shard, batch.start + seen)
        self._take((places, scores[seen], pixels.digests[seen, 0]))

    def merge(self, other: NoiseTable) -> None:
        """Take in what ``other`` has seen."""
        self._unseen += other._unseen
        if other.overflow:
            self._forget()
        for part in other._parts:
            self._take(part)

    def noise(self) -> Noise:
        """What was kept.

        Raises:
            LimitReached: too many pictures.
        """
        if self.overflow:
            message = f"more than {MAX_PICTURES:,} pictures: their noise was not compared"
            raise LimitReached(message)
        empty = (np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.uint64))
        places, scores, digests = (
            np.concatenate(part) for part in zip(empty, *self._parts, strict=True)
        )
        order = np.argsort(places)
        first = np.zeros(len(order), bool)
        first[np.unique(digests[order], return_index=True)[1]] = True
        return Noise(places[order], scores[order], first, self._unseen)

    def _take(self, part: tuple[Ints, Floats, NDArray[np.uint64]]) -> None:
        self._size += len(part[0])
        if self.overflow or self._size > MAX_PICTURES:
            self._forget()
        elif len(part[0]):
            self._parts.append(part)

    def _forget(self) -> None:
        self.overflow = True
        self._parts.clear()
