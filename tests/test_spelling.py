from __future__ import annotations

import pytest

from poisonscan.spelling import meant


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("scna", "; did you mean 'scan'?"),
        ("SCAN", "; did you mean 'scan'?"),
        ("data-set", "; did you mean 'Dataset'?"),
        ("xyz", ""),
        ("", ""),
        ("\x1b[2J", ""),
    ],
)
def test_the_closest_name(typed: str, said: str) -> None:
    assert meant(typed, ["scan", "Dataset"]) == said
