"""Numbers of rows in a dataset card, which the ``datasets`` library compares with the rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEAD: Final = re.compile(r"---[ \t]*\r?\n.*?\n---[ \t]*\r?\n", re.DOTALL)
_SPLIT: Final = re.compile(
    r"(?P<before>^ *- name: (?P<name>[\w.-]+)\r?\n(?: +num_bytes: \d+\r?\n)? +num_examples: )"
    r"(?P<rows>\d+)(?=\r?$)",
    re.MULTILINE,
)


def recounted(text: str, gone: Mapping[str, int]) -> str | None:
    """A card with the numbers of rows that are left.

    Args:
        text: of ``README.md``.
        gone: rows that were taken out, by split.

    Returns:
        The card; None where it is not clear which of its numbers are meant.
    """
    head = _HEAD.match(text)
    if head is None:
        return None
    found = list(_SPLIT.finditer(head[0]))
    names = [match["name"] for match in found]
    every = head[0].count("num_examples:")
    if len(names) != every or len(set(names)) < every or not set(gone) <= set(names):
        return None
    if any(int(match["rows"]) < gone.get(match["name"], 0) for match in found):
        return None
    changed = _SPLIT.sub(
        lambda match: f"{match['before']}{int(match['rows']) - gone.get(match['name'], 0)}",
        head[0],
    )
    return changed + text[head.end() :]
