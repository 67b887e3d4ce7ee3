"""One dataset on the HTML page: its columns, its labels, and what was measured and not judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from poisonscan.escape import clip
from poisonscan.finding import Json, Scanned
from poisonscan.reporters.html_parts import Bar, bars
from poisonscan.reporters.wording import UNDECIDED, counts, described, holds_nothing, in_words
from poisonscan.rules import LEFT_OUT

COLUMNS: Final = 60
_FACTS: Final = 60
_VALUE: Final = 800
_APART: Final = frozenset({"columns", "roles", "inferred"})

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Chart:
    """Counts by name: the labels of a split."""

    title: str
    bars: tuple[Bar, ...]
    left: int


@dataclass(frozen=True, slots=True)
class ColumnPart:
    """A column: its type, and what it was taken for."""

    name: str
    kind: str
    role: str


@dataclass(frozen=True, slots=True)
class DatasetPart:
    """A dataset.

    Attributes:
        anchor: its name on the page.
        path: of its file or folder.
        about: format, rows and size.
        charts: labels.
        columns: at most ``COLUMNS`` of them.
        more_columns: how many others there are.
        facts: names and values of what was measured.
        undecided: the same of what could not be judged.
    """

    anchor: str
    path: str
    about: str
    charts: tuple[Chart, ...]
    columns: tuple[ColumnPart, ...]
    more_columns: int
    facts: tuple[Pair, ...]
    undecided: tuple[Pair, ...]

    @classmethod
    def of(cls, entry: Scanned, anchor: str) -> DatasetPart:
        """Read what was scanned."""
        columns = list(_columns(entry.facts))
        charts = {name: counts(value) for name, value in entry.facts.items() if "label" in name}
        charts = {name: by_name for name, by_name in charts.items() if by_name}
        facts: list[Pair] = []
        undecided: list[Pair] = []
        for name, value in list(entry.facts.items())[:_FACTS]:
            if name in _APART or name in charts or holds_nothing(value):
                continue
            pair = name.replace("_", " "), clip(in_words(value), _VALUE)
            judged = name not in ("partial", LEFT_OUT) and not any(
                sign in f"'{value}" for sign in UNDECIDED
            )
            (facts if judged else undecided).append(pair)
        return cls(
            anchor=anchor,
            path=entry.path,
            about=described(entry),
            charts=tuple(_chart(name, by_name) for name, by_name in charts.items()),
            columns=tuple(columns[:COLUMNS]),
            more_columns=len(columns[COLUMNS:]),
            facts=tuple(facts),
            undecided=tuple(undecided),
        )


def _chart(name: str, by_name: Mapping[str, int]) -> Chart:
    shown, left = bars(by_name)
    return Chart(name, tuple(shown), left)


def _columns(facts: Mapping[str, Json]) -> Iterator[ColumnPart]:
    types, roles, inferred = facts.get("columns"), facts.get("roles"), facts.get("inferred")
    if not isinstance(types, Mapping):
        return
    guessed = inferred if isinstance(inferred, list) else []
    taken: dict[str, list[str]] = {}
    for role, names in roles.items() if isinstance(roles, Mapping) else ():
        shown = f"{role} (inferred)" if role in guessed else role
        for name in names if isinstance(names, list) else [names]:
            taken.setdefault(str(name), []).append(shown)
    for name, kind in types.items():
        yield ColumnPart(clip(name, 200), clip(in_words(kind), 200), ", ".join(taken.get(name, ())))
