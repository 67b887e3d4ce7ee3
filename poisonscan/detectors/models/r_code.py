"""R objects that run code when they are read, and code in them that runs commands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.finding import Finding, Location, Span
from poisonscan.formats.base import Artifact
from poisonscan.formats.r_data import RData
from poisonscan.formats.serialized import Serialized
from poisonscan.rules import rule


class RCode:
    """Rule PS124."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Serialized,)

    def check(self, artifact: Serialized) -> Iterator[Finding]:
        """One finding for each kind of act and name."""
        if artifact.format != RData.name:
            return
        told = set()
        for act in artifact.acts:
            if (act.kind, act.name) in told:
                continue
            told.add((act.kind, act.name))
            outer = None if artifact.base is None else artifact.base + act.offset
            yield rule("PS124").finding(
                Location(artifact.path, Span(act.offset, 1, outer)),
                f"The R data holds {act.what}.",
                key=f"{act.kind} {act.name}",
                problem=act.kind,
                name=act.name,
            )


DETECTOR: Final = RCode()
