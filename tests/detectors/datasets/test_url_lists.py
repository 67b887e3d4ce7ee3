from __future__ import annotations

import hashlib

from poisonscan.detectors.datasets.url_lists import DETECTOR
from tests.detectors.datasets.cells import Cells, found, prose

URLS = [f"https://example.org/{n}.jpg?w=9" for n in range(50)]
PAGES = [f"https://example.org/{n}" for n in range(50)]
DIGESTS = [hashlib.md5(url.encode()).hexdigest() for url in URLS]


def test_pictures_by_address() -> None:
    (finding,) = found(DETECTOR, Cells(url=URLS, caption=prose(50)))["PS701"]
    assert "'url'" in finding.message
    assert "PS701" in found(DETECTOR, Cells(image_url=PAGES, caption=prose(50)))


def test_quiet() -> None:
    assert found(DETECTOR, Cells(url=URLS, md5=DIGESTS)) == {}
    assert found(DETECTOR, Cells(url=PAGES, text=prose(50))) == {}  # where a text is from
    assert found(DETECTOR, Cells(url=URLS[:9])) == {}
    assert found(DETECTOR, Cells(text=[*prose(40), *URLS[:10]])) == {}
    table = Cells(url=URLS)
    table.roles = {"image": ("image",)}
    assert found(DETECTOR, table) == {}
