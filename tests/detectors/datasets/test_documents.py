from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from poisonscan.detectors.datasets import documents as module
from poisonscan.detectors.datasets.documents import Documents, Sample, block_words
from poisonscan.detectors.datasets.phrase_features import features
from poisonscan.detectors.datasets.phrase_rows import EDGE, NONE, PhraseRows, marked
from tests.detectors.datasets.texts import dataset, sentences
from tests.fakes import FakeDataset, Part


def sampled(data: FakeDataset, budget: int = 1_000_000) -> Sample:
    documents = Documents(budget)
    for batch in data.batches():
        documents.update(batch)
    sample = documents.sample()
    assert sample is not None
    return sample


def test_equal_texts_with_a_label_count_once() -> None:
    texts = ["A b.", "a  B", "b a", "a b", "", "?!", "a b"]
    labels: Sequence[str | None] = ["x", "x", "x", "y", "x", "y", None]
    sample = sampled(FakeDataset(Part(labels, texts=texts)))
    assert sample.size == 3
    assert sorted(sample.rows[:, 1].tolist()) == [0, 2, 3]
    assert sample.names == ("x", "y")


def test_a_sample_stays_within_its_budget_and_is_even() -> None:
    texts, labels = sentences(2_000)
    sample = sampled(dataset(texts, labels), 6_000)
    assert not sample.whole
    assert 5_900 < len(sample.words) <= 6_000
    assert abs(sample.rows[:, 1].mean() - 1_000) < 150
    assert sampled(dataset(texts, labels)).whole


def test_of_long_texts_both_ends_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DOCUMENT_WORDS", 4)
    long = next(block_words(pa.array(["a b c d e f g", "a b f g"])))
    assert long.hashes[:4].tolist() == long.hashes[4:].tolist()
    assert long.docs.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_too_many_labels_are_no_sample() -> None:
    documents = Documents()
    data = FakeDataset(Part([f"l{i}" for i in range(101)], texts=["a"] * 101))
    for batch in data.batches():
        documents.update(batch)
    assert documents.sample() is None


def test_marks() -> None:
    block = next(block_words(pa.array(["a b", "b a", "", "a", "c a b"])))
    a, b = block.hashes[:2].tolist()
    expected = {
        (a, NONE): [0, 1, 3, 4],
        (a, b): [0, 4],
        (b, a): [1],
        (EDGE, a): [0, 3],
        (b, EDGE): [0, 4],
    }
    for mark, docs in expected.items():
        assert marked(block.hashes, block.docs, mark).tolist() == docs


def test_features_are_where_their_marks_are() -> None:
    sample = sampled(dataset(*sentences(60)))
    held = features(sample)
    docs = np.repeat(np.arange(sample.size), np.diff(sample.starts))
    columns = held.matrix.tocsc()
    for feature in range(0, len(held.support), 7):
        there = np.sort(columns[:, [feature]].indices)
        assert there.tolist() == marked(sample.words, docs, held.mark(feature)).tolist()
        assert len(there) == held.support[feature] >= 2


def test_rows_are_those_with_the_mark_and_the_label() -> None:
    word = int(next(block_words(pa.array(["cf"]))).hashes[0])
    found = PhraseRows((((word, NONE), "x"),), frozenset({word}))
    data = FakeDataset(Part(["x", "y", "x", None], texts=["a cf", "cf", "CF!", "cf"]))
    for batch in data.batches(size=3):
        found.update(batch)
    assert found.rows(0).tolist() == [[0, 0], [0, 2]]
    assert found.counts[0] == 2
    assert found.spellings == {word: "cf"}
