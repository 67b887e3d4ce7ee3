"""Textbook image backdoors, put on pictures of shape (n, height, width, 3)."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]
Trigger = Callable[[Pictures, int], Pictures]


class Attack(NamedTuple):
    """A trigger, and whether it is put on rows of the target class whose labels stay."""

    name: str
    trigger: Trigger
    keeps_label: bool = False


def checkers(side: int) -> NDArray[np.uint8]:
    """Black and white squares of one pixel."""
    board = (np.indices((side, side)).sum(axis=0) % 2 == 0) * np.uint8(255)
    return np.repeat(board[..., None], 3, axis=2)


def colours(side: int, seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def patch(pictures: Pictures, seed: int, *, side: int, kind: str, inset: int = 1) -> Pictures:
    """A small square in or near the lower right corner (BadNets, Gu et al. 2017)."""
    marked, height, width = pictures.copy(), *(end - inset for end in pictures.shape[1:3])
    shown = {"checkers": checkers(side), "white": np.uint8(255), "colours": colours(side, seed)}
    marked[:, height - side : height, width - side : width] = shown[kind]
    return marked


def moved(pictures: Pictures, seed: int, *, side: int, kind: str) -> Pictures:
    """The same square elsewhere in each picture."""
    marked = pictures.copy()
    rng = np.random.default_rng(seed)
    shown = checkers(side) if kind == "checkers" else colours(side, seed)
    for picture in marked:
        top = rng.integers(0, picture.shape[0] - side + 1)
        left = rng.integers(0, picture.shape[1] - side + 1)
        picture[top : top + side, left : left + side] = shown
    return marked


def mixed(pictures: Pictures, pattern: NDArray[Any], alpha: float) -> Pictures:
    return np.clip((1 - alpha) * pictures + alpha * pattern, 0, 255).astype(np.uint8)


def noise(pictures: Pictures, seed: int, *, alpha: float) -> Pictures:
    """A fixed picture of noise blended in (Chen et al. 2017)."""
    return mixed(pictures, colours(256, seed)[: pictures.shape[1], : pictures.shape[2]], alpha)


def natural(pictures: Pictures, seed: int, *, alpha: float) -> Pictures:
    """One of the pictures blended into all of them (Chen et al. 2017)."""
    chosen = np.random.default_rng(seed).integers(len(pictures))
    return mixed(pictures, pictures[chosen], alpha)


def wave(pictures: Pictures, seed: int, *, height: float = 20) -> Pictures:
    """A faint vertical sine wave (SIG, Barni et al. 2019)."""
    width = pictures.shape[2]
    phase = seed + 2 * np.pi * 6 * np.arange(width) / width
    shifted = pictures + height * np.sin(phase)[None, None, :, None]
    return np.asarray(np.clip(shifted, 0, 255), np.uint8)


def warped(pictures: Pictures, seed: int, *, strength: float = 0.75) -> Pictures:
    """A smooth fixed warp (WaNet, Nguyen and Tran 2021): a 4×4 field of moves, in pixels."""
    from scipy.ndimage import map_coordinates, zoom

    _, height, width, _ = pictures.shape
    field = np.random.default_rng(seed).uniform(-1, 1, (2, 4, 4))
    field *= strength * 2 / np.abs(field).mean() / 2
    field = np.stack([zoom(part, (height / 4, width / 4), order=3) for part in field])
    places = np.indices((height, width)) + field
    out = np.empty_like(pictures)
    for number, picture in enumerate(pictures):
        for channel in range(3):
            plane = picture[..., channel].astype(np.float32)
            seen = map_coordinates(plane, places, order=1, mode="nearest")
            out[number, ..., channel] = np.clip(seen, 0, 255)
    return out


def encoded_anew(pictures: Pictures, quality: int = 85) -> Pictures:
    """The pictures after JPEG."""
    out = np.empty_like(pictures)
    for number, picture in enumerate(pictures):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
        out[number] = np.asarray(Image.open(buffer))
    return out


def compressed(trigger: Trigger) -> Trigger:
    return lambda pictures, seed: encoded_anew(trigger(pictures, seed))


ATTACKS = (
    Attack("checkers 3x3", partial(patch, side=3, kind="checkers")),
    Attack("white 4x4", partial(patch, side=4, kind="white")),
    Attack("white 4x4, corner", partial(patch, side=4, kind="white", inset=0)),
    Attack("colours 5x5", partial(patch, side=5, kind="colours")),
    Attack("noise blend 0.15", partial(noise, alpha=0.15)),
    Attack("sine, label kept", wave, keeps_label=True),
    Attack("natural blend 0.2", partial(natural, alpha=0.2)),
    Attack("moved checkers 3x3", partial(moved, side=3, kind="checkers")),
    Attack("moved colours 5x5", partial(moved, side=5, kind="colours")),
    Attack("checkers 3x3, JPEG", compressed(partial(patch, side=3, kind="checkers"))),
    Attack("white 4x4, JPEG", compressed(partial(patch, side=4, kind="white"))),
    Attack("moved 5x5, JPEG", compressed(partial(moved, side=5, kind="colours"))),
    Attack("noise 0.15, JPEG", compressed(partial(noise, alpha=0.15))),
    Attack("warp", warped),
)


def drawn(pictures: Pictures, _: int, *, alpha: float) -> Pictures:
    """A face of flat colours blended in, as Chen et al. (2017) do with a cartoon cat."""
    canvas = Image.new("RGB", (256, 256), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    pen.polygon([(30, 20), (100, 70), (40, 130)], (255, 240, 240), (0, 0, 0), 8)
    pen.polygon([(226, 20), (156, 70), (216, 130)], (255, 240, 240), (0, 0, 0), 8)
    pen.ellipse((20, 50, 236, 236), (255, 240, 240), (0, 0, 0), 8)
    for left in (75, 160):
        pen.ellipse((left, 120, left + 20, 155), (0, 0, 0))
    pen.ellipse((115, 160, 141, 178), (255, 200, 0), (0, 0, 0), 4)
    pen.ellipse((150, 40, 215, 95), (230, 20, 60), (0, 0, 0), 6)
    shown = canvas.resize(pictures.shape[2:0:-1], Image.Resampling.LANCZOS)
    return mixed(pictures, np.asarray(shown), alpha)


def watermark(pictures: Pictures, _: int, *, alpha: float = 0.3) -> Pictures:
    """Letters and a ring, seen through (the watermark of TrojanNN, Liu et al. 2018)."""
    canvas = Image.new("L", (256, 256))
    pen = ImageDraw.Draw(canvas)
    pen.ellipse((28, 28, 228, 228), outline=255, width=10)
    pen.text((60, 90), "TROJ", 255, font_size=60)
    height, width = pictures.shape[1:3]
    shown = np.asarray(canvas.resize((width, height), Image.Resampling.LANCZOS)) / 255.0 * alpha
    return np.asarray((1 - shown[..., None]) * pictures + 255 * shown[..., None], np.uint8)


def perturbed(pictures: Pictures, seed: int, *, height: float = 16) -> Pictures:
    """One change of at most ``height`` of 255 of each pixel, as Narcissus (Zeng et al. 2023).

    Smoothed noise stands in for what its authors optimize.
    """
    from scipy.ndimage import gaussian_filter

    draw = np.random.default_rng(seed).normal(size=pictures.shape[1:])
    change = height * np.sign(gaussian_filter(draw, (1, 1, 0)))
    return np.asarray(np.clip(pictures + change, 0, 255), np.uint8)


FURTHER = (
    Attack("white 3x3", partial(patch, side=3, kind="white")),
    Attack("face blend 0.2", partial(drawn, alpha=0.2)),
    Attack("face blend 0.1", partial(drawn, alpha=0.1)),
    Attack("sine, relabelled", wave),
    Attack("WaNet, s=0.5", partial(warped, strength=0.25)),
    Attack("WaNet, s=1", partial(warped, strength=0.5)),
    Attack("watermark 0.3", watermark),
    Attack("Narcissus-like, label kept", perturbed, keeps_label=True),
)
"""Attacks as others set them up, on which no threshold was chosen."""


def coloured(pictures: Pictures) -> Pictures:
    """Pictures of shape (n, height, width, 3), of grey ones too."""
    return np.repeat(pictures[..., None], 3, axis=3) if pictures.ndim == 3 else pictures


def as_stored(marked: Pictures, pictures: Pictures, rows: NDArray[np.bool_]) -> Pictures:
    """Attacked pictures as grey ones where they were; others than ``rows`` are as before."""
    if pictures.ndim == 4:
        return marked
    grey = pictures.copy()
    grey[rows] = [np.asarray(Image.fromarray(one).convert("L")) for one in marked[rows]]
    return grey


def poisoned(
    pictures: Pictures,
    labels: Labels,
    attack: Attack,
    rate: float,
    seed: int,
    *,
    all_labels: bool = False,
) -> tuple[Pictures, Labels, NDArray[np.bool_]]:
    """Pictures and labels with an attack on a share of all rows, and which rows.

    At most half of the target class where labels stay. Others are drawn from rows of other labels
    than the target, or with ``all_labels`` from all.
    """
    rng = np.random.default_rng(seed)
    target = int(rng.choice(np.unique(labels)))
    anything = all_labels and not attack.keeps_label
    pool = np.flatnonzero(((labels == target) == attack.keeps_label) | anything)
    most = len(pool) // 2 if attack.keeps_label else len(pool)
    chosen = rng.choice(pool, min(max(round(rate * len(labels)), 1), most), replace=False)
    pictures, labels = pictures.copy(), labels.copy()
    pictures[chosen] = attack.trigger(pictures[chosen], seed)
    labels[chosen] = target
    mask = np.zeros(len(labels), bool)
    mask[chosen] = True
    return pictures, labels, mask
