"""Patterns of file names, matched against names that are known: nothing is looked up on disk.

``*``, ``?`` and ``[…]`` stay within a folder, ``**`` stands for any number of folders, as in the
patterns of the ``datasets`` library. Matching takes time linear in the names for each wildcard.
"""

from __future__ import annotations

import fnmatch
import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WILD = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"[a-zA-Z][\w+.-]*://|[a-zA-Z]:[\\/]")
MAX_PATTERN = 1_000
"""Characters of a pattern."""
MAX_PARTS = 64
"""Folders of a pattern."""


def leaves(pattern: str) -> bool:
    """Whether a pattern names something outside of the folder that it belongs to."""
    if pattern.startswith("/") or _SCHEME.match(pattern):
        return True
    return ".." in pattern.replace("\\", "/").split("/")


def is_wild(pattern: str) -> bool:
    """Whether a pattern may name more than one file."""
    return _WILD.search(pattern) is not None


def matching(pattern: str, names: Iterable[str]) -> list[str]:
    """The names that a pattern fits; hidden ones only where the pattern spells them out.

    Args:
        pattern: relative, with forward slashes.
        names: likewise.

    Raises:
        ValueError: the pattern is too long.
    """
    parts = _parts(pattern)
    hidden = any(part.startswith((".", "__")) for part in parts)
    return [
        name for name in names if (hidden or not _is_hidden(name)) and _fits(parts, name.split("/"))
    ]


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern fits a name, a hidden one like any other.

    Raises:
        ValueError: the pattern is too long.
    """
    return _fits(_parts(pattern), [part for part in name.split("/") if part not in {"", "."}])


def _parts(pattern: str) -> list[str]:
    parts = [part for part in pattern.split("/") if part not in {"", "."}]
    if len(pattern) > MAX_PATTERN or len(parts) > MAX_PARTS:
        message = f"a pattern of more than {MAX_PATTERN} characters or {MAX_PARTS} folders"
        raise ValueError(message)
    return parts


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "__")) for part in name.split("/"))


def _fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether folders and name fit, one part of the pattern after the other."""
    reached = [True] + [False] * len(parts)  # how many parts may be taken by now
    for piece in pattern:
        if piece == "**":
            first = reached.index(True)
            reached = [i >= first for i in range(len(reached))]
        else:
            fits = _compiled(piece)
            moved = [
                before and fits.match(part) is not None
                for before, part in zip(reached, parts, strict=False)
            ]
            reached = [False, *moved]
        if not any(reached):
            return False
    # A pattern that ends in ``**`` takes files at any depth.
    return reached[-1]


@functools.lru_cache(maxsize=4_096)
def _compiled(piece: str) -> re.Pattern[str]:
    # ``fnmatch`` writes each star as an atomic group, so that matching does not go back.
    return re.compile(fnmatch.translate(piece))
