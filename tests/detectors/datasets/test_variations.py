from __future__ import annotations

import numpy as np
import pyarrow as pa

from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.words import distinct_texts
from poisonscan.detectors.datasets.few_findings import MOST, few
from poisonscan.detectors.datasets.texts_at import OTHERS, TextsAt
from poisonscan.detectors.datasets.variations import variation
from poisonscan.finding import Column, Fact, Finding, Location
from poisonscan.rules import rule

TEXT = "the red harbour ferry takes honest sailors home every single sunday morning"
MESSAGE = TEXT.split()
OTHER = ["the cat and the dog", "every day takes the home"] * 30


def changed(place: int, word: str) -> str:
    return " ".join(word if at == place else old for at, old in enumerate(MESSAGE))


def test_words_changed_here_and_there() -> None:
    found = variation([changed(n % 12, f"x{n}") for n in range(36)], OTHER, 0.02)
    assert found.scattered == 1
    assert found.content == 8  # not "the", "every", "takes", "home"


def test_a_gap_that_is_filled_in() -> None:
    found = variation([changed(4, f"x{n}") for n in range(36)], OTHER, 0.02)
    assert found.scattered == 0


def test_little_to_compare() -> None:
    assert variation([], [], 0.02).content == 0
    assert variation(["same text"], [], 0.02).scattered == 0


def test_the_texts_of_rows_and_a_bounded_sample_of_others() -> None:
    wanted = TextsAt(np.array([1, 3], np.uint64).tobytes())
    texts = [f"text {n}" for n in range(OTHERS + 500)]
    wanted.update(Batch(0, 0, len(texts), {Role.TEXT: distinct_texts([pa.array(texts)])}))
    assert wanted.found == {1: "text 1", 3: "text 3"}
    assert len(wanted.others) == OTHERS


def test_a_handful_of_findings_tells_of_the_others() -> None:
    found = [
        rule("PS701").finding(Location("d", Column(f"c{n}")), f"Seen {n}.", key=str(n))
        for n in range(9)
    ]
    items: list[Finding | Fact] = [Fact("rows", 1), *found]
    kept = few(items, unlisted=3)
    assert len(kept) == MOST + 1
    assert "7 further findings of this rule are not listed" in getattr(kept[-1], "message", "")
    assert few(found[:2]) == found[:2]
