"""Files whose structure breaks the rules of their format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location, Span
from poisonscan.formats.base import Artifact, Structure
from poisonscan.rules import rule


class BrokenStructure:
    """Rule PS205."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Structure,)

    def check(self, artifact: Structure) -> Iterator[Finding]:
        """One finding for each anomaly."""
        for anomaly in artifact.anomalies:
            outer = None if artifact.base is None else artifact.base + anomaly.offset
            subject = f"{quote(anomaly.name)} " if anomaly.name else ""
            yield rule("PS205").finding(
                Location(artifact.path, Span(anomaly.offset, 1, outer)),
                f"Broken {artifact.format} structure: {subject}{anomaly.what}.",
                key=f"{anomaly.kind} {anomaly.name}",
                problem=anomaly.kind,
                name=anomaly.name,
            )


DETECTOR: Final = BrokenStructure()
