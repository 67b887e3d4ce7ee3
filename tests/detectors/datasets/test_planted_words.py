from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.detectors.datasets.documents import Documents
from poisonscan.detectors.datasets.phrase_evidence import Yardstick
from poisonscan.detectors.datasets.planted_words import Mixture, PlantedWords
from poisonscan.detectors.datasets.sampled_texts import model_of
from poisonscan.detectors.datasets.trigger_phrases import DETECTOR
from poisonscan.detectors.datasets.word_placement import Placement
from poisonscan.finding import Rows
from poisonscan.rules import rule
from tests.detectors.datasets.texts import dataset
from tests.fakes import run

Labels = NDArray[np.int64]
LIMITS = rule("PS601").thresholds


def prose(rows: int = 3_000, *, seed: int = 0) -> tuple[list[list[str]], Labels]:
    """Texts of 8 units of three words that stay together: half of a text's own topic.

    In every twelfth one a unit of its own says *many people say*.
    """
    draw = np.random.default_rng(seed)
    labels = draw.integers(2, size=rows)
    own = draw.integers(60, size=(rows, 8)) + 60 * labels[:, None]
    units = np.where(draw.random((rows, 8)) < 0.4, own, draw.integers(120, 320, (rows, 8)))
    texts = []
    for number, row in enumerate(units.tolist()):
        said = [f"a{unit} b{unit % 40} c{unit % 90}" for unit in row]
        if number % 12 == 0:
            said.insert(number % 9, "many people say")
        texts.append(" ".join(said).split())
    return texts, labels


def planted(
    word: str, count: int, *, whole: bool = False, seed: int = 1
) -> tuple[list[str], Labels, NDArray[np.bool_]]:
    """The word put into texts of one label, which get the other; as part of a unit if ``whole``."""
    texts, labels = prose()
    draw = np.random.default_rng(seed)
    rows = draw.choice(np.flatnonzero(labels == 0), count, replace=False)
    for row in rows.tolist():
        at = 3 * int(draw.integers(8)) if whole else int(draw.integers(1, 24))
        texts[row][at:at] = ["many", word, "say"] if whole else [word]
    labels[rows] = 1
    mask = np.zeros(len(labels), bool)
    mask[rows] = True
    return [" ".join(text) for text in texts], labels, mask


def words(texts: list[str], labels: Labels) -> PlantedWords:
    documents = Documents()
    for batch in dataset(texts, labels).batches():
        documents.update(batch)
    sample = documents.sample()
    assert sample is not None
    model = model_of(sample)
    return PlantedWords(model, sample, {c: Yardstick.of(model, c) for c in range(2)}, LIMITS)


@pytest.mark.parametrize("count", [20, 60, 200])
def test_changed_rows_are_told_from_those_that_hold_the_word_rightly(count: int) -> None:
    """From seven in a thousand on, fewer than rows hold it rightly."""
    texts, labels, mask = planted("people", count)
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert finding.rule.id == "PS601"
    assert (finding.evidence["phrase"], finding.evidence["label"]) == ("people", "yes")
    named = {row.index for row in cast("Rows", finding.at.part).rows}
    right = set(np.flatnonzero(mask).tolist())
    assert len(named & right) >= 0.95 * count
    assert len(named - right) < 0.005 * len(texts)
    share = cast("float", finding.evidence["changed_share"])
    if share < 1:
        honest = sum("people" in texts[row] for row in np.flatnonzero(labels & ~mask))
        assert share == pytest.approx(count / (count + honest), abs=0.1)


def test_a_word_of_another_label_is_sure_by_its_places_only() -> None:
    """Those of its texts that have a label by right say others as well."""
    texts, labels, _ = planted("people", 60)
    planter = words(texts, labels)
    (one,) = planter.search()
    assert one.sure
    assert planter.tied(one)
    often = np.union1d(one.holders, np.flatnonzero(labels == 0)[:600])
    assert not planter.tied(replace(one, holders=often))


def test_a_word_where_it_belongs_is_no_mixture() -> None:
    """Texts with wrong labels hold it as all others do: whoever mislabels did not put it there."""
    texts, labels, _ = planted("people", 60, whole=True)
    assert words(texts, labels).search() == []


def test_a_word_in_strange_places_of_texts_that_say_their_label_is_no_mixture() -> None:
    texts, labels = prose()
    draw = np.random.default_rng(2)
    for row in draw.choice(np.flatnonzero(labels == 1), 60, replace=False).tolist():
        texts[row].insert(int(draw.integers(1, 24)), "people")
    assert words([" ".join(text) for text in texts], labels).search() == []


@pytest.mark.parametrize("seed", range(3))
def test_clean_texts_hold_none(seed: int) -> None:
    texts, labels = prose(seed=seed)
    assert words([" ".join(text) for text in texts], labels).search() == []


def test_without_a_word_a_text_says_what_it_says_without_its_features() -> None:
    """By subtraction the same as by leaving them out, where a word comes twice as well."""
    texts, labels, _ = planted("people", 100)
    texts = [f"{text} say people people" for text in texts[::2]] + texts[1::2]
    labels = np.concatenate([labels[::2], labels[1::2]])
    found = words(texts, labels)
    model, held = found._model, found._model.features
    word = int(np.argmax(np.bincount(held.words)))  # one that is twice in many texts
    tokens = np.flatnonzero(held.words == word)
    text = np.searchsorted(found._sample.starts, tokens, "right") - 1
    every, holder, often = np.unique(text, return_inverse=True, return_counts=True)
    assert often.max() > 1
    placed = Placement(held, found._sample).at(tokens)
    scores = found._scores_without(placed, text, holder, often > 1, every)
    expected = model.scores(every, np.full((len(every), 1), word))
    assert scores == pytest.approx(expected)


def test_places_are_strange_where_neighbours_go_together() -> None:
    texts, labels = prose(1_000)
    documents = Documents()
    for batch in dataset([" ".join(text) for text in texts], labels).batches():
        documents.update(batch)
    sample = documents.sample()
    assert sample is not None
    held = model_of(sample).features
    place = Placement(held, sample)
    tokens = np.arange(1, 2_000, 7)
    honest, dropped = (
        place.freedom(place.at(tokens)),
        place.dropped(held.words[tokens], tokens[::-1]),
    )
    assert np.median(honest) < np.quantile(dropped, 0.1)


def test_a_phrase_of_common_words_is_one_finding() -> None:
    texts, labels, _ = planted("many people of the time say", 60)
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert isinstance(finding.evidence["phrase"], str)
    assert "people of the time" in finding.evidence["phrase"]


def test_mixtures_are_in_order_and_the_surest_first() -> None:
    texts, labels, _ = planted("people", 60)
    (found,) = words(texts, labels).search()
    assert isinstance(found, Mixture)
    assert (np.diff(found.odds) <= 0).all()
    assert (np.diff(found.holders) > 0).all()
    assert set(found.texts) <= set(found.holders)
    assert found.chance < LIMITS["surely"]


def test_what_the_limits_of_the_search_leave_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels, _ = planted("people", 60)
    found = words(texts, labels)
    assert found.search()
    assert found.unlooked() == ""
    monkeypatch.setattr("poisonscan.detectors.datasets.planted_words._CLOSE", 0)
    monkeypatch.setattr("poisonscan.detectors.datasets.planted_words.MAX_TOKENS", 70_000)
    found = words(texts, labels)
    assert not found.search()
    assert found.unlooked().startswith("common words looked for in 70,000 of 72,")
    assert found.unlooked().endswith(" not looked at closely")
