"""What of a file cannot be used, counted by kind: a thousand broken lines are told as one.

What is kept of some parts of a dataset, brought together, is what is kept of all of them, in
whatever order they were read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from poisonscan.finding import Gap
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Sink = Callable[["Flaw"], None]

PLACES: Final = 5
"""Places that are named of each kind; that there are more is said."""
KINDS: Final = 100
"""Kinds that are told of a file."""
_KEPT: Final = 10_000
_UNITS: Final = {"record": "line", "part": "", "file": "", "member": ""}
"""What is counted to say where something is, where that is not the thing itself."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is.

    Attributes:
        number: of the line, row or record, counted as the format does; orders the places.
        name: what to call it instead of its number; escaped.
        detail: what is wrong just there; escaped.
    """

    number: int
    name: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return (self.name or f"{self.number:,}") + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is left out, or is read otherwise than it stands; or many of a kind.

    Attributes:
        what: behind the noun, such as ``left out that is no JSON object``.
        noun: ``line``, ``row``, ``record`` (by its line), ``part``, ``file`` or ``member``; empty
            where ``what`` says all.
        places: the first ``PLACES``, in order.
        count: how many there are.
    """

    what: str
    noun: str = ""
    places: tuple[Place, ...] = ()
    count: int = 1

    def __str__(self) -> str:
        if not self.noun:
            return self.what
        unit = _UNITS.get(self.noun, self.noun)
        several = unit and len(self.places) > 1
        named = f"{unit}{'s' if several else ''} {', '.join(map(str, self.places))}".strip()
        left = self.count - len(self.places)
        more = f" and {left:,} more" if left and self.places else ""
        said = f"{plural(self.count, self.noun)} {self.what}"
        return f"{said}: {named}{more}" if self.places else said

    def with_more(self, other: Flaw) -> Flaw:
        """This and others of the kind."""
        if not self.noun:
            return self
        places = tuple(sorted({*self.places, *other.places})[:PLACES])
        return replace(self, places=places, count=self.count + other.count)


def flaw(what: str, noun: str, places: Iterable[int | Place]) -> Flaw:
    """Something that is wrong in these places, at least one.

    Args:
        what: as of a ``Flaw``.
        noun: likewise.
        places: all of them, in order; numbers where there is no more to say of them.
    """
    all_of_them = [each if isinstance(each, Place) else Place(each) for each in places]
    return Flaw(what, noun, tuple(all_of_them[:PLACES]), len(all_of_them))


@dataclass(slots=True)
class Flaws:
    """What cannot be used of the files of a dataset.

    Attributes:
        kinds: by file, and what is wrong.
        left: kinds for which there was no room.
    """

    kinds: dict[tuple[str, str, str], Flaw] = field(default_factory=dict)
    left: bool = False

    def __bool__(self) -> bool:
        return bool(self.kinds)

    def note(self, path: str, found: Flaw) -> None:
        """Count something of a file."""
        key = path, found.noun, found.what
        known = self.kinds.get(key)
        if known is None and len(self.kinds) >= _KEPT:
            self.left = True
        else:
            self.kinds[key] = found if known is None else known.with_more(found)

    def merge(self, other: Flaws) -> None:
        """Add what another part has."""
        self.left |= other.left
        for (path, _, _), found in other.kinds.items():
            self.note(path, found)

    def again(self, other: Flaws) -> None:
        """Add what another pass over the same rows met; what both did counts once."""
        self.left |= other.left
        for key, found in other.kinds.items():
            known = self.kinds.get(key)
            if known is None or known.count < found.count:
                self.kinds[key] = found

    def gaps(self) -> list[Gap]:
        """All of them, for the report."""
        told: dict[str, int] = {}
        gaps = []
        for (path, _, _), found in sorted(self.kinds.items()):
            told[path] = told.get(path, 0) + 1
            if told[path] <= KINDS:
                gaps.append(Gap(path, str(found)))
        more = "is wrong in more ways, which are not named"
        gaps += [Gap(path, more) for path, count in told.items() if count > KINDS]
        if self.left:
            gaps.append(Gap(gaps[0].path, f"with more than {_KEPT:,} others {more}"))
        return gaps
