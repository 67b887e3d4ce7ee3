"""``--anchor``: files of the repository that name what is scanned on the Hub."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import click

from poisonscan.escape import quote
from poisonscan.report import Report
from poisonscan.reporters.anchors import Anchors, repository_of

_LARGEST: Final = 4 << 20

OPTION: Final = click.option(
    "--anchor",
    "anchors",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Show findings on the Hub at the line of this file that names the repository, in SARIF "
    "and github. Repeatable.",
)


def read(paths: Iterable[Path], root: Path | None) -> Anchors:
    """Read the files.

    Args:
        paths: what the option names.
        root: reports name the files relative to this folder, by default the current one.

    Raises:
        click.BadParameter: a file lies outside of the folder, is no text or is too large.
    """
    base = Path(os.path.abspath(root or "."))  # noqa: PTH100 - links stay
    files: dict[str, str] = {}
    for path in paths:
        absolute = Path(os.path.abspath(path))  # noqa: PTH100
        if not absolute.is_relative_to(base):
            raise _wrong(path, "lies outside of the folder that paths are relative to")
        if path.stat().st_size > _LARGEST:
            raise _wrong(path, f"is larger than {_LARGEST >> 20} MiB")
        try:
            files[absolute.relative_to(base).as_posix()] = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _wrong(path, "is no text in UTF-8") from error
        except OSError as error:
            raise _wrong(path, f"cannot be read: {error.strerror}") from error
    return Anchors(files)


def _wrong(path: Path, why: str) -> click.BadParameter:
    return click.BadParameter(f"{quote(os.fspath(path))} {why}", param_hint="'--anchor'")


def say_unnamed(report: Report, anchors: Anchors) -> None:
    """Say on standard error which repositories with findings no file names."""
    if not anchors.files:
        return
    paths = {repository_of(f.at.path): f.at.path for f in report.findings}
    for repository, path in sorted((name, path) for name, path in paths.items() if name):
        if anchors.of(path) is None:
            named = ", ".join(map(quote, anchors.files))
            click.echo(f"poisonscan: {quote(repository)} is not named in {named}", err=True)
