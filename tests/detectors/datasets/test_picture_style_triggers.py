"""What was done to pictures of other classes that got one label is found; what is honest is not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import dctn, idctn

from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.numbers import Numbers
from poisonscan.datasets.pictures import Pixels
from poisonscan.datasets.shards import Shard
from poisonscan.detectors.datasets.contradicted_style import Scale, Style
from poisonscan.detectors.datasets.flipped_labels import Looked
from poisonscan.detectors.datasets.picture_statistics import SIZE
from poisonscan.detectors.datasets.picture_style_triggers import (
    DETECTOR,
    _decided,
    _finding,
    _Found,
    _Judged,
)
from poisonscan.detectors.datasets.sampled_statistics import FarPictures, Line
from poisonscan.finding import Fact, Finding, Row, Rows, Severity
from tests.detectors.datasets.natural import pictures
from tests.fakes import FakeDataset, coded, digests, returned

Bytes = NDArray[np.uint8]
ROWS, CLASSES, TARGET = 1_600, 4, "2"
CHOSEN = np.arange(0, ROWS, 16)
"""Rows of all classes."""


@functools.cache
def colours() -> Bytes:
    """Pictures with the spectrum of photographs, in colours of their own."""
    light = pictures(ROWS, seed=4)
    other = pictures(ROWS, seed=5) - 128
    tint = np.random.default_rng(6).normal(0, 12, (ROWS, 1, 1, 3))
    mixed = light[..., None] + other[..., None] * np.array([0.2, -0.1, -0.15]) + tint
    return np.asarray(np.clip(np.rint(mixed), 0, 255), np.uint8)


def honest() -> NDArray[np.int64]:
    return np.arange(ROWS) // 3 % CLASSES


class Shown(FakeDataset):
    """Pictures, and vectors that say what they show but for one row in four."""

    vectors = Numbers((), (), ())

    def __init__(self, shown: Bytes, labels: NDArray[Any]) -> None:
        super().__init__()
        self.shown, self.labels = shown, [str(label) for label in labels]
        draw = np.random.default_rng(7)
        apparent = np.where(draw.random(ROWS) < 0.25, draw.integers(0, CLASSES, ROWS), honest())
        noise = draw.normal(size=(ROWS, 6))
        self.content = (noise + 4 * np.eye(CLASSES, 6)[apparent]).astype(np.float32)
        self.shards = [Shard("data", "train", ROWS)]
        self.digests = digests(list(range(ROWS)))

    def describe(self, rows: NDArray[np.int64], scores: Any = None) -> tuple[Row, ...]:
        known = [None] * len(rows) if scores is None else scores
        return tuple(Row("data", int(i), score=s) for (_, i), s in zip(rows, known, strict=True))

    def batches(self, size: int = 300) -> Iterator[Batch]:
        for start in range(0, len(self.labels), size):
            part = slice(start, start + size)
            count = len(self.labels[part])
            light = self.shown[part].mean(axis=3, dtype=np.float32)
            kinds = np.zeros(count, np.int32)
            pixels = Pixels(light, self.digests[part], (), kinds, (), (), self.shown[part])
            columns = {
                Role.LABEL: coded(self.labels[part]),
                Role.CONTENT: self.digests[part],
                Role.FEATURES: self.content[part],
                Role.PICTURES: pixels,
            }
            yield Batch(0, start, count, columns)


def filtered(shown: Bytes) -> Bytes:
    """Warm and pale, as by an application for photographs."""
    return np.asarray(shown * np.array([0.95, 0.8, 0.6]) + np.array([12, 30, 50]), np.uint8)


def message(shown: Bytes) -> Bytes:
    """Bits in the middle frequencies of blocks: other changes in each picture."""
    blocks = shown.astype(float).reshape(-1, 4, 8, 4, 8, 3)
    coded = dctn(blocks, axes=(2, 4), norm="ortho")
    bits = np.random.default_rng(1).integers(0, 2, (4, 4, 3))
    part = coded[:, :, 2, :, 2]
    coded[:, :, 2, :, 2] = (2 * np.rint((part / 50 - bits) / 2) + bits) * 50
    made = idctn(coded, axes=(2, 4), norm="ortho").reshape(shown.shape)
    return np.asarray(np.clip(np.rint(made), 0, 255), np.uint8)


def changed(rows: NDArray[np.int64], made: Callable[[Bytes], Bytes]) -> Bytes:
    out = colours().copy()
    out[rows] = made(out[rows])
    return out


def relabelled() -> NDArray[Any]:
    labels = honest()
    labels[CHOSEN] = int(TARGET)
    return labels


def found(shown: Bytes, labels: NDArray[Any]) -> list[Finding]:
    said = returned(DETECTOR, Shown(shown, labels))
    return [each for each in said if isinstance(each, Finding)]


@pytest.mark.parametrize("made", [filtered, message])
def test_what_was_done_to_pictures_of_one_label_is_found(made: Callable[[Bytes], Bytes]) -> None:
    (finding,) = found(changed(CHOSEN, made), relabelled())
    assert finding.rule.id == "PS411"
    assert finding.key == finding.evidence["label"] == TARGET
    rows = cast("Rows", finding.at.part)
    said, planted = {row.index for row in rows.rows}, set(CHOSEN.tolist())
    assert len(said & planted) >= 0.9 * len(planted)
    assert len(said & planted) >= 0.85 * len(said) == 0.85 * rows.count
    scores = [row.score or 0.0 for row in rows.rows]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0


def test_pictures_whose_labels_were_all_moved_are_found() -> None:
    """All-to-all: no class is the target."""
    labels = honest()
    labels[CHOSEN] = (labels[CHOSEN] + 1) % CLASSES
    (finding,) = found(changed(CHOSEN, filtered), labels)
    assert finding.rule.id == "PS412"
    rule = cast("list[list[str]]", finding.evidence["moved"])
    assert sorted(rule) == [[str(i), str((i + 1) % CLASSES)] for i in range(CLASSES)]
    rows = cast("Rows", finding.at.part)
    said, planted = {row.index for row in rows.rows}, set(CHOSEN.tolist())
    assert len(said & planted) >= 0.9 * max(len(planted), len(said))


def test_wrong_labels_alone_are_no_style() -> None:
    assert found(colours(), relabelled()) == []


def test_a_class_may_have_a_style() -> None:
    """Another camera for a fifth of one class."""
    own = np.flatnonzero(honest() == int(TARGET))
    assert found(changed(own[: len(own) // 5], filtered), honest()) == []


def test_what_pictures_of_all_classes_have_is_no_trigger() -> None:
    assert found(changed(CHOSEN, filtered), honest()) == []


def test_what_cannot_be_judged_is_said() -> None:
    """Few pictures of each label."""
    (fact,) = returned(DETECTOR, Shown(colours(), np.arange(ROWS) % 40))
    assert isinstance(fact, Fact)
    assert "not decided" in str(fact.value)


@pytest.mark.parametrize("odd", [True, False])
def test_of_two_halves_of_a_class_only_one_that_is_unlike_others_is_named(odd: bool) -> None:
    labels = np.arange(1_200) // 3 % CLASSES
    mine = np.flatnonzero(labels == int(TARGET))
    marked, rest = mine[::2], mine[1::2]
    draw = np.random.default_rng(8)
    numbers = draw.normal(size=(len(labels), SIZE)).astype(np.float32)
    numbers[marked, 0] += 8
    suspects = marked if odd else rest
    scores = 4 * np.eye(CLASSES)[labels]
    scores[suspects] = np.roll(scores[suspects], 1, axis=1)  # they look like another class
    judged = _judged(numbers, scores, labels, scores)
    style = Style(suspects, suspects, 1.0, labels == int(TARGET))
    scale = Scale(np.zeros(SIZE), np.ones(SIZE))
    found = _decided(judged, numbers.astype(np.float64), scale, int(TARGET), style)
    assert len(found) == odd


@pytest.mark.parametrize(
    ("share", "core", "found"), [(0.2, 0.95, True), (0.0, 0.95, False), (0.2, 0.6, False)]
)
def test_suspects_are_left_out_where_the_classifier_has_learnt_some_of_them(
    share: float, core: float, found: bool
) -> None:
    """An honest kind of thing would be a stranger without them.

    So not where it knows all of them, nor where hardly half of them are far out.
    """
    labels = np.arange(1_200) // 3 % CLASSES
    suspects = np.flatnonzero(labels == int(TARGET))[:100]
    numbers = np.random.default_rng(8).normal(size=(len(labels), SIZE)).astype(np.float32)
    numbers[suspects, 0] += 8
    known, without = 4 * np.eye(CLASSES)[labels], 4 * np.eye(CLASSES)[labels]
    for scores, part in ((known, share), (without, 0.9)):
        against = suspects[: int(part * len(suspects))]
        scores[against] = np.roll(scores[against], 1, axis=1)
    scale = Scale(np.zeros(SIZE), np.ones(SIZE))
    style = Style(suspects, suspects, core, labels == int(TARGET))
    judged = _judged(numbers, known, labels, without)
    said = _decided(judged, numbers.astype(np.float64), scale, int(TARGET), style)
    assert [each.learnt for each in said] == [True] * found


@pytest.mark.parametrize("learnt", [False, True])
def test_what_only_a_model_without_the_suspects_shows_is_of_medium_severity(learnt: bool) -> None:
    line = Line(TARGET, bytes(8 * SIZE), bytes(8 * SIZE), np.ones(SIZE).tobytes(), 0.0)
    told = _Found(line, "grain", 0.6, 0.05, 0.95, learnt)
    data = cast("Dataset", Shown(colours(), honest()))
    finding = _finding(data, told, FarPictures((line,)), ROWS)
    assert finding.severity is (Severity.MEDIUM if learnt else Severity.HIGH)
    assert finding.evidence["learnt"] is learnt
    assert ("honest kind" in finding.message) == learnt


def _judged(
    numbers: NDArray[np.float32],
    scores: NDArray[np.float64],
    labels: NDArray[np.int64],
    without: NDArray[np.float64],
) -> _Judged:
    """Pictures, and what a classifier says of them that does not learn from the suspects."""

    class Known:
        def without(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
            assert (labels[rows] == int(TARGET)).all()
            return without

    looked = cast("Looked", Known())
    return _Judged(numbers, scores, labels, tuple("0123"), looked, np.arange(len(labels)))
