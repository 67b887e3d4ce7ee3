"""Statistics of pictures: of each by itself, finite, and seen where something was done."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from poisonscan.detectors.datasets.picture_statistics import GROUPS, SIZE, statistics
from tests.detectors.datasets.natural import pictures

NAMES = list(GROUPS)


def group(numbers: np.ndarray, name: str) -> np.ndarray:
    first = sum(GROUPS[each] for each in NAMES[: NAMES.index(name)])
    return numbers[:, first : first + GROUPS[name]]


def natural(count: int = 300) -> np.ndarray:
    return np.repeat(pictures(count)[..., None], 3, axis=3).astype(np.uint8)


@settings(max_examples=25)
@given(arrays(np.uint8, (2, 32, 32, 3), elements=st.integers(0, 255)))
def test_each_picture_counts_by_itself(shown: np.ndarray) -> None:
    both = statistics(shown)
    assert both.shape == (2, SIZE)
    assert np.isfinite(both).all()
    assert np.allclose(statistics(shown[1:]), both[1:], rtol=1e-4, atol=1e-3)


def test_none() -> None:
    assert statistics(np.empty((0, 32, 32, 3), np.uint8)).shape == (0, SIZE)


def test_levels_are_counted() -> None:
    shown = np.zeros((1, 32, 32, 3), np.uint8)
    shown[0, :16] = 255
    *eighths, black, full, used = group(statistics(shown), "levels")[0].tolist()
    assert eighths == [0.5, 0, 0, 0, 0, 0, 0, 0.5]
    assert (black, full, used) == (0.5, 0.5, 2 / 256)


def test_tone_holds_the_darkest_and_the_middle_values() -> None:
    shown = np.tile(np.arange(32, dtype=np.uint8)[:, None, None], (1, 1, 32, 3)).reshape(
        1, 32, 32, 3
    )
    tone = group(statistics(shown), "tone")[0]
    assert tone[9:12].tolist() == [16, 16, 16]  # medians of the three colours
    assert tone[24:27].tolist() == [0, 0, 0]  # the darkest
    assert np.allclose(tone[30:33], (15.5**2 + 1) / 86.25, atol=2)  # colours are alike


def test_blocks_of_an_encoder_show_in_frequencies() -> None:
    before = natural()
    after = np.empty_like(before)
    for number, picture in enumerate(before):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=40)
        after[number] = np.asarray(Image.open(buffer))
    change = group(statistics(after), "frequencies") - group(statistics(before), "frequencies")
    highest = change.mean(axis=0)[63]
    assert highest < -1
