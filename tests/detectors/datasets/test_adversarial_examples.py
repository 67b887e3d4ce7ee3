"""FGSM and PGD against a real small network are found; honest mixtures of pictures are not."""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

import poisonscan
from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.pictures import decode
from poisonscan.detectors.datasets import noise_table
from poisonscan.detectors.datasets.adversarial_examples import DETECTOR
from poisonscan.detectors.datasets.noise_table import NoiseTable
from poisonscan.detectors.datasets.picture_noise import noise_scores, statistics
from poisonscan.finding import Fact, Finding, Row, Rows
from poisonscan.limits import LimitReached
from tests.fakes import FakeDataset, returned, run

Pictures = NDArray[np.uint8]
SIDE = 32
ATTACKED = np.arange(3, 400, 20)
"""5 % of the pictures."""


class Files(FakeDataset):
    """Picture files in two batches."""

    def __init__(self, files: list[bytes]) -> None:
        super().__init__()
        self.files = files

    def describe(self, rows: NDArray[np.int64], scores: Any = None) -> tuple[Row, ...]:
        return tuple(Row("data", int(i), score=s) for (_, i), s in zip(rows, scores, strict=True))

    def batches(self, size: int = 400) -> Any:
        for start in range(0, len(self.files), size):
            part = self.files[start : start + size]
            yield Batch(0, start, len(part), {Role.PICTURES: decode(part)})


def png(pictures: Pictures) -> list[bytes]:
    return [stored(Image.fromarray(each), "PNG") for each in pictures]


def stored(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@functools.cache
def photographs() -> tuple[Pictures, NDArray[np.int64]]:
    """Pieces of 32×32 of the photographs that come with scikit-learn, and which are from above."""
    from sklearn.datasets import load_sample_images

    pieces, labels = [], []
    for values in load_sample_images().images:
        for scale in (1, 2, 3):
            image = Image.fromarray(values)
            image = image.resize((image.width // scale, image.height // scale))
            for top in range(0, image.height - SIDE, SIDE):
                for left in range(0, image.width - SIDE, SIDE):
                    pieces.append(np.asarray(image.crop((left, top, left + SIDE, top + SIDE))))
                    labels.append(int(2 * top < image.height))
    order = np.random.default_rng(0).permutation(len(labels))[:400]
    return np.stack(pieces)[order], np.array(labels)[order]


@functools.cache
def network() -> Any:
    """One hidden layer, which tells upper pieces from lower ones."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    pictures, labels = photographs()
    model = MLPClassifier(32, max_iter=15, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(pictures.reshape(len(pictures), -1) / 255 - 0.5, labels)


def gradient(values: NDArray[Any], labels: NDArray[np.int64]) -> NDArray[Any]:
    """Of the loss, by the values of pictures from 0 to 255: sign and proportion only."""
    first, second = network().coefs_
    hidden = (values / 255 - 0.5) @ first + network().intercepts_[0]
    seen = network().predict_proba(values / 255 - 0.5)[:, 1]
    back = (seen - labels)[:, None] * second.T * (hidden > 0)
    return np.asarray(back @ first.T)


def attacked(steps: int, most: float = 8) -> Pictures:
    """Some of the pictures after FGSM (one step) or PGD."""
    pictures, labels = photographs()[0][ATTACKED], photographs()[1][ATTACKED]
    clean = pictures.reshape(len(pictures), -1).astype(np.float64)
    changed, step = clean, most if steps == 1 else most / 4
    if steps > 1:
        changed = clean + np.random.default_rng(1).uniform(-most, most, clean.shape)
    for _ in range(steps):
        moved = changed + step * np.sign(gradient(changed, labels))
        changed = np.clip(clean + np.clip(moved - clean, -most, most), 0, 255)
    return np.asarray(np.rint(changed).reshape(pictures.shape), np.uint8)


def mixed(part: Pictures) -> Pictures:
    pictures = photographs()[0].copy()
    pictures[ATTACKED] = part
    return pictures


def rows(finding: Finding) -> list[int]:
    return [row.index for row in cast("Rows", finding.at.part).rows]


def said(files: list[bytes]) -> str:
    """What is said of pictures of which none is named."""
    (fact,) = returned(DETECTOR, Files(files))
    assert isinstance(fact, Fact)
    return str(fact.value)


@pytest.mark.parametrize("steps", [1, 10], ids=["FGSM", "PGD"])
def test_attacks_on_a_network_are_found(steps: int) -> None:
    part = attacked(steps)
    labels = photographs()[1][ATTACKED]
    before, after = (
        (network().predict(each.reshape(len(each), -1) / 255 - 0.5) == labels).mean()
        for each in (photographs()[0][ATTACKED], part)
    )
    assert after < before - 0.2, "no adversarial examples"
    (finding,) = run(DETECTOR, Files(png(mixed(part))))
    assert finding.rule.id == "PS410"
    named, planted = set(rows(finding)), set(ATTACKED.tolist())
    assert len(named & planted) >= 0.8 * len(planted)
    assert len(named & planted) >= 0.8 * len(named)
    scores = [row.score or 0.0 for row in cast("Rows", finding.at.part).rows]
    assert scores == sorted(scores, reverse=True)


def jpeg(picture: Pictures, quality: int) -> bytes:
    return stored(Image.fromarray(picture), "JPEG", quality=quality)


def as_images() -> list[Image.Image]:
    return [Image.fromarray(each) for each in photographs()[0]]


def scaled() -> list[bytes]:
    images = as_images()
    small = [image.resize((20, 20)).resize((SIDE, SIDE)) for image in images[::2]]
    return [stored(image, "PNG") for image in (*small, *images[:200])]


def greys_among_colours() -> list[bytes]:
    return [
        stored(image.convert("L").convert("RGB") if i % 3 else image, "PNG")
        for i, image in enumerate(as_images())
    ]


def grained() -> list[bytes]:
    pictures = photographs()[0]
    grain = np.random.default_rng(3).normal(0, 6, (60, SIDE, SIDE, 1))
    return png(np.clip(pictures[:60] + grain, 0, 255).astype(np.uint8)) + png(pictures[60:])


HONEST: dict[str, Callable[[], list[bytes]]] = {
    "PNG": lambda: png(photographs()[0]),
    "JPEG of two qualities": lambda: [
        jpeg(each, 60 + 35 * (i % 2)) for i, each in enumerate(photographs()[0])
    ],
    "PNG among JPEG": lambda: (
        [jpeg(each, 75) for each in photographs()[0][60:]] + png(photographs()[0][:60])
    ),
    "scaled": scaled,
    "greys among colours": greys_among_colours,
    "dithered": lambda: (
        [stored(each.convert("P"), "GIF") for each in as_images()[:60]] + png(photographs()[0])
    ),
    "grain": grained,
}


@pytest.mark.parametrize("case", HONEST)
def test_honest_pictures_are_quiet(case: str) -> None:
    assert run(DETECTOR, Files(HONEST[case]())) == []


def test_a_network_as_good_as_none_makes_no_finding() -> None:
    """Changes of one grey level are nothing that could be told from an encoder's."""
    assert run(DETECTOR, Files(png(mixed(attacked(10, most=1))))) == []


def test_when_most_pictures_are_noisy_none_is_named() -> None:
    noise = np.random.default_rng(2).integers(-8, 9, (400, SIDE, SIDE, 3))
    noisy = np.clip(photographs()[0] + noise, 0, 255).astype(np.uint8)
    assert "most pictures are noisy" in said(png(noisy))


def test_copies_of_one_picture_are_no_group() -> None:
    one = np.repeat(attacked(1)[:1], len(ATTACKED), axis=0)
    assert run(DETECTOR, Files(png(mixed(one)))) == []


def test_greys_are_told_and_not_decided() -> None:
    greys = [stored(Image.fromarray(each).convert("L"), "PNG") for each in photographs()[0][:20]]
    assert np.isnan(noise_scores(decode(greys).windows)).all()
    assert "20 pictures without colours" in said(greys)


def test_what_the_statistics_are() -> None:
    """Against the definition, pixel by pixel in a block."""
    pictures = photographs()[0][:3]
    found = statistics(pictures)
    for picture, numbers in zip(pictures.astype(float), found, strict=True):
        plane = picture @ [0.25, 0.5, 0.25]
        sizes, together, squares = [], 0.0, 0.0
        for top in range(0, SIDE, 8):
            for left in range(0, SIDE, 8):
                block = plane[top : top + 8, left : left + 8]
                for each in (np.diff(block, axis=0), np.diff(block, axis=1).T):
                    together += (each[1:] * each[:-1]).sum()
                    squares += (each**2).sum()
                sizes.append(np.abs(np.diff(np.diff(block, axis=0), axis=1)) / 2)
        assert numbers[0] == pytest.approx(np.log(min(s.mean() for s in sizes) + 0.3), abs=1e-4)
        shares = [(np.array(sizes) < limit).mean() for limit in (4, 8, 16)]
        assert numbers[1:4] == pytest.approx(shares, abs=1e-6)
        assert numbers[4] == pytest.approx((together + 1) / (squares * 6 / 7 + 2), abs=1e-4)


def test_scores_do_not_depend_on_how_pictures_are_batched() -> None:
    pictures = photographs()[0]
    alone = [noise_scores(pictures[i : i + 1])[0] for i in range(20)]
    assert noise_scores(pictures)[:20].tolist() == pytest.approx(alone, abs=0.0011)


def test_too_many_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_table, "MAX_PICTURES", 30)
    table = NoiseTable()
    for batch in Files(png(photographs()[0][:40])).batches(20):
        table.update(batch)
    with pytest.raises(LimitReached, match="more than 30 pictures"):
        table.noise()


def test_a_scan_names_the_rows_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "train.parquet"
    images = pa.array([{"bytes": data, "path": None} for data in png(mixed(attacked(10)))])
    pq.write_table(pa.table({"image": images, "label": photographs()[1]}), file)
    report = poisonscan.scan(file, select=["PS410"])
    (finding,) = report.findings
    assert len(set(rows(finding)) & set(ATTACKED.tolist())) >= 0.8 * len(ATTACKED)
