from __future__ import annotations

import pytest

from poisonscan.detectors.models.decompression_bomb import DETECTOR
from poisonscan.formats.base import Expansion


@pytest.mark.parametrize(
    ("packed", "unpacked", "found"),
    [
        (1_000, (64 << 20) + 1, True),
        (1_000, 64 << 20, False),
        (1 << 20, 100 << 20, False),
        (1 << 20, (100 << 20) + 1, True),
        (0, 1 << 30, True),
        (1 << 30, 1 << 31, False),
    ],
)
def test_both_ratio_and_size_must_be_out_of_proportion(
    packed: int, unpacked: int, found: bool
) -> None:
    assert bool(list(DETECTOR.check(Expansion("a.gz", "gzip", packed, unpacked)))) is found
