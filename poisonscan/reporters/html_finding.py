"""One finding on the HTML page: where it is, what it rests on, and its rows as a table."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poisonscan.escape import clip
from poisonscan.finding import Column, Finding, Json, Row, Rows, Span, Tensor
from poisonscan.marks import in_excerpts
from poisonscan.reporters.base import first_sentence, said
from poisonscan.reporters.html_gallery import Picture, gallery
from poisonscan.reporters.html_parts import Patch, Piece, marked, patch
from poisonscan.reporters.html_plot import Confusion, Parts, confusion, parts
from poisonscan.reporters.wording import byte_range, holds_nothing, in_words, without_plot

if TYPE_CHECKING:
    import re

Pair = tuple[str, str]

_VALUE: Final = 600
_EVIDENCE: Final = 40
_PICTURES: Final = 24
_CODE: Final = ("calls", "snippet")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the table of rows; ``kind`` is ``text``, ``number`` or ``excerpt``."""

    kind: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class FindingPart:
    """A finding.

    Attributes:
        anchor: its name on the page.
        message: what was seen, in a sentence.
        more: what else the message says.
        place: where, as names and values.
        code: what a loader would run, or the piece of the file that shows it.
        evidence: names and values.
        patch: the picture that rows share.
        parts: the class that falls apart.
        confusion: labels against what rows look like.
        gallery: pictures of rows.
        heads: names and kinds of the columns of the table.
        rows: their cells.
        caption: what all rows have in common.
        left: rows that the table does not have.
        fingerprint: tells the finding again in other reports.
    """

    anchor: str
    message: str
    more: str
    place: tuple[Pair, ...]
    code: tuple[Pair, ...]
    evidence: tuple[Pair, ...]
    patch: Patch | None
    parts: Parts | None
    confusion: Confusion | None
    gallery: tuple[Picture, ...]
    heads: tuple[Pair, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str
    left: int
    fingerprint: str

    @classmethod
    def of(cls, finding: Finding, anchor: str, most_rows: int) -> FindingPart:
        """Read a finding; at most ``most_rows`` of its rows."""
        part = finding.at.part
        rows = part.rows[: max(most_rows, 0)] if isinstance(part, Rows) else ()
        picture = patch(finding.evidence)
        kept = {
            name: value
            for name, value in without_plot(finding.evidence).items()
            if name not in _CODE and not (name == "patch" and picture)
        }
        table = _Table(rows, in_excerpts(finding.evidence))
        message, more = first_sentence(said(finding))
        return cls(
            anchor=anchor,
            message=message,
            more=more,
            place=tuple(_place(finding)),
            code=tuple(_code(finding.evidence)),
            evidence=tuple(_evidence(finding.score, kept)),
            patch=picture,
            parts=parts(finding.evidence),
            confusion=confusion(finding.evidence),
            gallery=tuple(itertools.islice(gallery(rows), _PICTURES)),
            heads=table.heads,
            rows=table.cells,
            caption=table.caption(finding),
            left=part.count - len(rows) if isinstance(part, Rows) else 0,
            fingerprint=finding.fingerprint,
        )


def _place(finding: Finding) -> Iterator[Pair]:
    file, *members = finding.at.path.split("!/")
    part = finding.at.part
    yield "File", file
    for member in members:
        yield "Inside", member
    if isinstance(part, Span):
        inside = f" of {members[-1]}" if members else ""
        yield "Where", byte_range(part.offset, part.length) + inside
        if part.outer is not None and part.outer != part.offset:
            yield "", f"byte {part.outer} of the file on disk"
    elif isinstance(part, Tensor):
        yield "Tensor", part.name
        if part.offset is not None:
            yield "Where", byte_range(part.offset, part.length or 0)
    elif isinstance(part, Column):
        yield "Column", part.name


def _code(evidence: Mapping[str, Json]) -> Iterator[Pair]:
    calls, snippet = evidence.get("calls"), evidence.get("snippet")
    if isinstance(calls, str):
        yield "What loading would run", calls
    if isinstance(snippet, str):
        yield "In the file", snippet


def _evidence(score: float | None, evidence: Mapping[str, Json]) -> Iterator[Pair]:
    if score is not None:
        yield "score", _number(score)
    for name, value in list(evidence.items())[:_EVIDENCE]:
        if not holds_nothing(value):
            yield name.replace("_", " "), clip(in_words(_rounded(value)), _VALUE)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _rounded(value: Json) -> Json:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}
    return value


class _Table:
    """Rows as cells; columns that are empty, or that say the same of all rows, are left out."""

    def __init__(self, rows: tuple[Row, ...], wanted: re.Pattern[str] | None) -> None:
        self._rows = rows
        self._files = {row.path for row in rows}
        self._splits = {row.split for row in rows}
        columns = [
            ("File", "text", [row.path for row in rows] if len(self._files) > 1 else []),
            ("Split", "text", [row.split for row in rows] if len(self._splits) > 1 else []),
            ("Row", "number", ["" if row.whole else f"{row.index:,}" for row in rows]),
            ("Line", "number", [_line(row) for row in rows]),
            ("Label", "text", [row.label or "" for row in rows]),
            ("Score", "number", ["" if row.score is None else _number(row.score) for row in rows]),
            ("Excerpt", "excerpt", [row.excerpt or "" for row in rows]),
        ]
        shown = [column for column in columns if any(column[2])]
        self.heads = tuple((name, kind) for name, kind, _ in shown)
        self.cells = tuple(
            tuple(
                Cell(kind, _pieces(kind, values[n], wanted, row.mark)) for _, kind, values in shown
            )
            for n, row in enumerate(rows)
        )

    def caption(self, finding: Finding) -> str:
        """What all rows have in common: their file and split."""
        if not self._rows:
            return ""
        about = self._rows[0].path if len(self._files) == 1 else finding.at.path
        split = f", split {self._rows[0].split}" if len(self._splits) == 1 else ""
        return f"Rows of {clip(about, 200)}{split}, counted from 0"


def _pieces(
    kind: str, text: str, wanted: re.Pattern[str] | None, place: tuple[int, int] | None
) -> tuple[Piece, ...]:
    if kind == "excerpt":
        return tuple(marked(text, wanted, place))
    return (Piece(clip(text, 200)),)


def _line(row: Row) -> str:
    if row.line is None:
        return ""
    first, last = row.line
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"
