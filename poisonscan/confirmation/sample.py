"""The rows that a small model is learnt from: suspects, and some of all others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.batch import Labels, Role
from poisonscan.detectors.datasets.label_codes import LabelCodes
from poisonscan.detectors.datasets.places import packed
from poisonscan.detectors.datasets.row_sample import mixed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch
    from poisonscan.detectors.datasets.places import Places

    Ints = NDArray[np.int64]

ROWS: Final = 8_000
"""Rows of a sample, about, besides suspects."""
TEXT: Final = 1_000
"""Characters that are kept of a text from its start, and as many from its end: a model of 8,000
texts of this length and 20 classes takes about ten seconds, and a finding up to two models."""


class Sampled(NamedTuple):
    """Rows in order of file and place.

    Attributes:
        places: packed, ``int64`` of shape (n,).
        labels: codes into ``names``, ``int32`` of shape (n,); -1 where there is none.
        contents: hash of what a row shows or says, ``uint64`` of shape (n,).
        values: luminances, ``uint8`` of shape (n, 32, 32), or texts.
        names: labels in order; None when there were too many to be classes.
    """

    places: Ints
    labels: NDArray[np.int32]
    contents: NDArray[np.uint64]
    values: Any
    names: tuple[str, ...] | None


@dataclass(slots=True, unsafe_hash=True)
class SuspectSample:
    """Keeps suspects, and of all rows a share that a hash of their place picks.

    Attributes:
        where: file and first row of each shard.
        suspects: packed places to keep in any case, ascending.
        share: of all rows.
        pictures: pictures are kept, else texts.
    """

    where: Places
    suspects: tuple[int, ...]
    share: float
    pictures: bool
    needs: frozenset[Role] = field(default=frozenset(), init=False, compare=False)
    _labels: LabelCodes = field(default_factory=LabelCodes, init=False, compare=False)
    _parts: list[tuple[Any, ...]] = field(default_factory=list, init=False, compare=False)

    def __post_init__(self) -> None:
        self.needs = frozenset({Role.LABEL, Role.ENCODED if self.pictures else Role.TEXT})

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        places = packed(batch, self.where)
        picked = luck(places) < self.share
        picked |= np.isin(places, np.array(self.suspects, np.int64))
        chosen = np.flatnonzero(picked)
        if not len(chosen):
            return
        contents, values, usable = self._values(batch, chosen)
        chosen = chosen[usable]
        codes = self._labels.coded(Labels(batch.labels.codes[chosen], batch.labels.names))
        self._parts.append((places[chosen], codes, contents, values))

    def merge(self, other: SuspectSample) -> None:
        """Take in what ``other`` has seen."""
        lookup = self._labels.merged(other._labels)
        for places, codes, contents, values in other._parts:
            self._parts.append((places, lookup[codes], contents, values))

    def sampled(self) -> Sampled | None:
        """The rows; None where there are none."""
        if not self._parts:
            return None
        places, codes, contents = (
            np.concatenate([part[i] for part in self._parts]) for i in range(3)
        )
        values = [part[3] for part in self._parts]
        order = np.argsort(places, kind="stable")
        names, lookup = self._labels.ordered()
        joined = np.concatenate(values) if self.pictures else pa.concat_arrays(values).take(order)
        shown = joined[order] if self.pictures else joined
        return Sampled(places[order], lookup[codes[order]], contents[order], shown, names)

    def _values(self, batch: Batch, chosen: Ints) -> tuple[NDArray[np.uint64], Any, Any]:
        """Hashes and contents of rows, without those that have none; and which those are not."""
        if self.pictures:
            pixels = batch.undecoded.decode(chosen)
            usable = np.isfinite(pixels.planes).all(axis=(1, 2))
            shades = np.clip(np.rint(pixels.planes[usable]), 0, 255).astype(np.uint8)
            return pixels.digests[usable, 0], shades, usable
        indices = batch.texts.indices[chosen]
        usable = indices >= 0
        texts = batch.texts.values.take(pa.array(indices[usable])).cast(pa.large_string())
        long = pc.greater(pc.utf8_length(texts), 2 * TEXT)
        ends = [pc.utf8_slice_codeunits(texts, 0, TEXT), pc.utf8_slice_codeunits(texts, -TEXT)]
        cut = pc.binary_join_element_wise(*ends, pa.scalar(" ", pa.large_string()))
        texts = pc.if_else(long, cut, texts)
        hashes = [hash_of(text.as_py()) for text in texts.cast(pa.large_binary())]
        return np.array(hashes, np.uint64), texts, usable


def hash_of(text: bytes) -> int:
    """A hash that is the same in all processes."""
    import xxhash

    return int(xxhash.xxh3_64_intdigest(text))


def luck(places: Ints) -> NDArray[np.float64]:
    """A number from 0 to 1 for each row, the same however the rows are read."""
    return np.asarray(mixed(places) / np.float64(2**64), np.float64)
