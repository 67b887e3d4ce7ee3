"""What honest sources do to pictures of shape (n, 32, 32, 3)."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pictures = NDArray[np.uint8]
Way = Callable[[Image.Image, np.random.Generator], Image.Image]


def encoded(
    image: Image.Image, rng: np.random.Generator, *, subsampling: int, low: int = 40
) -> Image.Image:
    """JPEG of some quality; with subsampling 2 colours have half the resolution."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(low, 99)), subsampling=subsampling)
    return Image.open(buffer).convert("RGB")


def few_colours(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """As a GIF has it: 32 to 256 colours, dithered."""
    count = int(rng.choice([32, 64, 128, 256]))
    return image.convert("P", palette=Image.Palette.ADAPTIVE, colors=count).convert("RGB")


def web_colours(image: Image.Image, rng: np.random.Generator) -> Image.Image:  # noqa: ARG001
    """The 216 colours of old browsers, dithered."""
    return image.convert("P").convert("RGB")


def scaled_up(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    small = int(rng.integers(12, 26))
    return image.resize((small, small), Image.Resampling.BILINEAR).resize(image.size)


def grained(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Film grain: noise of luminance."""
    grain = rng.uniform(1, 6) * rng.standard_normal((*image.size[::-1], 1))
    return _image(np.asarray(image) + grain)


def noisy(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Noise of each colour for itself, more in the light: a sensor seen pixel by pixel."""
    values = np.asarray(image, float)
    noise = rng.uniform(0.5, 4) * rng.standard_normal(values.shape)
    return _image(values + noise * np.sqrt((values + 5) / 100))


def sharpened(image: Image.Image, rng: np.random.Generator) -> Image.Image:  # noqa: ARG001
    values = np.asarray(image, float)
    half = image.resize((image.width // 2, image.height // 2)).resize(image.size)
    return _image(values + 1.2 * (values - np.asarray(half, float)))


def posterised(image: Image.Image, rng: np.random.Generator) -> Image.Image:  # noqa: ARG001
    return _image(np.asarray(image) // 32 * 36.0)


def _image(values: NDArray[np.floating]) -> Image.Image:
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


WAYS: dict[str, Way] = {
    "JPEG": partial(encoded, subsampling=2),
    "JPEG, full colour": partial(encoded, subsampling=0),
    "few colours": few_colours,
    "web colours": web_colours,
    "scaled up": scaled_up,
    "grain": grained,
    "sensor noise": noisy,
    "sharpened": sharpened,
    "posterised": posterised,
}


def treated(pictures: Pictures, way: Way, seed: int) -> Pictures:
    """All pictures, each with its own draw."""
    rng = np.random.default_rng(seed)
    return np.stack([np.asarray(way(Image.fromarray(each), rng)) for each in pictures])
