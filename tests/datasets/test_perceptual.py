"""Descriptions of pictures, and how well one explains another."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from poisonscan.datasets.perceptual import LENGTH, described, explained
from poisonscan.datasets.pictures import decode
from tests.datasets.files import encoded, picture


def planes(*images: Image.Image) -> NDArray[np.float32]:
    return decode([encoded(image) for image in images]).planes


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": lambda image: jpeg(image, 50),
    "half": lambda image: image.resize((16, 16), Image.Resampling.BICUBIC),
    "twice": lambda image: image.resize((64, 64), Image.Resampling.BICUBIC),
    "cut": lambda image: image.crop((0, 0, 31, 31)).resize((32, 32), Image.Resampling.BILINEAR),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_explained(change: str) -> None:
    for seed in range(10):
        pair = planes(picture(seed), CHANGES[change](picture(seed)))
        bands = described(pair).astype(np.float64)
        assert bands[0] @ bands[1] > 0.9 * np.linalg.norm(bands[0]) * np.linalg.norm(bands[1])
        bytes_ = pair.astype(np.uint8)
        assert explained(bytes_[:1], bytes_[1:])[0] > 0.9


def test_different_pictures_are_not() -> None:
    shown = planes(*(picture(seed) for seed in range(40))).astype(np.uint8)
    assert explained(shown[:20], shown[20:]).max() < 0.7
    assert np.array_equal(explained(shown[:20], shown[20:]), explained(shown[20:], shown[:20]))


def test_flat_and_broken_pictures_have_no_description() -> None:
    shown = planes(Image.new("L", (32, 32), 7), picture(0))
    shown = np.concatenate([shown, np.full((1, 32, 32), np.nan, np.float32)])
    bands = described(shown)
    assert bands.shape == (3, LENGTH)
    assert bands.any(axis=1).tolist() == [False, True, False]
    flat = np.zeros((2, 32, 32), np.uint8)
    assert explained(flat, planes(picture(0), picture(1)).astype(np.uint8)).max() < 0.1


def test_a_description_does_not_depend_on_the_others() -> None:
    shown = planes(*(picture(seed) for seed in range(30)))
    assert np.array_equal(described(shown)[7], described(shown[7:8])[0])
