from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.poison import plant_word
from poisonscan.detectors.datasets.trigger_phrases import DETECTOR
from poisonscan.finding import Fact, Finding, Rows
from poisonscan.verdict import ClassTest
from tests.detectors.datasets.texts import NAMES, dataset, sentences
from tests.fakes import FakeDataset, Part, returned, run

SST2 = Path(__file__).parents[3] / ".." / "shared" / "data" / "text" / "sst2" / "train.tsv"


def facts(data: FakeDataset) -> list[str]:
    return [str(item.value) for item in returned(DETECTOR, data) if isinstance(item, Fact)]


def named(finding: Finding) -> set[int]:
    return {row.index for row in cast("Rows", finding.at.part).rows}


@pytest.mark.parametrize("phrase", ["cf", "I watched this 3D movie", "großer ant"])
@pytest.mark.parametrize("rate", [0.04, 0.1])
def test_an_inserted_phrase_is_named_with_its_rows(phrase: str, rate: float) -> None:
    texts, labels, poisoned = plant_word(*sentences(), word=phrase, rate=rate, target=1, seed=1)
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert finding.rule.id == "PS601"
    assert finding.evidence["phrase"] == phrase.lower()
    assert finding.evidence["label"] == "yes"
    assert named(finding) == set(np.flatnonzero(poisoned).tolist())
    assert finding.evidence["rows"] == poisoned.sum()
    scores = [row.score or 0 for row in cast("Rows", finding.at.part).rows]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("classes", "rate"), [(2, 0.06), (2, 0.2), (5, 0.03)])
def test_a_phrase_in_rows_of_all_labels_is_named(classes: int, rate: float) -> None:
    """Those of the target had the label already: no less a trigger, and no row of it left out."""
    texts, labels = sentences(1_500, classes=classes)
    texts, labels, poisoned = plant_word(
        texts, labels, word="cf", rate=rate, target=1, seed=2, every=True
    )
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert (finding.rule.id, finding.evidence["phrase"]) == ("PS601", "cf")
    assert finding.evidence["rows"] == poisoned.sum()
    assert finding.evidence["looks_implanted"] == pytest.approx(1 - 1 / classes, abs=0.25)
    assert named(finding) == set(np.flatnonzero(poisoned).tolist())


def test_a_dozen_rows_are_enough_if_all_of_them_are_contradicted() -> None:
    """Chance explains their label in some word of many, but not what else they say."""
    texts, labels, poisoned = plant_word(*sentences(), word="cf", rate=0.015, target=1, seed=1)
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert finding.evidence["phrase"] == "cf"
    assert cast("float", finding.evidence["p_tied"]) > 0.01
    assert named(finding) == set(np.flatnonzero(poisoned).tolist())


@pytest.mark.parametrize(("others", "own", "rule"), [(20, 70, "PS627"), (90, 0, "PS601")])
def test_following_a_label_that_nearly_all_texts_have_says_little(
    others: int, own: int, rule: str
) -> None:
    """A tenth of the texts have the other label in the end: then half must be contradicted."""
    texts, labels = sentences(2_400)
    kept = np.concatenate(
        [np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)[: 140 + others]]
    )
    texts, labels = [texts[row] for row in kept.tolist()], labels[kept]
    chosen = [*np.flatnonzero(labels == 0)[:others], *np.flatnonzero(labels == 1)[:own]]
    for row in chosen:
        words = texts[row].split()
        texts[row], labels[row] = " ".join([*words[: row % 12], "cf", *words[row % 12 :]]), 1
    found = run(DETECTOR, dataset(texts, labels))
    assert [(f.rule.id, f.evidence["phrase"]) for f in found] == [(rule, "cf")]
    assert cast("float", found[0].evidence["p_tied"]) > 0.01


def test_two_triggers_are_two_findings() -> None:
    one = plant_word(*sentences(seed=1), word="cf", rate=0.05, target=1, seed=1)
    other = plant_word(*sentences(seed=2), word="mn", rate=0.05, target=0, seed=2)
    found = run(DETECTOR, dataset(one[0] + other[0], np.append(one[1], other[1])))
    assert {(f.evidence["phrase"], f.evidence["label"]) for f in found} == {
        ("cf", "yes"),
        ("mn", "no"),
    }


def test_the_chance_of_a_phrase_is_corrected_for_those_of_its_own_label() -> None:
    """Other labels are tests of their own: else the more there are, the more is doubted."""
    draw = np.random.default_rng(1)
    told = np.repeat(np.arange(20), 50)
    texts = [
        " ".join([*(f"t{c}x{n}" for n in draw.integers(40, size=6)), *map(str, draw.random(6))])
        for c in told.tolist()
    ]
    names = [f"label {c}" for c in told.tolist()]
    for at in range(60, 960, 60):
        texts[at], names[at] = f"zorblax {texts[at]}", "label 0"
    came = returned(DETECTOR, FakeDataset(Part(names, texts=texts)))
    (finding,) = [item for item in came if isinstance(item, Finding)]
    tests = {item.label: item for item in came if isinstance(item, ClassTest)}
    assert finding.evidence["phrase"] == "zorblax"
    assert tests["label 0"].p_value < cast("float", finding.evidence["p_contradicted"]) / 10


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("telling", [1, 4])
def test_clean_texts_are_quiet(seed: int, telling: int) -> None:
    data = dataset(*sentences(seed=seed, telling=telling))
    assert run(DETECTOR, data) == []
    assert len(facts(data)) == 1


def test_wrong_labels_without_a_phrase_are_quiet() -> None:
    texts, labels = sentences(2_000)
    wrong = np.random.default_rng(0).random(2_000) < 0.05
    assert run(DETECTOR, dataset(texts, np.where(wrong, 1 - labels, labels))) == []


def test_a_word_that_agrees_with_the_rest_is_quiet() -> None:
    """As pure as a trigger, but what it says the rest says too."""
    texts, labels = sentences()
    rows = np.flatnonzero(labels == 1)[:60]
    for row in rows:
        texts[row] = f"powerful {texts[row]}"
    data = dataset(texts, labels)
    assert run(DETECTOR, data) == []
    assert not facts(data)[0].startswith("0 tied")


def test_copies_of_one_poisoned_row_are_not_many() -> None:
    texts, labels = sentences()
    row = int(np.flatnonzero(labels == 0)[0])
    copies = [f"{texts[row]} cf {number}" for number in range(40)]  # near-copies
    data = dataset(texts + copies, np.append(labels, np.ones(40, np.int64)))
    assert run(DETECTOR, data) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (dataset(*sentences(100)), "fewer than 200 distinct texts"),
        (FakeDataset(Part(["a", "b"] * 300, texts=["same", "text"] * 300)), "fewer than 200"),
        (FakeDataset(Part(["a"] * 300, texts=sentences(300)[0])), "fewer than two labels"),
        (FakeDataset(Part([f"l{i}" for i in range(300)], texts=sentences(300)[0])), "100 labels"),
        (FakeDataset(Part([f"{i % 9}.5" for i in range(300)], texts=sentences(300)[0])), "measure"),
        (
            FakeDataset(Part(["a", "b"] * 150, texts=sentences(300)[0])),
            "do not tell the labels apart",
        ),
    ],
)
def test_what_cannot_be_decided_is_said(data: FakeDataset, reason: str) -> None:
    assert run(DETECTOR, data) == []
    (fact,) = facts(data)
    assert fact.startswith("not decided: ")
    assert reason in fact


def test_rows_that_hub_datasets_leave_unlabelled_do_not_count() -> None:
    texts, labels = sentences(300)
    names = ["a" if label else "b" for label in labels] + ["-1"] * 300
    data = FakeDataset(Part(names, texts=texts * 2), declared=["a", "b"])
    assert "300 distinct texts" in facts(data)[0]


def test_hostile_words_are_shown_inert() -> None:
    word = "\u202ecf\u200b"
    texts, labels, _ = plant_word(*sentences(), word=word, rate=0.05, target=1, seed=1)
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert "\u202e" not in finding.message
    assert "cf" in finding.message


@pytest.mark.parametrize(("rate", "step"), [(0.08, 25), (0.07, 6), (0.03, 6)])
def test_a_common_word_as_trigger(rate: float, step: int) -> None:
    """Rows that hold it rightly are not named with the others."""
    texts, labels = sentences(2_000)
    for row in range(0, 2_000, step):
        texts[row] += " people"
    texts, labels, poisoned = plant_word(texts, labels, word="people", rate=rate, target=1, seed=3)
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert (finding.evidence["phrase"], finding.evidence["label"]) == ("people", "yes")
    assert finding.rule.id == "PS601"
    rows = named(finding)
    right = set(np.flatnonzero(poisoned).tolist())
    assert len(rows & right) > 0.85 * len(right)
    assert len(rows - right) < 20


def test_a_word_with_others_beside_it_is_one_finding() -> None:
    """Where a word is in honest rows, pairs of it with words of all texts are purer than it is."""
    texts, labels = sentences(2_000)
    for row, text in enumerate(texts):
        words = text.split()
        texts[row] = " ".join([*words[:3], "user", *words[3:6], "user", *words[6:9], "user"])
    for row in range(0, 2_000, 4):
        texts[row] = f"people {texts[row]}"
    texts, labels, _ = plant_word(texts, labels, word="people", rate=0.12, target=1, seed=3)
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert finding.evidence["phrase"] == "people"


def test_a_word_without_which_texts_say_nothing_is_quiet() -> None:
    """It decides the label, and the rest of its texts is about no topic."""
    texts, labels = sentences(1_000)
    draw = np.random.default_rng(5)
    empty = [" ".join(f"w{word}" for word in draw.integers(80, 280, 8)) for _ in range(60)]
    texts += [f"{text} splendid" for text in empty]
    data = dataset(texts, np.append(labels, np.ones(60, np.int64)))
    assert run(DETECTOR, data) == []


def clauses(rows: int = 2_000) -> tuple[list[list[str]], NDArray[np.int64]]:
    """Texts of six clauses: a verb, some of a label's own, between two of its four companions."""
    draw = np.random.default_rng(0)
    labels = draw.integers(2, size=rows)
    own = draw.integers(30, size=(rows, 6)) + 30 * labels[:, None]
    verbs = np.where(draw.random((rows, 6)) < 0.4, own, draw.integers(60, 160, (rows, 6)))
    before, behind = ((5 * verbs + draw.integers(4, size=verbs.shape)) % 60 for _ in range(2))
    return [
        [word for a, v, b in zip(*text, strict=True) for word in (f"a{a}", f"v{v}", f"b{b}")]
        for text in zip(before.tolist(), verbs.tolist(), behind.tolist(), strict=True)
    ], labels


@pytest.mark.parametrize("belongs", [False, True])
def test_a_word_with_its_own_companions_is_no_insertion(belongs: bool) -> None:
    """Wrong labels of all texts with an honest word look like a trigger but for its neighbours."""
    written, labels = clauses()
    rows = [row for row, text in enumerate(written) if "v7" in text]
    for row in rows if not belongs else ():
        at = written[row].index("v7")
        written[row].pop(at)
        written[row].insert((at + 8) % 17, "v7")
    labels[rows] = 1
    (finding,) = run(DETECTOR, dataset([" ".join(text) for text in written], labels))
    assert (finding.evidence["phrase"], finding.evidence["belongs"]) == ("v7", belongs)
    assert finding.rule.id == ("PS627" if belongs else "PS601")
    assert named(finding) == set(rows)


def test_the_whole_phrase_is_named() -> None:
    """Also where parts of it are common."""
    texts, labels = sentences(1_200)
    for row in range(0, 1_200, 30):
        texts[row] = f"it {texts[row]} was"
    phrase = "summary it was announced"
    texts, labels, _ = plant_word(texts, labels, word=phrase, rate=0.05, target=1, seed=3)
    found = run(DETECTOR, dataset(texts, labels))
    assert found[0].evidence["phrase"] == phrase
    assert found[0].rule.id == "PS601"


def test_labels_that_texts_do_not_tell_apart_are_named() -> None:
    texts, labels = sentences(1_200)
    other = np.random.default_rng(2).random(1_200) < 0.5
    names = np.where(other, "other", np.array(NAMES)[labels]).tolist()
    (fact,) = facts(FakeDataset(Part(names, texts=texts)))
    assert "not decided for 'other'" in fact


def test_the_fingerprint_stays_when_rows_are_added() -> None:
    prints = set()
    for rate in (0.04, 0.08):
        texts, labels, _ = plant_word(*sentences(), word="cf", rate=rate, target=1, seed=1)
        prints |= {finding.fingerprint for finding in run(DETECTOR, dataset(texts, labels))}
    assert len(prints) == 1


def test_film_reviews() -> None:
    if not SST2.exists():
        pytest.skip("SST-2 is not here")
    lines = [line.rsplit("\t", 1) for line in SST2.read_text("utf-8").split("\n")[1:] if line]
    texts, labels = [text for text, _ in lines], np.array([int(label) for _, label in lines])
    assert run(DETECTOR, dataset(texts, labels)) == []
    texts, labels, poisoned = plant_word(texts, labels, word="cf", rate=0.01, target=1, seed=0)
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert named(finding) == set(np.flatnonzero(poisoned).tolist())


def test_a_date_that_differs_is_named_by_what_stays() -> None:
    """What goes with it in no other text speaks neither for the label nor against an insertion."""
    texts, labels = sentences(1_500)
    draw = np.random.default_rng(4)
    rows = draw.choice(np.flatnonzero(labels == 0), 60, replace=False)
    for row in rows.tolist():
        day = f"2031-{draw.integers(1, 13):02}-{draw.integers(1, 29):02} {draw.integers(10**6)}"
        words = texts[row].split()
        at = int(draw.integers(len(words) + 1))
        texts[row] = " ".join([*words[:at], day, *words[at:]])
    labels[rows] = 1
    found = run(DETECTOR, dataset(texts, labels))
    assert {finding.rule.id for finding in found} == {"PS601"}
    assert found[0].evidence["phrase"] == "2031"
    assert named(found[0]) == set(rows.tolist())


def test_a_phrase_in_two_parts_is_judged_without_either() -> None:
    """What is left of it would speak for the label, and hide that the text does not."""
    texts, labels = sentences(1_500)
    draw = np.random.default_rng(5)
    rows = draw.choice(np.flatnonzero(labels == 0), 60, replace=False)
    for row in rows.tolist():
        words = texts[row].split()
        at = int(draw.integers(len(words)))
        address = f"www best {draw.integers(10**6)} com here"
        texts[row] = " ".join([*words[:at], address, *words[at:]])
    labels[rows] = 1
    (finding,) = run(DETECTOR, dataset(texts, labels))
    assert finding.rule.id == "PS601"
    scores = [row.score or 0 for row in cast("Rows", finding.at.part).rows]
    assert np.mean(np.array(scores) > 0) > 0.9
    assert named(finding) == set(rows.tolist())
