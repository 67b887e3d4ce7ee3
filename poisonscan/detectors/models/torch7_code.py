"""Functions in Torch7 files: Lua bytecode, which Lua does not verify."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.finding import Finding, Location, Span
from poisonscan.formats.base import Artifact
from poisonscan.formats.serialized import Serialized
from poisonscan.formats.torch7 import Torch7
from poisonscan.rules import rule


class Torch7Code:
    """Rule PS125."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Serialized,)

    def check(self, artifact: Serialized) -> Iterator[Finding]:
        """One finding for a file, at its first function."""
        if artifact.format != Torch7.name or not artifact.acts:
            return
        first = artifact.acts[0]
        outer = None if artifact.base is None else artifact.base + first.offset
        more = len(artifact.acts) - 1
        message = f"The file holds {first.what}."
        if more:
            message += f" So do {more:,} more places."
        yield rule("PS125").finding(
            Location(artifact.path, Span(first.offset, 4, outer)), message, key=first.kind
        )


DETECTOR: Final = Torch7Code()
