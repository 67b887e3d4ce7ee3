from __future__ import annotations

import hashlib

import pytest

from poisonscan.detectors.datasets import content_hashes
from poisonscan.detectors.datasets.content_hashes import DETECTOR
from poisonscan.finding import Fact, Gap, Rows
from tests.detectors.datasets.cells import Cells, found, prose, returned

TEXTS = prose(60)


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256", "sha512"])
@pytest.mark.parametrize("upper", [False, True])
def test_a_changed_row(name: str, upper: bool) -> None:
    digests = [hashlib.new(name, text.encode()).hexdigest() for text in TEXTS]
    digests = [digest.upper() if upper else digest for digest in digests]
    assert found(DETECTOR, Cells(text=TEXTS, **{name: digests})) == {}
    changed = [text + "!" if n in (7, 9) else text for n, text in enumerate(TEXTS)]
    (finding,) = found(DETECTOR, Cells(text=changed, **{name: digests}))["PS702"]
    assert isinstance(finding.at.part, Rows)
    assert [row.index for row in finding.at.part.rows] == [7, 9]
    data = [text.encode() for text in changed]
    assert "PS702" in found(DETECTOR, Cells(data=data, checksum=digests))


def test_quiet() -> None:
    digests = [hashlib.md5(str(n).encode()).hexdigest() for n in range(60)]
    assert found(DETECTOR, Cells(text=TEXTS, md5=digests)) == {}  # of something else
    assert found(DETECTOR, Cells(text=TEXTS, hash=["none"] * 60)) == {}
    assert found(DETECTOR, Cells(text=TEXTS)) == {}
    holes = [None, *(hashlib.md5(t.encode()).hexdigest() for t in TEXTS[1:])]
    assert found(DETECTOR, Cells(text=TEXTS, md5=holes)) == {}


def test_digests_of_something_else_are_a_fact() -> None:
    digests = [hashlib.md5(str(n).encode()).hexdigest() for n in range(60)]
    (fact,) = returned(DETECTOR, Cells(text=TEXTS, md5=digests))
    assert isinstance(fact, Fact)
    assert "'md5': 60" in str(fact)


def test_pairs_that_are_not_compared_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_hashes, "MAX_PAIRS", 1)
    digests = [hashlib.md5(text.encode()).hexdigest() for text in TEXTS]
    (gap,) = returned(DETECTOR, Cells(text=TEXTS, other=TEXTS, md5=digests))
    assert isinstance(gap, Gap)
    assert "1 of them" in str(gap)
