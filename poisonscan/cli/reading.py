"""Options of commands that read targets, and those that lock files and comparisons need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from poisonscan.cli import hub
from poisonscan.cli.progress import ProgressLine
from poisonscan.rules import PROFILES

Command = Callable[..., None]

JOBS: Final = click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    help="Processes.  [default: as many as the work is worth]",
)
PROGRESS: Final = click.option(
    "--progress/--no-progress",
    default=True,
    help="Progress on standard error; only on a terminal.",
)
PROFILE: Final = click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default="default",
    show_default=True,
    help="fast leaves out the rules that learn models from a dataset, which take most of the time: "
    "backdoors, trigger phrases and flipped labels are not looked for then. The report says so.",
)


def options(command: Command) -> Command:
    """Options that say how targets are read."""
    for option in (
        PROGRESS,
        click.option(
            "--scratch",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            help="Folder for what is fetched and what does not fit into memory.  [default: that of "
            "the system]",
        ),
        click.option(
            "--isolation",
            type=click.Choice(["auto", "require", "off"]),
            default="auto",
            show_default=True,
            help="As of `poisonscan scan`.",
        ),
        JOBS,
        click.option(
            "--max-download",
            callback=hub.size,
            metavar="SIZE",
            help="Fetch at most so much of each repository, small files first.  [default: 20GiB]",
        ),
    ):
        command = option(command)
    return command


def how(given: dict[str, Any], line: ProgressLine, leave_out: tuple[Path, ...] = ()) -> Any:
    """The options above as ``locking.lock.How``; they are taken out of ``given``."""
    from poisonscan.locking.lock import How

    scratch = given.pop("scratch")
    return How(
        given.pop("jobs"),
        given.pop("isolation"),
        None if scratch is None else str(scratch),
        given.pop("max_download"),
        progress=line,
        leave_out=leave_out,
    )
