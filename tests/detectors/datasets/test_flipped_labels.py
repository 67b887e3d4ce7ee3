from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from poisonscan.datasets.numbers import Numbers
from poisonscan.datasets.pictures import Pictures
from poisonscan.datasets.words import Words
from poisonscan.detectors.datasets import label_model
from poisonscan.detectors.datasets.flipped_labels import DETECTOR, ESTIMATE, Looked, _judge
from poisonscan.detectors.datasets.label_flips import Judged
from poisonscan.detectors.datasets.label_model import FOLDS, NO_FOLD, expanded, scores, shapes
from poisonscan.detectors.datasets.labelled_sample import LabelledSample
from poisonscan.detectors.datasets.noise_floor import floor
from poisonscan.finding import Fact, Finding, Gap, Rows, Severity
from poisonscan.rules import rule
from poisonscan.verdict import ClassTest
from tests.fakes import FakeDataset, Part, returned

ROWS = 900


class Vectors(FakeDataset):
    """A dataset in memory that says what its vectors are made of."""

    vectors: Any = Numbers((), (), ())


class Sentences(FakeDataset):
    vectors = Words(("text",))


def clusters(
    seed: int, apart: float = 5.0, classes: int = 3, rows: int = ROWS
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, classes, rows)
    values = draw.normal(size=(rows, 6)) + apart * np.eye(classes, 6)[labels]
    return values.astype(np.float32), labels


def dataset(
    values: NDArray[np.float32], labels: NDArray[Any], files: int = 1, **options: Any
) -> FakeDataset:
    cuts = np.array_split(np.arange(len(labels)), files)
    parts = [
        Part([f"c{label}" for label in labels[cut]], cut.tolist(), features=values[cut])
        for cut in cuts
    ]
    return Vectors(*parts, **options)


def anywhere(labels: NDArray[np.int64], rate: float, classes: int = 3) -> NDArray[np.bool_]:
    """Flip labels in place; which."""
    draw = np.random.default_rng(99)
    which = draw.choice(len(labels), round(rate * len(labels)), replace=False)
    labels[which] = (labels[which] + draw.integers(1, classes, len(which))) % classes
    return np.isin(np.arange(len(labels)), which)


def split(items: Sequence[Finding | Fact | Gap | ClassTest]) -> tuple[list[Finding], str]:
    fact = next(item for item in items if isinstance(item, Fact))
    return [item for item in items if isinstance(item, Finding)], str(fact.value)


def named(finding: Finding) -> list[int]:
    assert isinstance(finding.at.part, Rows)
    return [row.index for row in finding.at.part.rows]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("apart", [1.5, 5.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_honest_classes_are_quiet_however_much_they_overlap(
    seed: int, apart: float, classes: int
) -> None:
    found, _ = split(returned(DETECTOR, dataset(*clusters(seed, apart, classes))))
    assert found == []


@pytest.mark.parametrize(("apart", "precision"), [(3.0, 0.88), (5.0, 0.98)])
@pytest.mark.parametrize("rate", [0.05, 0.1])
def test_flips_anywhere_are_counted_and_named(apart: float, precision: float, rate: float) -> None:
    """Held over draws together: in one draw, the last digits of a matrix product move a row."""
    hits: list[bool] = []
    for seed in (1, 2, 3, 6, 7, 8):
        values, labels = clusters(seed, apart)
        flipped = anywhere(labels, rate)
        found, fact = split(returned(DETECTOR, dataset(values, labels)))
        assert "held-out accuracy" in fact
        for finding in found:
            assert finding.rule.id == "PS308"
            assert finding.key == ""
            low, high = cast("list[float]", finding.evidence["interval"])
            assert low <= rate <= high
            rows = named(finding)
            assert len(rows) <= 100
            hits += flipped[rows].tolist()
    assert len(hits) > 3 * rate * ROWS
    assert np.mean(hits) > precision


def test_flips_from_one_class_to_another_are_named_as_such() -> None:
    values, labels = clusters(8)
    which = np.flatnonzero(labels == 1)[::4]
    labels[which] = 2
    (finding,), _ = split(returned(DETECTOR, dataset(values, labels)))
    assert finding.rule.id == "PS309"
    assert finding.key == "c1\0c2"
    assert finding.evidence["looks_like"] == "c1"
    assert finding.evidence["label"] == "c2"
    low, high = cast("list[float]", finding.evidence["interval"])
    assert low <= 0.25 <= high
    assert set(named(finding)) <= set(which.tolist())
    assert "'c1' is labelled 'c2'" in finding.message


@pytest.mark.parametrize(("own", "severity"), [(300, Severity.MEDIUM), (30, Severity.LOW)])
def test_a_class_that_mostly_looks_like_another_is_a_low_finding(
    own: int, severity: Severity
) -> None:
    """A tenth of a class has the label of another, which has more or fewer rows of its own."""
    values, labels = clusters(8, classes=2, rows=1_600)
    kept = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:own]])
    values, labels = values[kept], labels[kept]
    labels[np.flatnonzero(labels == 0)[::10]] = 1
    order = np.random.default_rng(0).permutation(len(labels))
    (finding,), _ = split(returned(DETECTOR, dataset(values[order], labels[order])))
    assert finding.key == "c0\0c1"
    assert finding.severity == severity


def test_flips_in_one_file_are_named_with_the_file() -> None:
    values, labels = clusters(9)
    anywhere(labels[450:540], 0.4)
    (finding,), _ = split(returned(DETECTOR, dataset(values, labels, files=10)))
    assert finding.rule.id == "PS309"
    assert finding.evidence["file"] == "data/5.csv"
    assert "'data/5.csv'" in finding.message


def test_flips_of_a_class_keep_back_no_file_and_no_flips_elsewhere() -> None:
    """What one finding is worth shows when all tests are in: here each must stand by itself."""
    values, labels = clusters(9, rows=4_000)
    anywhere(labels[:2_000], 0.1)
    which = np.flatnonzero(labels == 1)[::4]
    labels[which[which > 2_000]] = 2
    anywhere(labels[3_600:], 0.4)
    items = returned(DETECTOR, dataset(values, labels, files=10))
    keys = {finding.key for finding in split(items)[0]}
    assert keys == {"c1\0c2", "file\0data/9.csv", ""}


def test_chance_labels_are_not_judged() -> None:
    values, labels = clusters(3, apart=0.0)
    found, fact = split(returned(DETECTOR, dataset(values, labels)))
    assert found == []
    assert "too weak to judge labels (held-out accuracy" in fact


def judged_as(right: float, classes: int = 5) -> Sequence[Finding | Fact | ClassTest]:
    """What is said where a model that is sure of all rows is right in a share of them."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, ROWS)
    wrong = draw.uniform(size=ROWS) >= right
    predicted = np.where(wrong, (labels + draw.integers(1, classes, ROWS)) % classes, labels)
    guess = draw.uniform(0.5, 1, ROWS)[:, None] * np.eye(classes)[predicted]
    rows = np.stack([np.zeros(ROWS, np.int64), np.arange(ROWS)], axis=1)
    names = tuple(f"c{code}" for code in range(classes))
    data: Any = Vectors(Part([names[code] for code in labels], list(range(ROWS))))
    limits = rule("PS308").thresholds
    looked = Looked(Judged(guess, labels, limits), names, rows, ROWS, whole=True)
    return _judge(data, looked)


def test_a_model_that_is_wrong_about_as_often_as_right_does_not_judge() -> None:
    (fact,) = judged_as(0.55)
    assert isinstance(fact, Fact)
    assert "too weak to judge labels (held-out accuracy 5" in str(fact.value)
    (finding, *_) = judged_as(0.8)
    assert isinstance(finding, Finding)
    assert "of the labels seem to be wrong" in finding.message
    assert "held-out accuracy 8" in finding.message


def test_an_estimate_without_a_finding_is_a_fact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judged, "anywhere", lambda *_: None)
    fact = next(item for item in judged_as(0.8) if isinstance(item, Fact) and item.name == ESTIMATE)
    assert isinstance(fact, Fact)
    assert fact.name == ESTIMATE
    assert "no finding" in str(fact.value)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.arange(ROWS) % 150, "more than 100 labels"),
        (np.arange(ROWS) / 7, "look like measurements"),
        (np.zeros(ROWS, int), "fewer than two labels"),
        (np.arange(ROWS) > 0, ""),
    ],
)
def test_labels_that_are_no_classes_are_not_judged(labels: NDArray[Any], reason: str) -> None:
    values = clusters(1)[0]
    parts = Part([str(label) for label in labels], list(range(ROWS)), features=values)
    found, fact = split(returned(DETECTOR, Vectors(parts)))
    assert found == []
    assert fact.startswith("not decided")
    assert reason in fact


def test_few_rows_and_rows_without_a_vector_are_not_judged() -> None:
    values, labels = clusters(2, rows=100)
    assert "fewer than 150 different rows" in split(returned(DETECTOR, dataset(values, labels)))[1]
    values, labels = clusters(2)
    values[:] = np.nan
    assert "fewer than 150 different rows" in split(returned(DETECTOR, dataset(values, labels)))[1]


def test_absurd_numbers_do_not_hide_flips() -> None:
    values, labels = clusters(7)
    anywhere(labels, 0.1)
    values[::50, 0] = 9e5
    values[1::50] = np.inf
    (finding,), _ = split(returned(DETECTOR, dataset(values, labels)))
    assert finding.rule.id == "PS308"


def test_flipped_texts_are_found() -> None:
    draw = np.random.default_rng(5)
    labels = draw.integers(0, 2, ROWS)
    words = np.array([f"w{number}" for number in range(60)])
    texts = [
        " ".join(draw.choice(words[30 * label : 30 * label + 40], 12).tolist()) for label in labels
    ]

    def found(given: NDArray[np.int64]) -> list[Finding]:
        part = Part([str(label) for label in given], list(range(ROWS)), texts=texts)
        return split(returned(DETECTOR, Sentences(part)))[0]

    assert found(labels) == []
    flipped = anywhere(labels, 0.1, classes=2)
    (finding,) = found(labels)
    assert finding.rule.id == "PS308"
    assert flipped[named(finding)].mean() > 0.9


def test_shapes_do_not_depend_on_brightness() -> None:
    planes = np.random.default_rng(0).uniform(10, 200, (3, 32, 32)).astype(np.float32)
    seen = shapes(planes)
    assert seen.shape == (3, 1568)
    assert np.isfinite(seen).all()
    np.testing.assert_allclose(shapes(planes * np.float32(1.2)), seen, atol=0.02)
    assert shapes(np.zeros((0, 32, 32), np.float32)).shape == (0, 1568)
    assert not shapes(np.full((1, 32, 32), 7, np.float32)).any()


def test_no_row_is_judged_by_itself() -> None:
    values, labels = clusters(4, apart=0.0)
    folds = np.arange(ROWS) % 5
    right = (scores(expanded(values), labels, folds, 3).argmax(axis=1) == labels).mean()
    assert right < 0.45


def test_copies_are_counted_once() -> None:
    values, labels = clusters(4)
    sample = LabelledSample(("c0", "c1", "c2"))
    part = Part([f"c{label}" for label in labels], [i // 3 for i in range(ROWS)], features=values)
    for batch in Vectors(part).batches():
        sample.update(batch)
    kept = sample.sample()
    assert sample.whole
    assert sample.seen == ROWS
    pairs = set(zip((np.arange(ROWS) // 3).tolist(), labels.tolist(), strict=True))
    assert len(kept.rows) == len(pairs)


def test_a_sample_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LabelledSample.__init__, "__defaults__", (False, 400))
    values, labels = clusters(5)
    (fact, *_) = returned(DETECTOR, dataset(values, labels))
    assert isinstance(fact, Fact)
    assert "on 400 different rows of 900, a sample; the others were not judged" in str(fact.value)


@pytest.mark.parametrize(
    ("rate", "decay", "named"), [(0.1, 1.5, False), (0.25, 12.0, True)], ids=["overlap", "flips"]
)
def test_more_must_be_flipped_than_is_mixed_up(rate: float, decay: float, *, named: bool) -> None:
    margins = np.tile(np.linspace(0, 1, 2_000), 2)
    true = np.repeat([0, 1], 2_000)
    own = 1 / (1 + np.exp(decay * margins))
    share = np.where(true == 0, rate + (1 - rate) * own, own)
    # Every row whose share of a cycle is reached is contradicted: no draw decides.
    wrong = np.modf(np.cumsum(share))[0] < share
    scores = np.stack([np.where(true == 0, margins, 0), np.where(true == 1, margins, 0)], axis=1)
    judged = Judged(scores, np.where(wrong, 1 - true, true), rule("PS308").thresholds)
    assert [(flips.true, flips.given) for flips in judged.targeted()] == [(0, 1)] * named


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.2])
@pytest.mark.parametrize("steep", [3.0, 8.0])
def test_the_floor_is_told_apart_from_honest_errors(rate: float, steep: float) -> None:
    draw = np.random.default_rng(1)
    margins = draw.uniform(0, 1, 20_000)
    own = 0.5 * 2 / (1 + np.exp(steep * margins)) * 0.5
    wrong = draw.uniform(size=20_000) < rate + (1 - rate) * own
    fit = floor(margins, wrong, 0.5, 3.3)
    assert fit.low <= rate + 0.01
    assert fit.high >= rate - 0.01
    assert fit.high - fit.low < 0.08
    assert fit.posterior(np.array([1.0]))[0] <= 1


def test_pictures_are_seen_as_pictures() -> None:
    class Shown(FakeDataset):
        vectors = Pictures()

    request = list_requests(Shown(Part(["a", "b"] * 30, list(range(60)))))
    assert isinstance(request, LabelledSample)
    assert request.pictures


def list_requests(data: FakeDataset) -> object:
    """The second request of the detector."""
    make: Callable[[Any], Any] = DETECTOR.detect
    steps = make(data)
    counts = next(steps)
    for batch in data.batches():
        counts.update(batch)
    return steps.send(counts)


def test_honest_confusion_with_a_neighbour_is_not_taken_for_flips_anywhere() -> None:
    values, labels = clusters(11, classes=5, rows=3_000)
    draw = np.random.default_rng(0)
    which = draw.uniform(size=len(labels)) < 0.08
    labels[which] = np.minimum(labels[which] + 1, 4)  # graders who disagree by one grade
    assert "PS308" not in {f.rule.id for f in split(returned(DETECTOR, dataset(values, labels)))[0]}


def test_products_of_rows_and_of_columns_give_the_same_scores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For fewer rows than columns those of rows are taken, which are cheaper."""
    draw = np.random.default_rng(3)
    labels = draw.integers(0, 3, 90)
    rows = expanded((draw.normal(size=(90, 6)) + labels[:, None]).astype(np.float32))
    folds = np.arange(90) % 5
    assert len(rows) < rows.shape[1]
    cheap = scores(rows, labels, folds, 3)
    monkeypatch.setattr(label_model, "_of_rows", label_model._of_columns)
    np.testing.assert_allclose(cheap, scores(rows, labels, folds, 3), atol=1e-3)
    assert (cheap.argmax(axis=1) == labels).mean() > 0.6


@pytest.mark.parametrize("wide", [3, 400])
def test_rows_of_no_fold_are_judged_and_not_learnt_from(wide: int) -> None:
    """Their labels change nothing, by either form of the regression."""
    draw = np.random.default_rng(3)
    labels = np.arange(300) % 3
    rows = (draw.normal(size=(300, wide)) + 5 * np.eye(3, wide)[labels]).astype(np.float32)
    folds = np.where(np.arange(300) < 60, NO_FOLD, np.arange(300) % FOLDS)
    wrong = np.where(folds == NO_FOLD, (labels + 1) % 3, labels)
    judged = scores(rows, wrong, folds, 3)
    assert (judged.argmax(axis=1)[:60] == labels[:60]).mean() > 0.9
    np.testing.assert_allclose(judged, scores(rows, labels, folds, 3))
