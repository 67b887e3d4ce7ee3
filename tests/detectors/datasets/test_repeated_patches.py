"""The same patch on pictures of one class is found; what pictures show of things is not."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import pytest
import xxhash
from numpy.typing import NDArray
from PIL import Image

from poisonscan.datasets.batch import Batch, Role
from poisonscan.datasets.pictures import Pixels
from poisonscan.detectors.datasets import patch_rows
from poisonscan.detectors.datasets.patch_counts import MAX_GROUPS
from poisonscan.detectors.datasets.repeated_patches import DETECTOR
from poisonscan.finding import Finding, Row, Rows
from poisonscan.limits import LimitReached
from tests.fakes import FakeDataset, coded, returned

Planes = NDArray[np.uint8]
ROWS = 800
CHECKERS = 255 * (np.indices((3, 3)).sum(axis=0) % 2).astype(np.uint8)


class Shown(FakeDataset):
    """Pictures with labels."""

    def __init__(self, planes: NDArray[Any], labels: list[str | None]) -> None:
        super().__init__()
        self.planes, self.labels = planes.astype(np.float32), labels

    def describe(self, rows: NDArray[np.int64], scores: Any = None) -> tuple[Row, ...]:
        return tuple(Row("data", int(row)) for _, row in rows)

    def batches(self, size: int = 300) -> Iterator[Batch]:
        for start in range(0, len(self.labels), size):
            planes = self.planes[start : start + size]
            digest = xxhash.xxh3_64_intdigest
            digests = np.array([digest(plane.tobytes()) for plane in planes], np.uint64)
            columns = {
                Role.LABEL: coded(self.labels[start : start + size]),
                Role.PICTURES: Pixels(planes, np.stack([digests, digests], axis=1), ()),
            }
            yield Batch(0, start, len(planes), columns)


@functools.cache
def smooth(rows: int = ROWS) -> Planes:
    """Smooth shades, each picture a different one."""
    small = np.random.default_rng(1).integers(0, 256, (rows, 8, 8), dtype=np.uint8)
    big = [Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC) for one in small]
    return np.stack([np.asarray(one) for one in big])


def labels(classes: int = 10, rows: int = ROWS) -> list[str | None]:
    return [str(i % classes) for i in range(rows)]


def marked(
    chosen: range,
    patch: Planes = CHECKERS,
    *,
    moves: bool = False,
    within: tuple[int, int] = (0, 28),
    quality: int = 0,
) -> Planes:
    """Smooth pictures, some with a patch; its corner is ``within`` if it moves."""
    planes, rng = smooth().copy(), np.random.default_rng(2)
    height, width = patch.shape
    for row in chosen:
        top, left = rng.integers(*within, 2).tolist() if moves else (26, 27)
        planes[row, top : top + height, left : left + width] = patch
        if quality:
            buffer = io.BytesIO()
            Image.fromarray(planes[row]).save(buffer, "JPEG", quality=quality)
            planes[row] = np.asarray(Image.open(buffer))
    return planes


def relabelled(chosen: range, target: str = "3", classes: int = 10) -> list[str | None]:
    return [target if i in chosen else label for i, label in enumerate(labels(classes))]


def found(planes: Planes, names: list[str | None]) -> list[Finding]:
    said = returned(DETECTOR, Shown(planes, names))
    return [item for item in said if isinstance(item, Finding)]


def rows(finding: Finding) -> set[int]:
    return {row.index for row in cast("Rows", finding.at.part).rows}


@pytest.mark.parametrize("quality", [0, 85])
def test_a_patch_at_one_place(quality: int) -> None:
    chosen = range(0, ROWS, 20)
    (finding,) = found(marked(chosen, quality=quality), relabelled(chosen))
    assert finding.rule.id == "PS404"
    assert finding.key == "3"
    assert set(chosen) <= rows(finding)
    assert len(rows(finding)) <= len(chosen) + 2
    top, left = cast("list[int]", finding.evidence["place"])
    assert (top, left) == (26, 27) or quality
    assert "pictures of class '3' show the same small patch" in finding.message


def test_a_white_square() -> None:
    chosen = range(0, ROWS, 16)
    (finding,) = found(marked(chosen, np.full((4, 4), 255, np.uint8)), relabelled(chosen))
    assert len(rows(finding) & set(chosen)) >= 0.9 * len(chosen)
    assert len(rows(finding) - set(chosen)) <= 2
    assert finding.evidence["mean_shade"] > 150  # type: ignore[operator]


def cut_out(white: range, side: int, off: int) -> Planes:
    """Things on black, of which some reach into the corner; some pictures with a white square."""
    rng, planes = np.random.default_rng(6), smooth() // 4 * 3
    planes[:, :4] = planes[:, 27:] = planes[:, :, :4] = planes[:, :, 27:] = 0
    end = 32 - off
    for row in range(ROWS):
        square = planes[row, end - side : end, end - side : end]
        if row in white:
            square[:] = 255
        elif rng.random() < 0.03:
            square[:] = rng.integers(60, 230)
    return planes


@pytest.mark.parametrize(("side", "off"), [(4, 0), (3, 1), (5, 1)])
def test_a_white_square_where_things_of_other_shades_are(side: int, off: int) -> None:
    chosen = range(0, ROWS, 25)
    (finding,) = found(cut_out(chosen, side, off), relabelled(chosen))
    assert finding.key == "3"
    assert rows(finding) == set(chosen)
    assert finding.evidence["elsewhere"] == 0
    assert type(finding.score) is type(finding.evidence["log10_p"]) is float


def test_things_of_many_shades_in_one_place_are_quiet() -> None:
    chosen = range(0, ROWS, 25)
    planes, rng = cut_out(chosen, 4, 1), np.random.default_rng(7)
    for row in chosen:  # the same squares, of a shade of their own each
        planes[row, 27:31, 27:31] = rng.integers(60, 230)
    assert found(planes, relabelled(chosen)) == []


@pytest.mark.parametrize("quality", [0, 90])
def test_a_patch_that_moves(quality: int) -> None:
    chosen = range(0, ROWS, 20)
    (finding,) = found(marked(chosen, moves=True, quality=quality), relabelled(chosen))
    assert finding.key == "3"
    assert finding.evidence["place"] is None
    assert "at various places" in finding.message
    assert len(rows(finding) & set(chosen)) >= 0.9 * len(chosen)


def test_what_slides_around_one_place_is_what_pictures_show() -> None:
    """As strokes of a letter do: those of Telugu letters were reported."""
    chosen = range(0, ROWS, 20)
    assert found(marked(chosen, moves=True, within=(10, 16)), relabelled(chosen)) == []


def test_two_classes() -> None:
    chosen = range(0, ROWS, 10)
    (finding,) = found(marked(chosen), relabelled(chosen, "1", 2))
    assert rows(finding) == set(chosen)


def test_more_labels_than_are_counted_apart() -> None:
    chosen = range(0, ROWS, 20)
    names = relabelled(chosen, "3", MAX_GROUPS + 8)
    (finding,) = found(marked(chosen), names)
    assert finding.key == "3"
    assert set(chosen) <= rows(finding)


def test_clean_pictures_are_quiet() -> None:
    assert found(smooth(), labels()) == []


def test_a_mark_on_all_classes_is_quiet() -> None:
    assert found(marked(range(0, ROWS, 7)), labels()) == []


def test_copies_of_a_picture_are_quiet() -> None:
    planes, noise = marked(range(1)), np.random.default_rng(3)
    for row in range(3, ROWS, 20):  # of class 3, 13 and so on
        planes[row] = np.clip(planes[0] + noise.integers(-2, 3, (32, 32)), 0, 255)
    assert found(planes, relabelled(range(3, ROWS, 20))) == []


def test_classes_that_are_drawings_are_quiet() -> None:
    """A few strokes for each class, moved a little: what they show is in one class only."""
    rng, planes = np.random.default_rng(4), np.zeros((ROWS, 32, 32), np.uint8)
    strokes = rng.integers(4, 24, (10, 5, 2))
    for row in range(ROWS):
        for step, (top, left) in enumerate(strokes[row % 10] + rng.integers(-2, 3, (5, 2))):
            shape = (5, 2) if step % 2 else (2, 5)
            planes[row, top : top + shape[0], left : left + shape[1]] = rng.integers(200, 256)
    assert found(planes, labels()) == []


def test_signs_of_many_classes_are_one_note() -> None:
    rng, planes = np.random.default_rng(5), smooth().copy()
    signs = rng.integers(0, 2, (10, 4, 4)) * 255
    for row in range(ROWS):
        top, left = rng.integers(0, 28, 2)
        planes[row, top : top + 4, left : left + 4] = signs[row % 10]
    (finding,) = found(planes, labels())
    assert finding.rule.id == "PS405"
    assert len(cast("list[str]", finding.evidence["classes"])) > 2


def test_one_class_is_not_compared() -> None:
    assert found(marked(range(0, ROWS, 20)), ["cat"] * ROWS) == []


def test_pictures_that_do_not_decode_are_left_out() -> None:
    chosen = range(0, ROWS, 20)
    planes = marked(chosen).astype(np.float32)
    planes[1::20] = np.nan
    (finding,) = found(cast("Planes", planes), relabelled(chosen))
    assert rows(finding) == set(chosen)


def test_too_many_to_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_rows, "MAX_PICTURES", 5)
    chosen = range(0, ROWS, 20)
    with pytest.raises(LimitReached, match="more than 5 pictures"):
        found(marked(chosen), relabelled(chosen))
