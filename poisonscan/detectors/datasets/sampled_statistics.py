"""Statistics of a bounded sample of labelled pictures, and of all that lie far out along a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from numpy.typing import NDArray

from poisonscan.datasets.batch import Role
from poisonscan.datasets.row_numbers import located, numbered
from poisonscan.detectors.datasets.documents import mix
from poisonscan.detectors.datasets.label_counts import LabelCounts
from poisonscan.detectors.datasets.picture_statistics import SIZE, statistics

if TYPE_CHECKING:
    from poisonscan.datasets.batch import Batch
    from poisonscan.datasets.pictures import Pixels

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

MOST = 12_000
"""Pictures that are kept, 1.7 KiB each, and as many again before they are thinned out."""
MOST_FAR = 200_000
"""Pictures far out that are kept of each class, 12 bytes each."""
_Chunk = tuple[NDArray[np.uint64], Ints, Floats]


@dataclass(slots=True, unsafe_hash=True)
class SampledStatistics:
    """Keeps the pictures with the smallest hashes of content and label, as ``LabelledSample`` does.

    Attributes:
        splits: the split of each shard.
        most: pictures to keep.
        counts: rows by split and label.
        whole: no picture was left out.
    """

    splits: tuple[str, ...]
    most: int = MOST
    needs: frozenset[Role] = field(
        default=frozenset({Role.LABEL, Role.CONTENT, Role.PICTURES}), init=False, compare=False
    )
    counts: LabelCounts = field(init=False, compare=False)
    whole: bool = field(default=True, init=False, compare=False)
    _chunks: list[_Chunk] = field(default_factory=list, init=False, compare=False)
    _largest: int | None = field(default=None, init=False, compare=False)

    def __post_init__(self) -> None:
        self.counts = LabelCounts(self.splits)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        self.counts.update(batch)
        labels, pixels = batch.labels, batch.pictures
        kept = np.flatnonzero((labels.codes >= 0) & np.isfinite(pixels.planes[:, 0, 0]))
        if not len(kept):
            return
        own = [xxhash.xxh3_64_intdigest(n.encode("utf-8", "surrogatepass")) for n in labels.names]
        contents = mix(batch.content[kept, 0] ^ batch.content[kept, 1])
        keys = mix(contents + np.array(own, np.uint64)[labels.codes[kept]])
        if self._largest is not None:  # there are enough rows with smaller hashes
            fits = np.flatnonzero(keys <= np.uint64(self._largest))
            self.whole &= len(fits) == len(keys)
            kept, keys = kept[fits], keys[fits]
        keys, first = np.unique(keys, return_index=True)
        self.whole &= len(keys) <= self.most
        keys, kept = keys[: self.most], kept[first[: self.most]]
        places = numbered(batch.shard, batch.start + kept)
        self._take((keys, places, statistics(_seen(pixels, kept))))

    def merge(self, other: SampledStatistics) -> None:
        """Take in what ``other`` has seen."""
        self.counts.merge(other.counts)
        self.whole &= other.whole
        for chunk in other._chunks:
            self._take(chunk)

    def sample(self) -> tuple[Ints, Floats]:
        """The pictures kept, in order of their hashes.

        Returns:
            Places as numbers, see ``row_numbers``, of shape (n,), and statistics of shape
            (n, ``picture_statistics.SIZE``).
        """
        self._thin()
        if not self._chunks:
            return np.empty(0, np.int64), np.empty((0, SIZE), np.float32)
        _, places, numbers = self._chunks[0]
        return places, numbers

    def _take(self, chunk: _Chunk) -> None:
        if len(chunk[0]):
            self._chunks.append(chunk)
        if sum(len(keys) for keys, *_ in self._chunks) > 2 * self.most:
            self._thin()

    def _thin(self) -> None:
        if not self._chunks:
            return
        keys, places, numbers = (
            np.concatenate([chunk[part] for chunk in self._chunks]) for part in range(3)
        )
        order = np.lexsort((places, keys))
        order = order[np.append(True, np.diff(keys[order]) > 0)]
        self.whole &= len(order) <= self.most
        order = order[: self.most]
        self._chunks = [(keys[order], places[order], numbers[order])]
        if len(order) == self.most:
            self._largest = int(keys[order[-1]])


@dataclass(frozen=True, slots=True)
class Line:
    """A direction of statistics, and from where on pictures of a class are far out along it.

    Attributes:
        label: of the class.
        weights: of the numbers of ``statistics``, as bytes of ``float64``.
        middle: what is subtracted first, in the same form.
        limit: numbers are cut off there, on both sides, in the same form.
        threshold: how far is far.
    """

    label: str
    weights: bytes
    middle: bytes
    limit: bytes
    threshold: float

    def places(self, numbers: Floats) -> NDArray[np.float64]:
        """Pictures along the line."""
        middle, limit = np.frombuffer(self.middle), np.frombuffer(self.limit)
        return np.asarray(np.clip(numbers - middle, -limit, limit) @ np.frombuffer(self.weights))


@dataclass(slots=True, unsafe_hash=True)
class FarPictures:
    """Looks at all pictures of classes for those that are far out.

    Attributes:
        lines: one for each class.
        counts: pictures of each that are, by label.
    """

    lines: tuple[Line, ...]
    needs: frozenset[Role] = field(
        default=frozenset({Role.LABEL, Role.PICTURES}), init=False, compare=False
    )
    counts: dict[str, int] = field(default_factory=dict, init=False, compare=False)
    _found: dict[str, tuple[Ints, NDArray[np.float64]]] = field(
        default_factory=dict, init=False, compare=False
    )

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        pixels, codes = batch.pictures, {name: i for i, name in enumerate(batch.labels.names)}
        for line in self.lines:
            mine = (batch.labels.codes == codes.get(line.label, -2)) & np.isfinite(
                pixels.planes[:, 0, 0]
            )
            rows = np.flatnonzero(mine)
            if not len(rows):
                continue
            places = line.places(statistics(_seen(pixels, rows)))
            far = places > line.threshold
            at = numbered(batch.shard, batch.start + rows[far])
            self._take(line.label, int(far.sum()), at, places[far])

    def merge(self, other: FarPictures) -> None:
        """Take in what ``other`` has seen."""
        for label, (at, places) in other._found.items():
            self._take(label, other.counts[label], at, places)

    def found(self, label: str) -> tuple[Ints, NDArray[np.float64]]:
        """Rows of a class that are far out, the farthest first, and how far.

        Returns:
            Shard and position, ``int64`` of shape (n, 2), and places along the line.
        """
        at, places = self._found.get(label, (np.empty(0, np.int64), np.empty(0)))
        order = np.lexsort((at, -places))
        at = at[order]
        return located(at), places[order]

    def _take(self, label: str, count: int, at: Ints, places: NDArray[np.float64]) -> None:
        if not count:
            return
        self.counts[label] = self.counts.get(label, 0) + count
        if label in self._found:
            known, before = self._found[label]
            at, places = np.concatenate([known, at]), np.concatenate([before, places])
        if len(at) > MOST_FAR:
            order = np.lexsort((at, -places))[:MOST_FAR]
            at, places = at[order], places[order]
        self._found[label] = (at, places)


def _seen(pixels: Pixels, rows: Ints) -> NDArray[np.uint8]:
    """Pictures as they are stored; those without a window by their luminance at 32×32."""
    shown = pixels.windows[rows]
    grey = np.flatnonzero(~shown.any(axis=(1, 2, 3)))
    shown[grey] = np.rint(pixels.planes[rows[grey]])[..., None]
    return shown
