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

_REPORT_HEAD = 4096


@dataclass(frozen=True, slots=True)
class Output:
    """A report's format, and its file; None: standard output."""

    format: str
    path: Path | None


def parse(values: tuple[str, ...], targets: tuple[Path, ...] = ()) -> list[Output]:
    """Read the option's values; text on standard output when there are none.

    Raises:
        click.BadParameter: an unknown format, a folder that does not exist, two reports in one
            place, or a file that is scanned, or is no report, in the place of one.
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
    paths = [output.path.absolute() for output in outputs if output.path is not None]
    if len(set(paths)) < len(paths):
        message = "two reports would go to the same file"
        raise click.BadParameter(message)
    for place in paths:
        refuse_to_replace(place, targets)
    if sum(output.path is None for output in outputs) > 1:
        message = "only one report can go to standard output; give the others a file: -o sarif=FILE"
        raise click.BadParameter(message)
    return outputs


def refuse_to_replace(path: Path, targets: tuple[Path, ...]) -> None:
    """A report may replace a report, and nothing else that is scanned."""
    if path.is_dir():
        message = f"{str(path)!r} is a folder"
        raise click.BadParameter(message)
    if not path.is_file() or path.is_symlink():
        return
    real = path.resolve()
    scanned = [target.resolve() for target in targets]
    with path.open("rb") as stream:
        is_report = b"poisonscan" in stream.read(_REPORT_HEAD)
    inside = any(real.is_relative_to(target) for target in scanned)
    if real in scanned or (inside and not is_report and path.suffix != ".txt"):
        message = f"{str(path)!r} is among what is scanned and is no report: it would be replaced"
        raise click.BadParameter(message)


def emit(report: Report, outputs: list[Output], options: Options) -> None:
    """Write every report.

    Raises:
        OSError: one could not be written whole.
    """
    plain = dataclasses.replace(options, colour=False, width=100, height=None)
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
    if os.environ.get("FORCE_COLOR", "0") != "0":
        return True
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
