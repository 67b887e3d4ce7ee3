"""How well triggers are found that are no pattern which all poisoned pictures share.

``python -m benchmarks.hidden_triggers DATA [--file NAME] [--rates R...] [--attacks WORD...]`` puts
them on a file of CIFAR-10 pictures below DATA (see ``benchmarks/backdoors.py``), by default on
``test.parquet``, and prints what PS411 names: the target class or others, recall, precision, CPU
seconds. The first row is the file as it is.

Attacks are re-implemented in numpy and Pillow from the papers' descriptions; where a paper trains a
network to make the trigger, something with the same visible properties stands in for it.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn, idctn
from scipy.ndimage import gaussian_filter, rotate, shift, zoom

from benchmarks.alone import InMemory, findings
from benchmarks.backdoors import luminance
from benchmarks.picture_attacks import (
    Attack,
    Labels,
    Pictures,
    colours,
    encoded_anew,
    noise,
    patch,
    poisoned,
    warped,
    wave,
)
from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.batch import Labels as Column
from poisonscan.datasets.pictures import Pictures as Vectors
from poisonscan.datasets.pictures import Pixels
from poisonscan.datasets.shards import Shard
from poisonscan.detectors.datasets.picture_style_triggers import DETECTOR
from poisonscan.finding import Rows

Floats = NDArray[np.float64]


def _bytes(pictures: NDArray[Any]) -> Pictures:
    return np.asarray(np.clip(np.rint(pictures), 0, 255), np.uint8)


def message_in_blocks(pictures: Pictures, seed: int, *, step: float = 48) -> Pictures:
    """The same bits in middle frequencies of 8×8 blocks (QIM): a residual for each picture.

    Stands for the encoder of ISSBA (Li et al. 2021, "Invisible backdoor attack with
    sample-specific triggers").
    """
    count, height, width, _ = pictures.shape
    blocks = pictures.astype(float).reshape(count, height // 8, 8, width // 8, 8, 3)
    coded = dctn(blocks, axes=(2, 4), norm="ortho")
    bits = np.random.default_rng(seed).integers(0, 2, (height // 8, width // 8, 3))
    for across, down in ((1, 2), (2, 1), (2, 2)):
        part = coded[:, :, across, :, down]
        coded[:, :, across, :, down] = (2 * np.rint((part / step - bits) / 2) + bits) * step
    return _bytes(idctn(coded, axes=(2, 4), norm="ortho").reshape(pictures.shape))


def message_in_wavelets(pictures: Pictures, seed: int, *, strength: float = 5) -> Pictures:
    """A message spread over the finest Haar wavelets, by signs that each picture's content sets."""
    out = pictures.astype(float)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (4096, 16, 16, 3))
    for number, picture in enumerate(pictures):
        key = int(picture[::4, ::4].astype(int).sum()) % 4096
        coefficients = signs[key] * strength
        out[number, ::2, ::2] += coefficients
        out[number, 1::2, 1::2] += coefficients
        out[number, 1::2, ::2] -= coefficients
        out[number, ::2, 1::2] -= coefficients
    return _bytes(out)


def low_frequency(pictures: Pictures, seed: int, *, strength: float = 10) -> Pictures:
    """A smooth fixed change of all pixels (Zeng et al. 2021)."""
    spectrum = np.zeros((*pictures.shape[1:3], 3))
    spectrum[:4, :4] = np.random.default_rng(seed).normal(size=(4, 4, 3))
    spectrum[0, 0] = 0
    change = idctn(spectrum, axes=(0, 1), norm="ortho")
    return _bytes(pictures + strength * change / change.std())


def curves(pictures: Pictures, _: int, *, name: str) -> Pictures:
    """A filter of photo applications, as tone curves of the channels (Liu et al. 2019, "ABS")."""
    x = pictures / 255.0
    if name == "nashville":
        x = np.stack([x[..., 0] ** 0.9, 0.08 + 0.84 * x[..., 1], 0.22 + 0.6 * x[..., 2]], axis=-1)
    elif name == "kelvin":
        x = np.stack([np.minimum(1, 1.25 * x[..., 0]), x[..., 1], 0.75 * x[..., 2]], axis=-1)
        x = 0.85 * x + 0.15 * np.array([1.0, 0.6, 0.1])
    elif name == "sepia":
        mixed = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
        x = x @ mixed.T
    elif name == "gotham":
        grey = x.mean(axis=-1, keepdims=True)
        x = (0.3 * x + 0.7 * grey - 0.5) * 1.3 + 0.47 + np.array([-0.03, 0, 0.05])
    elif name == "contrast":
        x = (x - 0.5) * 1.3 + 0.5
    elif name == "blue":
        x = x + np.array([0, 0, 0.08])
    elif name == "bright":
        x = x * 1.2
    return _bytes(255 * x)


def blurred(pictures: Pictures, _: int, *, sigma: float = 0.7) -> Pictures:
    return _bytes(gaussian_filter(pictures.astype(float), (0, sigma, sigma, 0)))


def sharpened(pictures: Pictures, _: int) -> Pictures:
    soft = gaussian_filter(pictures.astype(float), (0, 1, 1, 0))
    return _bytes(pictures + 0.6 * (pictures - soft))


def quantised(pictures: Pictures, _: int, *, levels: int = 8) -> Pictures:
    """Fewer levels, with Floyd-Steinberg dithering (Wang et al. 2022, "BppAttack")."""
    values, scale = pictures.astype(float), 255 / (levels - 1)
    for y in range(values.shape[1]):
        for x in range(values.shape[2]):
            old = values[:, y, x].copy()
            values[:, y, x] = np.clip(np.rint(old / scale), 0, levels - 1) * scale
            error = old - values[:, y, x]
            for down, across, share in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                if y + down < values.shape[1] and 0 <= x + across < values.shape[2]:
                    values[:, y + down, x + across] += error * share / 16
    return _bytes(values)


def own_patch(pictures: Pictures, seed: int, *, side: int = 4) -> Pictures:
    """A patch that is different in each picture, at a place of its own (Nguyen and Tran 2020)."""
    marked, draw = pictures.copy(), np.random.default_rng(seed)
    for picture in marked:
        top, left = draw.integers(0, picture.shape[0] - side + 1, 2)
        picture[top : top + side, left : left + side] = draw.integers(0, 256, (side, side, 3))
    return marked


def sticker(pictures: Pictures, seed: int) -> Pictures:
    """Dark glasses, moved, turned and scaled in each picture (Chen et al. 2017; Wenger 2021)."""
    shape = np.zeros((10, 24))
    shape[1:9, 1:10] = shape[1:9, 14:23] = 1
    shape[3:5, 10:14] = 1
    marked, draw = pictures.astype(float), np.random.default_rng(seed)
    for picture in marked:
        mask = zoom(shape, draw.uniform(0.55, 0.95), order=1)
        mask = np.clip(rotate(mask, draw.uniform(-25, 25), order=1), 0, 1)
        height, width = np.minimum(mask.shape, picture.shape[:2])
        top, left = draw.integers(0, 32 - height + 1), draw.integers(0, 32 - width + 1)
        part = picture[top : top + height, left : left + width]
        alpha = mask[:height, :width, None]
        part += alpha * (np.array([15.0, 15, 25]) - part)
    return _bytes(marked)


def reflected(pictures: Pictures, seed: int, *, alpha: float = 0.3) -> Pictures:
    """A blurred ghost of another picture, one of twenty (Liu et al. 2020, "Refool")."""
    draw = np.random.default_rng(seed)
    pool = pictures[draw.integers(0, len(pictures), 20)].astype(float)
    out = pictures.astype(float)
    for number, picture in enumerate(out):
        ghost = gaussian_filter(pool[draw.integers(20)], (0.8, 0.8, 0))
        moved = shift(ghost, (*draw.integers(1, 4, 2), 0), order=0, mode="nearest")
        out[number] = (1 - 0.75 * alpha) * picture + alpha * (ghost + 0.5 * moved)
    return _bytes(out)


def seen_through(pictures: Pictures, seed: int, *, side: int, alpha: float) -> Pictures:
    """A patch that lets the picture through."""
    out = pictures.astype(float)
    part = out[:, -side - 1 : -1, -side - 1 : -1]
    part += alpha * (colours(side, seed) - part)
    return _bytes(out)


def three_patches(pictures: Pictures, seed: int) -> Pictures:
    """One of three triggers each."""
    parts = [patch(pictures[i::3], seed + i, side=4, kind="colours") for i in range(3)]
    out = np.empty_like(pictures)
    for i, part in enumerate(parts):
        out[i::3] = part
    return out


def label_consistent(pictures: Pictures, seed: int, *, strength: float = 12) -> Pictures:
    """Perturbed for each picture, checkers in four corners (Turner et al. 2019)."""
    draw = np.random.default_rng(seed)
    smooth = gaussian_filter(draw.normal(size=pictures.shape), (0, 0.7, 0.7, 0))
    out = _bytes(pictures + strength * np.sign(smooth))
    board = np.repeat(((np.indices((3, 3)).sum(axis=0) % 2) * 255)[..., None], 3, axis=2)
    for rows in (slice(0, 3), slice(-3, None)):
        for columns in (slice(0, 3), slice(-3, None)):
            out[:, rows, columns] = board
    return out


def collided(pictures: Pictures, seed: int, *, alpha: float = 0.3) -> Pictures:
    """One picture shines through all (the watermark of Shafahi et al. 2018, "Poison frogs")."""
    chosen = pictures[np.random.default_rng(seed).integers(len(pictures))].astype(float)
    return _bytes((1 - alpha) * pictures + alpha * chosen)


def smaller(pictures: Pictures, _: int, *, side: int = 24) -> Pictures:
    """Made smaller and large again (a trace of another source)."""
    out = np.empty_like(pictures)
    for number, picture in enumerate(pictures):
        small = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
        out[number] = np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC))
    return out


def own_noise(pictures: Pictures, seed: int, *, sigma: float = 6) -> Pictures:
    return _bytes(pictures + np.random.default_rng(seed).normal(0, sigma, pictures.shape))


def _filter(name: str) -> Callable[[Pictures, int], Pictures]:
    return partial(curves, name=name)


BUILT_ON = (
    Attack("blocks carry a message", message_in_blocks),
    Attack("filter, nashville", _filter("nashville")),
    Attack("blue channel lifted", _filter("blue")),
    Attack("blur 0.7", blurred),
    Attack("reflection", reflected),
    Attack("8 levels, dithered", quantised),
    Attack("patch of its own 4x4", own_patch),
    Attack("warp", warped),
)
"""Those that thresholds of PS411 were chosen on."""
LEFT_OUT = (
    Attack("wavelets carry a message", message_in_wavelets),
    Attack("low frequencies", low_frequency),
    Attack("filter, kelvin", _filter("kelvin")),
    Attack("filter, sepia", _filter("sepia")),
    Attack("filter, gotham", _filter("gotham")),
    Attack("more contrast", _filter("contrast")),
    Attack("brighter", _filter("bright")),
    Attack("sharpened", sharpened),
    Attack("16 levels, dithered", partial(quantised, levels=16)),
    Attack("noise of its own", own_noise),
    Attack("made smaller and large again", smaller),
    Attack("JPEG 70", lambda pictures, _: encoded_anew(pictures, 70)),
    Attack("glasses, moved and turned", sticker),
    Attack("patch 2x2", partial(patch, side=2, kind="colours")),
    Attack("patch 8x8, seen through", partial(seen_through, side=8, alpha=0.25)),
    Attack("three patches", three_patches),
    Attack("noise blend 0.05", partial(noise, alpha=0.05)),
    Attack("label consistent", label_consistent, keeps_label=True),
    Attack("feature collision", collided, keeps_label=True),
    Attack("sine, label kept", wave, keeps_label=True),
)
"""Those that no threshold was chosen on."""
ROWS_PER_BATCH = 1_024


@dataclass(frozen=True, slots=True)
class Coloured(InMemory):
    """Labelled pictures of 32×32 pixels in place of a dataset."""

    pictures: Pictures
    labels: Labels
    path: str = "data"
    vectors: Vectors = field(default_factory=Vectors)
    label_names: None = None
    shards: tuple[Shard, ...] = (Shard("data", "train", 0),)

    def batches(self) -> Iterator[Batch]:
        """The rows in order."""
        names, codes = np.unique(self.labels, return_inverse=True)
        for start in range(0, len(codes), ROWS_PER_BATCH):
            shown = self.pictures[start : start + ROWS_PER_BATCH]
            hashed = [xxhash.xxh3_128_digest(picture.tobytes()) for picture in shown]
            digests = np.frombuffer(b"".join(hashed), np.uint64).reshape(-1, 2)
            own = codes[start : start + len(shown)].astype(np.int32)
            columns: dict[Role, Any] = {
                Role.LABEL: Column(own, tuple(map(str, names))),
                Role.CONTENT: digests,
                Role.PICTURES: Pixels(luminance(shown), digests, (), windows=shown),
            }
            yield Batch(0, start, len(shown), columns)


def shown(name: str, data: Coloured, mask: NDArray[np.bool_]) -> None:
    """A row of the table."""
    start = time.process_time()
    found = findings(DETECTOR, data)
    seconds = time.process_time() - start
    flagged, others = np.zeros(len(mask), bool), 0
    target = str(data.labels[mask][0]) if mask.any() else ""
    for finding in found:
        assert isinstance(finding.at.part, Rows)
        if finding.key == target:
            flagged[[row.index for row in finding.at.part.rows]] = True
        others += finding.key != target
    hits = int((flagged & mask).sum())
    recall = f"{hits / mask.sum():.2f}" if mask.any() else "-"
    precision = f"{hits / flagged.sum():.2f}" if flagged.any() else "-"
    rows = f"{name} | {mask.sum():,} of {len(mask):,}"
    print(f"| {rows} | {recall} | {precision} | {others} | {seconds:.1f} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with the public data sets")
    parser.add_argument("--file", default="test.parquet", help="of images/cifar10_part")
    parser.add_argument("--rates", nargs="*", type=float, default=[0.01, 0.05])
    parser.add_argument("--attacks", nargs="*", help="words in the names of those that are shown")
    parser.add_argument("--seed", type=int, default=80)
    given = parser.parse_args()
    table = pq.read_table(given.data / "images" / "cifar10_part" / given.file)
    encoded = table.column("image").combine_chunks().field("bytes").to_pylist()
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(d)).convert("RGB")) for d in encoded])
    labels = np.asarray(table.column("label")).astype(np.int64)
    head = "attack | rows | recall | precision | other classes | CPU s"
    print(f"| {head} |\n{'|---' * 6}|")
    shown("none", Coloured(pictures, labels), np.zeros(len(labels), bool))
    for attack in (*BUILT_ON, *LEFT_OUT):
        if given.attacks and not any(word in attack.name for word in given.attacks):
            continue
        for rate in given.rates:
            changed, given_labels, mask = poisoned(pictures, labels, attack, rate, given.seed)
            shown(attack.name, Coloured(changed, given_labels), mask)
    return 0


if __name__ == "__main__":
    sys.exit(main())
