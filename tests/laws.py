"""The law of aggregates: however rows are cut, spread and merged, the result is the same."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from hypothesis import strategies as st

from poisonscan.confirmation.sample import SuspectSample
from poisonscan.datasets.batch import Aggregate, Batch, Labels, Role
from poisonscan.datasets.conversation import Columns
from poisonscan.datasets.pictures import Encoded, Kind, Pixels
from poisonscan.datasets.row_numbers import numbered
from poisonscan.datasets.words import distinct_texts
from poisonscan.detectors.datasets import unusual_characters
from poisonscan.detectors.datasets.content_hashes import DigestChecks
from poisonscan.detectors.datasets.documents import Documents
from poisonscan.detectors.datasets.exchange_rows import ExchangeRows
from poisonscan.detectors.datasets.exchanges import Exchanges, digests
from poisonscan.detectors.datasets.host_counts import HostCounts
from poisonscan.detectors.datasets.label_blocks import LabelBlocks, RowsWithin
from poisonscan.detectors.datasets.label_counts import FirstRows, LabelCounts
from poisonscan.detectors.datasets.labelled_sample import LabelledSample
from poisonscan.detectors.datasets.lone_patterns import Pattern
from poisonscan.detectors.datasets.moments import ClassMoments
from poisonscan.detectors.datasets.noise_table import NoiseTable
from poisonscan.detectors.datasets.number_summary import NumberSummary
from poisonscan.detectors.datasets.patch_counts import SHAPES, PatchCounts
from poisonscan.detectors.datasets.patch_patterns import ANY, Shades
from poisonscan.detectors.datasets.patch_rows import PatchRows
from poisonscan.detectors.datasets.phrase_rows import EDGE, NONE, PhraseRows
from poisonscan.detectors.datasets.picture_keys import PictureKeys, PlanesAt
from poisonscan.detectors.datasets.picture_kinds import PictureKinds
from poisonscan.detectors.datasets.picture_statistics import SIZE
from poisonscan.detectors.datasets.picture_views import Seen, View
from poisonscan.detectors.datasets.preferences import BUCKETS, ByPreference, Direction, Preferences
from poisonscan.detectors.datasets.row_keys import RowKeys
from poisonscan.detectors.datasets.row_sample import NUMBER, TEXT, RowSample
from poisonscan.detectors.datasets.row_sample import WORD as SHORT
from poisonscan.detectors.datasets.sampled_statistics import FarPictures, Line, SampledStatistics
from poisonscan.detectors.datasets.sampled_texts import TextSizes
from poisonscan.detectors.datasets.steady_shades import ShadeCounts
from poisonscan.detectors.datasets.steering import Outcome
from poisonscan.detectors.datasets.styled_texts import StyledTexts
from poisonscan.detectors.datasets.text_bands import TextBands
from poisonscan.detectors.datasets.text_hits import TextHits
from poisonscan.detectors.datasets.text_sketches import Candidates, TextSketches
from poisonscan.detectors.datasets.texts_at import TextsAt
from poisonscan.detectors.datasets.together import Together
from poisonscan.detectors.datasets.url_lists import CellForms
from poisonscan.detectors.datasets.value_rows import Question, ValueRows
from poisonscan.detectors.datasets.vector_keys import VectorKeys, VectorsAt
from poisonscan.locking.row_sets import RowSets
from tests.datasets.files import encoded, picture

SPLITS = ("train", "test", "train")
"""The split of each shard of every example."""
PLACES = ((0, 0), (1, 0), (0, 12))
"""Number of the file and its row with which each shard starts."""
DIMENSION = 3
TEXTS = ("", "a", "The a a b", "b: the A", "!?", "the the", "ант a b", "a a b a")
"""The text of each content."""
WORD = xxhash.xxh3_64_intdigest(b"a")
ASKED = Columns(prompt=("text",), response="label")
PREFERRED = Columns(chosen="text", rejected="label")
DIRECTION = Direction(np.arange(2 * BUCKETS).reshape(2, BUCKETS) % 97)
NAMES = ("cat", "dog", "Dog", "", "7", "ант", "x" * 30)
PICTURES = [b"broken", *(encoded(picture(seed)) for seed in range(6))]
"""The picture file of each content."""
KINDS = tuple(Kind("PNG", mode, (32, 32), "", mode == "L") for mode in ("L", "RGB", "P"))
WINDOWS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
"""The window of each content: 0 is broken, 1 has no colours."""
WINDOWS[0] = WINDOWS[1] = 0
NAMED = (
    (np.arange(0, 12, 3).tobytes(), 0.7),
    (numbered(1, np.arange(0, 9, 2)).tobytes(), 1.0),
)
"""Rows of two findings, and how many of them are wanted."""
_SOME = np.array([numbered(shard, i) for shard in range(3) for i in range(0, 12, 2)], np.int64)


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


_PLACES = np.array([[numbered(s, i) for i in range(9)] for s in range(3)], np.uint64).ravel()
CANDIDATES = Candidates(
    np.stack([_PLACES, np.arange(27, dtype=np.uint64)], axis=1),
    np.array([(a, b) for a in range(27) for b in range(a + 1, 27)], np.uint64),
)
"""Nearly all rows, each to be compared with all others."""


def moments(seen: Seen[ClassMoments]) -> object:
    """What is read of them: the scatter by its sums, as there are many numbers in it."""
    classes = seen.inner.classes.items()
    return [(n, m.rows, m.mean, m.scatter.sum(axis=0)) for n, m in classes], seen.inner.left_out


def sampled(kept: SuspectSample) -> object:
    found = kept.sampled()
    if found is None:
        return None
    values = found.values if kept.pictures else found.values.to_pylist()
    return found.contents, found.labels, found.marks, found.counts, values, found.names


def patch_counts(found: PatchCounts) -> object:
    """What is read of it: where the counts are, and how many."""
    tables = [found.table(kind) for kind in SHAPES]
    kept = [(np.flatnonzero(table), table[table > 0]) for table in tables]
    return found.groups, found.pictures(), kept


def _line(label: str) -> Line:
    """The first number of a picture's statistics, of which most are beyond the threshold."""
    zeros, ones = np.zeros(SIZE), np.ones(SIZE)
    weights = np.eye(1, SIZE)[0]
    return Line(label, weights.tobytes(), zeros.tobytes(), (999 * ones).tobytes(), 1.0)


CASES: dict[str, Case] = {
    "labelled rows": Case(
        lambda: LabelledSample(("cat", "dog"), most=5),
        lambda kept: (kept.sample(), kept.seen, kept.whole),
    ),
    "labelled pictures": Case(
        lambda: LabelledSample(("cat", "7"), pictures=True, most=4), lambda kept: kept.sample()
    ),
    "sampled statistics": Case(
        lambda: SampledStatistics(SPLITS, most=4),
        # Thousandths: sums of numbers differ in their last digits with how many are summed at once.
        lambda kept: (
            [part / 1_000 for part in kept.sample()],
            kept.whole,
            kept.counts.table(),
        ),
    ),
    "far pictures": Case(
        lambda: FarPictures((_line("cat"), _line("7"))),
        lambda far: (far.counts, far.found("cat"), far.found("7")),
    ),
    "picture keys": Case(PictureKeys, lambda keys: keys.looks()),
    "row sets": Case(
        lambda: RowSets(SPLITS),
        lambda found: {split: (rows.rows, rows.digest) for split, rows in found.sets.items()},
    ),
    "patch counts": Case(lambda: PatchCounts(limit=1), patch_counts),
    "patch rows": Case(
        lambda: PatchRows(
            (
                ("placed", (17, 19, 455, 0), (455, 511), Shades(1, 100, 200)),
                ("small", (448, 0), (448,), ANY),
            )
        ),
        lambda found: (found.carriers(), found.planes(0), found.planes(1)),
    ),
    "shades of patches": Case(
        lambda: ShadeCounts((Pattern(-9.0, "placed", (17, 19, 455, 0), "0", 9, 0, (455,)),)),
        lambda found: found.table.tolist(),
    ),
    "picture planes": Case(
        lambda: PlanesAt(_SOME.tobytes()), lambda found: found.planes(_SOME).tolist()
    ),
    "moments of pictures": Case(lambda: Seen(ClassMoments(), View.SHARPNESS), moments),
    "two of pictures together": Case(
        lambda: Together((Seen[ClassMoments](ClassMoments(), View.SHARPNESS), PictureKinds(20))),
        lambda both: [moments(both.parts[0]), both.parts[1].table()],
    ),
    "picture kinds": Case(lambda: PictureKinds(20), lambda kinds: kinds.table()),
    "noise of pictures": Case(NoiseTable, lambda table: table.noise()),
    "vector keys": Case(VectorKeys, lambda keys: keys.sketches()),
    "vectors": Case(
        lambda: VectorsAt(_SOME.tobytes()),
        lambda found: found.cosines(_SOME[:-1], _SOME[1:], np.zeros(DIMENSION, np.float32)),
    ),
    "label blocks": Case(lambda: LabelBlocks(PLACES), lambda blocks: blocks.blocks()),
    "rows within": Case(
        lambda: RowsWithin(PLACES, ((0, 3, 20, "cat"), (1, 0, 9, "dog")), keep=3),
        lambda within: (within.found, within.counts),
    ),
    "number summary": Case(
        lambda: NumberSummary(PLACES, (("number", (0.5, 2.0)),)), lambda summary: summary.found
    ),
    "pictures and suspects": Case(
        lambda: SuspectSample(PLACES, NAMED, 0.4, pictures=True),
        sampled,
    ),
    "texts and suspects": Case(
        lambda: SuspectSample(PLACES, NAMED, 0.4, pictures=False),
        sampled,
    ),
    "few texts and suspects": Case(
        lambda: SuspectSample(PLACES, NAMED, 1.0, pictures=False, most=(3, 1)), sampled
    ),
    "row sample": Case(
        lambda: RowSample(PLACES, (("number", NUMBER), ("text", SHORT), ("label", TEXT)), 9),
        lambda rows: rows.sample(),
    ),
    "value rows": Case(
        lambda: ValueRows(
            PLACES,
            (
                Question((("text", SHORT),), (WORD,), "cat"),
                Question((("number", NUMBER),), (int(np.float64(1).view(np.uint64)),), "dog"),
            ),
            most=3,
        ),
        lambda found: (found.counts, found.hits, found.rows(0), found.rows(1)),
    ),
    "label counts": Case(lambda: LabelCounts(SPLITS), lambda counts: counts.table()),
    "declared label counts": Case(lambda: LabelCounts(SPLITS), lambda counts: counts.table(["a"])),
    "first rows": Case(
        lambda: FirstRows(SPLITS, frozenset({("train", "cat"), ("test", None)}), keep=3),
        lambda first: first.rows,
    ),
    "documents": Case(lambda: Documents(budget=14), lambda documents: documents.sample()),
    "drawn documents": Case(
        lambda: Documents(budget=14, share=0.5),
        lambda documents: (documents.sample(), documents.rows),
    ),
    "styled texts": Case(
        lambda: StyledTexts(most=4), lambda kept: (kept.sample(), kept.sample(["a"]), kept.rows)
    ),
    "text sizes": Case(TextSizes, lambda sizes: sizes.size),
    "phrase rows": Case(
        lambda: PhraseRows(
            (((WORD, NONE), "cat"), ((WORD, WORD), "dog"), ((EDGE, WORD), "cat")), frozenset({WORD})
        ),
        lambda found: ([*map(found.rows, range(3))], dict(found.counts), found.spellings),
    ),
    "text hits": Case(
        lambda: TextHits(unusual_characters.look),
        lambda found: (
            found.hits,
            {key: hits.every for key, hits in found.hits.items()},
            +found.texts,
            +found.labels,
        ),
    ),
    "host counts": Case(HostCounts, lambda found: (found.hosts, found.labels)),
    "cell forms": Case(CellForms, lambda forms: (+forms.texts, +forms.addresses, +forms.digests)),
    "digest checks": Case(
        lambda: DigestChecks((("text", "label"),)),
        lambda checks: (+checks.right, +checks.wrong, checks.first),
    ),
    "exchanges": Case(
        lambda: Exchanges(ASKED, budget=30), lambda found: (found.kept(), found.rows, found.whole)
    ),
    "exchange rows": Case(
        lambda: ExchangeRows(
            ASKED,
            (
                ((WORD, NONE), Outcome(response=int(digests(pa.array(["cat"]))[0]))),
                (None, Outcome(trait=2)),
            ),
            frozenset({WORD}),
        ),
        lambda found: (
            [*map(found.rows, range(2))],
            dict(found.counts),
            dict(+found.holders),
            found.spellings,
            found.responses,
        ),
    ),
    "preferences": Case(
        lambda: Preferences(PREFERRED),
        lambda found: (found.counts, found.pairs, found.equal, found.clashes()),
    ),
    "by preference": Case(
        lambda: ByPreference(PREFERRED, DIRECTION, Documents(budget=14)),
        lambda found: found.inner.sample(),
    ),
    "row keys": Case(RowKeys, lambda keys: keys.copies()),
    "text bands": Case(TextBands, lambda b: (b.pairs(), b.rows, b.labels.rows, b.labels.names)),
    "texts at": Case(
        lambda: TextsAt(_PLACES[::3].tobytes()), lambda kept: (kept.found, kept.others)
    ),
    "text sketches": Case(
        lambda: TextSketches(CANDIDATES, (0.3, 0.9)), lambda s: (s.members(0.3), s.members(0.9))
    ),
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
            Role.VALUES: {
                "text": pa.array(texts, pa.string()),
                "label": pa.array(self.labels[start:stop], pa.string()),
            },
            Role.PICTURES: self._pictures(start, stop, content),
            Role.ENCODED: Encoded(
                pa.array([PICTURES[c] for c in self.contents[start:stop]], pa.binary()), Path()
            ),
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
        kinds = [c % len(KINDS) if c else -1 for c in self.contents[start:stop]]
        carried = [(i, "a file") for i, c in enumerate(self.contents[start:stop]) if c == 3]
        return Pixels(
            stacked,
            content.reshape(-1, 2),
            tuple(broken),
            np.array(kinds, np.int32),
            KINDS,
            tuple(carried),
            WINDOWS[list(self.contents[start:stop])],
        )


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
