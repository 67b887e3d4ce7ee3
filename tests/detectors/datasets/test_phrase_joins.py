"""How phrases stand among their neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from poisonscan.detectors.datasets.documents import Documents
from poisonscan.detectors.datasets.phrase_features import features
from poisonscan.detectors.datasets.phrase_joins import Joins, Standing
from tests.detectors.datasets.test_planted_words import prose
from tests.detectors.datasets.texts import dataset, sentences


def standing(texts: list[str], rows: list[int], phrase: str) -> Standing:
    """How a phrase stands in some of the texts, each one different."""
    documents = Documents()
    for batch in dataset(texts, np.arange(len(texts)) % 2).batches():
        documents.update(batch)
    sample = documents.sample()
    assert sample is not None
    held = features(sample)
    which = np.flatnonzero(np.isin(sample.rows[:, 1], rows))
    said, first = phrase.split(), int(which[0])
    begin = int(sample.starts[first]) + texts[int(sample.rows[first, 1])].split().index(said[0])
    words = tuple(held.words[begin : begin + len(said)].tolist())
    return Joins(held, sample).of(words, which, np.zeros(len(held.support), bool))


@pytest.mark.parametrize("phrase", ["cf", "read this now"])
@pytest.mark.parametrize("place", ["anywhere", "start", "end"])
def test_what_was_put_in_stands_in_strange_places(phrase: str, place: str) -> None:
    written, _ = prose()
    draw = np.random.default_rng(3)
    for row in range(1, 80, 2):
        inside = int(draw.integers(1, len(written[row])))
        at = {"anywhere": inside, "start": 0, "end": len(written[row])}[place]
        written[row][at:at] = phrase.split()
    found = standing([" ".join(text) for text in written], list(range(1, 80, 2)), phrase)
    assert found.natural
    assert found.chance < 0.05


def test_a_word_where_writers_put_it_belongs_there() -> None:
    written, _ = prose()
    texts = [" ".join(text) for text in written]
    rows = [row for row, text in enumerate(written) if "b7" in text]
    found = standing(texts, rows, "b7")
    assert not found.natural
    assert found.chance > 0.3


def test_where_the_order_of_words_says_nothing_no_phrase_belongs() -> None:
    texts, _ = sentences(1_500)
    rows = list(range(60))
    for row in rows:
        words = texts[row].split()
        texts[row] = " ".join([*words[: row % 12], "cf", *words[row % 12 :]])
    assert standing(texts, rows, "cf").natural


def test_a_phrase_that_is_all_of_its_texts_stands_nowhere() -> None:
    texts, _ = sentences(300)
    texts[7] = "all of it"
    assert standing(texts, [7], "all of it") == Standing(1.0, natural=False)
