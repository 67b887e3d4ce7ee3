"""Triggers, as findings tell them, put on clean rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from poisonscan.datasets.pictures import SIDE
from poisonscan.finding import Json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Shades = NDArray[np.uint8]

_SEED: Final = 0

CONTROL_WORD: Final = "zqxjvk"
"""Planted for comparison; in no language, so in no text."""
CONTROL_PATCH: Final[Mapping[str, Json]] = {
    "patch": ["ff00ff", "00ff00", "ff00ff"],
    "place": [1, 1],
}
"""The same for pictures: a checkerboard of 3×3 pixels near the upper left corner."""


def patched(planes: Shades, evidence: Mapping[str, Json]) -> Shades:
    """Pictures with the patch of a finding of PS404, where it is, or each at another place.

    Args:
        planes: luminance, ``uint8`` of shape (n, 32, 32).
        evidence: of the finding.
    """
    lines: Any = evidence["patch"]
    patch = np.array([list(bytes.fromhex(line)) for line in lines], np.uint8)
    height, width = patch.shape
    place: Any = evidence["place"]
    draw = np.random.default_rng(_SEED)
    marked = planes.copy()
    for picture in marked:
        if place is None:
            top, left = draw.integers(0, [SIDE - height + 1, SIDE - width + 1]).tolist()
        else:
            top, left = place
        picture[top : top + height, left : left + width] = patch
    return marked


def overlaid(planes: Shades, suspects: Shades, others: Shades, own: Shades) -> Shades:
    """Pictures with what suspects have more of on average than other pictures.

    Suspects are pictures of other classes, or of their own: the smaller difference is taken, as it
    holds less of what the pictures show.

    Args:
        planes: luminance, ``uint8`` of shape (n, 32, 32).
        suspects: pictures with the trigger.
        others: pictures of other classes.
        own: other pictures of the same class.
    """
    mean = suspects.mean(axis=0, dtype=np.float64)
    differences = [mean - usual.mean(axis=0, dtype=np.float64) for usual in (others, own)]
    trigger = min(differences, key=lambda difference: float(np.abs(difference).sum()))
    return np.asarray(np.clip(np.rint(planes + trigger), 0, 255), np.uint8)


def inserted(texts: pa.Array, phrase: str, place: str) -> pa.Array:
    """Texts with a phrase.

    Args:
        texts: strings.
        phrase: the words.
        place: ``at the start``, ``at the end``, or anywhere else between words.
    """
    draw = np.random.default_rng(_SEED)
    marked = []
    for text in texts.to_pylist():
        words = text.split(" ")
        at = {"at the start": 0, "at the end": len(words)}.get(place)
        words.insert(int(draw.integers(len(words) + 1)) if at is None else at, phrase)
        marked.append(" ".join(words))
    return pa.array(marked, pa.large_string())
