"""The law of aggregates: however rows are cut, spread and merged, the result is the same."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from hypothesis import strategies as st

from poisonscan.datasets.batch import Aggregate, Batch, Labels, Role
from poisonscan.datasets.pictures import Pixels
from poisonscan.datasets.words import distinct_texts
from poisonscan.detectors.datasets.documents import Documents
from poisonscan.detectors.datasets.label_counts import FirstRows, LabelCounts
from poisonscan.detectors.datasets.phrase_rows import EDGE, NONE, PhraseRows
from poisonscan.detectors.datasets.row_keys import RowKeys

SPLITS = ("train", "test", "train")
"""The split of each shard of every example."""
DIMENSION = 3
TEXTS = ("", "a", "The a a b", "b: the A", "!?", "the the", "ант a b", "a a b a")
"""The text of each content."""
WORD = xxhash.xxh3_64_intdigest(b"a")
NAMES = ("cat", "dog", "Dog", "", "7", "ант", "x" * 30)


@dataclass(frozen=True)
class Case:
    """An aggregate that the law holds for.

    Attributes:
        make: an unfilled aggregate; two calls give equal ones. It reads shards with the splits of
            ``SPLITS``, labels of ``NAMES``, texts of ``TEXTS``, features of length ``DIMENSION``.
        result: what a detector reads from a filled one: numbers, strings, arrays, dataclasses and
            collections of them. Floating-point numbers are compared up to rounding.
    """

    make: Callable[[], Aggregate]
    result: Callable[[Any], object]


CASES: dict[str, Case] = {
    "label counts": Case(lambda: LabelCounts(SPLITS), lambda counts: counts.table()),
    "declared label counts": Case(lambda: LabelCounts(SPLITS), lambda counts: counts.table(["a"])),
    "first rows": Case(
        lambda: FirstRows(SPLITS, frozenset({("train", "cat"), ("test", None)}), keep=3),
        lambda first: first.rows,
    ),
    "documents": Case(lambda: Documents(budget=14), lambda documents: documents.sample()),
    "phrase rows": Case(
        lambda: PhraseRows(
            (((WORD, NONE), "cat"), ((WORD, WORD), "dog"), ((EDGE, WORD), "cat")), frozenset({WORD})
        ),
        lambda found: (found.rows, dict(found.counts), found.spellings),
    ),
    "row keys": Case(RowKeys, lambda keys: keys.copies()),
}


@dataclass(frozen=True)
class Rows:
    """The rows of one shard."""

    labels: tuple[str | None, ...]
    contents: tuple[int, ...]
    features: np.ndarray[Any, np.dtype[np.float32]]

    def batch(self, shard: int, start: int, stop: int, names: tuple[str, ...]) -> Batch:
        """Some of the rows, their labels numbered by ``names``."""
        codes = [-1 if label is None else names.index(label) for label in self.labels[start:stop]]
        content = np.array([[c // 2, c] for c in self.contents[start:stop]], np.uint64)
        texts = [TEXTS[c] for c in self.contents[start:stop]]
        columns = {
            Role.LABEL: Labels(np.array(codes, np.int32), names),
            Role.CONTENT: content.reshape(-1, 2),
            Role.FEATURES: self.features[start:stop],
            Role.TEXT: distinct_texts([pa.array(texts, pa.string())]),
            Role.CELLS: {
                "text": pa.array(texts, pa.string()),
                "number": pa.array([c / 2 for c in self.contents[start:stop]], pa.float64()),
                "label": pa.array(self.labels[start:stop], pa.string()),
            },
            Role.PICTURES: self._pictures(start, stop, content),
        }
        return Batch(shard, start, stop - start, columns)

    def _pictures(self, start: int, stop: int, content: np.ndarray[Any, Any]) -> Pixels:
        """A picture for each content, a different one; content 0 does not decode."""
        shades = np.arange(32 * 32, dtype=np.float32).reshape(32, 32)
        planes = [
            np.full((32, 32), np.nan, np.float32) if c == 0 else np.roll(shades, 97 * c) % (40 * c)
            for c in self.contents[start:stop]
        ]
        broken = [(i, "broken") for i, c in enumerate(self.contents[start:stop]) if c == 0]
        stacked = np.array(planes, np.float32).reshape(-1, 32, 32)
        return Pixels(stacked, content.reshape(-1, 2), tuple(broken))


@st.composite
def shards(draw: st.DrawFn) -> list[Rows]:
    """Rows of each shard; some without a label, a content or features, many alike."""
    number = st.floats(-1e3, 1e3, width=32) | st.just(float("nan"))
    made = []
    for _ in SPLITS:
        size = draw(st.integers(0, 12))
        features = draw(
            st.lists(st.tuples(*[number] * DIMENSION), min_size=size, max_size=size).map(
                lambda rows: np.array(rows, np.float32).reshape(-1, DIMENSION)
            )
        )
        labels = draw(st.tuples(*[st.sampled_from(NAMES) | st.none()] * size))
        made.append(Rows(labels, draw(st.tuples(*[st.integers(0, 6)] * size)), features))
    return made


def whole(case: Case, rows: list[Rows]) -> Aggregate:
    """One aggregate that sees one batch per shard."""
    aggregate = case.make()
    for shard, part in enumerate(rows):
        aggregate.update(part.batch(shard, 0, len(part.labels), NAMES))
    return aggregate


def cut(case: Case, rows: list[Rows], draw: Callable[[st.SearchStrategy[Any]], Any]) -> Aggregate:
    """The same rows in batches of any size, in any order, spread over workers and merged."""
    batches = []
    for shard, part in enumerate(rows):
        size = len(part.labels)
        cuts = sorted({0, size, *draw(st.lists(st.integers(0, size), max_size=4))})
        for start, stop in pairwise(cuts):
            names = tuple(draw(st.permutations(NAMES)))
            batches.append(part.batch(shard, start, stop, names))
    workers = [case.make() for _ in range(draw(st.integers(1, 4)))]
    for batch in draw(st.permutations(batches)):
        draw(st.sampled_from(workers)).update(batch)
    while len(workers) > 1:
        workers = list(draw(st.permutations(workers)))
        other = pickle.loads(pickle.dumps(workers.pop()))
        workers[0].merge(other)
    return workers[0]


def assert_same(one: object, other: object) -> None:
    """Equal, floating-point numbers up to rounding."""
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray)
        assert one.dtype == other.dtype
        if one.dtype.kind == "f":
            np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
        else:
            np.testing.assert_array_equal(one, other)
    elif isinstance(one, Mapping):
        assert isinstance(other, Mapping)
        assert set(one) == set(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_same(left, right)
    elif isinstance(one, float):
        assert isinstance(other, float)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)
    else:
        assert one == other
