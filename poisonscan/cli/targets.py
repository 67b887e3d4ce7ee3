"""What a command is to scan: paths, patterns, addresses, and lists of them."""

from __future__ import annotations

import glob
import os
import sys
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from poisonscan.escape import quote

_STDIN: Final = "-"
_LONGEST: Final = 64 << 20
_READ: Final = "poisonscan.stdin"


def expanded(ctx: click.Context, values: tuple[str, ...], lists: tuple[str, ...]) -> list[str]:
    """Targets one by one.

    Args:
        ctx: of the command; standard input is read once for it.
        values: as given: ``-`` stands for a list on standard input, and what does not exist may be
            a pattern, for shells that leave patterns as they are.
        lists: files with a target a line, or with a NUL after each; nothing in them is a pattern.

    Raises:
        click.BadParameter: a list cannot be read, or a pattern matches nothing.
    """
    named: list[str] = []
    for value in values:
        named += _listed(ctx, _STDIN) if value == _STDIN else _matching(value)
    for place in lists:
        named += _listed(ctx, place)
    return named


def _matching(value: str) -> list[str]:
    if os.path.lexists(value) or "://" in value or not glob.has_magic(value):
        return [value]
    found = sorted(glob.glob(value, recursive=True))  # noqa: PTH207 - takes any path
    if not found:
        message = f"{quote(value)} matches nothing"
        raise click.BadParameter(message, param_hint="'TARGET...'")
    return found


def _listed(ctx: click.Context, place: str) -> list[str]:
    root = ctx.find_root()
    try:
        if place != _STDIN:
            with Path(place).open("rb") as stream:
                data = stream.read(_LONGEST + 1)
        elif _READ in root.meta:
            data = root.meta[_READ]
        else:
            data = root.meta[_READ] = sys.stdin.buffer.read(_LONGEST + 1)
    except OSError as error:
        message = f"the list {quote(place)} cannot be read: {error.strerror}"
        raise click.BadParameter(message, param_hint="'--files-from'") from error
    if len(data) > _LONGEST:
        message = f"the list {quote(place)} is longer than {_LONGEST >> 20} MiB"
        raise click.BadParameter(message, param_hint="'--files-from'")
    lines = data.split(b"\0") if b"\0" in data else data.splitlines()
    return [os.fsdecode(line) for line in lines if line]


def placed(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001 - click's
    values: tuple[str, ...],
) -> tuple[str | Path, ...]:
    """Targets that exist as paths; the others as they are, as they may be addresses."""
    lists = ctx.params.get("files_from") or ()
    if not values and not lists:
        raise click.MissingParameter(ctx=ctx, param_type="argument", param_hint="'TARGET...'")
    targets = expanded(ctx, values, lists)
    return tuple(Path(target) if os.path.lexists(target) else target for target in targets)


def _files(
    ctx: click.Context,  # noqa: ARG001 - click's
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


OPTIONS: Final = [
    click.option(
        "--files-from",
        multiple=True,
        is_eager=True,  # the argument needs it
        type=click.Path(exists=True, dir_okay=False, allow_dash=True),
        metavar="FILE",
        help="Scan what this file lists, a target a line or each with a NUL after it; - is "
        "standard input. Repeatable.",
    ),
    click.argument(
        "targets",
        nargs=-1,
        callback=placed,
        metavar="TARGET...",
        shell_complete=_files,
    ),
]
"""Of commands that scan."""
