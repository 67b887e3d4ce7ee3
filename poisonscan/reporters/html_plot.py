"""What is drawn of a finding on the HTML page, from its evidence named ``plot``.

A report may come from anywhere: what is not of the form that detectors write is not drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Json
from poisonscan.reporters.html_parts import named

WIDTH: Final = 400
HEIGHT: Final = 120
"""Of the histogram; points have twice as much."""
_MOST_BINS: Final = 200
_MOST_POINTS: Final = 1_000
_MOST_NAMES: Final = 20
_GRID: Final = 1_000
_HEATS: Final = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A bar of a histogram, in units of the picture.

    Attributes:
        left: where it begins.
        width: how wide it is.
        class_top: where the bar of the class ends; its foot is at ``HEIGHT``.
        others_top: the same for other classes.
        rows: of the class, for people.
        suspicious: whether it lies beyond the threshold.
    """

    left: float
    width: float
    class_top: float
    others_top: float
    rows: str
    suspicious: bool


@dataclass(frozen=True, slots=True)
class Parts:
    """A class in two parts.

    Attributes:
        columns: its scores.
        threshold: where it is, from the left.
        points: left and top of ordinary rows.
        suspects: the same of suspicious ones.
    """

    columns: tuple[Column, ...]
    threshold: float
    points: tuple[tuple[float, float], ...]
    suspects: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Labels against what rows look like.

    Attributes:
        names: of labels.
        rows: a label, then its counts with a heat from 0 to 4 of each.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]


def parts(evidence: Mapping[str, Json]) -> Parts | None:
    """The parts of a class; None if the evidence has none."""
    plot = _of_kind(evidence, "parts of a class")
    low, high = _number(plot.get("low")), _number(plot.get("high"))
    inside, outside = _counts(plot.get("class")), _counts(plot.get("others"))
    span = high - low
    if not (math.isfinite(span) and span > 0 and len(inside) == len(outside) > 0):
        return None
    threshold = WIDTH * min(max(-low / span, 0.0), 1.0)
    width = WIDTH / len(inside)
    columns = tuple(
        Column(
            left=round(n * width, 2),
            width=round(width * 0.9, 2),
            class_top=_top(inside[n], inside),
            others_top=_top(outside[n], outside),
            rows=f"{inside[n]:,}",
            suspicious=(n + 0.5) * width > threshold,
        )
        for n in range(len(inside))
    )
    points = _points(plot.get("points"))
    return Parts(
        columns,
        round(threshold, 2),
        tuple((x, y) for x, y, suspicious in points if not suspicious),
        tuple((x, y) for x, y, suspicious in points if suspicious),
    )


def confusion(evidence: Mapping[str, Json]) -> Confusion | None:
    """Labels against what rows look like; None if the evidence has none."""
    plot = _of_kind(evidence, "confusion")
    names, table = plot.get("names"), plot.get("counts")
    if not isinstance(names, list) or not isinstance(table, list):
        return None
    shown = [named(name) for name in names if isinstance(name, str)]
    counts = [_counts(row) for row in table]
    sizes = {len(names), len(shown), len(counts), *map(len, counts)}
    if sizes != {len(shown)} or not 0 < len(shown) <= _MOST_NAMES:
        return None
    rows = [
        (
            shown[i],
            tuple((f"{count:,}", _heat(count, row, own=i == j)) for j, count in enumerate(row)),
        )
        for i, row in enumerate(counts)
    ]
    return Confusion(tuple(shown), tuple(rows))


def _of_kind(evidence: Mapping[str, Json], kind: str) -> Mapping[str, Json]:
    plot = evidence.get("plot")
    return plot if isinstance(plot, Mapping) and plot.get("kind") == kind else {}


def _number(value: Json) -> float:
    """The value as a number; NaN if it is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return math.nan


def _counts(value: Json) -> list[int]:
    if not isinstance(value, list) or len(value) > _MOST_BINS:
        return []
    counts = [item for item in value if isinstance(item, int) and not isinstance(item, bool)]
    return counts if len(counts) == len(value) and min(counts, default=0) >= 0 else []


def _top(count: int, counts: Sequence[int]) -> float:
    """Heights are square roots, so that few rows can be seen beside many."""
    return round(HEIGHT * (1 - math.sqrt(count / (max(counts) or 1))), 2)


def _points(value: Json) -> list[tuple[float, float, bool]]:
    if not isinstance(value, list):
        return []
    points = []
    for item in value[:_MOST_POINTS]:
        match item:
            case [int(x), int(y), int(suspicious)] if 0 <= x <= _GRID and 0 <= y <= _GRID:
                left, top = x * WIDTH / _GRID, (_GRID - y) * 2 * HEIGHT / _GRID
                points.append((round(left, 1), round(top, 1), suspicious == 1))
    return points


def _heat(count: int, row: Sequence[int], *, own: bool) -> int:
    """How much of a label looks like another class, in steps; 0 for its own."""
    if own or not count:
        return 0
    return min(_HEATS, 1 + int(_HEATS * 2 * count / (sum(row) or 1)))
