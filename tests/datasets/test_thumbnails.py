"""Small copies of pictures for reports."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from poisonscan.datasets.dataset import Dataset
from poisonscan.datasets.thumbnails import LARGEST, SIDE, thumbnails
from tests.datasets.files import encoded, only, picture


def opened(text: str) -> Image.Image:
    data = base64.b64decode(text, validate=True)
    assert len(data) <= LARGEST
    return Image.open(io.BytesIO(data), formats=["PNG"])


def table(folder: Path, pictures: list[bytes | None]) -> Dataset:
    rows = [{"bytes": data, "path": None} for data in pictures]
    pq.write_table(pa.table({"image": rows, "label": [0] * len(rows)}), folder / "train.parquet")
    return only(folder)


def test_small_pictures_are_kept_pixel_by_pixel(tmp_path: Path) -> None:
    pictures = [picture(number) for number in range(4)]
    made = thumbnails(table(tmp_path, [encoded(each) for each in pictures]), 0, [1, 3])
    assert sorted(made) == [1, 3]
    for number, text in made.items():
        assert np.array_equal(np.asarray(opened(text)), np.asarray(pictures[number]))


def test_files_of_a_folder(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / label).mkdir()
        picture(1).save(tmp_path / label / "one.png")
    assert sorted(thumbnails(only(tmp_path), 0, [0, 1])) == [0, 1]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_modes(tmp_path: Path, mode: str) -> None:
    grey = picture(0, mode="L")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    else:
        image = grey.convert(mode)
    (text,) = thumbnails(table(tmp_path, [encoded(image, "TIFF")]), 0, [0]).values()
    if mode not in {"1", "P"}:
        assert np.abs(np.asarray(opened(text).convert("L"), float) - np.asarray(grey)).max() <= 1


def test_large_pictures_are_made_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    (text,) = thumbnails(table(tmp_path, [encoded(Image.fromarray(noise))]), 0, [0]).values()
    assert max(opened(text).size) <= SIDE
    assert min(opened(text).size) > 8


def test_nothing_but_pixels_is_kept(tmp_path: Path) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", "<script>secret</script>")
    file = io.BytesIO()
    picture(0).save(file, "PNG", pnginfo=about, icc_profile=b"secret profile")
    file.write(b"secret behind the end")
    (text,) = thumbnails(table(tmp_path, [file.getvalue()]), 0, [0]).values()
    assert opened(text).info == {}
    assert b"secret" not in base64.b64decode(text)


def test_what_cannot_be_decoded_has_none(tmp_path: Path) -> None:
    broken = encoded(picture(0))[:60]
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    good = encoded(picture(1))
    pictures = [*[good] * 20, b"%!PS-Adobe-3.0 EPSF-3.0\n", None, broken, bomb, good]
    assert list(thumbnails(table(tmp_path, pictures), 0, range(19, 25))) == [19, 24]
