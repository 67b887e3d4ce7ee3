"""Windows hold pixels as they are stored, from all over a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from poisonscan.datasets.picture_windows import BLOCK, SIDE, stacked, window
from poisonscan.datasets.pictures import decode, decode_column
from tests.datasets.files import encoded


def places(height: int, width: int) -> Image.Image:
    """A picture whose colours are the row and the column of each pixel, modulo 256."""
    values = np.zeros((height, width, 3), np.uint8)
    values[..., 0] = np.arange(height)[:, None] % 256
    values[..., 1] = np.arange(width) % 256
    values[..., 2] = 7
    return Image.fromarray(values)


def seen(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    found = window(image, image.tobytes())
    assert found is not None
    return np.frombuffer(found, np.uint8).reshape(SIDE, SIDE, 3)


@given(st.integers(BLOCK, 200), st.integers(BLOCK, 200))
@settings(max_examples=60)
def test_blocks_of_neighbours_from_all_over(height: int, width: int) -> None:
    found = seen(places(height, width)).astype(int)
    for values, side in ((found[:, 0, 0], height), (found[0, :, 1], width)):
        blocks = values.reshape(-1, BLOCK)
        assert (np.diff(blocks, axis=1) == 1).all()
        assert blocks[0, 0] == 0
        assert side - BLOCK <= blocks[-1, -1] < side
        assert (np.diff(blocks[:, 0]) >= (side >= SIDE) * BLOCK).all()
        assert side < SIDE or (blocks[:, 0] % BLOCK == 0).all()
    assert (found[..., 2] == 7).all()


def test_a_picture_of_that_size_is_its_own_window() -> None:
    image = places(SIDE, SIDE)
    assert (seen(image) == np.asarray(image)).all()


@pytest.mark.parametrize("mode", ["RGBA", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_ways_to_store_colours(mode: str) -> None:
    image = Image.new("RGB", (40, 40), (200, 30, 90)).convert("RGB" if mode == "LAB" else mode)
    image = Image.new("LAB", (40, 40), (120, 9, 9)) if mode == "LAB" else image
    expected = np.asarray(image.convert("RGB"))[0, 0].astype(int)
    assert np.abs(seen(image)[0, 0].astype(int) - expected).max() == 0


@pytest.mark.parametrize("image", [Image.new("L", (40, 40)), Image.new("RGB", (40, BLOCK - 1))])
def test_no_colours_or_too_small(image: Image.Image) -> None:
    assert window(image, image.tobytes()) is None
    assert (stacked([None]) == 0).all()


def test_decoding_makes_windows_of_what_can_be_read() -> None:
    files = [encoded(places(40, 70)), b"broken", encoded(places(SIDE, SIDE))]
    windows = decode(files).windows
    assert windows.shape == (3, SIDE, SIDE, 3)
    assert (windows[0] == seen(places(40, 70))).all()
    assert (windows[1] == 0).all()
    column = pa.array([files[2], None, files[0], files[2]], pa.binary())
    again = decode_column(column, Path()).windows
    assert (again[[0, 2, 3]] == windows[[2, 0, 2]]).all()
    assert (again[1] == 0).all()
