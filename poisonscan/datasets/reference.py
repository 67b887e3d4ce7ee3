"""A dataset that another one is compared with: what of it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Reference:
    """What a dataset says about its labels and columns.

    Attributes:
        path: what the user called it.
        columns: their names.
        labels: rows of each label; None where it has no labels, or too many to be classes.
    """

    path: str
    columns: tuple[str, ...]
    labels: Mapping[str, int] | None
