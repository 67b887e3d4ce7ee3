"""Settings files: which one counts, and what it says. Nothing here knows the command line.

A repository that is scanned must not be able to switch off its own findings. So a file is looked
for in the current folder and, inside a repository, in the folders above it up to the repository's
top; one that lies in a target counts only if it is the current folder's own. A file that was found,
and not named, may not be a link.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from poisonscan.escape import escape, quote
from poisonscan.ignores import Ignore, IgnoreError, from_table

NAME: Final = "poisonscan.toml"
PROJECT: Final = "pyproject.toml"
MAX_BYTES: Final = 256 << 10
"""The largest settings file that is read."""

MAX_IGNORES: Final = 500
"""The most ignores that a file may have: each is compared with each finding."""

_TABLE: Final = "poisonscan"
# The parser of the standard library takes memory in the square of the parts of a dotted key.
_LONG_KEY: Final = re.compile(
    r"""(?:(?<![\w-])[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
    r"""(?:[ \t]*+\.[ \t]*+(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')){31}"""
)


class SettingsError(ValueError):
    """A settings file that cannot be used; the message names the file and the key."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a settings file says.

    Attributes:
        path: the file.
        found: whether it was looked for and found; otherwise somebody named it.
        options: options of the command line by their names, not checked.
        ignores: the tables under ``ignore``.
    """

    path: Path
    found: bool
    options: Mapping[str, Any] = field(default_factory=dict)
    ignores: tuple[Ignore, ...] = ()


def find(start: Path, targets: Iterable[Path] = ()) -> tuple[Settings | None, list[Path]]:
    """The settings that count in a folder.

    Args:
        start: the current folder.
        targets: files and folders that are to be scanned.

    Returns:
        The nearest settings, and files that were passed over because they lie in a target.

    Raises:
        SettingsError: a file is there and cannot be used.
    """
    start = start.resolve()
    scanned = [Path(os.path.realpath(target)) for target in targets]  # also circles of links
    passed: list[Path] = []
    for folder in _folders(start):
        foreign = folder != start and any(folder.is_relative_to(target) for target in scanned)
        for name in (NAME, PROJECT):
            path = folder / name
            if not (path.is_file() or path.is_symlink()):
                continue
            if foreign:
                passed += [path] if name == NAME else []
            elif (settings := _found(path)) is not None:
                return settings, passed
    return None, passed


def read(path: Path) -> Settings:
    """The settings in a file that somebody named.

    Raises:
        SettingsError: it cannot be read, is no TOML, or has no settings.
    """
    table = _table(path)
    if table is None:
        message = f"{quote(str(path))}: there is no [tool.{_TABLE}] in it"
        raise SettingsError(message)
    return _settings(path, table, found=False)


def _folders(start: Path) -> list[Path]:
    """The folder and, in a repository, those above it up to the top of the repository."""
    above = [start, *start.parents]
    tops = [depth for depth, folder in enumerate(above) if (folder / ".git").exists()]
    return above[: tops[0] + 1] if tops else [start]


def _found(path: Path) -> Settings | None:
    if path.is_symlink():
        if path.name == PROJECT:
            return None
        message = f"{quote(str(path))} is a link; name it with --settings if it is meant"
        raise SettingsError(message)
    table = _table(path, unsure=path.name == PROJECT)
    return None if table is None else _settings(path, table, found=True)


def _table(path: Path, *, unsure: bool = False) -> Mapping[str, Any] | None:
    """What the file says to poisonscan; None: it is a project's, and says nothing.

    Args:
        path: the file.
        unsure: whether it may be a file that has nothing to do with poisonscan.
    """
    place = quote(str(path))
    try:
        if not path.is_file():
            message = f"{place} is not a file"
            raise SettingsError(message)
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"{place} cannot be read: {error.strerror}"
        raise SettingsError(message) from error
    if unsure and len(content) <= MAX_BYTES and _TABLE.encode() not in content:
        return None
    if len(content) > MAX_BYTES:
        message = f"{place} is larger than the {MAX_BYTES >> 10} KiB that settings may have"
        raise SettingsError(message)
    try:
        document = _parsed(content)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        message = f"{place} is not TOML: {escape(why)}"
        raise SettingsError(message) from error
    if path.name != PROJECT:
        return document
    tool = document.get("tool")
    table = tool.get(_TABLE) if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        message = f"{place}: tool.{_TABLE} should be a table"
        raise SettingsError(message)
    return table


def _parsed(content: bytes) -> dict[str, Any]:
    text = content.decode("utf-8-sig")
    if _LONG_KEY.search(text):
        message = "a key has more than 31 dots"
        raise ValueError(message)
    return tomllib.loads(text)


def _settings(path: Path, table: Mapping[str, Any], *, found: bool) -> Settings:
    """Tell apart what ``ignore`` may hold: rules to leave out, or tables with reasons."""
    options = dict(table)
    listed = options.pop("ignore", [])
    if not isinstance(listed, list):
        message = f"{quote(str(path))}: ignore should be a list of rules, or tables [[ignore]]"
        raise SettingsError(message)
    rules = [item for item in listed if not isinstance(item, dict)]
    if rules:
        options["ignore"] = rules
    if len(listed) - len(rules) > MAX_IGNORES:
        message = (
            f"{quote(str(path))}: more than {MAX_IGNORES} tables [[ignore]]; a baseline holds more"
        )
        raise SettingsError(message)
    ignores = []
    for number, item in enumerate((item for item in listed if isinstance(item, dict)), 1):
        try:
            ignores.append(from_table(item))
        except IgnoreError as error:
            message = f"{quote(str(path))}: [[ignore]] number {number}: {error}"
            raise SettingsError(message) from error
    return Settings(path, found, options, tuple(ignores))
