"""Pictures that show the same though pixels differ: encoded anew, scaled, cut, brightened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.perceptual import explained
from poisonscan.detectors.datasets.alike import similar
from poisonscan.detectors.datasets.chance import background_pairs, least_by_chance
from poisonscan.detectors.datasets.near_pairs import Pairs, near_pairs
from poisonscan.detectors.datasets.picture_keys import Looks, PictureKeys, PlanesAt
from poisonscan.finding import Fact, Gap
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Finding

CANDIDATES = 40_000
"""Pairs whose pixels are compared; at 1 KiB a picture at most 80 MB."""
LEAST_COSINE = 0.9
"""Of descriptions: 95 in 100 pictures that lost 5 % of a side are above it."""
SPARE_BITS = 3
"""Signs of a key beyond those that would number the pictures."""
PROBES = 5
"""Signs of a key that may differ."""


class SimilarPictures:
    """Finds candidates by their lowest frequencies, and compares the pixels of those alone."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.PICTURES})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for descriptions, then for the pixels of the candidates.

        Raises:
            LimitReached: too many pictures.
        """
        keys: PictureKeys = yield PictureKeys()
        looks = keys.looks()
        if len(looks.places) < 2:
            return []
        units = _units(looks.bands)
        pairs = _candidates(looks, units)
        background, share = background_pairs(units)
        if not len(pairs.first):
            return [Fact("pairs of similar pictures", 0)]
        wanted = np.unique(np.concatenate([
            pairs.first, pairs.second, background.first, background.second
        ]))  # fmt: skip
        found: PlanesAt = yield PlanesAt(looks.places[wanted].tobytes())
        values = _values(looks, found, pairs)
        limits = rule("PS506").thresholds
        least = least_by_chance(
            values, _values(looks, found, background), share, limits["explained"], limits["chance"]
        )
        how = "look almost like"
        return list(similar(dataset, looks, pairs, values >= least, ("PS506", "PS507"), how))


DETECTOR = SimilarPictures()


def _units(bands: NDArray[np.int8]) -> NDArray[np.float32]:
    """Descriptions of length 1."""
    units = bands.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", units, units))
    units /= np.maximum(lengths, 1)[:, None]
    return units


def _candidates(looks: Looks, units: NDArray[np.float32]) -> Pairs:
    bits = min(looks.bands.shape[1], int(np.ceil(np.log2(len(units)))) + SPARE_BITS)

    def cosines(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        products: NDArray[np.float32] = np.einsum("ij,ij->i", units[one], units[other])
        return products

    return near_pairs(looks.bands, bits, PROBES, cosines, least=LEAST_COSINE, most=CANDIDATES)


def _values(looks: Looks, found: PlanesAt, pairs: Pairs) -> NDArray[np.float32]:
    """How much each picture of a pair explains of the other."""
    out = np.zeros(len(pairs.first), np.float32)
    for start in range(0, len(out), 4096):
        part = slice(start, start + 4096)
        one = found.planes(looks.places[pairs.first[part]])
        other = found.planes(looks.places[pairs.second[part]])
        out[part] = explained(one, other)
    return out
