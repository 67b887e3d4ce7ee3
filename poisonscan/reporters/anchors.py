"""Lines of a repository's own files that name what was fetched from the Hub.

A finding in a model on the Hub lies in no file of the repository that is checked, so services that
show findings beside code have no place for it. The line of a manifest or of code that names the
model is such a place: it is what one would change.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from poisonscan.escape import clip, escape
from poisonscan.masking import mask

_ORIGIN: Final = re.compile(r"hf://(?:datasets/|spaces/)?([^/@]+/[^/@]+)@")
_LINES: Final = re.compile(r"\r\n|\r|\n")
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where a repository of the Hub is named.

    Attributes:
        path: of the file, as reports write paths.
        line: from 1.
        columns: of the name: the first, from 1, and the one after the last.
        text: of the line, clipped, escaped and without secrets.
    """

    path: str
    line: int
    columns: tuple[int, int]
    text: str


@dataclass(frozen=True)
class Anchors:
    """Files that may name repositories.

    Attributes:
        files: their texts by path; the first that names a repository counts.
    """

    files: Mapping[str, str] = field(default_factory=dict)

    def of(self, path: str) -> Anchor | None:
        """The first line that names the repository that a path of a report lies in, if any does."""
        repository = repository_of(path)
        if repository is None:
            return None
        return next(
            (found for name, text in self.files.items() if (found := _in(name, text, repository))),
            None,
        )


def repository_of(path: str) -> str | None:
    """``org/name`` for a path on the Hub, None for others."""
    match = _ORIGIN.match(path)
    return match.group(1) if match else None


@lru_cache(maxsize=256)
def _in(name: str, text: str, repository: str) -> Anchor | None:
    # Not a part of a longer name; a revision, a path or a quote may follow, the Hub's host precede.
    named = re.compile(rf"(?<![\w.-]){re.escape(repository)}(?![\w-]|\.\w)", re.IGNORECASE)
    for number, line in enumerate(_LINES.split(text), 1):
        if match := named.search(line):
            columns = match.start() + 1, match.end() + 1
            return Anchor(name, number, columns, clip(escape(mask(line)), _SHOWN))
    return None
