"""Embeddings or activations that point almost the same way: rows that say almost the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.activations import Activations
from poisonscan.datasets.batch import Role
from poisonscan.datasets.numbers import Embedding
from poisonscan.detectors.datasets.alike import similar
from poisonscan.detectors.datasets.chance import background_pairs, least_by_chance
from poisonscan.detectors.datasets.near_pairs import Pairs, all_pairs, joined, near_pairs
from poisonscan.detectors.datasets.vector_keys import Sketches, VectorKeys, VectorsAt
from poisonscan.finding import Fact, Gap
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Finding

ALL_WITH_ALL = 20_000
"""Vectors up to which projections are compared all with all."""
CANDIDATES = 100_000
"""Pairs that are compared whole."""
MAX_BYTES = 1 << 29
"""Bytes of the vectors that are kept whole; wide vectors have fewer candidates."""
SLACK = 0.1
"""How far the cosine of projections may fall below that of the vectors."""
SPARE_BITS = 3
PROBES = 6


class SimilarVectors:
    """Finds candidates by random projections, and compares the vectors of those alone."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.FEATURES})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for projections, then for the vectors of the candidates.

        Raises:
            LimitReached: too many vectors.
        """
        if not isinstance(dataset.vectors, Embedding | Activations):
            return []  # what is made of texts, pictures and numbers here is no embedding
        keys: VectorKeys = yield VectorKeys()
        sketches = keys.sketches()
        if len(sketches.places) < 2:
            return []
        limits = rule("PS508").thresholds
        pairs, background, share = candidates(sketches, limits["cosine"])
        if not len(pairs.first):
            return [Fact("pairs of similar vectors", 0)]
        used = [pairs.first, pairs.second, background.first, background.second]
        places = sketches.places
        found: VectorsAt = yield VectorsAt(places[np.unique(np.concatenate(used))].tobytes())
        values, usual = (
            found.cosines(places[part.first], places[part.second], sketches.mean)
            for part in (pairs, background)
        )
        least = least_by_chance(values, usual, share, limits["cosine"], limits["chance"])
        how = "point almost the same way as"
        return list(similar(dataset, sketches, pairs, values >= least, ("PS508", "PS509"), how))


DETECTOR = SimilarVectors()


def candidates(sketches: Sketches, least: float) -> tuple[Pairs, Pairs, float]:
    """Pairs whose projections are alike; the most alike pairs of a sample, and their share."""
    units = sketches.projections
    lengths = np.sqrt(np.einsum("ij,ij->i", units, units))
    units = units / np.maximum(lengths, np.float32(1e-6))[:, None]
    most = min(CANDIDATES, MAX_BYTES // (8 * max(len(sketches.mean), 1)))
    background, share = background_pairs(units)
    if len(units) <= ALL_WITH_ALL:
        return all_pairs(units, least - SLACK, most=most), background, share
    bits = min(units.shape[1] // 2, int(np.ceil(np.log2(len(units)))) + SPARE_BITS)

    def cosines(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.float32]:
        products: NDArray[np.float32] = np.einsum("ij,ij->i", units[one], units[other])
        return products

    parts = [
        near_pairs(
            np.roll(units, shift, axis=1), bits, PROBES, cosines, least=least - SLACK, most=most
        )
        for shift in (0, bits)
    ]
    return joined(parts).strongest(most), background, share
