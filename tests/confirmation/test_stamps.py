"""Triggers are put where the finding says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from poisonscan.confirmation.stamps import inserted, overlaid, patched

BLANK = np.zeros((3, 32, 32), np.uint8)
LINES: list[str] = ["ff00ff", "00ff00"]


def test_a_patch_is_put_at_its_place() -> None:
    marked = patched(BLANK, {"patch": LINES, "place": [28, 29]})  # type: ignore[dict-item]
    expected = np.array([[255, 0, 255], [0, 255, 0]])
    assert (marked[:, 28:30, 29:32] == expected).all()
    assert marked.sum() == 3 * 3 * 255
    assert not BLANK.any()


def test_a_patch_without_a_place_is_put_anywhere() -> None:
    marked = patched(np.zeros((20, 32, 32), np.uint8), {"patch": LINES, "place": None})  # type: ignore[dict-item]
    assert (marked.sum(axis=(1, 2)) == 3 * 255).all()
    assert len({picture.tobytes() for picture in marked}) > 5


def test_an_overlay_is_the_smaller_difference() -> None:
    suspects, own = np.full((5, 32, 32), 60, np.uint8), np.full((5, 32, 32), 50, np.uint8)
    others = np.full((5, 32, 32), 200, np.uint8)
    assert (overlaid(BLANK, suspects, others, own) == 10).all()
    assert (overlaid(BLANK + np.uint8(250), suspects, others, own) == 255).all()


def test_phrases_are_put_at_their_place() -> None:
    texts = pa.array(["a b c"] * 30)
    assert set(inserted(texts, "x y", "at the start").to_pylist()) == {"x y a b c"}
    assert set(inserted(texts, "x y", "at the end").to_pylist()) == {"a b c x y"}
    anywhere = set(inserted(texts, "x", "anywhere").to_pylist())
    assert anywhere == {"x a b c", "a x b c", "a b x c", "a b c x"}
