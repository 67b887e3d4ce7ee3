"""What a model file holds, as reports show it: from the fact named ``contents``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Json
from poisonscan.plural import plural


@dataclass(frozen=True, slots=True)
class Holding:
    """A member of a model file, or the file itself where ``path`` is empty.

    Attributes:
        path: in the file; ``!/`` stands between containers.
        format: what it is; may be empty.
        imports: names that its pickles import.
    """

    path: str
    format: str
    imports: tuple[str, ...]

    @property
    def said(self) -> str:
        """Format and imports on one line."""
        names = ", ".join(self.imports)
        return f"{self.format}: {names}" if self.format and names else self.format or names

    @property
    def depth(self) -> int:
        """How many containers are around it, from 0 for the file itself."""
        return self.path.count("!/") + 1 if self.path else 0

    @property
    def name(self) -> str:
        """The path in the innermost container."""
        return self.path.rpartition("!/")[2]


UNLISTED: Final = ("members not listed", "members not listed that import")
"""Facts that say how much more there is."""


def holdings(facts: Mapping[str, Json]) -> Iterator[Holding]:
    """Read the facts of a file; what is not of the form that a scan writes is left out.

    The last one says how many members are not listed, if any.
    """
    fact = facts.get("contents")
    for entry in fact if isinstance(fact, list) else ():
        match entry:
            case {"path": str(path), "format": str(form), "imports": list(imports)}:
                yield Holding(path, form, tuple(name for name in imports if isinstance(name, str)))

    left, importing = (facts.get(name) for name in UNLISTED)
    if isinstance(left, int) and not isinstance(left, bool) and left > 0:
        which = f", {importing:,} of them with imports" if isinstance(importing, int) else ""
        yield Holding("…", f"{plural(left, 'more member')}{which}", ())


def suspicious_names(evidence: Mapping[str, Json]) -> set[str]:
    """Names that a finding is about."""
    names = evidence.get("imports")
    return {names} if isinstance(names, str) else set()
