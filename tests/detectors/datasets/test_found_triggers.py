"""Which of the phrases that stand out are reported as triggers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from poisonscan.detectors.datasets.found_triggers import Trigger, listed

NONE: Any = np.empty(0, np.int64)


def trigger(label: int, chance: float) -> Trigger:
    group: Any = SimpleNamespace(label=label)
    share: Any = None
    return Trigger(group, 20, (1,), NONE, NONE, 0, 20, 16, share, inserted=True, chance=chance)


@pytest.mark.parametrize(
    ("words", "labels", "grave"),
    [(8, 4, 8), (9, 4, 0), (9, 1, 9)],
    ids=["few words", "words of all labels", "one label"],
)
def test_many_words_of_several_labels_are_their_own(words: int, labels: int, grave: int) -> None:
    found = [trigger(number % labels, 1e-3 / (1 + number)) for number in range(words)]
    reported, _ = listed(found)
    assert sum(one.inserted for one in reported) == grave


def test_a_trigger_among_words_of_labels_is_far_less_likely() -> None:
    words = [trigger(number % 3, 1e-3) for number in range(20)]
    reported, further = listed([*words, replace(words[0], chance=1e-12)])
    assert [one.chance for one in reported if one.inserted] == [1e-12]
    assert further == {"PS601": 0, "PS627": 15}
