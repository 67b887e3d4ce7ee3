from __future__ import annotations

import copy
import itertools
import pickle
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from poisonscan.detectors.datasets.style_features import views
from poisonscan.detectors.datasets.style_model import Judge
from poisonscan.detectors.datasets.style_triggers import StyleTriggers
from poisonscan.detectors.datasets.styled_rows import Learnt, StyledRows
from poisonscan.detectors.datasets.styled_texts import Starts
from poisonscan.finding import Rows
from tests.detectors.datasets.test_style_triggers import WHEN, honest, written
from tests.detectors.datasets.texts import NAMES, dataset
from tests.fakes import FakeDataset, Part, run
from tests.laws import Case, assert_same, cut, shards, whole
from tests.laws import Rows as Cut

KNOWN = [f"when a{i} , b{i} ." for i in range(30)] + [f"a{i} b{i} ." for i in range(30)]


def styles() -> tuple[StyledRows, list[str]]:
    """*when* says that a text is implanted, and three texts are known to be so or not to be."""
    seen = views(KNOWN)
    names = [seen.lexicon.name(feature) for feature in range(seen.style.shape[1])]
    weights = np.append(8.0 * np.array([name == "when" for name in names]), -4.0)
    judge = Judge(weights, np.zeros(seen.content.shape[1] + 1), 0.5, 0.1, 0.0, np.inf)
    texts = ["known to be honest , when", "known to be implanted"]
    starts = [Starts.of(b) for b in FakeDataset(Part(["a"] * 2, texts=texts)).batches()]
    keys = starts[0].keys
    odds = np.array([-np.inf, 3.0])
    order = np.argsort(keys)
    return StyledRows(seen.lexicon, (Learnt("a", judge, keys[order], odds[order]),)), texts


def filled(request: StyledRows, data: FakeDataset, size: int = 1_000) -> StyledRows:
    """As another process does it."""
    one: StyledRows = pickle.loads(pickle.dumps(request))
    for batch in data.batches(size):
        one.update(batch)
    return one


def named(request: StyledRows) -> list[tuple[int, int]]:
    return [(int(shard), int(row)) for shard, row in request.rows(0)[0]]


REQUEST = styles()[0]
LAW = Case(
    lambda: StyledRows(REQUEST.lexicon, REQUEST.styles),
    lambda found: (found.counts, found.labelled, found.rows(0)),
)
"""What is learnt is no value that others could equal: requests are as equal as what they hold."""


@settings(max_examples=30)
@given(rows=shards(), data=st.data())
def test_cutting_and_merging_change_nothing(rows: list[Cut], data: st.DataObject) -> None:
    assert_same(LAW.result(cut(LAW, rows, data.draw)), LAW.result(whole(LAW, rows)))


def test_texts_of_the_label_are_judged_and_those_of_the_sample_are_judged_already() -> None:
    request, known = styles()
    texts = [*known, "when it rains", "it rains", "when", "", known[1]]
    labels = ["a", "a", "a", "a", "b", "a", "a"]
    found = filled(request, FakeDataset(Part(labels, texts=texts)))
    assert sorted(named(found)) == [(0, 1), (0, 2), (0, 6)]
    assert (found.counts[0], found.labelled[0]) == (3, 5)
    assert 0 < found.honest[0] < 0.5


def test_other_labels_and_nothing_are_counted_as_none() -> None:
    request, _ = styles()
    found = filled(request, FakeDataset(Part(["b", None], texts=["when", "when"])))
    assert not named(found)
    assert not found.counts.total()


@pytest.mark.parametrize("cuts", [(1,), (7, 30), (20, 21, 22)])
@pytest.mark.parametrize("size", [3, 1_000])
def test_how_rows_are_cut_and_merged_makes_no_difference(cuts: Sequence[int], size: int) -> None:
    request, known = styles()
    texts = KNOWN[10:50] + known + KNOWN[:20]
    labels = ["ab"[i % 3 == 0] for i in range(len(texts))]
    whole = filled(request, FakeDataset(Part(labels, texts=texts)))
    merged = copy.deepcopy(request)
    edges = [0, *cuts, len(texts)]
    for start, stop in reversed(list(itertools.pairwise(edges))):
        none = [None] * start
        part = Part([*none, *labels[start:stop]], texts=[""] * start + texts[start:stop])
        merged.merge(filled(request, FakeDataset(part), size))
    assert named(merged) == named(whole)
    np.testing.assert_array_equal(merged.rows(0)[1], whole.rows(0)[1])
    assert merged.counts == whole.counts
    assert merged.labelled == whole.labelled
    assert merged.honest[0] == pytest.approx(whole.honest[0])


def test_of_too_many_rows_the_surest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poisonscan.detectors.datasets.styled_rows.MAX_KEPT", 2)
    request, known = styles()
    texts = [known[1], *(f"when {i}" for i in range(8))]
    found = filled(request, FakeDataset(Part(["a"] * 9, texts=texts)), size=1)
    assert named(found) == [(0, 1), (0, 2)]
    assert found.counts[0] == 9


def test_rows_outside_of_the_sample_are_named() -> None:
    texts, labels, draw = honest(0)
    texts += written(np.zeros(200, np.int64), WHEN, draw)
    labels = np.append(labels, np.ones(200, np.int64))
    (finding,) = run(
        StyleTriggers(1_200), dataset(texts + texts[-5:], np.append(labels, labels[-5:]))
    )
    assert finding.evidence["looked_at"] == 1_200
    rows = cast("Rows", finding.at.part)
    assert rows.every is not None
    assert not rows.every.partial
    every: NDArray[np.int64] = rows.every.numbers()
    poisoned = every >= len(texts) - 200
    assert poisoned.sum() >= 185
    assert (~poisoned).sum() <= 20
    assert rows.count == finding.evidence["rows"] == len(every)
    assert finding.evidence["label"] == NAMES[1]
    assert 0 <= cast("float", finding.evidence["false_rows"]) < 0.2
