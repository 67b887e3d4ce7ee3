"""What can go wrong between a file of rows and the detectors."""

from __future__ import annotations

from poisonscan.escape import quote
from poisonscan.plural import plural


class OptionError(ValueError):
    """An option that does not fit the data, such as a column that does not exist."""


class DatasetError(ValueError):
    """The rest of a shard cannot be read.

    Attributes:
        path: the file, as reports call it.
        row: rows of the file that were read before the trouble.
        reason: what is wrong, for people; escaped.
    """

    def __init__(self, path: str, row: int, reason: str) -> None:
        self.path = path
        self.row = row
        self.reason = reason
        super().__init__(path, row, reason)

    def __str__(self) -> str:
        read = plural(self.row, "row")
        return f"{quote(self.path)} cannot be read beyond its first {read}: {self.reason}"
