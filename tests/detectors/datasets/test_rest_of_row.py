"""Trees that are asked what the cells of a row say about its label."""

from __future__ import annotations

import numpy as np
import pytest

from poisonscan.detectors.datasets.rest_of_row import learn


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("balanced", [False, True])
def test_a_column_with_nothing_in_it_tells_nothing(words: bool, balanced: bool) -> None:
    """The rows that are learnt from may be those without any value of a column."""
    draw = np.random.default_rng(0)
    told = draw.integers(0, 2, 200).astype(float)
    has = told > 0
    empty = np.full(200, np.nan)
    model = learn(np.stack([told, empty], axis=1), has, [False, words], balanced=balanced)
    for other in (empty, draw.normal(size=200)):
        scores = model.decision_function(np.stack([told, other], axis=1))
        assert ((scores > 0) == has).all()
