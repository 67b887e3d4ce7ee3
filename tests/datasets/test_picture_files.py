"""What picture files carry, and who wrote them."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from poisonscan.datasets.picture_files import carried, outline
from poisonscan.datasets.pictures import decode
from tests.datasets.files import encoded, picture

FORMATS = ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"]


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("run.sh", "echo hello")
    return buffer.getvalue()


def told(data: bytes) -> str:
    return carried(data, outline(data))


@pytest.mark.parametrize("kind", FORMATS)
def test_plain_pictures_carry_nothing(kind: str) -> None:
    data = encoded(picture(0), kind)
    assert told(data) == ""
    if kind not in {"TIFF", "PPM"}:
        assert outline(data).end == len(data)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_archive_behind_a_picture(kind: str) -> None:
    data = encoded(picture(0), kind) + zipped()
    assert "zip archive" in told(data)
    assert decode([data]).carried == ((0, told(data)),)


BEHIND = {
    "PDF": b"%PDF-1.7\n1 0 obj",
    "Linux program": b"\x7fELF\x02\x01\x01" + b"\0" * 60,
    "Windows program": b"MZ\x90\0" + b"\0" * 60 + b"PE\0\0",
    "PHP": b"<?php system($_GET['c']); ?>",
    "web pages": b"\n<script>alert(1)</script>",
    "shell": b"#!/bin/sh\nid\n",
    "pickle": pickle.dumps({"a": [1, 2]}),
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0",
    "7-Zip": b"7z\xbc\xaf\x27\x1c\0\x04",
}


@pytest.mark.parametrize("what", BEHIND)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_other_files_behind_a_picture(kind: str, what: str) -> None:
    for gap in (b"", b"\0\0"):
        data = encoded(picture(0), kind) + gap + BEHIND[what]
        assert what in told(data)


@pytest.mark.parametrize("behind", [b"\0" * 100, b"\xff\xd8\xff\xe0more", b"\0\0\0\x18ftypmp42"])
def test_what_honest_programs_append(behind: bytes) -> None:
    assert told(encoded(picture(0), "JPEG") + behind) == ""


def test_metadata() -> None:
    code = "__import__('os').system('id')"
    for compressed in (False, True):
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", code, zip=compressed)
        info.add_itxt("Other", "plain words, évidemment", zip=compressed)
        buffer = io.BytesIO()
        picture(0).save(buffer, "PNG", pnginfo=info)
        assert told(buffer.getvalue()) == "program code in its metadata"
    for kind in ("JPEG", "GIF"):
        buffer = io.BytesIO()
        picture(0).save(buffer, kind, comment=code.encode())
        assert told(buffer.getvalue()) == "program code in its metadata"
        buffer = io.BytesIO()
        picture(0).save(buffer, kind, comment=b"holidays; evaluate (later)")
        assert told(buffer.getvalue()) == ""


def test_a_fake_end_hides_nothing() -> None:
    end = b"\0\0\0\0IEND\xaeB`\x82"
    assert "zip archive" in told(encoded(picture(0)) + zipped() + end)
    assert "zip archive" in told(encoded(picture(0), "JPEG") + zipped() + b"\xff\xd9")


def test_encoders_differ() -> None:
    def jpeg(**options: Any) -> str:
        buffer = io.BytesIO()
        picture(0).save(buffer, "JPEG", **options)
        return outline(buffer.getvalue()).encoder

    ways: list[dict[str, Any]] = [
        {},
        {"quality": 90},
        {"progressive": True},
        {"subsampling": 0},
        {"comment": b"x"},
    ]
    assert len({jpeg(**way) for way in ways}) == len(ways)
    assert jpeg(quality=90).startswith("quality about 90")
    levels = []
    for level in (1, 9):
        buffer = io.BytesIO()
        picture(0).save(buffer, "PNG", compress_level=level)
        levels.append(outline(buffer.getvalue()).encoder)
    assert levels == ["fastest compression", "best compression"]


def test_compressed_text_is_bounded() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + b"\0\0\0\0"

    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * (20 << 20)))
    data = encoded(picture(0))
    found = outline(data[:33] + bomb + data[33:])
    assert max(map(len, found.metadata)) <= 4 << 20


@given(st.data())
@settings(max_examples=150)
def test_any_bytes_have_an_outline(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(FORMATS))
    broken = bytearray(encoded(picture(0, (16, 16)), kind))
    for _ in range(data.draw(st.integers(0, 6))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    told(bytes(broken[: data.draw(st.integers(0, len(broken)))]))


def test_kinds() -> None:
    files = [encoded(picture(0)), encoded(picture(1), "JPEG"), b"bad", encoded(picture(2))]
    pixels = decode(files)
    assert pixels.kinds.tolist() == [0, 1, -1, 0]
    assert [kind.format for kind in pixels.kind_names] == ["PNG", "JPEG"]
    assert pixels.kind_names[0].size == (32, 32)
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 99)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert decode([buffer.getvalue()]).kind_names[0].animated
