"""Pictures of rows on the HTML page."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from poisonscan.finding import Row
from poisonscan.reporters.html_gallery import gallery


def png(width: int = 16, height: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return file.getvalue()


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_small_pictures_are_enlarged() -> None:
    rows = [Row("a", 1_234, label="cat", thumbnail=text(png())), Row("b", 0)]
    (picture,) = gallery(rows)
    assert (picture.width, picture.height) == (64, 32)
    assert (picture.row, picture.label) == ("row 1,234", "cat")
    assert picture.source == f"data:image/png;base64,{text(png())}"


@pytest.mark.parametrize(
    "thumbnail",
    [
        "",
        "no base64 !",
        text(png())[:20],
        text(b"GIF89a" + png()),
        text(png(65, 1)),
        text(png(1, 20_000)),
        text(png() + bytes(20_000)),
        f'{text(png())}" onerror="x',
        f"{text(png())}\n",
        text(png()[:12] + b"tEXt" + png()[16:]),
    ],
)
def test_what_is_no_thumbnail_is_not_shown(thumbnail: str) -> None:
    assert list(gallery([Row("a", 0, thumbnail=thumbnail)])) == []
