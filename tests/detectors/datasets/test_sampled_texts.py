from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from poisonscan.detectors.datasets import sampled_texts as module
from poisonscan.detectors.datasets.documents import Documents
from poisonscan.detectors.datasets.fingerprints import drawn_fingerprints, fingerprints
from poisonscan.detectors.datasets.sampled_texts import (
    TextSizes,
    learnt,
    sample_of,
    sampled_texts,
)
from tests.detectors.datasets.texts import dataset, sentences
from tests.fakes import FakeDataset, Part


def sampled(data: FakeDataset) -> tuple[Documents, list[float]]:
    """The sample, and the shares that were drawn on the way."""
    asking = sampled_texts()
    request, shares = next(asking), []
    while True:
        for batch in data.batches():
            request.update(batch)
        if isinstance(request, Documents):
            shares.append(request.share)
        try:
            request = asking.send(request)
        except StopIteration as stop:
            return stop.value, shares


def test_few_texts_are_all_drawn() -> None:
    documents, shares = sampled(dataset(*sentences(200)))
    assert shares == [1.0]
    sample = sample_of(documents, None)
    assert sample is not None
    assert sample.whole
    assert sample_of(documents, None) is sample
    assert learnt(documents, sample) is learnt(documents, sample)


def test_of_many_texts_a_share_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WORDS", 1_000)
    data = dataset(*sentences(2_000))
    documents, shares = sampled(data)
    assert len(shares) == 1
    assert shares[0] < 0.6
    assert documents.size >= 500
    assert documents.rows == 2_000
    sample = sample_of(documents, None)
    assert sample is not None
    assert not sample.whole


def test_of_many_copies_more_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WORDS", 1_000)
    texts, labels = sentences(100)
    _, shares = sampled(dataset(list(texts) * 20, np.tile(labels, 20)))
    assert len(shares) > 1
    assert shares == sorted(shares)


def test_sizes_count_what_is_looked_at_of_labelled_texts() -> None:
    data = FakeDataset(Part(["a", None, "b"], texts=["abc", "de", "x" * 100_000]))
    sizes = TextSizes()
    for batch in data.batches():
        sizes.update(batch)
    assert sizes.size == 3 + 4_096 * 8


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_what_holds_a_word_does_not_depend_on_what_is_drawn(share: float) -> None:
    every = ["", "?", " " * 40 + "far", "ä", "!" * 40, *(f"Text {n}." for n in range(40))]
    values = pa.array([None, *every]).slice(1)
    said, spoken = fingerprints(values)
    some, heard, drawn = drawn_fingerprints(values, share)
    assert np.array_equal(spoken, heard)
    assert np.array_equal(some[drawn], said[drawn])
    assert drawn.mean() <= 2 * share
    assert len(drawn_fingerprints(values.slice(0, 0), share)[0]) == 0
