"""What every command that ends with a report does with it: write it as asked, and judge it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from poisonscan.cli import anchor
from poisonscan.cli.outputs import Output, emit, parse, wants_colour
from poisonscan.finding import Severity
from poisonscan.report import Report
from poisonscan.reporters.base import Options

_LOG_LINES: Final = 120
_FEWEST_LINES: Final = 23

OPTIONS = frozenset({
    "outputs", "fail_on", "min_severity", "category", "no_content", "quiet", "verbose", "colour",
    "show_baselined", "anchors",
})  # fmt: skip
"""Options of a command that say what becomes of its report."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where reports go, how they look, and what fails.

    Attributes:
        outputs: formats and files.
        look: how the report is to look.
        fail_on: the lowest severity that makes the exit code 1; None: none does.
        lowest: findings below this are left out of reports.
    """

    outputs: list[Output]
    look: Options
    fail_on: Severity | None
    lowest: Severity

    @classmethod
    def of(cls, options: dict[str, Any], read: tuple[Path, ...]) -> Delivery:
        """Take ``OPTIONS`` out of a command's options.

        Args:
            options: values by name, as click gives them.
            read: what the command reads, which a report may not replace.

        Raises:
            click.BadParameter: ``-o`` or ``--anchor`` is wrong.
            click.UsageError: the report is to be short and long.
        """
        try:
            outputs = parse(options.pop("outputs"), read)
        except click.BadParameter as error:
            error.param_hint = "'-o'"
            raise
        fail_on = options.pop("fail_on")
        quiet, verbose = options.pop("quiet"), options.pop("verbose")
        if quiet and verbose:
            message = "--quiet and --verbose: leave one out, here or in the settings."
            raise click.UsageError(message)
        look = Options(
            colour=wants_colour(options.pop("colour")),
            width=shutil.get_terminal_size((100, 24)).columns,
            height=_height(),
            verbosity=-1 if quiet else int(verbose),
            category=options.pop("category"),
            content=not options.pop("no_content"),
            aside=options.pop("show_baselined"),
            anchors=anchor.read(options.pop("anchors"), options.get("root")),
        )
        return cls(
            outputs,
            look,
            None if fail_on == "none" else Severity[fail_on.upper()],
            Severity[options.pop("min_severity").upper()],
        )

    def deliver(self, report: Report) -> int:
        """Write the report; returns what the command ends with."""
        code = report.exit_code(self.fail_on)
        report.hide_below(self.lowest)
        anchor.say_unnamed(report, self.look.anchors)
        try:
            emit(report, self.outputs, self.look)
        except OSError as error:
            _give_up(error)
        return code


def _height() -> int:
    """Lines of text that somebody is shown unasked: a screen, or a few of them in a log."""
    if not sys.stdout.isatty():
        return _LOG_LINES
    return max(shutil.get_terminal_size().lines - 1, _FEWEST_LINES)


def _give_up(error: OSError) -> NoReturn:
    place = f" {error.filename!r}" if error.filename else ""
    click.echo(f"poisonscan: the report{place} could not be written: {error.strerror}", err=True)
    sys.exit(4)
