"""``--rows-out``: the list of all suspicious rows of a scan."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click

from poisonscan.cli.outputs import Output, refuse_place
from poisonscan.escape import quote
from poisonscan.finding import Severity
from poisonscan.plural import plural
from poisonscan.report import Report

_LISTED: Final = 10_000
"""Files of a target whose names are looked at."""
OPTIONS: Final = [
    click.option(
        "--rows-out",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="List all suspicious rows, a line of JSON each, for `poisonscan clean`.",
    ),
    click.option(
        "--rows-min-severity",
        type=click.Choice([str(severity) for severity in Severity]),
        default="low",
        show_default=True,
        help="Lowest severity of findings whose rows --rows-out lists.",
    ),
]


@dataclass(frozen=True, slots=True)
class RowsOut:
    """Where the list goes, and of which findings.

    Attributes:
        path: None: nowhere.
        lowest: severity of findings.
    """

    path: Path | None
    lowest: Severity

    @classmethod
    def of(cls, options: dict[str, Any], read: tuple[Path, ...], outputs: list[Output]) -> RowsOut:
        """Take the options out of a command's options.

        Args:
            options: values by name, as click gives them; a command may lack these.
            read: what is scanned, which the list may not replace.
            outputs: where reports go, which would replace the list.

        Raises:
            click.BadParameter: the list cannot go there.
        """
        path = options.pop("rows_out", None)
        lowest = Severity[options.pop("rows_min_severity", "low").upper()]
        if path is None:
            return cls(None, lowest)
        refuse_place(path, "--rows-out", read)
        taken = [os.path.realpath(output.path) for output in outputs if output.path is not None]
        if os.path.realpath(path) in taken:
            message = f"a report would replace {quote(os.fspath(path))}: -o names it, too"
            raise click.BadParameter(message, param_hint="'--rows-out'")
        return cls(path, lowest)

    def warn(self, read: Iterable[Path]) -> None:
        """Say before a scan, which may take long, that rows can be listed and not taken out.

        Args:
            read: what is scanned.
        """
        if self.path is None:
            return
        from poisonscan.cleaning.tables import FORMS, is_kept_whole

        whole = [file for file in _files(read) if is_kept_whole(file.name)]
        if not whole:
            return
        which, names, rows = quote(os.fspath(whole[0])), "its name", "its rows"
        if len(whole) > 1:
            which += f" and {plural(len(whole) - 1, 'other file')}"
            names, rows = "their names", "their rows"
        message = f"poisonscan: clean takes rows out of {FORMS}, and none out of {which}"
        click.echo(f"{message}, by {names}; --rows-out lists {rows} all the same", err=True)

    def write(self, report: Report) -> None:
        """Write the list, before findings are hidden; ends the command where that fails."""
        if self.path is None:
            return
        from poisonscan.reporters.rows_file import write_rows

        try:
            write_rows(self.path, report, self.lowest)
        except OSError as error:
            place = quote(os.fspath(error.filename or self.path))
            click.echo(f"poisonscan: {place} could not be written: {error.strerror}", err=True)
            sys.exit(4)


def _files(targets: Iterable[Path]) -> Iterator[Path]:
    """Some files of targets, in order of their names: not more than can be listed at once."""
    for target in targets:
        yield from islice(_inside(target) if target.is_dir() else [target], _LISTED)


def _inside(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders.sort()  # which walk follows
        yield from (Path(place, name) for name in sorted(names))
