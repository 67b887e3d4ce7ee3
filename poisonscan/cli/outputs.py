"""Where reports go: ``-o FMT[=PATH]``."""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from poisonscan.finding import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.write import write


@dataclass(frozen=True, slots=True)
class Output:
    """A report's format, and its file; None: standard output."""

    format: str
    path: Path | None


def parse(values: tuple[str, ...]) -> list[Output]:
    """Read the option's values; text on standard output when there are none.

    Raises:
        click.BadParameter: an unknown format, a folder that does not exist, or two reports on
            standard output.
    """
    outputs: list[Output] = []
    for value in values or ("text",):
        name, given, path = value.partition("=")
        if name not in REPORTERS:
            message = f"{name!r} is no format; there are {', '.join(REPORTERS)}"
            raise click.BadParameter(message)
        if given and not path:
            message = f"{value!r} names no file"
            raise click.BadParameter(message)
        if path and not Path(path).parent.is_dir():
            message = f"the folder of {path!r} does not exist"
            raise click.BadParameter(message)
        outputs.append(Output(name, Path(path) if path else None))
    if sum(output.path is None for output in outputs) > 1:
        message = "only one report can go to standard output; give the others a file: -o sarif=FILE"
        raise click.BadParameter(message)
    return outputs


def emit(report: Report, outputs: list[Output], options: Options) -> None:
    """Write every report.

    Raises:
        OSError: one could not be written whole.
    """
    plain = dataclasses.replace(options, colour=False, width=100)
    for output in outputs:
        if output.path is None:
            text = REPORTERS[output.format](report, options)
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
            sys.stdout.buffer.flush()
        else:
            write(output.path, REPORTERS[output.format](report, plain))


def wants_colour(choice: str) -> bool:
    """Whether to colour text: asked for, or a terminal and no one objects.

    ``NO_COLOR`` (https://no-color.org) and ``FORCE_COLOR`` decide where the option does not.
    """
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
