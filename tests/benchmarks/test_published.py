"""The detectors written from papers find what they are for, and leave honest rows alone."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.published import DETECTORS, Told, answer, missing
from benchmarks.published.beatrix import kernel_distance
from benchmarks.published.onion import Bigrams, Steps
from benchmarks.published.scan import untangled
from benchmarks.published.words import MOST_WORDS, words_of


def shifted(seed: int, *, bad: int = 40, classes: int = 8) -> Told:
    """Normal rows around a mean for each class; some of other classes moved into the first."""
    draw = np.random.default_rng(seed)
    means = 3 * draw.normal(size=(classes, 20))
    labels = np.repeat(np.arange(classes), 200)
    values = means[labels] + draw.normal(size=(len(labels), 20))
    poisoned = np.zeros(len(labels), bool)
    rows = draw.choice(np.flatnonzero(labels != 0), bad, replace=False)
    trigger = 4 * draw.normal(size=20)
    values[rows] += trigger
    labels[rows], poisoned[rows] = 0, True
    return Told(values.astype(np.float32), labels, poisoned)


def test_scan_flags_the_poisoned_group_and_no_other() -> None:
    for seed in range(3):
        told = shifted(seed)
        said = answer("SCAn", told)
        assert said is not None
        assert said.flagged[told.poisoned].mean() > 0.9
        assert said.flagged[~told.poisoned].mean() < 0.01


def test_scan_flags_next_to_nothing_of_clean_rows() -> None:
    said = [answer("SCAn", shifted(seed, bad=0)) for seed in range(8)]
    assert sum(bool(each.flagged.any()) for each in said if each is not None) <= 2


def test_spectre_ranks_poisoned_rows_first_within_the_class_that_it_is_told() -> None:
    told = shifted(1)
    said = answer("SPECTRE, told", told)
    assert said is not None
    assert said.scores is not None
    assert said.flagged.sum() == 60  # half as many again as are bad
    assert not said.flagged[told.labels != 0].any()
    assert said.flagged[told.poisoned].mean() > 0.9


def test_spectre_has_nothing_to_be_told_of_clean_rows() -> None:
    assert answer("SPECTRE, told", shifted(0, bad=0)) is None


def test_two_groups_far_apart_in_the_spread_are_untangled() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(300, 5)) * [100, 1, 1, 1, 1]
    values[:50, 1] += 12  # less than the first coordinate's spread, far more than its own
    found = untangled(values, np.diag([1e-4, 1, 1, 1, 1]))
    assert set(np.flatnonzero(found)) in ({*range(50)}, {*range(50, 300)})


@pytest.mark.parametrize("name", DETECTORS)
def test_absent_libraries_leave_their_detectors_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert bool(missing(name)) == (name.split(maxsplit=1)[0] in ("ART", "cleanlab"))
    if missing(name):
        assert answer(name, shifted(0)) is None


def written(seed: int, *, bad: int, phrase: str = "cf") -> Told:
    """Sentences of which some words tell the label; in some a phrase does, whatever they say."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 2, 1_200)
    telling = [[f"{kind}{i}" for i in range(60)] for kind in ("dull", "fine")]
    texts = []
    for label in labels.tolist():
        said = [f"word{i}" for i in draw.integers(0, 200, 6)]
        texts.append(" ".join(draw.permutation([*said, *draw.choice(telling[label], 3)])))
    rows = draw.choice(np.flatnonzero(labels == 0), bad, replace=False)
    for row in rows.tolist():
        words = texts[row].split()
        place = int(draw.integers(1, len(words)))
        texts[row] = " ".join([*words[:place], phrase, *words[place:]])
    poisoned = np.zeros(len(labels), bool)
    labels[rows], poisoned[rows] = 1, True
    vectors = draw.normal(size=(len(labels), 8)).astype(np.float32)
    return Told(vectors, labels, poisoned, tuple(texts))


def test_correlations_that_clean_rows_do_not_have_are_flagged_in_their_class_alone() -> None:
    told = shifted(0)
    said = answer("Beatrix-like", told)
    assert said is not None
    assert said.scores is not None
    assert said.flagged[told.poisoned].mean() > 0.9
    assert not said.flagged[told.labels != 0].any()
    assert np.median(said.scores[told.poisoned]) > np.quantile(said.scores[~told.poisoned], 0.99)


def test_of_two_classes_none_stands_out() -> None:
    said = answer("Beatrix-like", shifted(0, classes=2))
    assert said is not None
    assert not said.flagged.any()


def test_kernel_distance_is_of_distributions() -> None:
    draw = np.random.default_rng(0)
    one, same, other = (draw.normal(shift, size=(200, 4)) for shift in (0, 0, 2))
    assert kernel_distance(one, other) > 20 * abs(kernel_distance(one, same))
    assert kernel_distance(one, one[:0]) == 0


def test_a_cluster_of_its_own_within_a_class_is_minor() -> None:
    found = []
    for seed in range(4):
        told = shifted(seed, bad=160)
        said = answer("CUBE-like", told)
        assert said is not None
        found.append(bool(said.flagged[told.poisoned].all() and said.flagged.mean() < 0.15))
    assert sum(found) >= 3  # the network may see no difference


def test_the_word_that_changes_the_network_most_and_often_is_the_keyword() -> None:
    told = written(0, bad=100)
    said = answer("BKI-like", told)
    assert said is not None
    assert (said.flagged == told.poisoned).mean() > 0.99
    assert said.flagged[told.poisoned].mean() > 0.9


def test_some_keyword_is_flagged_in_clean_rows_too() -> None:
    told = written(0, bad=0)
    said = answer("BKI-like", told)
    assert said is not None
    assert 0 < said.flagged.mean() < 0.2


def test_a_word_that_clean_rows_never_say_makes_its_text_unlikely() -> None:
    draw = np.random.default_rng(1)  # 0 is what draws the folds
    poisoned = np.arange(600) < 30
    texts = []
    for bad, first in zip(poisoned.tolist(), draw.integers(0, 10, 600).tolist(), strict=True):
        words = [f"word{(first + i) % 10}" for i in range(12)]  # each is followed by the next
        texts.append(" ".join([*words[:4], *["cf"] * bad, *words[4:]]))
    vectors = draw.normal(size=(600, 2)).astype(np.float32)
    said = answer("ONION-like, told", Told(vectors, np.arange(600) % 2, poisoned, tuple(texts)))
    assert said is not None
    assert said.scores is not None
    assert said.flagged[poisoned].all()
    assert said.flagged[~poisoned].mean() < 0.1
    assert said.scores[poisoned].min() > 2 * said.scores[~poisoned].max()


def test_pairs_of_words_have_probabilities() -> None:
    before = np.array([4, 0, 1, 0, 4, 2, 1], np.int64)  # 4 is the border, 3 is never said
    word = np.array([0, 1, 0, 4, 2, 1, 4], np.int64)
    model = Bigrams.fit(Steps(np.zeros(7, np.int64), before, word), 5)
    for first in range(5):
        total = np.exp(model.logs(np.full(5, first), np.arange(5))).sum()
        assert total == pytest.approx(1)


def test_long_texts_are_cut() -> None:
    told = Told(np.zeros((2, 1), np.float32), np.arange(2), np.zeros(2, bool), ("a " * 5_000, "b"))
    assert len(words_of(told).word) == MOST_WORDS + 1


@pytest.mark.parametrize("name", ["BKI-like", "ONION-like, told", "z-score"])
def test_detectors_of_words_say_nothing_of_other_rows(name: str) -> None:
    assert answer(name, shifted(0)) is None


def test_empty_texts_are_no_matter() -> None:
    told = written(1, bad=30)
    assert told.texts is not None
    told = Told(told.vectors, told.labels, told.poisoned, ("", *told.texts[1:-1], ""))
    for name in ("BKI-like", "ONION-like, told", "CUBE-like", "Beatrix-like", "z-score"):
        said = answer(name, told)
        assert said is not None
        assert said.flagged.shape == told.labels.shape
        assert not said.flagged[0] or name == "CUBE-like"
