"""Where reports go: ``-o FMT[=PATH]``."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from poisonscan.escape import quote
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.write import try_out, write
from poisonscan.spelling import meant

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
            close = meant(name, REPORTERS)
            message = f"{name!r} is no format{close or ';'} There are {', '.join(REPORTERS)}"
            raise click.BadParameter(message)
        if given and not path:
            message = f"{value!r} names no file"
            raise click.BadParameter(message)
        outputs.append(Output(name, Path(path) if path not in ("", "-") else None))
    paths = [os.path.realpath(output.path) for output in outputs if output.path is not None]
    if len(set(paths)) < len(paths):
        message = "two reports would go to the same file"
        raise click.BadParameter(message)
    for output in outputs:
        if output.path is not None:
            refuse_place(output.path, "-o", targets)
    if sum(output.path is None for output in outputs) > 1:
        message = "only one report can go to standard output; give the others a file: -o sarif=FILE"
        raise click.BadParameter(message)
    return outputs


def refuse_place(path: Path, option: str, targets: tuple[Path, ...] = ()) -> None:
    """Say before any work is done that a file cannot be written, or is none to write over.

    Args:
        path: of the file.
        option: that names it.
        targets: what is scanned. A report may replace a report, and nothing else of this.

    Raises:
        click.BadParameter: the file cannot go there.
    """
    name = quote(str(path))
    try:
        try_out(path)
    except FileNotFoundError as error:
        message = f"{name} cannot be written: its folder does not exist"
        raise click.BadParameter(message, param_hint=f"'{option}'") from error
    except OSError as error:
        message = f"{name} cannot be written: {error.strerror}"
        raise click.BadParameter(message, param_hint=f"'{option}'") from error
    if not path.is_file():
        return
    # Links that lead in circles are told when they are scanned: Path.resolve raises RuntimeError.
    real = Path(os.path.realpath(path))
    scanned = [Path(os.path.realpath(target)) for target in targets]
    is_report = False
    with contextlib.suppress(OSError), path.open("rb") as stream:
        is_report = b"poisonscan" in stream.read(_REPORT_HEAD)
    inside = any(real.is_relative_to(target) for target in scanned)
    if real in scanned or (inside and not is_report and path.suffix != ".txt"):
        message = f"{name} is among what is scanned and is no report: it would be replaced"
        raise click.BadParameter(message, param_hint=f"'{option}'")


def emit(report: Report, outputs: list[Output], options: Options) -> None:
    """Write every report.

    A reader of standard output that had enough of it, as ``head`` does, is no failure.

    Raises:
        OSError: one could not be written whole.
    """
    plain = dataclasses.replace(options, colour=False, width=100, height=None)
    for output in outputs:
        if output.path is None:
            text = REPORTERS[output.format](report, options)
            _print(text.encode("utf-8", "backslashreplace"))
        else:
            write(output.path, REPORTERS[output.format](report, plain))


def _print(text: bytes) -> None:
    try:
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # what is left in the buffer would be tried once more at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
