"""Decoded pictures and their residuals."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from poisonscan.datasets import picture_sources
from poisonscan.datasets.pictures import SIDE, decode, decode_column, luminance, residuals
from tests.datasets.files import encoded, picture


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_formats(kind: str) -> None:
    image = picture(0)
    pixels = decode([encoded(image, kind)])
    assert pixels.problems == ()
    assert np.abs(pixels.planes[0] - np.asarray(image.convert("L"), np.float32)).mean() < 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_modes(mode: str) -> None:
    grey = picture(0, mode="L")
    if mode in {"I;16", "I", "F"}:
        values = np.asarray(grey, np.float32)
        deep = (
            (values * 257).astype(np.uint16)
            if mode == "I;16"
            else values.astype(np.int32 if mode == "I" else np.float32)
        )
        image = Image.fromarray(deep)
    else:
        image = grey.convert(mode)
    pixels = decode([encoded(image, "TIFF")])
    assert pixels.problems == ()
    expected = np.asarray((grey if len(mode) > 1 else image).convert("L"), np.float32)
    assert np.abs(pixels.planes[0] - expected).max() <= (1 if mode != "P" else 20)


def test_digests_are_of_pixels_not_of_files() -> None:
    image = picture(3)
    other = image.copy()
    other.putpixel((0, 0), (1, 2, 3))
    grey = image.convert("L")
    files = [encoded(image), encoded(image, "BMP"), encoded(other), encoded(grey)]
    digests = [tuple(row) for row in decode(files).digests.tolist()]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_shape_and_palette_count() -> None:
    flat = [Image.new("L", (4, 9), 7), Image.new("L", (9, 4), 7)]
    palettes = []
    for colours in [(0, 0, 0, 255, 255, 255), (255, 255, 255, 0, 0, 0)]:
        image = Image.new("P", (4, 4), 1)
        image.putpalette(colours)
        palettes.append(image)
    digests = [tuple(row) for row in decode([encoded(i) for i in flat + palettes]).digests.tolist()]
    assert len(set(digests)) == 4


def test_big_pictures_are_averaged_down() -> None:
    image = Image.fromarray(np.kron(np.asarray(picture(0, mode="L")), np.ones((4, 4), np.uint8)))
    assert np.array_equal(decode([encoded(image)]).planes[0], np.asarray(picture(0, mode="L")))


def test_residuals() -> None:
    planes = np.random.default_rng(0).uniform(0, 255, (3, 7, 7)).astype(np.float32)
    found = residuals(planes).reshape(3, 7, 7)
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    for row in range(7):
        for column in range(7):
            mean = padded[:, row : row + 3, column : column + 3].mean(axis=(1, 2))
            assert np.allclose(found[:, row, column], planes[:, row, column] - mean, atol=1e-3)
    assert np.allclose(residuals(np.full((1, 5, 5), 9, np.float32)), 0)


# Broken and hostile pictures


def _bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = zlib.compress(b"\0" * 1_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("size", [(9_500, 9_500), (50_000, 50_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels(size: tuple[int, int]) -> None:
    pixels = decode([_bomb(*size)])
    assert len(pixels.problems) == 1
    assert np.isnan(pixels.planes).all()


def test_what_is_no_picture() -> None:
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    items = [b"", b"hello", postscript, encoded(picture(0))[:50], encoded(picture(1))]
    pixels = decode(items)
    assert [number for number, _ in pixels.problems] == [0, 1, 2, 3]
    assert np.isnan(pixels.planes).all(axis=(1, 2)).tolist() == [True] * 4 + [False]
    assert all("0x" not in reason for _, reason in pixels.problems)


@given(st.data())
@settings(max_examples=150)
def test_flipped_bytes_are_a_problem_at_most(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]))
    broken = bytearray(encoded(picture(0, (16, 16)), kind))
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    pixels = decode([bytes(broken[: data.draw(st.integers(1, len(broken)))])])
    assert pixels.planes.shape == (1, SIDE, SIDE)
    assert bool(pixels.problems) == bool(np.isnan(pixels.planes).all())


def test_columns() -> None:
    data = [encoded(picture(i)) for i in range(3)]
    values = [data[0], None, data[1], data[0], b"bad", data[2]]
    plain = pa.array(values, pa.binary())
    structs = pa.array([None if v is None else {"bytes": v, "path": "p"} for v in values])
    folder = Path()
    for column in [plain, plain.dictionary_encode(), structs]:
        pixels = decode_column(column, folder)
        assert [row for row, _ in pixels.problems] == [4]
        bad = np.isnan(pixels.planes).all(axis=(1, 2)).tolist()
        assert bad == [False, True, False, False, True, False]
        assert np.array_equal(pixels.planes[0], pixels.planes[3])
        part = decode_column(column.slice(2, 3), folder)
        assert np.array_equal(part.planes, pixels.planes[2:5], equal_nan=True)
        assert np.array_equal(part.digests, pixels.digests[2:5])


def test_an_animation_is_its_first_frame() -> None:
    frames = [picture(i) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    found = decode([buffer.getvalue(), encoded(frames[0])])
    assert found.problems == ()
    assert np.array_equal(found.planes[0], found.planes[1])


def test_a_file_that_many_rows_name_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["a.png", "b.png", "gone.png"]
    for i, name in enumerate(names[:2]):
        (tmp_path / name).write_bytes(encoded(picture(i)))
    read: list[str] = []
    real = picture_sources.read_picture

    def counted(file: Path) -> bytes | str:
        read.append(file.name)
        return real(file)

    monkeypatch.setattr(picture_sources, "read_picture", counted)
    paths = [*names, None] * 100
    strings = pa.array(paths)
    for column in [
        strings,
        pa.StructArray.from_arrays([pa.nulls(400, pa.binary()), strings], ["bytes", "path"]),
    ]:
        read.clear()
        pixels = decode_column(column, tmp_path)
        assert sorted(read) == names
        assert [row for row, _ in pixels.problems] == list(range(2, 400, 4))
        assert np.array_equal(pixels.digests[0], pixels.digests[396])
        assert len({tuple(digest) for digest in pixels.digests.tolist()}) == 4


def test_files_are_held_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_sources, "MAX_FILE", 6_000_000)
    paths = [f"{i}.png" for i in range(10)]
    for path in paths:
        (tmp_path / path).write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 5_000_000)
    tracemalloc.start()
    pixels = decode_column(pa.array(paths), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(pixels.problems) == 10
    assert peak < 30_000_000


def test_a_small_picture_is_not_scaled_but_by_a_whole_number() -> None:
    values = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    plane = luminance(Image.fromarray(values)).reshape(32, 32)
    assert (plane[2:30, 2:30] == values).all()
    assert (plane[:2, 2:30] == values[0]).all()  # edges are repeated
    assert (plane[30:, 30:] == values[-1, -1]).all()
    doubled = luminance(Image.fromarray(values[:10, :14])).reshape(32, 32)
    assert (doubled[6:26, 2:30] == np.kron(values[:10, :14], np.ones((2, 2)))).all()


def test_a_moved_patch_is_the_same_at_every_place_of_a_small_picture() -> None:
    patch = np.random.default_rng(1).integers(0, 256, (5, 5), np.uint8)
    for top, left in ((0, 0), (3, 11), (23, 23)):
        picture = np.zeros((28, 28), np.uint8)
        picture[top : top + 5, left : left + 5] = patch
        plane = luminance(Image.fromarray(picture)).reshape(32, 32)
        assert (plane[top + 2 : top + 7, left + 2 : left + 7] == patch).all()


def test_a_larger_picture_is_made_smaller() -> None:
    values = np.random.default_rng(2).integers(0, 256, (64, 64), np.uint8)
    plane = luminance(Image.fromarray(values)).reshape(32, 32)
    means = values.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(plane - means).max() <= 1
