"""What a report says about single rows: line numbers, labels and excerpts, looked up at the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from poisonscan.datasets.batch import Role
from poisonscan.datasets.errors import DatasetError
from poisonscan.datasets.excerpts import EXCERPT, SEARCHED, around, beginning, end_masked
from poisonscan.datasets.labels import labels
from poisonscan.datasets.places import MAX_LISTED, ListedRows
from poisonscan.datasets.tables import by_lines, numbered
from poisonscan.datasets.words import texts
from poisonscan.finding import Row, Rows
from poisonscan.marks import Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.shards import Shard
    from poisonscan.finding import Finding

_SHOWN = 6
"""Columns of an excerpt of a table without text."""
_PICTURES_EACH = 12
"""Pictures shown of each finding, and ``_PICTURES`` of all findings about a dataset."""
_PICTURES = 120

Line = tuple[int, int]
Key = tuple[int, Mark | None]
"""Position in a shard, and what is looked for in the row: an excerpt for each."""


def describe(
    dataset: Dataset, rows: NDArray[np.int64], scores: Sequence[float] | None
) -> tuple[Row, ...]:
    """See ``Dataset.describe``."""
    known: dict[tuple[int, int], Row] = {}
    for index in np.unique(rows[:, 0]).tolist():
        shard = dataset.shards[index]
        wanted = np.unique(rows[rows[:, 0] == index, 1]).tolist()
        if shard.layout is not None:
            about = _table(dataset, index, wanted, {})
            known |= {(index, position): row for (position, _), row in about}
        else:
            known |= {(index, at): row for at, row in _pictures(dataset, index, wanted)}
    out = []
    for i, (index, position) in enumerate(rows.tolist()):
        score = None if scores is None else float(scores[i])
        out.append(replace(known[index, position], score=score))
    return tuple(out)


@dataclass(slots=True)
class Wanted:
    """What to say of a shard.

    Attributes:
        positions: of rows to be described.
        pictures: those of them to be shown as pictures.
        marks: what to look for in some of them.
    """

    positions: set[int] = field(default_factory=set)
    pictures: set[int] = field(default_factory=set)
    marks: dict[Mark, set[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Later:
    """Rows that findings name, looked up together once all findings are there.

    A shard is read once for all of them then, and not once for each finding. Until then a row has
    no line, label, excerpt and thumbnail.

    Attributes:
        room: rows that findings may still list in all.
    """

    room: int = MAX_LISTED
    _places: dict[tuple[str, int, str], Line] = field(default_factory=dict)

    def describe(
        self, dataset: Dataset, rows: NDArray[np.int64], scores: Sequence[float] | None
    ) -> tuple[Row, ...]:
        """See ``Dataset.describe``."""
        out = []
        for i, (number, position) in enumerate(rows.tolist()):
            path, index = dataset.place(number, position)
            shard = dataset.shards[number]
            split, whole = shard.split, shard.by_file
            self._places[path, index, split] = number, position
            score = None if scores is None else float(scores[i])
            out.append(Row(path, index, split, score=score, whole=whole))
        return tuple(out)

    def wanted(self, findings: Iterable[Finding]) -> dict[int, Wanted]:
        """Positions of the rows that findings name, by shard, ascending.

        Args:
            findings: the worst first: their pictures are shown as long as there are few.
        """
        by_shard: dict[int, Wanted] = {}
        shown: set[Line] = set()
        for finding in findings:
            mark = Mark.of(finding.evidence)
            for nth, row in enumerate(_rows(finding)):
                place = self._places.get((row.path, row.index, row.split))
                if place is None:
                    continue
                wanted = by_shard.setdefault(place[0], Wanted())
                wanted.positions.add(place[1])
                if mark is not None:
                    wanted.marks.setdefault(mark, set()).add(place[1])
                if nth < _PICTURES_EACH and len(shown) < _PICTURES:
                    shown.add(place)
                    wanted.pictures.add(place[1])
        return {shard: by_shard[shard] for shard in sorted(by_shard)}

    def filled(self, finding: Finding, known: Mapping[tuple[int, Key], Row]) -> Finding:
        """A finding with what is known of its rows, by shard and key."""
        if not isinstance(finding.at.part, Rows):
            return finding
        mark = Mark.of(finding.evidence)
        rows = []
        for row in finding.at.part.rows:
            shard, at = self._places.get((row.path, row.index, row.split), (-1, -1))
            about = known.get((shard, (at, mark))) or known.get((shard, (at, None)), row)
            rows.append(replace(about, score=row.score))
        part = replace(finding.at.part, rows=tuple(rows))
        return replace(finding, at=replace(finding.at, part=part))


def listed(
    dataset: Dataset,
    rows: NDArray[np.int64],
    scores: Sequence[float] | NDArray[np.floating[Any] | np.int64] | None,
) -> ListedRows:
    """Rows in a form that findings keep, as far as there is room for them."""
    room = MAX_LISTED if dataset.later is None else dataset.later.room
    kept = rows[:room]
    if dataset.later is not None:
        dataset.later.room -= len(kept)
    return ListedRows(
        dataset.shards,
        kept[:, 0].astype(np.int32),
        kept[:, 1].astype(np.int64),
        None if scores is None else np.array(scores[: len(kept)], np.float32),
        len(rows) - len(kept),
    )


def _rows(finding: Finding) -> tuple[Row, ...]:
    return finding.at.part.rows if isinstance(finding.at.part, Rows) else ()


def look_up(shard: int, *, dataset: Dataset, wanted: Mapping[int, Wanted]) -> list[tuple[Key, Row]]:
    """Rows of a shard: each as it is, and for each mark that is found in it with that."""
    positions, pictures = sorted(wanted[shard].positions), sorted(wanted[shard].pictures)
    found: Iterable[tuple[Key, Row]]
    if dataset.shards[shard].layout is not None:
        found = _table(dataset, shard, positions, wanted[shard].marks)
    else:
        found = (((at, None), row) for at, row in _pictures(dataset, shard, positions))
    if not pictures or not ({Role.PICTURES, Role.ENCODED} & dataset.offers):
        return list(found)
    from poisonscan.datasets.thumbnails import thumbnails

    small = thumbnails(dataset, shard, pictures)
    return [(key, replace(row, thumbnail=small.get(key[0]))) for key, row in found]


def _pictures(dataset: Dataset, number: int, wanted: Sequence[int]) -> Iterator[tuple[int, Row]]:
    shard = dataset.shards[number]
    for position in wanted:
        label = shard.labels[position] if shard.labels else None
        path, index = dataset.place(number, position)
        shown = None if label is None else beginning(label)
        yield position, Row(path, index, shard.split, label=shown, whole=True)


def _table(
    dataset: Dataset, number: int, wanted: Sequence[int], marks: Mapping[Mark, set[int]]
) -> Iterator[tuple[Key, Row]]:
    shard = dataset.shards[number]
    rows = shard.rows_of(np.array(wanted)).tolist()
    lines = _lines(shard, rows)
    by_row: dict[int, list[Mark]] = {}
    for position, row in zip(wanted, rows, strict=True):
        by_row[row] = [mark for mark, positions in marks.items() if position in positions]
    about = _excerpts(dataset, shard, by_row)
    for position, row in zip(wanted, rows, strict=True):
        path, index = dataset.place(number, position)
        known = about.get(row, _About())
        plain = Row(
            path, index, shard.split, lines.get(row), known.label, excerpt=known.excerpt,
            whole=shard.by_file,
        )  # fmt: skip
        yield (position, None), plain
        for mark, (excerpt, place) in known.marked.items():
            yield (position, mark), replace(plain, excerpt=excerpt, mark=place)


@dataclass(slots=True)
class _About:
    """What a row says: its label, the start of its text, and where what is looked for stands."""

    label: str | None = None
    excerpt: str | None = None
    marked: dict[Mark, tuple[str, Line]] = field(default_factory=dict)


def _excerpts(
    dataset: Dataset, shard: Shard, wanted: Mapping[int, list[Mark]]
) -> dict[int, _About]:
    """What rows say, by position in the file; with what is looked for in each."""
    if shard.layout is None:
        return {}
    label = next(iter(dataset.roles.get("label", ())), None)
    shown = list(dataset.roles.get("text", ()))
    if not shown:
        skipped = {*dataset.roles.get("image", ()), *dataset.roles.get("features", ()), label}
        kinds = dataset.columns
        shown = [n for n in kinds if n not in skipped and "binary" not in kinds[n]][:_SHOWN]
    named = {name for marks in wanted.values() for mark in marks for name in mark.columns}
    extra = sorted(named.intersection(dataset.columns) - {*shown, label})
    columns = [*shown, *extra, *([label] if label is not None else [])]
    out: dict[int, _About] = {}
    try:
        for start, table in numbered(shard.files[0], shard.layout, columns, part=shard.part):
            inside = [p - start for p in wanted if start <= p < start + table.num_rows]
            if inside:
                part = table.take(pa.array(inside))
                for i, (row, name) in enumerate(
                    zip(inside, _labels(dataset, part, label), strict=True)
                ):
                    known = out[start + row] = _About(name, _excerpt(dataset, part, i, shown))
                    for mark in wanted[start + row]:
                        if (found := _marked(dataset, part, i, shown, mark)) is not None:
                            known.marked[mark] = found
            if start + table.num_rows > max(wanted):
                break
    except DatasetError:
        pass  # the scan has already reported that the file cannot be read to its end
    return out


def _labels(dataset: Dataset, table: pa.RecordBatch, label: str | None) -> list[str | None]:
    if label is None:
        return [None] * table.num_rows
    found = labels(table.column(label), dataset.label_names or (), numeric=dataset.numeric(label))
    return [beginning(found.names[code]) if code >= 0 else None for code in found.codes.tolist()]


def _excerpt(dataset: Dataset, table: pa.RecordBatch, row: int, shown: Sequence[str]) -> str | None:
    text = _text(dataset, table, row, shown, 4 * EXCERPT)
    return beginning(text) if text else None


def _marked(
    dataset: Dataset, table: pa.RecordBatch, row: int, shown: Sequence[str], mark: Mark
) -> tuple[str, Line] | None:
    """What stands around a mark: in the columns that it is known to be in, or in those shown."""
    there = [name for name in mark.columns if name in table.schema.names]
    if there and not set(there) <= set(shown):
        shown = [*there, *(name for name in shown if name not in there)]
    return around(_text(dataset, table, row, shown, SEARCHED), mark.pattern)


def _text(
    dataset: Dataset, table: pa.RecordBatch, row: int, shown: Sequence[str], most: int
) -> str:
    """The cells of a row that say something; with their names where they are no texts."""
    plain = dataset.roles.get("text", ())
    cells = [(name, end_masked(_cell(table.column(name), row, most))) for name in shown]
    parts = [cell if name in plain else f"{name}={cell}" for name, cell in cells if cell]
    return (" / " if plain else ", ").join(parts)


def _cell(column: pa.Array, row: int, most: int) -> str:
    """A cell as text; of long ones so many bytes."""
    value = column.slice(row, 1)
    if pa.types.is_nested(column.type):
        value = texts(value)
    if pa.types.is_dictionary(value.type):
        value = value.dictionary_decode()
    if pa.types.is_string(value.type) or pa.types.is_large_string(value.type):
        value = value.cast(pa.binary())
    cell = value[0].as_py()
    if isinstance(cell, bytes):
        return cell[:most].decode("utf-8", "backslashreplace")
    return "" if cell is None else str(cell)


# Lines


def _lines(shard: Shard, wanted: Sequence[int]) -> dict[int, Line]:
    """First and last line of rows, which span several lines where cells hold line breaks."""
    found = by_lines(shard.files[0], shard.layout, shard.part) if shard.layout else None
    out: dict[int, Line] = {}
    start = 0
    try:
        for part in found or ():
            stop = start + part.table.num_rows
            inside = [position for position in wanted if start <= position < stop]
            lines = part.lines() if inside else []
            if len(lines) == stop - start:  # no line is better than a wrong one
                out |= {position: lines[position - start] for position in inside}
            start = stop
            if start > wanted[-1]:
                break
    except (OSError, ValueError):
        pass  # the scan has already reported that the file cannot be read to its end
    return out
