"""Programs among models and data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact
from poisonscan.formats.programs import Program
from poisonscan.rules import rule


class ProgramInTree:
    """Rule PS114."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Program,)

    def check(self, artifact: Program) -> Iterator[Finding]:
        """One finding for each."""
        message = f"The file is {artifact.kind}, among models and data."
        yield rule("PS114").finding(
            Location(artifact.path), message, key=artifact.kind, kind=artifact.kind
        )


DETECTOR: Final = ProgramInTree()
