"""All rows that a finding means, which may be more than it names, and those that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.finding import Row


@dataclass(frozen=True, slots=True)
class Held:
    """How a file holds rows.

    Attributes:
        whole: whether it is a row by itself, as a picture is.
        header: whether the first record of delimited text was taken for the names of its columns;
            None for others.
    """

    whole: bool
    header: bool | None = None


class Places(Protocol):
    """All rows of a group that one would take out, in little memory: without line and excerpt."""

    @property
    def left_out(self) -> int:
        """Rows of the group that are not listed, because they are too many."""

    @property
    def partial(self) -> bool:
        """Whether only a sample of the rows was looked at, so that others may belong to them."""

    def __len__(self) -> int:
        """How many are listed."""

    def files(self) -> dict[str, Held]:
        """The files that hold them, by path."""

    def rows(self) -> Iterator[Row]:
        """The rows, the most suspicious first."""

    def numbers(self) -> Any:
        """A number for each row, the same for the same row of a dataset: an ``int64`` array."""


class Grounds(Protocol):
    """What a detector decided by that learns whatever rows share: it can be asked again."""

    def hold_without(self, rows: Any) -> bool:
        """Whether it would find something in the rows that are not these.

        Args:
            rows: numbers as of ``Places.numbers``.
        """
