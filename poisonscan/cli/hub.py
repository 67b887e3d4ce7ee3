"""Targets on the Hugging Face Hub: how they are given on the command line."""

from __future__ import annotations

import os
import re
from typing import Any, Final

import click

_SIZE: Final = re.compile(r"(\d{1,15})(?:\.(\d{1,6}))?\s*([kmgt]?)(i?)b?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class PathOrAddress(click.Path):
    """A path that exists, or what looks like an address of the Hub."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path or address."""
        text = os.fspath(value)
        if "//" in text and not os.path.lexists(text):
            return text
        return super().convert(value, param, ctx)


def size(
    ctx: click.Context,  # noqa: ARG001 - click's
    param: click.Parameter,  # noqa: ARG001
    value: str | None,
) -> int | None:
    """Bytes, from a text such as ``500MB`` or ``20GiB``.

    Raises:
        click.BadParameter: it is none.
    """
    if value is None:
        return None
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        message = f"{value!r} is no size such as 500MB or 20GiB"
        raise click.BadParameter(message)
    whole, fraction, unit, binary = match.groups(default="")
    factor = int((1024 if binary else 1000) ** _POWERS[unit.lower()])
    return int(whole) * factor + int(fraction or 0) * factor // int(10 ** len(fraction))


OPTIONS: Final = [
    click.option(
        "--revision",
        metavar="NAME",
        help="Branch, tag or commit of repositories of the Hugging Face Hub.  [default: main]",
    ),
    click.option(
        "--repo-type",
        type=click.Choice(["model", "dataset", "space"]),
        help="What repositories of the Hub are; with it, org/name is one.",
    ),
    click.option(
        "--download",
        is_flag=True,
        help="Fetch all files of repositories whole, compare them with the hashes that the Hub "
        "lists and keep them in its cache (HF_HOME); by default, only the parts of large files "
        "that are looked at (Linux; other systems fetch whole files), and nothing is kept.",
    ),
    click.option(
        "--max-download",
        callback=size,
        metavar="SIZE",
        help="Fetch at most so much of each repository, small files first; the rest is reported "
        "as not checked.  [default: 20GiB]",
    ),
]
"""Options of commands that scan."""
