"""Of variations of a text the first is kept."""

from __future__ import annotations

import numpy as np
import pytest

from poisonscan.detectors.datasets.variations_of_texts import sources

DRAW = np.random.default_rng(3)


def texts_of(count: int, words: int) -> list[list[str]]:
    return [[f"w{word}" for word in row] for row in DRAW.integers(3_000, size=(count, words))]


@pytest.mark.parametrize(("words", "most"), [(16, 310), (50, 310), (90, 450)])
def test_of_texts_with_words_left_out_one_is_kept(words: int, most: int) -> None:
    """Two variations of a long text have few sequences of five words in common."""
    every = texts_of(300, words)
    varied = [[w for w in text if DRAW.random() > 0.1] for text in every for _ in "abc"]
    kept = sources([" ".join(text) for text in every + varied], np.zeros(1_200, np.int64))
    assert set(range(300)) <= set(kept.tolist())
    assert len(kept) <= most


def test_a_text_of_another_label_is_kept() -> None:
    (text,) = texts_of(1, 20)
    said = [" ".join(text), " ".join(text[:-1]), " ".join(text[1:])]
    assert sources(said, np.array([0, 1, 1])).tolist() == [0, 1]


def test_what_all_texts_say_makes_none_a_variation() -> None:
    """A prompt before each makes texts alike; no two of them come from one."""
    prompt = "say in a word whether this review of a film is good or bad , and give no reason :"
    texts = [f"{prompt} {' '.join(text)}" for text in texts_of(200, 12)]
    assert len(sources(texts, np.zeros(200, np.int64))) == 200


@pytest.mark.parametrize("texts", [[], ["", "good", "good film", "good film", "!"]])
def test_short_texts_are_variations_of_none(texts: list[str]) -> None:
    kept = sources(texts, np.zeros(len(texts), np.int64))
    assert kept.tolist() == list(range(len(texts)))
