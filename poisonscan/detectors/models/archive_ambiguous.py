"""Archives that different loaders read differently."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location, Span
from poisonscan.formats.base import Archive, Artifact
from poisonscan.rules import rule


class ArchiveAmbiguous:
    """Rule PS203."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Archive,)

    def check(self, artifact: Archive) -> Iterator[Finding]:
        """One finding for each anomaly and member."""
        for anomaly in artifact.anomalies:
            outer = None if artifact.base is None else artifact.base + anomaly.offset
            subject = f"Archive member {quote(anomaly.name)}" if anomaly.name else "The archive"
            yield rule("PS203").finding(
                Location(artifact.path, Span(anomaly.offset, 1, outer)),
                f"{subject} {anomaly.what}.",
                key=f"{anomaly.kind} {anomaly.name}",
                problem=anomaly.kind,
            )


DETECTOR: Final = ArchiveAmbiguous()
