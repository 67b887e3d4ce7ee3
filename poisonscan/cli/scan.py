"""``scan``, ``model`` and ``dataset``: one engine, with the options that fit each."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from poisonscan.aside import set_aside
from poisonscan.cli import anchor, completing, hub, model_options, rows_out, settings, targets
from poisonscan.cli.delivery import OPTIONS, Delivery
from poisonscan.cli.progress import ProgressLine
from poisonscan.cli.reading import JOBS, PROFILE, PROGRESS
from poisonscan.engines.base import EngineError
from poisonscan.files import Kind
from poisonscan.finding import Severity
from poisonscan.isolation.workers import IsolationError
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS
from poisonscan.rules import RuleError, split_selectors
from poisonscan.scan import TargetError
from poisonscan.scan import scan as run_scan

_SEVERITIES: Final = [str(severity) for severity in Severity]

_NOT_THE_SCANS: Final = (
    "settings", "no_settings", "baseline", "rows_out", "rows_min_severity", "files_from",
)  # fmt: skip

Command = Callable[..., None]


def _apply(options: list[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def _common(command: Command) -> Command:
    """Targets, and the options that every scan has."""
    return _apply(
        [
            *targets.OPTIONS,
            *hub.OPTIONS,
            *settings.OPTIONS,
            click.option(
                "-o",
                "--output",
                "outputs",
                multiple=True,
                metavar="FMT[=PATH]",
                shell_complete=completing.formats,
                help=f"Write a report ({', '.join(REPORTERS)}) to standard output or to a "
                "file. Repeatable.  [default: text]",
            ),
            click.option(
                "--fail-on",
                type=click.Choice(["none", *_SEVERITIES]),
                default="medium",
                show_default=True,
                help="Lowest severity that makes the exit code 1.",
            ),
            click.option(
                "--min-severity",
                type=click.Choice(_SEVERITIES),
                default="low",
                show_default=True,
                help="Leave findings below this out of reports; they count for the exit code.",
            ),
            click.option(
                "--select",
                multiple=True,
                metavar="RULE",
                shell_complete=completing.rules,
                help="Apply only these rules: an id, the start of one (PS1) or a name. Repeatable.",
            ),
            click.option(
                "--ignore",
                multiple=True,
                metavar="RULE",
                shell_complete=completing.rules,
                help="Leave these rules out. Repeatable.",
            ),
            click.option(
                "--category",
                default="poisonscan",
                show_default=True,
                help="Tells this scan from others of the same repository in SARIF.",
            ),
            click.option(
                "--root",
                type=click.Path(path_type=Path, exists=True, file_okay=False),
                help="Paths in reports are relative to this folder.  [default: the current one]",
            ),
            anchor.OPTION,
            JOBS,
            click.option(
                "--isolation",
                type=click.Choice(["auto", "require", "off"]),
                default="auto",
                show_default=True,
                help="Read model files in processes that can do nothing else, datasets in such as "
                "crash alone: as far as the system offers it, or fail without.",
            ),
            click.option(
                "--no-content",
                is_flag=True,
                help="Say in no report what rows hold: only where they are, and their labels.",
            ),
            click.option(
                "-q",
                "--quiet",
                is_flag=True,
                help="Only findings, what was not checked, and totals.",
            ),
            click.option("-v", "--verbose", is_flag=True, help="Every row, file and skipped file."),
            click.option(
                "--color",
                "colour",
                type=click.Choice(["auto", "always", "never"]),
                default="auto",
                show_default=True,
                help="Colours in text; NO_COLOR and FORCE_COLOR are heeded.",
            ),
            PROGRESS,
        ],
        command,
    )


def _columns(command: Command) -> Command:
    """What the user may say about a dataset."""
    return _apply(
        [
            click.option("--label-column", metavar="NAME", help="Column with the labels."),
            click.option("--text-column", metavar="NAME", help="Column with the text."),
            click.option("--image-column", metavar="NAME", help="Column with the pictures."),
            click.option("--features-column", metavar="NAME", help="Column with a vector per row."),
            click.option("--prompt-column", metavar="NAME", help="Column with what is asked."),
            click.option("--response-column", metavar="NAME", help="Column with what is answered."),
            click.option(
                "--header/--no-header",
                default=None,
                help="Whether delimited text begins with the names of its columns.  [default: its "
                "content tells; a column that is named is one]",
            ),
            click.option(
                "--activations",
                type=click.Path(path_type=Path, exists=True, dir_okay=False),
                help="A .npy, .npz or .safetensors file with a vector per row, such as "
                "activations.",
            ),
            *model_options.OPTIONS,
            PROFILE,
            click.option("--split", metavar="NAME", help="Read only this split."),
            click.option("--config", metavar="NAME", help="Read only this configuration."),
            click.option(
                "--max-rows",
                type=click.IntRange(1),
                metavar="N",
                help="Look at the first N rows of each dataset only; the report says so.",
            ),
            click.option(
                "--sample",
                type=click.IntRange(1),
                metavar="N",
                help="Look at about N rows of each dataset only, chosen at random; the report says "
                "so.",
            ),
            click.option(
                "--seed",
                type=click.IntRange(0, 2**64 - 1),
                default=0,
                show_default=True,
                metavar="N",
                help="Another one makes --sample choose other rows.",
            ),
            click.option(
                "--reference",
                type=hub.PathOrAddress(path_type=Path, exists=True),
                help="A file, folder or address of the Hub to compare labels and columns with, "
                "such as an earlier version.",
            ),
            *rows_out.OPTIONS,
            click.option(
                "--engine",
                default="local",
                show_default=True,
                metavar="local|dask=ADDRESS|ray=ADDRESS",
                help="Where datasets are read: processes of this machine, or a cluster that has "
                "the files under the same paths.",
            ),
            click.option(
                "--scratch",
                type=click.Path(path_type=Path, exists=True, file_okay=False),
                help="Folder for what does not fit into memory; all machines of a cluster must see "
                "it.  [default: that of the system]",
            ),
        ],
        command,
    )


@click.command(cls=settings.Configured)
@_common
@_columns
def scan(**options: Any) -> None:
    """Scan files and folders, model files and datasets alike, on disk or on the Hugging Face Hub.

    A TARGET is a file, a folder, a pattern such as "models/*.pt", an address, or - for a list on
    standard input. What a file is shows in its content, not in its name. Columns of datasets are
    inferred from types and names where they are not given, and the report says how.

    Options count in this order: command line, environment, settings file, default. Settings in a
    folder that is scanned count only if it is the current one; see --no-settings.

    \b
    Examples:
      poisonscan scan model.pt data/
      poisonscan scan . -o text -o sarif=poisonscan.sarif
      poisonscan scan train.parquet --label-column y --fail-on high
      poisonscan scan hf://org/model@v1.0 hf://datasets/org/data
      git diff --name-only --diff-filter=d -z main | poisonscan scan -
    """  # noqa: D301 - \b is click's
    _run("all", options)


@click.command(cls=settings.Configured)
@_common
def model(**options: Any) -> None:
    """Scan model files only: may I load this?

    \b
    Examples:
      poisonscan model checkpoint.pt
      poisonscan model weights/ --select PS1
      poisonscan model hf://org/name --revision refs/pr/3
    """  # noqa: D301
    _run("model", options)


@click.command(cls=settings.Configured)
@_common
@_columns
def dataset(**options: Any) -> None:
    """Scan datasets only: is this safe to train on, and which rows do I look at?

    \b
    Examples:
      poisonscan dataset train.parquet --label-column label
      poisonscan dataset data/ --split train --activations penultimate.npy
    """  # noqa: D301
    _run("dataset", options)


def _run(kind: Kind, options: dict[str, Any]) -> None:
    on_disk = tuple(target for target in options["targets"] if isinstance(target, Path))
    delivery = Delivery.of(options, on_disk)
    rows = rows_out.RowsOut.of(options, on_disk, delivery.outputs)
    known = settings.load_baseline(options.pop("baseline"))
    rows.warn(on_disk)
    report = findings_of(kind, options, quiet=delivery.look.verbosity < 0)
    rows.write(report)
    set_aside(report, baseline=known)
    sys.exit(delivery.deliver(report))


def findings_of(kind: Kind, options: dict[str, Any], *, quiet: bool = False) -> Report:
    """Scan with a command's options, and put aside what the settings ignore.

    Raises:
        click.UsageError: an option does not fit.
    """
    for name in (*OPTIONS, *_NOT_THE_SCANS):
        options.pop(name, None)
    for name in ("select", "ignore"):
        options[name] = split_selectors(options[name])
    model_options.gather(options)
    line = ProgressLine(enabled=options.pop("progress") and not quiet)
    report = _scan(options.pop("targets"), kind, options, line)
    return set_aside(report, ignores=settings.ignores())


def _scan(
    targets: tuple[str | Path, ...], kind: Kind, options: dict[str, Any], line: ProgressLine
) -> Report:
    try:
        return run_scan(targets, kind=kind, progress=line, **options)
    except (TargetError, RuleError, EngineError, IsolationError) as error:
        raise click.UsageError(str(error)) from error
    finally:
        line.clear()
