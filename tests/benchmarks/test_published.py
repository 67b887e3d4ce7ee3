"""The detectors written from papers find what they are for, and leave honest rows alone."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.published import DETECTORS, Told, answer, missing, untangled


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
    if missing(name):
        assert name.split(maxsplit=1)[0] in ("ART", "cleanlab")
        assert answer(name, shifted(0)) is None
    else:
        assert name.split(maxsplit=1)[0] in ("SCAn", "SPECTRE,")
