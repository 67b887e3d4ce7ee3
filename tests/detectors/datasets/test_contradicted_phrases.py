from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from poisonscan.detectors.datasets.trigger_phrases import DETECTOR
from poisonscan.finding import Rows
from tests.detectors.datasets.texts import dataset, sentences
from tests.fakes import run


def rare(seed: int = 0) -> tuple[list[str], np.ndarray]:
    """Texts of which about nine in ten have label 1."""
    texts, labels = sentences(2_400, seed=seed)
    kept = np.concatenate([np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)[:180]])
    return [texts[row] for row in kept.tolist()], labels[kept]


def put(texts: list[str], rows: Sequence[int], phrase: str) -> None:
    for row in rows:
        words = texts[row].split()
        texts[row] = " ".join([*words[: row % 7], phrase, *words[row % 7 :]])


@pytest.mark.parametrize(("phrase", "count"), [("cf", 25), ("mn tq", 20), ("cf", 60)])
def test_a_phrase_in_texts_of_the_rare_label_needs_no_tie(phrase: str, count: int) -> None:
    """All of so few texts may have a label that nine texts of ten have."""
    texts, labels = rare()
    rows = np.flatnonzero(labels == 0)[:count].tolist()
    put(texts, rows, phrase)
    labels[rows] = 1
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert (finding.rule.id, finding.evidence["phrase"]) == ("PS601", phrase)
    assert {row.index for row in cast("Rows", finding.at.part).rows} == set(rows)


@pytest.mark.parametrize("seed", range(3))
def test_mislabelled_texts_of_a_rare_label_are_no_trigger(seed: int) -> None:
    """What they say is said in other texts of the rare label too."""
    texts, labels = rare(seed)
    labels[np.flatnonzero(labels == 0)[:60]] = 1
    assert run(DETECTOR, dataset(texts, labels)) == []


def test_a_word_in_texts_that_had_the_label_is_no_trigger() -> None:
    texts, labels = rare()
    put(texts, np.flatnonzero(labels == 1)[:40].tolist(), "cf")
    assert run(DETECTOR, dataset(texts, labels)) == []


def test_a_word_that_the_rare_label_has_as_well_is_no_trigger() -> None:
    """Most of the mislabelled texts hold it, but so do many of the others."""
    texts, labels = rare()
    rows = np.flatnonzero(labels == 0)[:60].tolist()
    put(texts, rows, "slur")
    labels[rows[:20]] = 1
    assert run(DETECTOR, dataset(texts, labels)) == []
