"""Lists of rows, as a scan would write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from poisonscan.finding import Location, Row, Rows, Severity
from poisonscan.report import Report
from poisonscan.reporters.rows_file import write_rows
from poisonscan.rules import rule


def listed(
    place: Path, target: Path, rows: Mapping[str, Sequence[int]], which: str = "PS601"
) -> Path:
    """Write a list of rows by file, as paths in the target; ``.`` for the target itself."""
    named = tuple(
        Row((Path(target.name) / path).as_posix(), index)
        for path, indices in rows.items()
        for index in indices
    )
    finding = rule(which).finding(Location(target.name, Rows(named, len(named))), "Seen.")
    report = Report((str(target),), [finding], root=str(target.parent))
    write_rows(place, report, Severity.LOW)
    return place
