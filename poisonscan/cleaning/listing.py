"""The list of suspicious rows, ``--rows-out``, as it is read back.

A file of JSON lines, told apart by ``type``: one ``header``; a ``file`` for each file that holds
rows, with what it was when it was scanned; a ``row`` for each row and finding; one ``end``.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from poisonscan.cleaning.errors import CleanError
from poisonscan.escape import quote
from poisonscan.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

VERSION: Final = 1
"""Goes up when a field is removed or changes its meaning."""
_MAX_LINE: Final = 1 << 20
_MAX_ROWS: Final = 50_000_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A file that holds rows.

    Attributes:
        path: as the report called it.
        target: which of the targets it belongs to, by its place among them.
        within: where it is in the target, with forward slashes; ``.`` for the target itself.
        size: bytes.
        digest: SHA-256, 64 hex digits; empty for a file that was not there to be read.
        whole: whether the file is a row by itself; None: not known.
        header: whether the first record of delimited text was no row; None: not known.
    """

    path: str
    target: int
    within: str
    size: int
    digest: str
    whole: bool | None
    header: bool | None


@dataclass(slots=True)
class Listing:
    """What is to be taken out.

    Attributes:
        targets: of the scan.
        complete: whether the scan said that its list is complete.
        reasons: why it is not, for people.
        files: by path.
        by_rule: rows by file and rule.
        splits: that rows of a file belong to, by its path.
    """

    targets: tuple[str, ...]
    complete: bool
    reasons: tuple[str, ...]
    files: dict[str, Listed] = field(default_factory=dict)
    by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    splits: dict[str, set[str]] = field(default_factory=dict)
    _rows: dict[str, array[int]] = field(default_factory=dict)

    def rows(self, path: str) -> NDArray[np.int64]:
        """Rows of a file to take out, ascending, each once."""
        return np.unique(np.array(self._rows.get(path, ()), np.int64))

    def chosen(self) -> list[Listed]:
        """Files that lose rows, by path."""
        return [self.files[path] for path in sorted(self._rows)]

    def take(self, path: str, index: int, rule: str, split: str) -> None:
        """Note a row."""
        self.splits.setdefault(path, set()).add(split)
        self._rows.setdefault(path, array("q")).append(index)
        self.by_rule[path, rule] += 1


def read(path: Path, wanted: Callable[[str, Severity], bool]) -> Listing:
    """Read a list.

    Args:
        path: what ``--rows-out`` wrote, whole.
        wanted: told the rule and severity of each row, says whether to take it.

    Raises:
        CleanError: it is no such list, or not all of one.
        OSError: it cannot be read.
    """
    lines = _lines(path)
    _, head = next(lines, (1, {}))
    if head.get("type") != "header" or head.get("tool") != "poisonscan rows":
        message = f"{quote(str(path))} is no list of rows that --rows-out wrote"
        raise CleanError(message)
    if head.get("schema_version") != VERSION:
        message = f"{quote(str(path))} is of another version of poisonscan: scan again"
        raise CleanError(message)
    try:
        listing = Listing(
            tuple(map(str, head["targets"])), bool(head["complete"]), tuple(head["not_complete"])
        )
        ended = _fill(listing, lines, wanted)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, CleanError):
            raise
        message = f"{quote(str(path))}: a line is not as --rows-out writes it ({error!r:.100})"
        raise CleanError(message) from error
    if not ended:
        message = f"{quote(str(path))} ends early: scan again"
        raise CleanError(message)
    return listing


def _fill(
    listing: Listing,
    lines: Iterator[tuple[int, dict[str, Any]]],
    wanted: Callable[[str, Severity], bool],
) -> bool:
    """Take in all lines but the first; whether the last is there and counts the rows rightly."""
    rows = 0
    for _, line in lines:
        if line["type"] == "file":
            known = Listed(
                str(line["file"]), int(line["target"]), str(line["within"]), int(line["size"]),
                str(line["sha256"]), line["whole"], line["header"],
            )  # fmt: skip
            listing.files[known.path] = known
        elif line["type"] == "row":
            rows += 1
            path, index, rule = line["file"], line["index"], str(line["rule"])
            if path not in listing.files or type(index) is not int or index < 0:
                raise ValueError("a row of no file")
            if rows > _MAX_ROWS:
                raise ValueError("too many rows")
            if wanted(rule, Severity[line["severity"].upper()]):
                listing.take(path, index, rule, str(line["split"]))
        else:
            return bool(line["type"] == "end" and line["rows"] == rows)
    return False


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(_MAX_LINE):
            number += 1
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                value = None
            if not isinstance(value, dict):
                message = f"{quote(str(path))}: line {number:,} is not as --rows-out writes it"
                raise CleanError(message)
            yield number, value
