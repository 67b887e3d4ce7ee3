"""What somebody meant who typed a name that there is not."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


_LONGEST: Final = 80


def meant(typed: str, names: Iterable[str]) -> str:
    """``; did you mean 'scan'?`` for the closest of the names; nothing where none is close.

    Args:
        typed: what there is not; upper and lower case are the same.
        names: what there is.
    """
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(typed[:_LONGEST].lower(), by_lower, n=1, cutoff=0.7)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""
