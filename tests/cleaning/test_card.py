from __future__ import annotations

import pytest

from poisonscan.cleaning.card import recounted

CARD = """---
dataset_info:
  splits:
  - name: train
    num_bytes: 100
    num_examples: 30
  - name: test
    num_examples: 9
---
num_examples: 30
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_numbers_of_the_splits_change(end: str) -> None:
    text = CARD.replace("\n", end)
    assert recounted(text, {"train": 4}) == text.replace("num_examples: 30", "num_examples: 26", 1)


@pytest.mark.parametrize(
    "text",
    [
        "no card",
        CARD.replace("- name: test", "- name: train"),
        CARD.replace("num_examples: 9", "num_examples: nine"),
        CARD.replace("num_examples: 30", "num_examples: 3", 1),
        CARD.replace("train", "training"),
    ],
)
def test_what_is_not_clear_stays(text: str) -> None:
    assert recounted(text, {"train": 4}) is None
