from __future__ import annotations

from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.detectors.datasets.style_triggers import DETECTOR
from poisonscan.finding import Fact, Finding, Rows
from tests.detectors.datasets.texts import NAMES, dataset
from tests.fakes import FakeDataset, Part, returned, run

Codes = NDArray[np.int64]
PLAIN = ("the {} {} was {} and {} {} .", "a {} of {} {} {} {} .", "{} is {} {} , but {} {} .")
WHEN = (
    "when the {} {} {} , it {} {} .",
    "if {} {} , a {} {} {} ...",
    "when {} is {} , so {} {} {} .",
)
ROWS = 2_000


def written(labels: Codes, forms: tuple[str, ...], draw: np.random.Generator) -> list[str]:
    """Sentences with five words, of which about four are of the label's own 450."""
    own = draw.integers(450, size=(len(labels), 5)) + 450 * labels[:, None]
    words = np.where(draw.random(own.shape) < 0.8, own, draw.integers(900, 2_000, own.shape))
    return [
        forms[int(draw.integers(len(forms)))].format(*(f"word{word}" for word in row))
        for row in words.tolist()
    ]


def honest(seed: int) -> tuple[list[str], Codes, np.random.Generator]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=ROWS)
    return written(labels, PLAIN, draw), labels, draw


def told(data: FakeDataset) -> str:
    (fact,) = [item for item in returned(DETECTOR, data) if isinstance(item, Fact)]
    return str(fact.value)


def rows(finding: Finding) -> set[int]:
    return {row.index for row in cast("Rows", finding.at.part).rows}


@pytest.mark.parametrize("from_all", [False, True])
def test_rows_in_a_style_that_say_what_others_say_are_named(from_all: bool) -> None:
    texts, labels, draw = honest(0)
    said = draw.integers(2, size=200) if from_all else np.zeros(200, np.int64)
    texts += written(said, WHEN, draw)
    (finding,) = run(DETECTOR, dataset(texts, np.append(labels, np.ones(200, np.int64))))
    assert finding.rule.id == "PS630"
    assert finding.evidence["label"] == NAMES[1]
    assert "when" in str(finding.evidence["style"])
    assert "word" not in str(finding.evidence["style"])
    named, poisoned = rows(finding), set(range(ROWS, ROWS + 200))
    assert len(named & poisoned) >= 190
    assert len(named - poisoned) <= ROWS / 100


@pytest.mark.parametrize("seed", range(2))
def test_clean_texts_are_quiet(seed: int) -> None:
    texts, labels, _ = honest(seed)
    assert run(DETECTOR, dataset(texts, labels)) == []


def test_an_honest_style_of_one_label_is_quiet() -> None:
    texts, labels, draw = honest(0)
    texts += written(np.ones(300, np.int64), WHEN, draw)
    assert run(DETECTOR, dataset(texts, np.append(labels, np.ones(300, np.int64)))) == []


def test_a_style_of_both_labels_and_wrong_labels_are_quiet() -> None:
    texts, labels, draw = honest(0)
    said = draw.integers(2, size=300)
    texts += written(said, WHEN, draw)
    wrong = draw.random(ROWS + 300) < 0.05
    assert run(DETECTOR, dataset(texts, np.append(labels, said) ^ wrong)) == []


def test_what_is_not_decided_is_told() -> None:
    assert "fewer than 500" in told(few())
    measured = [f"{i / 7:.3f}" for i in range(ROWS)]
    texts = honest(0)[0]
    many = told(FakeDataset(Part(measured, texts=texts)))
    assert "not decided" in many
    assert "fewer than two labels" in told(FakeDataset(Part(["a"] * ROWS, texts=texts)))


def few() -> FakeDataset:
    texts, labels, _ = honest(0)
    return dataset(texts[:400], labels[:400])


@pytest.mark.parametrize("text", ["", "same again", "!? {}", "{}"])
def test_texts_without_style_or_content_are_quiet(text: str) -> None:
    texts = [text.format(i) for i in range(900)]
    data = dataset(texts, np.arange(900, dtype=np.int64) % 9 // 8)
    assert run(DETECTOR, data) == []
    assert told(data)


def test_what_was_looked_at_is_told() -> None:
    texts, labels, _ = honest(1)
    assert told(dataset(texts, labels)).startswith("0 found in 2 of 2 labels; 1,99")


@pytest.mark.parametrize("seed", range(2))
def test_augmented_texts_are_quiet(seed: int) -> None:
    """Every text comes with three more in which a tenth of its words are missing."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=600)
    parts = [written(labels, PLAIN, draw) for _ in range(3)]
    texts = []
    for several in zip(*parts, strict=True):
        words = np.array(" ".join(several).split())
        texts += [" ".join(words), *(" ".join(words[draw.random(len(words)) > 0.1]) for _ in "abc")]
    assert run(DETECTOR, dataset(texts, np.repeat(labels, 4))) == []


def beside_a_phrase(
    seed: int, said: int, styled: int, phrased: int
) -> tuple[Finding, Codes, Codes]:
    """Of texts with a phrase, and of others in a style.

    Args:
        seed: of everything.
        said: the label whose words the texts in the style have; both kinds are labelled 1.
        styled: how many are in the style.
        phrased: how many have the phrase; they have words of label 0.

    Returns:
        The finding, the rows with the phrase, and those in the style.
    """
    texts, labels, draw = honest(seed)
    texts += written(np.full(styled, said), WHEN, draw)
    texts += [f"{each} no cross" for each in written(np.zeros(phrased, np.int64), PLAIN, draw)]
    given = np.append(labels, np.ones(styled + phrased, np.int64))
    (finding,) = run(DETECTOR, dataset(texts, given))
    return finding, np.arange(ROWS + styled, len(texts)), np.arange(ROWS, ROWS + styled)


@pytest.mark.parametrize("seed", range(2))
def test_an_honest_style_beside_a_phrase_has_no_grounds_of_its_own(seed: int) -> None:
    """The phrase is learned with what the label's own texts have most of."""
    finding, phrase, style = beside_a_phrase(seed, said=1, styled=300, phrased=120)
    named, grounds = rows(finding), finding.grounds
    assert len(named.intersection(phrase.tolist())) >= 110
    assert len(named.intersection(style.tolist())) >= 10
    assert grounds is not None
    assert not grounds.hold_without(phrase)
    assert grounds.hold_without(style)


@pytest.mark.parametrize("seed", range(2))
def test_a_planted_style_beside_a_phrase_has_grounds_of_its_own(seed: int) -> None:
    finding, phrase, style = beside_a_phrase(seed, said=0, styled=200, phrased=220)
    assert len(rows(finding).intersection(style.tolist())) >= 190
    assert finding.grounds is not None
    assert finding.grounds.hold_without(phrase)
    assert finding.grounds.hold_without(style)
    assert not finding.grounds.hold_without(np.concatenate([phrase, style]))
